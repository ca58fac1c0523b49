"""Reloading: a changed configuration or policy takes effect without a restart, or the old one stays in force.

Asked for by SIGHUP, or by itself once a file has changed. Each reload is an administrative entry, and so is each one
that was refused, with the first fault; ``/metrics`` and the log say so as long as it lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.clock import Clock
from gateway.engine import Engine, assemble
from gateway.errors import GatewayError, LedgerUnavailable
from gateway.identity import Fetcher
from gateway.ledger.appender import Ledger
from gateway.ledger.entry import administrative
from gateway.proxy import DoorServer, Metrics
from gateway.settings import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)

LOOK_S = 1.0
LINGER_S = 60.0  # what the old engine alone holds stays open so long for what is in flight


class Holder(Protocol):
    """Who holds the engine."""

    engine: Engine


class Reloader:
    """Puts a new engine in the place of the old one.

    Args:
        source: where the configuration is; ``None`` where it cannot be read again.

    Attributes:
        problem: why the newest configuration is not in force, or "".
    """

    def __init__(
        self, source: Source | None, *, ledger: Ledger, fetcher: Fetcher, metrics: Metrics, clock: Clock | None
    ) -> None:
        self.problem = ""
        self._source = source
        self._ledger = ledger
        self._fetcher = fetcher
        self._metrics = metrics
        self._clock = clock
        self._asked = asyncio.Event()
        self._holder: Holder | None = None
        self._server: DoorServer | None = None
        self._seen: object = None
        self._attached = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    def attach(self, holder: Holder, server: DoorServer) -> None:
        """Say whose engine it is, and who answers what cannot be parsed."""
        self._holder, self._server = holder, server
        self._attached.set()

    def ask(self) -> None:
        """Reload soon, whether or not a file has changed."""
        self._asked.set()

    async def run(self) -> None:
        """Reload when asked, and when a file has changed; until cancelled.

        Before it is attached it knows no file, and would take the first that it sees for a changed one.
        """
        await self._attached.wait()
        self._seen = await self._look()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            seen = await self._look()
            if self._asked.is_set() or seen != self._seen:
                self._asked.clear()
                self._seen = seen
                await self.reload()

    async def reload(self) -> None:
        """Read the configuration again and put it in force, or say why not."""
        holder, server = self._holder, self._server
        if self._source is None or holder is None or server is None:
            return
        old = holder.engine
        try:
            settings = await asyncio.to_thread(self._source.load)
            new = await assemble(
                settings,
                ledger=self._ledger,
                fetcher=self._fetcher,
                metrics=self._metrics,
                clock=self._clock,
                before=old,
            )
        except GatewayError as error:
            await self._refuse(old, str(error))
            return
        except Exception as error:
            log.exception("reload_failed")
            await self._refuse(old, f"{type(error).__name__}: {error}")
            return
        holder.engine = new
        server.checkpoint, server.explainer = new.checkpoint, new.rooms.explainer
        server.use(settings.gateway)
        new.checkpoint.admissions.nudge()  # what is in flight has to stand before the new one too
        self.problem = ""
        log.info("reloaded", policy=new.rooms.policy.version)
        await self._record(new, "reload", {"policy_version": new.rooms.policy.version})
        task = asyncio.get_running_loop().create_task(_close_later(old, new))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _refuse(self, engine: Engine, problem: str) -> None:
        self.problem = problem
        log.error("reload_refused", problem=problem)
        first = problem.partition("\n")[0][:500]
        await self._record(engine, "reload.refused", {"problem": first, "policy_version": engine.rooms.policy.version})

    async def _record(self, engine: Engine, act: str, details: Mapping[str, str]) -> None:
        node = engine.settings.gateway.node
        entry = administrative(
            clock=engine.rooms.clock, node=node, actor="gateway", act=act, subject=node, details=details
        )
        try:
            await self._ledger.append(entry)
        except LedgerUnavailable as error:
            log.error("reload_not_recorded", problem=str(error))

    async def _look(self) -> object:
        if self._source is None or self._holder is None:
            return None
        return await asyncio.to_thread(self._source.fingerprint, self._holder.engine.settings)


async def _close_later(old: Engine, new: Engine) -> None:
    try:
        await asyncio.sleep(LINGER_S)
    finally:
        await old.close(kept=new)
