"""Connections before HTTP: accepted, counted, asked for a PROXY header and a TLS handshake where configured, handed on.

The listening socket is read here, and not by the event loop's own server, so that a PROXY header can be taken off a
connection byte by byte before a handshake begins on it, and so that a connection counts from its first moment on.

Invariants: no byte behind the header is read; a connection that is refused holds its place until the refusal is
recorded, so that refusals cannot pile up; whatever happens, a place is given back once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Hashable
from ssl import SSLContext
from typing import Protocol

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.errors import Malformed
from gateway.proxy import proxy_protocol
from gateway.proxy.limits import Places, neighbourhood
from gateway.proxy.pace import Pace
from gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)
BACKLOG = 1_024
ACCEPTED_AT_ONCE = 64  # before those who are there already get a turn
FAREWELL_S = 5.0  # for the end of a TLS connection to be confirmed
BREATH_S = 1.0  # before accepting again where the system has no room for another connection
SETTLE_S = 0.1


class Reception(Protocol):
    """What arriving connections need of the server.

    Attributes:
        places, addresses: those for all connections, and those for the connections of one address.
        pace: at which those are closed who are refused.
        tls_context: for handshakes that begin now; None where there is no TLS.
    """

    settings: GatewaySettings
    places: Places
    addresses: Places
    pace: Pace

    @property
    def tls_context(self) -> SSLContext | None: ...

    def trusts(self, peer: str) -> bool: ...

    def closed(self, why: str) -> None: ...

    async def record(self, peer: str, why: str) -> object: ...

    def receive(self, *, peer: str, leave: Callable[[], None]) -> RequestHandler: ...


class DoorSite(web.BaseSite):
    """Where a door listens.

    Args:
        runner: of the server.
        server: the same, for what it says about arriving connections.
        host, port: an IP address; port 0 is any free one.
    """

    __slots__ = ("_entrance", "_host", "_port", "_reception")

    def __init__(self, runner: web.BaseRunner, server: Reception, host: str, port: int) -> None:
        super().__init__(runner)
        self._reception, self._host, self._port = server, host, port
        self._entrance: Entrance | None = None

    @property
    def name(self) -> str:
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        await super().start()
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        # aiohttp asks for the two things of an asyncio.Server that an Entrance has.
        self._entrance = Entrance(self._reception, listening)
        self._server = self._entrance  # type: ignore[assignment]

    async def stop(self) -> None:
        """Listen no longer. Who was let in a moment ago still has its request read, before aiohttp lets go of all."""
        await super().stop()
        if self._entrance:
            await self._entrance.settle()


class Entrance:
    """Accepts connections until it is closed."""

    def __init__(self, server: Reception, listening: socket.socket) -> None:
        listening.setblocking(False)
        self.sockets = (listening,)
        self._server = server
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._arrivals: dict[asyncio.Task[None], Arrival] = {}
        self._open()

    def close(self) -> None:
        """Listen no longer, and end what has not become HTTP."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for task, arrival in self._arrivals.items():
            if not arrival.handed_on:  # else the socket is its transport's already, and must not be closed under it
                task.cancel()

    async def settle(self) -> None:
        """Give those who are in a moment to be heard."""
        if self._arrivals:
            await asyncio.wait(self._arrivals, timeout=SETTLE_S)
        await asyncio.sleep(SETTLE_S)

    def _open(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory is left: trying at once would be of no use
                log.error("accept_failed", problem=str(error))
                self._loop.remove_reader(self._listening)
                self._loop.call_later(BREATH_S, self._open)
                return
            connection.setblocking(False)
            if self._server.places.take():
                arrival = Arrival(self._server, connection, str(address[0]))
                task = self._loop.create_task(arrival.receive())
                self._arrivals[task] = arrival
                task.add_done_callback(self._arrivals.pop)
            else:
                self._server.closed("connections")
                connection.close()


class Arrival:
    """One connection, until HTTP begins on it; it holds a place already.

    Attributes:
        handed_on: whether its socket is its transport's, or about to be, with nothing to wait for.
    """

    def __init__(self, server: Reception, connection: socket.socket, peer: str) -> None:
        self._server = server
        self.handed_on = False
        self._connection = connection
        self._peer = peer
        self._held: list[tuple[Places, Hashable]] = [(server.places, "")]
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> None:
        """Bring it to where HTTP begins, or close it."""
        received = False
        try:
            client = await self._client() if self._server.settings.proxy_protocol else self._peer
            received = self._counts(client) and await self._hand_on(client)
        except Malformed as error:
            self._server.closed("proxy_protocol")
            await self._server.record(self._peer, str(error))
            await self._server.pace.wait(neighbourhood(self._peer))
        except OSError as error:  # of which SSLError and TimeoutError are two
            self._server.closed("handshake")
            log.debug("arrival_failed", peer=self._peer, problem=str(error))
        except Exception:
            log.exception("arrival_failed", peer=self._peer)
        finally:
            if not received:
                self._connection.close()
                self._leave()

    async def _client(self) -> str:
        """The address that a trusted proxy names, or "" where it knows none."""
        if not self._server.trusts(self._peer):
            raise Malformed("a PROXY protocol header is expected here, and is not believed from this peer")
        try:
            async with asyncio.timeout(self._server.settings.proxy_protocol_timeout_s):
                origin = proxy_protocol.read(await self._header())
        except TimeoutError:
            raise Malformed("the PROXY protocol header did not come in time") from None
        return self._peer if origin.local else str(origin.address or "")

    async def _header(self) -> bytes:
        header = b""
        while more := proxy_protocol.wanted(header):
            piece = await self._loop.sock_recv(self._connection, more)
            if not piece and header:
                raise Malformed("the connection ended within its PROXY protocol header")
            if not piece:
                raise ConnectionResetError("the connection ended before it began")
            header += piece
        return header

    def _counts(self, client: str) -> bool:
        """Whether a client of this address may have another connection; those of proxies are many clients' own."""
        if not client or self._server.trusts(client):
            return True
        key = neighbourhood(client)
        if not self._server.addresses.take(key):
            self._server.closed("address")
            return False
        self._held.append((self._server.addresses, key))
        return True

    async def _hand_on(self, client: str) -> bool:
        context = self._server.tls_context
        self.handed_on = context is None  # a TLS handshake may take long, and is ended with the rest
        patience: dict[str, float] = {}
        if context:
            timeout_s = self._server.settings.limits.header_timeout_s
            patience = {"ssl_handshake_timeout": timeout_s, "ssl_shutdown_timeout": FAREWELL_S}
        await self._loop.connect_accepted_socket(
            lambda: self._server.receive(peer=client, leave=self._leave), self._connection, ssl=context, **patience
        )
        return True

    def _leave(self) -> None:
        while self._held:
            places, key = self._held.pop()
            places.give_back(key)
