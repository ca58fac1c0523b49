"""A gateway that runs: what it is made of, and where it listens."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from gateway.admission import Admission
from gateway.checkpoint import Checkpoint
from gateway.engine import Engine
from gateway.identity import Authenticator
from gateway.ledger.appender import Ledger
from gateway.ledger.checkpoints import Checkpoints
from gateway.proxy import Metrics
from gateway.reload import Reloader
from gateway.rooms import Rooms
from gateway.transfer.session import Gate


@dataclass(slots=True)
class Gateway:
    """A running gateway: where it listens, and what a test may look into.

    Attributes:
        engine: what decides and forwards now; a reload puts another in its place.
        transfer_ports: where the transfer doors listen, by name.
        draining: whether it is about to stop: it serves what comes, and keeps no connection open.
    """

    engine: Engine
    ledger: Ledger
    metrics: Metrics
    reloader: Reloader
    checkpoints: Checkpoints
    door_port: int = 0
    control_port: int = 0
    transfer_ports: dict[str, int] = field(default_factory=dict)
    draining: bool = False

    @property
    def rooms(self) -> Rooms:
        return self.engine.rooms

    @property
    def checkpoint(self) -> Checkpoint:
        return self.engine.checkpoint

    @property
    def authenticator(self) -> Authenticator:
        return self.engine.authenticator

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request by the engine that is in place when it comes."""
        response = await self.engine.door.handle(request)
        if self.draining:
            response.force_close()
        return response

    def gate(self, store: str) -> Gate:
        """What sessions of a transfer door before this site share, by the engine that is in place."""
        return self.engine.gate(store)

    async def take_webhook(self, request: web.Request) -> web.StreamResponse:
        """Take what a ticket system pushes, by the engine that is in place when it comes."""
        return await self.engine.hooks.receive(request)

    async def judge_again(self, admission: Admission) -> str:
        """Why an admission in flight would be denied now, by the engine that is in place."""
        return await self.engine.checkpoint.judge_again(admission)
