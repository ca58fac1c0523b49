"""A connection before HTTP: counted, its PROXY header read and its TLS handshake done where configured, handed on.

Invariants: exactly the header's bytes are read, so that what follows stands in the socket for whoever reads next; a
connection that is refused holds its place until the refusal is recorded, so that refusals cannot pile up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol, cast

import structlog
from aiohttp.web_protocol import RequestHandler

from gateway.errors import Malformed
from gateway.proxy import proxy_protocol
from gateway.proxy.limits import Places, neighbourhood
from gateway.proxy.listener_tls import ListenerTls
from gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)
TLS_FAREWELL_S = 5.0
_LATE = "the PROXY protocol header did not come in time"


class Reception(Protocol):
    """What an arriving connection needs of the server.

    Attributes:
        places, addresses: those for all connections, and those for the connections of one address.
        arrivals: those that are not handed on yet, for the server to end when it stops.
    """

    settings: GatewaySettings
    tls: ListenerTls | None
    places: Places
    addresses: Places
    arrivals: set[Arrival]

    def trusts(self, peer: str) -> bool: ...

    def closed(self, reason: str) -> None: ...

    async def record(self, peer: str, why: str) -> object: ...

    def receive(self, *, peer: str, certificate: str, leave: Callable[[], None]) -> RequestHandler: ...


class Arrival(asyncio.BufferedProtocol):
    """One connection, until HTTP begins on it."""

    def __init__(self, server: Reception) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._peer = ""
        self._header = bytearray()
        self._room = bytearray()
        self._held: list[tuple[Places, Hashable]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = _host(self._transport)
        if not self._take(self._server.places, "", "connections"):
            return
        self._server.arrivals.add(self)
        if not self._server.settings.proxy_protocol:
            self._proceed(reading=False)
        elif self._server.trusts(self._peer):
            timeout_s = self._server.settings.proxy_protocol_timeout_s
            self._timer = self._loop.call_later(timeout_s, self._refuse, _LATE)
        else:
            self._refuse("a PROXY protocol header is expected here, and not believed from this peer")

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - as much as the header needs, and no more
        self._room = bytearray(proxy_protocol.wanted(bytes(self._header)) or 1)
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self._header += self._room[:nbytes]
        try:
            if not proxy_protocol.wanted(bytes(self._header)):
                self._name(proxy_protocol.read(bytes(self._header)))
        except Malformed as error:
            self._refuse(str(error))

    def eof_received(self) -> None:
        if self._header:
            self._refuse("the connection ended within the PROXY protocol header")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._task is None:  # else whoever is at work ends it
            self.end()

    def end(self) -> None:
        """Close the connection and give its places back, whatever is under way on it."""
        self._forget()
        if self._task:
            self._task.cancel()
        self._transport.abort()
        self._give_back()

    # What happens, in order.

    def _name(self, origin: proxy_protocol.Origin) -> None:
        if not origin.local:
            self._peer = str(origin.address or "")
        self._proceed(reading=True)

    def _proceed(self, *, reading: bool) -> None:
        if self._timer:
            self._timer.cancel()
        counted = self._peer and not self._server.trusts(self._peer)
        if counted and not self._take(self._server.addresses, neighbourhood(self._peer), "address"):
            return
        if self._server.tls:
            self._transport.pause_reading()
            self._task = self._loop.create_task(self._secure(self._server.tls))
        elif reading:  # whoever reads another way begins in a turn of the loop of its own
            self._transport.pause_reading()
            self._hand_on(self._transport, "")
            self._loop.call_soon(_resume, self._transport)
        else:
            self._hand_on(self._transport, "")

    async def _secure(self, tls: ListenerTls) -> None:
        held = _Held()
        try:
            transport = await self._loop.start_tls(
                self._transport,
                held,
                tls.context,
                server_side=True,
                ssl_handshake_timeout=self._server.settings.limits.header_timeout_s,
                ssl_shutdown_timeout=TLS_FAREWELL_S,
            )
        except (OSError, TimeoutError) as error:  # of which an SSLError is one
            log.debug("handshake_failed", peer=self._peer, problem=str(error))
            transport = None
        self._task = None
        if transport is None or held.lost:
            self._server.closed("tls")
            self.end()
            return
        handler = self._hand_on(transport, tls.service(transport))
        if held.data:
            handler.data_received(bytes(held.data))

    def _hand_on(self, transport: asyncio.Transport, certificate: str) -> RequestHandler:
        self._forget()
        handler = self._server.receive(peer=self._peer, certificate=certificate, leave=self._give_back)
        transport.set_protocol(handler)
        handler.connection_made(transport)
        return handler

    def _refuse(self, why: str) -> None:
        if self._over:
            return
        self._over = True
        self._transport.pause_reading()
        self._server.closed("proxy_protocol")
        self._task = self._loop.create_task(self._record(why))

    async def _record(self, why: str) -> None:
        try:
            await self._server.record(self._peer, why)
        finally:
            self._task = None
            self.end()

    def _take(self, places: Places, key: Hashable, reason: str) -> bool:
        if not places.take(key):
            self._server.closed(reason)
            self.end()
            return False
        self._held.append((places, key))
        return True

    def _give_back(self) -> None:
        while self._held:
            places, key = self._held.pop()
            places.give_back(key)

    def _forget(self) -> None:
        self._over = True
        self._server.arrivals.discard(self)
        if self._timer:
            self._timer.cancel()


class _Held(asyncio.Protocol):
    """Keeps what comes between the end of a handshake and the moment at which somebody takes over."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost = True


def _resume(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()


def _host(transport: asyncio.BaseTransport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""
