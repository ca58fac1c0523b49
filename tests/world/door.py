"""A whole door in memory: what the transport calls is called here, and what it would send is kept.

The checkpoint and its rooms are real; the ledger counts, the store reads all of a body and says how long it was.
Thousands of connections a second can be tried on it, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, World, make_world
from gateway.identity import Authenticator
from gateway.ledger.entry import Entry, seal
from gateway.proxy import DoorServer, HttpDoor, Metrics
from gateway.proxy.limits import SubjectLimits
from gateway.proxy.server import DoorConnection
from gateway.proxy.store import Incoming, Outgoing
from gateway.rooms import checkpoint_of, open_rooms

NOWHERE = Addresses(*["http://127.0.0.1:9"] * 4)
QUICK_TURNS, MAX_TURNS = 200, 1_000
LINGERING_TURNS = 20  # after an answer that came before all of the request: the rest of it is read and dropped
PEER = "127.0.0.1"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.paused = self.closed = False
        self.protocol: asyncio.Protocol | None = None

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, data: Iterable[Any]) -> None:
        self.written += b"".join(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed and self.protocol is not None:
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class CountingLedger:
    """Keeps every entry, sealed as the real one would."""

    def __init__(self) -> None:
        self.decisions: list[dict[str, Any]] = []
        self.completions = 0

    async def append(
        self, entry: Mapping[str, object] | Entry, *, permit: bool = False, unclaimed: object = None
    ) -> int:
        sealed = entry if isinstance(entry, Entry) else seal(entry)
        self.decisions.append(json.loads(sealed.body))
        return len(self.decisions) - 1

    def submit(self, entry: Mapping[str, object] | Entry) -> None:
        self.completions += 1


class CountingStore:
    """Notes what it was asked, and each body that came whole."""

    def __init__(self) -> None:
        self.begun = 0
        self.bodies: list[bytes] = []

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        self.begun += 1
        body = b"" if outgoing.body is None else b"".join([chunk async for chunk in outgoing.body])
        self.bodies.append(body)
        said = str(len(body)).encode()
        headers = CIMultiDictProxy(CIMultiDict({"Content-Length": str(len(said))}))
        return Incoming(200, "OK", headers, _nothing(), _stay, complete=said)

    async def close(self) -> None: ...


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in ():
        yield chunk


async def _stay() -> None: ...


class KeyFiles:
    """Reads key sets from files."""

    async def fetch(self, location: str) -> bytes:
        return await asyncio.to_thread(Path(location).read_bytes)


@dataclass
class Door:
    """The door, and what came of it."""

    world: World
    server: DoorServer
    ledger: CountingLedger
    store: CountingStore
    failures: list[str] = field(default_factory=list)

    @property
    def credentials(self) -> bytes:
        """Two header lines of somebody who may."""
        return f"Authorization: Bearer {self.world.token(SAM)}\r\nX-Forwarded-For: {SAM.address}\r\n".encode()

    def connect(self) -> tuple[DoorConnection, Wire]:
        """A connection that begins."""
        wire = Wire()
        connection = self.server.receive(peer=PEER, leave=lambda: None)
        wire.protocol = connection
        connection.connection_made(wire)
        return connection, wire

    async def say(self, *pieces: bytes) -> tuple[bytes, bool]:
        """What comes back on a connection on which these pieces come, and whether the gateway closed it."""
        connection, wire = self.connect()
        await _rest(connection, wire)
        for piece in pieces:
            if wire.closed:
                break
            connection.data_received(piece)
            await _rest(connection, wire)
        closed = wire.closed
        wire.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return bytes(wire.written), closed


async def _rest(connection: DoorConnection, wire: Wire) -> None:
    """Let it go on until it waits for its client."""
    answered = 0
    for turn in range(MAX_TURNS):
        await asyncio.sleep(0 if turn < QUICK_TURNS else 0.01)  # keys are read in a thread
        answered += connection._current_request is None and connection._waiter is None
        idle = connection._waiter is not None and not connection._waiter.done() and not connection._messages
        request = connection._current_request
        waits = request is not None and getattr(request.content, "_waiter", None) is not None
        if wire.closed or ((idle or waits) and not wire.paused) or answered > LINGERING_TURNS:
            return
    state = {name: getattr(connection, name) for name in ("_waiter", "_messages", "_current_request", "_task_handler")}
    raise AssertionError(f"a connection that does not come to rest: {state}, {wire.paused=}, {bytes(wire.written)!r}")


@asynccontextmanager
async def door_in(directory: Path) -> AsyncIterator[Door]:
    """A door over the sample world, whose every store is one that counts."""
    world = make_world(directory, NOWHERE, clock=SystemClock(), ports=(0, 0))
    rooms = open_rooms(world.settings)
    ledger, store, metrics = CountingLedger(), CountingStore(), Metrics()
    authenticator = Authenticator.of(
        world.settings.identity, fetcher=KeyFiles(), clock=rooms.clock, revocations=rooms.revocations
    )
    await authenticator.refresh_if_due()
    checkpoint = checkpoint_of(rooms, authenticator=authenticator, ledger=ledger)
    limits = world.settings.gateway.limits.model_copy(update={"subject_rate_per_s": 0})
    http = HttpDoor(
        checkpoint,
        {settings.name: store for settings in world.settings.store},
        rooms.explainer,
        request_headers={},
        metrics=metrics,
        limits=SubjectLimits(limits, rooms.clock),
        is_peer_home=rooms.residence.is_peer_home,
    )
    server = DoorServer(
        http.handle,
        checkpoint=checkpoint,
        explainer=rooms.explainer,
        settings=world.settings.gateway,
        metrics=metrics,
    )
    door = Door(world, server, ledger, store)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: door.failures.append(repr(context)))
    try:
        yield door
    finally:
        await server.shutdown(0.1)
        await authenticator.close()
        rooms.state.close()
        world.state.close()
