"""How much of a chunked body is neither body nor what its chunks need around them.

aiohttp's parser drops chunk extensions, of whatever length, and tells nobody; a recipient ought to limit them
(RFC 9112 §7.1.1). To find them in the bytes would take a second parser, and two parsers are what smuggling lives on.
So they are counted instead: what came, less the heads, less the bodies that the parser delivered, less the shortest
framing that chunks of these sizes can have. What is left are extensions, and zeros before a size, which are the same.

Invariants: no byte is looked at to say where anything begins, so that nothing in a body can be taken for framing, and
how the bytes are cut into reads does not matter; a request without a chunked body costs nothing.

What is not seen: an extension that comes in the same read as the end of a head whose beginning came before may be
longer by that beginning. It does no harm: no extension ever reaches a store, since bodies are framed anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

MAX_EXCESS_BYTES = 1_024
_EMPTY_LINE = b"\r\n\r\n"


class ChunkFraming:
    """The account of a connection on which a chunked body is under way; to be dropped once it is :attr:`over`.

    Attributes:
        excess_bytes: what is left, as far as it can be told.
        over: whether the last body ended.
        first: the first chunked body of the latest read.
    """

    def __init__(self) -> None:
        self.excess_bytes = 0
        self.over = False
        self.first: StreamReader | None = None
        self._body: _Body | None = None  # under way, and chunked
        self._last: StreamReader | None = None  # the latest body, of any kind
        self._data = b""

    def before(self) -> None:
        """To be called before a read is parsed."""
        self.first = self._body.content if self._body else None
        if self._body:
            self._body.look()

    def after(self, data: bytes, new: Sequence[tuple[RawRequestMessage, StreamReader]], *, settled: bool) -> bool:
        """Count a read that was parsed.

        Args:
            data: what came; empty where only what had been held back was parsed.
            new: the requests whose heads ended in it.
            settled: whether nothing of it is held back.

        Returns:
            Whether more than :data:`MAX_EXCESS_BYTES` are left.
        """
        self._data = data or self._data
        self.excess_bytes += len(data) - (self._body.explained() if self._body else 0)
        for message, content in new:
            self._begin(message, content)
        if new:  # a head may have begun in an earlier read
            self.excess_bytes = max(self.excess_bytes, 0)
        if not settled:
            return False
        if self._last is None or self._last.is_eof():
            self.over = True
            self.excess_bytes -= self._behind()
        self.over = self.over or self._body is None
        return self.excess_bytes > MAX_EXCESS_BYTES

    def _begin(self, message: RawRequestMessage, content: StreamReader) -> None:
        self._last = content
        self._body = _Body(content) if message.chunked else None
        self.first = self.first or (content if message.chunked else None)
        explained = self._body.explained() if self._body else content.total_bytes
        self.excess_bytes -= explained + _head_bytes(message)

    def _behind(self) -> int:
        """What came behind the last whole request: the beginning of a head, which holds no empty line."""
        end = self._data.rfind(_EMPTY_LINE)
        behind = len(self._data) - (end + len(_EMPTY_LINE) if end >= 0 else 0)
        if self._last is None or self._body is not None:
            return behind
        return max(0, behind - self._last.total_bytes)


class _Body:
    """One chunked body, and how much of it was counted."""

    def __init__(self, content: StreamReader) -> None:
        self.content = content
        self._bytes = 0
        self._chunk_began = 0
        self._ends = 0  # of chunks, that whoever reads the body has not come to

    def look(self) -> None:
        self._ends = len(self.content._http_chunk_splits or ())

    def explained(self) -> int:
        """How many bytes of the latest read are the body's, or the shortest framing of chunks that ended in it."""
        total = self.content.total_bytes
        explained, self._bytes = total - self._bytes, total
        for end in islice(self.content._http_chunk_splits or (), self._ends, None):
            explained += len(f"{end - self._chunk_began:x}") + 4
            self._chunk_began = end
        return explained


def _head_bytes(message: RawRequestMessage) -> int:
    """The length of a head, without white space that need not be there."""
    line = len(message.method) + len(message.path.encode("utf-8", "surrogateescape")) + len("  HTTP/1.1\r\n\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
