"""The HTTP server under the door: aiohttp's, with deadlines of our own, and with what it refuses by itself recorded.

A request that aiohttp's parser cannot read never reaches a handler; here it still goes through the checkpoint, as far
as it is known, so that no refusal is without a record. The same holds for a connection that may not begin.

Invariants: a connection waits for its client no longer than the limits say, wherever it is; its places are given back
when it is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Hashable, Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

import aiohttp.http_parser
import structlog
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.typedefs import RawHeaders
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo

from gateway.attempt import Approach
from gateway.checkpoint import Checkpoint
from gateway.errors import ConfigurationError, LedgerUnavailable
from gateway.explanation import Explainer, Problem
from gateway.location.networks import parse_address, plain_network
from gateway.proxy.chunk_framing import ChunkFraming
from gateway.proxy.limits import Places, neighbourhood
from gateway.proxy.listener_tls import ListenerTls
from gateway.proxy.metrics import Metrics
from gateway.proxy.pace import Pace
from gateway.proxy.problems import answer
from gateway.refusal import bare
from gateway.settings import GatewaySettings, LimitSettings

log = structlog.get_logger(__name__)
SPOKEN = (HttpVersion11, HttpVersion10)
MAX_HEADER_BYTES = 16_384
MAX_HEAD_BYTES = 65_536  # request line and headers together
REMEMBERED_BYTES = 4_096  # of headers, for each connection


def require_c_parser() -> None:
    """Refuse to run on aiohttp's pure-Python parser, which reads more than HTTP allows.

    Raises:
        ConfigurationError: the C extension is missing.
    """
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise ConfigurationError(["aiohttp runs without its C parser here; install a wheel of it for this platform"])


class DoorServer(web.Server):
    """A server whose connections are counted, hurried and recorded.

    Args:
        handler: serves one request.
        settings: what the listener expects, and the limits.
        tls: with which every connection begins, if any.
        metrics: counts the connections that were closed.

    Attributes:
        places, addresses: those for all connections, and those for the connections of one address.
        pace: at which refusals are answered.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        checkpoint: Checkpoint,
        explainer: Explainer,
        settings: GatewaySettings,
        metrics: Metrics,
        tls: ListenerTls | None = None,
    ) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            request_factory=_open,
            max_line_size=checkpoint.max_target_bytes,
            max_field_size=MAX_HEADER_BYTES,
            access_log=None,
            auto_decompress=False,
        )
        self.checkpoint = checkpoint
        self.explainer = explainer
        self.tls = tls
        self.places = Places(settings.limits.max_connections)
        self.addresses = Places(settings.limits.connections_per_address)
        self.pace = Pace(settings.limits, self._loop.time)
        self.closed = metrics.closed
        self.use(settings)

    def use(self, settings: GatewaySettings) -> None:
        """Take other settings: what they say holds for the connections that are there, too."""
        self.settings = settings
        self.places.limit = settings.limits.max_connections
        self.addresses.limit = settings.limits.connections_per_address
        self.pace.use(settings.limits)
        self._trusted = tuple(map(plain_network, settings.trusted_proxies))
        self._kwargs["keepalive_timeout"] = settings.limits.keepalive_timeout_s

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """With which a handshake begins now."""
        return self.tls.context if self.tls else None

    def trusts(self, peer: str) -> bool:
        """Whether this address is a trusted proxy's."""
        address = parse_address(peer)
        return address is not None and any(address in network for network in self._trusted)

    def receive(self, *, peer: str, leave: Callable[[], None]) -> DoorConnection:
        """The protocol of a connection that may begin.

        Args:
            peer: whose it is, or "" where that is not known.
            leave: called when it is lost.
        """
        connection = DoorConnection(self, loop=self._loop, **self._kwargs)
        connection.peer, connection.leave = peer, leave
        return connection

    async def record(self, peer: str, why: str) -> Problem:
        """Record that something which is no request was refused, and put it into words."""
        approach = Approach(door="http", method="", target="", host="", peer=peer, ambiguity=why)
        try:
            return self.explainer.explain(await self.checkpoint.decide(approach))
        except LedgerUnavailable:
            return Problem(503, "unavailable", "Cannot decide now", "the refusal could not be written down")

    async def refuse(self, request: web.BaseRequest, peer: str, message: str) -> web.StreamResponse:
        """Record and answer a request that could not be parsed."""
        response = answer(await self.record(peer, message), request)
        response.force_close()
        return await cast(DoorConnection, request.protocol).refuse(request, response, neighbourhood(peer))

    def pre_shutdown(self) -> None:
        self.pace.end()
        super().pre_shutdown()


class Latest(NamedTuple):
    """What the latest request on a connection said, but for its target, and how it was read."""

    said: tuple[object, ...]
    approach: Approach


class DoorConnection(RequestHandler):
    """aiohttp's protocol, with deadlines, and with another answer to a message that it cannot parse.

    One timer watches over all deadlines. It is not moved with each read or request: it catches up.

    Attributes:
        peer: the address whose connection it is, or "" where that is not known.
        certificate: the service that the client's certificate names, or "".
        leave: called when the connection is lost.
        began_s: when the latest request began.
        latest: the latest request that may be remembered, or None.
    """

    __slots__ = (
        "_closing_s",
        "_deaf",
        "_framing",
        "_head_bytes",
        "_head_s",
        "_late",
        "_read_s",
        "_stuck_s",
        "_timer",
        "_waits",
        "_wire",
        "began_s",
        "certificate",
        "latest",
        "leave",
        "peer",
    )

    peer: str
    certificate: str
    latest: Latest | None
    leave: Callable[[], None]
    began_s: float

    @property
    def _limits(self) -> LimitSettings:
        return cast(DoorServer, self._manager).settings.limits

    def remember(self, headers: RawHeaders, said: tuple[object, ...], approach: Approach) -> None:
        """Keep how a request was read, as long as the connection lasts; no more than :data:`REMEMBERED_BYTES`."""
        if sum(len(name) + len(value) for name, value in headers) <= REMEMBERED_BYTES:
            self.latest = Latest(said, approach)

    async def refuse(
        self, request: web.BaseRequest, response: web.StreamResponse, client: Hashable
    ) -> web.StreamResponse:
        """Answer a refusal that is on record, at its client's pace; until then nothing more is read.

        What still comes of the request's body after the answer is dropped unread. Where too many wait for their turn,
        the connection is closed without an answer.
        """
        pace = cast(DoorServer, self._manager).pace
        wait_s = pace.enter(client)
        if wait_s is None:
            self._wire.abort()
            return response
        if wait_s:
            self._waits = True
            self._pause_transport_reading()
            await pace.sleep(wait_s)
            self._waits, self._read_s = False, self._loop.time()
            if not (self._reading_paused or self._buffer_paused):
                self._resume_transport_reading()
        if not request.content.is_eof():
            await self._answer_for_good(request, response)
        return response

    async def _answer_for_good(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Answer, and hear no more; aiohttp closes the connection after a while, so that the answer is not lost."""
        self._deaf = True
        response.force_close()
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
            if self._wire.can_write_eof():
                self._wire.write_eof()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._head_s: float | None = self._loop.time()  # since when a head is due, or under way
        self._read_s = self.began_s = self._head_s
        self._stuck_s: float | None = None  # since when the client does not take what is written
        self._closing_s: float | None = None
        self._head_bytes = 0  # that came so far of a head under way
        self._deaf = False  # whether what still comes is dropped unread
        self._waits = False  # whether a refusal waits for its client's turn
        self._late = False  # whether it is cut, as soon as it is its client's turn
        self._framing: ChunkFraming | None = None  # while a chunked body is under way
        self.latest = None
        tls = cast(DoorServer, self._manager).tls
        self.certificate = tls.service(transport) if tls else ""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()
        if self._late:
            cast(DoorServer, self._manager).pace.leave()
        self.leave()
        self.latest = self._framing = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        count, awaited_head = self._request_count, self._awaits_head()
        if self._framing:
            self._framing.before()
        super().data_received(data)
        self._take_failure()
        if self._framing or (self._request_count != count and not self._is_plain(self._request_count - count)):
            self._count_framing(data, self._request_count - count)
        if not data:  # only to parse what came before
            return
        self._read_s = self._loop.time()
        if self._request_count != count:
            self._head_s, self._head_bytes = None, 0
            return
        if self._head_s is None and self._waiter is not None:
            self._head_s = self._read_s
        if awaited_head and self._awaits_head():  # a read that ended a body may hold most of that
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()

    def _awaits_head(self) -> bool:
        """Whether what comes now belongs to a head, and not to a body or a tunnel."""
        if self._messages:
            return self._messages[-1][1].is_eof()
        if self._current_request is not None:
            return self._current_request.content.is_eof() and not self._upgraded
        return self._waiter is not None

    def _refuse_head(self) -> None:
        """Hear no more, and have what came refused as what cannot be parsed."""
        self._deaf = True
        error = BadHttpMessage("the head is too long")
        self._messages.append((_ErrInfo(error.code, error, error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take_failure(self) -> None:
        """Tell whoever reads a body that the rest of it cannot be read; aiohttp's parser keeps that to itself."""
        if not self._messages or not isinstance(self._messages[-1][0], _ErrInfo):
            return
        bare(self._messages[-1][0].exc)
        request = self._current_request
        if request is not None and not request.content.is_eof():
            _fail(request.content)

    def _is_plain(self, new: int) -> bool:
        """Whether what was parsed just now brought one request, and that has no chunks: most of them are such."""
        message = self._messages[-1][0]
        return new == 1 and not isinstance(message, _ErrInfo) and not message.chunked

    def _count_framing(self, data: bytes, new: int) -> None:
        """Refuse a chunked body around which there is more than chunks need.

        Args:
            data: what was parsed just now.
            new: how many requests it brought.
        """
        latest = list(islice(self._messages, len(self._messages) - new, None))
        unread = self._upgraded or self._close or self._force_close
        if unread or any(isinstance(message, _ErrInfo) for message, _ in latest):
            self._framing = None
            return
        requests = cast(list[tuple[RawRequestMessage, StreamReader]], latest)
        if self._framing is None:
            if not any(message.chunked for message, _ in requests):
                return
            self._framing = ChunkFraming()
        settled = not (self._reading_paused or self._buffer_paused)
        if self._framing.after(data, requests, settled=settled):
            self._refuse(self._framing.first)
        if self._framing.over:
            self._framing = None

    def _refuse(self, content: StreamReader | None) -> None:
        """Let a request with this body, and whatever came behind it, not be served; nothing more is read."""
        self._deaf = True
        waiting = [payload for _, payload in self._messages]
        if content in waiting:
            while self._messages.pop()[1] is not content:
                pass
            self._messages.append((_ErrInfo(status=400, exc=ValueError(), message=""), EMPTY_PAYLOAD))
        elif self._current_request is not None and self._current_request.content is content:
            self._messages.clear()
            _fail(content)
        else:  # it was answered already
            self.force_close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._read_s = self._loop.time()  # that nothing came until now was our own doing
        super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        self._stuck_s = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_s = None
        super().resume_writing()

    # The deadlines.

    def _watch(self) -> None:
        limits, now_s = self._limits, self._loop.time()
        if self._wire.is_closing() and self._closing_s is None:
            self._closing_s = now_s
        due_s, what = min(self._deadlines(limits), default=(now_s + _longest_look_away_s(limits), ""))
        if due_s > now_s:
            self._timer = self._loop.call_later(min(due_s - now_s, _longest_look_away_s(limits)), self._watch)
        elif what == "header":
            self._cut_in_turn()
        else:
            self._cut(what)

    def _cut(self, what: str) -> None:
        cast(DoorServer, self._manager).closed(what)
        self._wire.abort()

    def _cut_in_turn(self) -> None:
        """Cut a head that is late: the later, the more often this client's are, since it comes anew when it is cut."""
        wait_s = cast(DoorServer, self._manager).pace.enter(neighbourhood(self.peer))
        if not wait_s:
            self._cut("header")
            return
        self._late = self._deaf = True
        self._timer = self._loop.call_later(wait_s, self._cut, "header")

    def _deadlines(self, limits: LimitSettings) -> Iterator[tuple[float, str]]:
        """When the client must have done what is waited for now; a connection without a request is aiohttp's care."""
        if self._head_s is not None:
            yield self._head_s + limits.header_timeout_s, "header"
        for since_s in (self._stuck_s, self._closing_s):
            if since_s is not None:
                yield since_s + limits.write_timeout_s, "write"
        request = self._current_request
        if request is None:
            return
        if limits.request_timeout_s:
            yield self.began_s + limits.request_timeout_s, "request"
        if not (self._reading_paused or self._waits or request.content.is_eof()):
            yield self._read_s + limits.body_idle_timeout_s, "body"

    def _make_error_handler(
        self,
        err_info: Any,  # noqa: ARG002 - what the parser says may quote the request
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def refuse(request: web.BaseRequest) -> web.StreamResponse:
            server = cast(DoorServer, self._manager)
            return await server.refuse(request, self.peer, "the request is not HTTP that can be read in one way only")

        return refuse


def _fail(content: StreamReader) -> None:
    """Tell whoever reads a body that nothing more of it comes, and why."""
    content.set_exception(web.RequestPayloadError("the body cannot be read in one way only"))
    content.feed_eof()


def _open(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: Any,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = protocol._loop
    cast(DoorConnection, protocol).began_s = loop.time()
    request = web.BaseRequest(message, payload, protocol, writer, task, loop)
    if message is ERROR or message.version not in SPOKEN:  # aiohttp would answer in the same version
        request._version = HttpVersion11
    return request


def version_of(request: web.BaseRequest) -> HttpVersion:
    """The version that a request came in; ``request.version`` is the one that it is answered in (RFC 9112 §2.3)."""
    return request._message.version


def _longest_look_away_s(limits: LimitSettings) -> float:
    """How long the timer may rest where nothing is due: a deadline that begins meanwhile is met on time."""
    each = (limits.header_timeout_s, limits.body_idle_timeout_s, limits.write_timeout_s, limits.request_timeout_s)
    return min(limit_s for limit_s in each if limit_s)
