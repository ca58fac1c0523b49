"""One HTTP/1.1 connection to a store: a request out, an answer in, one exchange at a time.

The answer is parsed by httptools (llhttp, with none of its leniencies). The transport is not read while whoever reads
the body is behind, so memory stays bounded.

Invariants: an answer that ends before its announced length, or in the middle of a chunk, is never whole, and neither
is one that ends with a TLS connection on which nobody said that it ends; bytes that come when no answer is due, a
second answer, trailers, and an answer that cannot be read in one way only, each end the connection, so that no byte of
one exchange is ever taken for another's (RFC 9112 §9.3, §9.8, §11.2).

What remains: an answer that the store sends unasked after one exchange, and that arrives only when the next request is
on its way, is taken for the answer to that; the same holds for a body that it sends late with an answer to ``HEAD``.
Answers in HTTP/1.1 do not say which request they are to, so that nobody can tell. Whatever arrived before the next
request goes out ends the connection, whether or not the event loop has come to it (:meth:`StoreConnection.is_quiet`).
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import cast

import httptools
from multidict import CIMultiDict

from gateway.proxy.store import StoreCut, StoreUnreachable

MAX_HEAD_BYTES = 64 * 1024
SMALL_BODY_BYTES = 64 * 1024
HIGH_WATER_BYTES = 256 * 1024
MAX_INTERIM = 8
_VERSIONS = ("1.1", "1.0")
_NOT_IN_A_REASON = frozenset(map(chr, (*range(0x20), 0x7F))) - {"\t"}


class StoreConnection(asyncio.Protocol):
    """A connection; made by a pool.

    Args:
        store: for messages.
        read_timeout_s: how long to wait between two reads while an answer is due.
        idle_timeout_s: how long to stay open without an exchange.

    Attributes:
        address: where it leads, as configured.
        peer: the address at its other end, or "" before it is made.
        status, reason, headers: of the answer, once :meth:`answer` returned; octets that are not UTF-8 are surrogates.
        octets: whether the reason or a header is more than ASCII.
        answered: whether any byte came since the exchange began.
        whole: whether the answer came to its end.
        small: whether the answer announced a body that is small enough to wait for.
        resumed: whether bytes were held back during the exchange that TLS may have decrypted already.
    """

    def __init__(
        self, store: str, *, read_timeout_s: float, idle_timeout_s: float, address: tuple[str, int] = ("", 0)
    ) -> None:
        self.address = address
        self.peer = ""
        self.status = 0
        self.reason = ""
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.answered = False
        self.whole = True
        self.small = self.resumed = self.octets = False
        self._store = store
        self._read_timeout_s, self._idle_timeout_s = read_timeout_s, idle_timeout_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._arrived = select.poll()
        self._parser = httptools.HttpResponseParser(self)
        self._failure: StoreUnreachable | None = None
        self._head = False  # of the answer: there, and not that of an interim one
        self._bodiless = False  # the request was HEAD
        self._until_close = False  # the end of the connection is the end of the answer
        self._ended = False  # the store said that nothing more comes
        self._owing = False  # more of the request is to come, so it is not the store who is slow
        self._upgrading = False  # the request asks for another protocol
        self._tunnel = False  # the answer agreed to it: what comes is passed on as it is
        self._keeps = True  # another exchange may follow this one
        self._interim = 0
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._barren = 0  # bytes that came since the last byte of a body
        self._paused = False
        self._more: asyncio.Future[None] | None = None  # whoever waits for the answer, or for more of it
        self._room: asyncio.Future[None] | None = None  # whoever waits to write
        self._active_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether another exchange may begin."""
        transport = self._transport
        idle = self.whole and self._keeps and not self._chunks and self._room is None
        return idle and transport is not None and not transport.is_closing()

    def is_quiet(self) -> bool:
        """Whether nothing lies in the socket: neither bytes that nobody asked for, nor the end of the connection."""
        return not self._arrived.poll(0)

    def begin(self, head: bytes, *, bodiless: bool, upgrading: bool = False, owing: bool = False) -> None:
        """Send the head of a request.

        Args:
            head: up to and with the empty line.
            bodiless: whatever the answer announces, it has no body, for the request is ``HEAD``.
            upgrading: a 101 may come, after which the connection is a tunnel that ends with it.
            owing: more is to be written, until :meth:`sent`; meanwhile the store need not answer. No other exchange
                follows: a store that leaves a body unread takes it for the next request.
        """
        if self._bodiless:  # the parser still waits for the body that was announced and not sent
            self._parser = httptools.HttpResponseParser(self)
        self._bodiless, self._upgrading, self._owing = bodiless, upgrading, owing
        self.answered = self.whole = self._head = self.small = self.resumed = False
        self._interim = self._barren = 0
        self._keeps = self._keeps and not owing
        self._active_s = self._loop.time()
        cast(asyncio.Transport, self._transport).write(head)

    async def write(self, data: bytes) -> None:
        """Send more of the request, once there is room for it.

        Raises:
            StoreCut: the connection is gone.
        """
        if self._room:
            await self._room
        if self._transport is None or self._transport.is_closing():
            raise StoreCut(f"the store {self._store} broke off") from self._failure
        self._active_s = self._loop.time()
        self._transport.write(data)

    def sent(self) -> None:
        """All of the request is on its way: from now on the answer is due."""
        self._owing = False
        self._active_s = self._loop.time()

    async def answer(self) -> None:
        """Wait for the head of the answer, and for all of it where it is small.

        Raises:
            StoreUnreachable: it did not come, or not in time, or cannot be read.
        """
        while not (self.whole or (self._head and not self.small)):
            if self._failure:
                raise self._failure
            await self._wait()

    async def read(self) -> bytes:
        """What came of the body since the last call, or b"" at its end.

        Raises:
            StoreCut: it broke off, or did not go on in time.
        """
        while not self._chunks:
            if self.whole:
                return b""
            if self._failure:
                raise StoreCut(str(self._failure)) from self._failure
            await self._wait()
        return self.take()

    def take(self) -> bytes:
        """What came of the body and was not taken yet."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self._transport:
            self._paused = False
            self.resumed = self._transport.get_extra_info("ssl_object") is not None
            self._active_s = self._loop.time()
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """End the connection now, and what is under way on it."""
        self._fail(502, "was not waited for")

    async def _wait(self) -> None:
        self._more = self._loop.create_future()
        await self._more

    def _wake(self) -> None:
        if self._more and not self._more.done():
            self._more.set_result(None)

    def _end(self) -> None:
        self.whole = True
        self._wake()

    def _fail(self, status: int, what: str) -> None:
        """The connection is of no more use. What came of an answer before stays what it is."""
        self._keeps = False
        self._failure = self._failure or StoreUnreachable(status, f"the store {self._store} {what}")
        if self._transport:
            self._transport.abort()
        self._wake()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer = str(transport.get_extra_info("peername")[0])
        self._arrived.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._watch()

    def eof_received(self) -> None:
        self._ended = _is_said(cast(asyncio.Transport, self._transport).get_extra_info("ssl_object"))

    def connection_lost(self, exc: Exception | None) -> None:
        in_order = self._ended and exc is None and self._failure is None
        if in_order and self._until_close and self._head and not self.whole:
            self._end()
        self._fail(502, "broke off")
        self._transport = None
        self.resume_writing()
        if self._timer:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._room = self._room or self._loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room and not room.done():
            room.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._active_s = self._loop.time()
        if self.whole:
            self._fail(502, "sent what nobody asked for")
            return
        self.answered = True
        self._barren += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._fail(502, "answered with what is not HTTP that can be read in one way only")
            return
        if self._barren > MAX_HEAD_BYTES + len(data):
            self._fail(502, f"answered with more than {MAX_HEAD_BYTES} bytes of headers")
        elif self._buffered > HIGH_WATER_BYTES and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()

    def _feed(self, data: bytes) -> None:
        if self._tunnel:
            self.on_body(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._open(data[upgrade.args[0] :])

    def _open(self, rest: bytes) -> None:
        """What follows a 101 in the same read is the tunnel's already."""
        if not self._tunnel:
            raise httptools.HttpParserError("an upgrade that nobody asked for")
        if rest:
            self.on_body(rest)

    def _watch(self) -> None:
        """Look whether it has been silent for too long. The timer is not moved with each read: it catches up."""
        now_s = self._loop.time()
        limit_s = self._idle_timeout_s if self.whole else self._read_timeout_s
        rests = self._paused or self._tunnel or (self._owing and self._room is None)
        left_s = limit_s if rests else self._active_s + limit_s - now_s
        if left_s <= 0:
            self._fail(504, "did not answer in time")
            return
        soonest_s = min(left_s, self._idle_timeout_s, self._read_timeout_s)
        self._timer = self._loop.call_later(soonest_s, self._watch)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.whole:
            raise ValueError("a second answer to one request")
        self.headers = CIMultiDict()
        self.reason = ""
        self.octets = False

    def on_status(self, reason: bytes) -> None:
        self.reason += reason.decode("utf-8", "surrogateescape")
        self.octets = self.octets or not reason.isascii()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head:
            self._keeps = False  # trailers: nobody judged them, and nobody gets them
            return
        self.headers.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        if not value.isascii():
            self.octets = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status == 101 and self._upgrading:
            self._head = self._tunnel = self._until_close = True
            self._keeps = False
            self._wake()
            return
        is_text = self.reason.isprintable() or _NOT_IN_A_REASON.isdisjoint(self.reason)
        if not (is_text and 100 <= self.status <= 599):
            raise ValueError("not a status line")
        if self.status < 200:
            self._interim += 1
            if self.status == 101 or self._interim > MAX_INTERIM:
                raise ValueError("an upgrade that nobody asked for, or no end of interim answers")
            return
        if self._parser.get_http_version() not in _VERSIONS:
            raise ValueError("another version of HTTP")
        encoding, length = self.headers.get("Transfer-Encoding"), self.headers.get("Content-Length")
        if encoding is not None or self.status == 204:
            self._judge_framing(length)
        self._until_close = encoding is None and length is None
        self.small = length is not None and int(length) <= SMALL_BODY_BYTES
        self._head = True
        if self._bodiless:
            self.on_message_complete()
        elif not self.small:
            self._wake()

    def _judge_framing(self, length: str | None) -> None:
        """A transfer encoding has to be the one that can be, and a 204 ought not to announce a body (RFC 9112 §6)."""
        encodings = [each.strip().lower() for each in self.headers.getall("Transfer-Encoding", ())]
        if encodings and (encodings != ["chunked"] or self._parser.get_http_version() == "1.0"):
            raise ValueError("a transfer encoding that was not asked for, or that cannot be")
        if self.status == 204 and (encodings or length not in (None, "0")):
            self._keeps = False

    def on_body(self, data: bytes) -> None:
        if self._bodiless or not self._head:
            raise ValueError("a body where there is none")
        self._barren = 0
        self._chunks.append(data)
        self._buffered += len(data)
        if not self.small:
            self._wake()

    def on_message_complete(self) -> None:
        if self._head and not self.whole and not self._tunnel:  # neither an interim answer nor a tunnel
            self._keeps = self._keeps and self._parser.should_keep_alive()
            self._end()


def _is_said(tls: ssl.SSLObject | None) -> bool:
    """Whether the end of a connection is the store's word; over TLS anybody else could have cut the wire."""
    if tls is None:
        return True
    try:
        return tls.read(1) == b""
    except ssl.SSLError:
        return False
