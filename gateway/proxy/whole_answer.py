"""An answer that is there as a whole: its head and its body go to the client in one write, and nothing is derived anew.

aiohttp's own response keeps cookies, compresses, chunks and guesses a length; none of that has anything to do here,
where a store's answer is passed on.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from time import time

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

BODILESS = frozenset((204, 304))
"""Statuses whose answers have no body, whatever they announce; 1xx never get here (RFC 9110 §6.4.1)."""
_LINE_ENDS = frozenset("\r\n\0")


class OctetWriter(StreamWriter):
    """Writes a head octet for octet; aiohttp's own writer leaves out what is not UTF-8.

    What can end a line is refused, as there (RFC 9110 §5.5).
    """

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        lines = [status_line, *(f"{name}: {value}" for name, value in headers.items())]
        if any(not _LINE_ENDS.isdisjoint(line) for line in lines):
            raise ValueError("a header holds the end of a line")
        self._headers_written = False
        self._headers_buf = "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """``Date`` (RFC 9110 §6.6.1), the same for all answers of a second."""
    return formatdate(second, usegmt=True)


def write_octets(request: web.BaseRequest) -> None:
    """Let the answer to a request be written by an :class:`OctetWriter`; before anything of it is."""
    request._payload_writer = OctetWriter(request.protocol, request.protocol._loop)


class WholeAnswer(web.StreamResponse):
    """A status, the headers that the client receives, and all of the body.

    Args:
        status, reason: of the status line.
        headers: may be changed by this.
        body: not for :data:`BODILESS` statuses, nor for an answer to ``HEAD``.
    """

    def __init__(self, status: int, reason: str, headers: CIMultiDict[str], body: bytes) -> None:
        super().__init__(status=status, reason=reason)
        self._passed_on = headers
        self._whole = body

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Only take note of the request: nothing goes out before the end."""
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        self._asked = request
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - there is never more
        """Send all of it."""
        version, headers, body = self._asked.version, self._passed_on, self._whole
        if "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        if body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/octet-stream"
        if "Date" not in headers:
            headers["Date"] = _date(int(time()))
        if self._keep_alive != (version >= (1, 1)):
            headers["Connection"] = "keep-alive" if self._keep_alive else "close"
        writer = self._asked.writer
        await writer.write_headers(f"HTTP/{version[0]}.{version[1]} {self.status} {self.reason}", headers)
        await writer.write_eof(body)
