"""The HTTP server under the door: aiohttp's, with deadlines of our own, and with what it refuses by itself recorded.

A request that aiohttp's parser cannot read never reaches a handler; here it still goes through the checkpoint, as far
as it is known, so that no refusal is without a record. The same holds for a connection that may not begin.

Invariants: a connection waits for its client no longer than the limits say, wherever it is; its places are given back
when it is lost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import aiohttp.http_parser
import structlog
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.attempt import Approach
from gateway.checkpoint import Checkpoint
from gateway.errors import ConfigurationError, LedgerUnavailable
from gateway.explanation import Explainer, Problem
from gateway.location.networks import parse_address, plain_network
from gateway.proxy.limits import Places
from gateway.proxy.listener_tls import ListenerTls
from gateway.proxy.metrics import Metrics
from gateway.proxy.problems import answer
from gateway.settings import GatewaySettings, LimitSettings

log = structlog.get_logger(__name__)
MAX_HEADER_BYTES = 16_384


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
        self.closed = metrics.closed
        self.use(settings)

    def use(self, settings: GatewaySettings) -> None:
        """Take other settings: what they say holds for the connections that are there, too."""
        self.settings = settings
        self.places.limit = settings.limits.max_connections
        self.addresses.limit = settings.limits.connections_per_address
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
        return response


class DoorConnection(RequestHandler):
    """aiohttp's protocol, with deadlines, and with another answer to a message that it cannot parse.

    One timer watches over all deadlines. It is not moved with each read or request: it catches up.

    Attributes:
        peer: the address whose connection it is, or "" where that is not known.
        certificate: the service that the client's certificate names, or "".
        leave: called when the connection is lost.
        began_s: when the latest request began.
    """

    __slots__ = (
        "_closing_s",
        "_head_s",
        "_read_s",
        "_stuck_s",
        "_timer",
        "_wire",
        "began_s",
        "certificate",
        "leave",
        "peer",
    )

    peer: str
    certificate: str
    leave: Callable[[], None]
    began_s: float

    @property
    def _limits(self) -> LimitSettings:
        return cast(DoorServer, self._manager).settings.limits

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._head_s: float | None = self._loop.time()  # since when a head is due, or under way
        self._read_s = self.began_s = self._head_s
        self._stuck_s: float | None = None  # since when the client does not take what is written
        self._closing_s: float | None = None
        tls = cast(DoorServer, self._manager).tls
        self.certificate = tls.service(transport) if tls else ""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()
        self.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        count = self._request_count
        super().data_received(data)
        self._fail_body_under_way()
        if not data:  # only to parse what came before
            return
        self._read_s = self._loop.time()
        if self._request_count != count:
            self._head_s = None
        elif self._head_s is None and self._waiter is not None:
            self._head_s = self._read_s

    def _fail_body_under_way(self) -> None:
        """Tell whoever reads a body that the rest of it cannot be read; aiohttp's parser keeps that to itself."""
        request = self._current_request
        if request is None or request.content.is_eof():
            return
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            request.content.set_exception(web.RequestPayloadError("the body cannot be read in one way only"))

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
        if due_s <= now_s:
            cast(DoorServer, self._manager).closed(what)
            self._wire.abort()
        else:
            self._timer = self._loop.call_later(min(due_s - now_s, _longest_look_away_s(limits)), self._watch)

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
        if not (self._reading_paused or request.content.is_eof()):
            yield self._read_s + limits.body_idle_timeout_s, "body"

    def _make_error_handler(
        self,
        err_info: Any,  # noqa: ARG002 - what the parser says may quote the request
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def refuse(request: web.BaseRequest) -> web.StreamResponse:
            server = cast(DoorServer, self._manager)
            return await server.refuse(request, self.peer, "the request is not HTTP that can be read in one way only")

        return refuse


def _open(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: Any,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = protocol._loop
    cast(DoorConnection, protocol).began_s = loop.time()
    return web.BaseRequest(message, payload, protocol, writer, task, loop)


def _longest_look_away_s(limits: LimitSettings) -> float:
    """How long the timer may rest where nothing is due: a deadline that begins meanwhile is met on time."""
    each = (limits.header_timeout_s, limits.body_idle_timeout_s, limits.write_timeout_s, limits.request_timeout_s)
    return min(limit_s for limit_s in each if limit_s)
