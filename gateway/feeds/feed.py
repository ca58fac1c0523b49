"""A feed: takes what the ledger has behind its cursor to its sink, and moves the cursor once that has arrived.

Invariants: a cursor is in the state before anything behind it is sent, and moves only over what the sink has confirmed,
so that whatever a crash leaves is sent again: at least once, in order; one bounded batch is in memory at a time; a
failure of any kind is waited out, longer each time, and ends nothing. What was removed from the ledger before it was
sent is passed over, and an entry and the log say so.

| a crash … | leaves | and then |
| --- | --- | --- |
| before the sink has the batch | nothing | it is sent |
| while the sink takes it, or before the cursor has moved | some or all of it out there | it comes again, ids and all |
| after the cursor has moved | what was confirmed | the next batch is sent |
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.errors import FeedUnavailable, GatewayError
from gateway.feeds.reading import Bunch, Gone, Reading
from gateway.feeds.sink import Sink
from gateway.ledger.reader import LedgerReader
from gateway.notification import Backoff
from gateway.settings import FeedSettings
from gateway.storage import FeedCursors

IDLE_S = 5.0
"""The longest between two looks at the ledger and the cursor; what wakes a feed comes sooner."""
PAUSE_S = 0.005
"""Between two bunches, so that a feed that catches up leaves the machine to requests."""
CLOSING_S = 2.0
BACKOFF = Backoff(base_s=0.5, cap_s=60.0)
log = structlog.get_logger(__name__)


class InThread(Protocol):
    """Does what blocks, one after the other."""

    def __call__(self, job: Callable[[], Any]) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every feed works with.

    Attributes:
        ledger: where it is.
        cursors: how far each feed has come.
        in_thread: where both are read.
        open_sink: the sink of a feed's settings.
        failed: told the name of a feed at each attempt that failed.
        backoff: between two attempts.
        passed_over: writes down which entries a feed, by its name, can never send; blocking, in a thread.
    """

    ledger: Path
    cursors: FeedCursors
    in_thread: InThread
    open_sink: Callable[[FeedSettings], Sink]
    failed: Callable[[str], None] = lambda _name: None
    backoff: Backoff = BACKOFF
    passed_over: Callable[[str, Gone], object] = lambda _name, _gone: None


class Feed:
    """See the module.

    Attributes:
        settings: as configured.
        sequence: of the last entry that is done with; None before it is known.
        problem: why the last attempt failed, or "".
    """

    def __init__(self, settings: FeedSettings, around: Surroundings) -> None:
        self.settings = settings
        self.sequence: int | None = None
        self.problem = ""
        self._around = around
        self._reading = Reading(settings)
        self._sink: Sink | None = None
        self._nudged = asyncio.Event()
        self._failures = 0

    def nudge(self) -> None:
        """There may be something to send."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._nudged.clear()
                try:
                    moved = await self._turn()
                    await self._be_well()
                except Exception as error:  # whatever it is, it is tried again, and nobody else's business
                    await self._fail(error)
                else:
                    await (asyncio.sleep(PAUSE_S) if moved else self._wait())
        finally:
            await self._let_go()

    async def _turn(self) -> bool:
        """Send one bunch; whether there was any."""
        bunch: Bunch = await self._around.in_thread(self._next)
        self.sequence = bunch.before
        if bunch.after == bunch.before:
            return False
        if bunch.items:
            self._sink = self._sink or self._around.open_sink(self.settings)
            await self._sink.send(bunch.items)
        if bunch.gone:
            await self._tell_gone(bunch.gone)
        await self._around.in_thread(lambda: self._advance(bunch))
        return True

    async def _tell_gone(self, gone: Gone) -> None:
        """Before the cursor moves: a crash tells of it twice rather than never."""
        name = self.settings.name
        await asyncio.to_thread(self._around.passed_over, name, gone)
        log.warning("feed_passed_over", feed=name, first=gone.first, last=gone.last, entries=gone.entries)

    def _next(self) -> Bunch:
        cursors, name = self._around.cursors, self.settings.name
        with LedgerReader(self._around.ledger) as reader:
            cursor = cursors.find(name) or cursors.begin(name, self._beginning(reader))
            return self._reading.after(reader, cursor.sequence)

    def _beginning(self, reader: LedgerReader) -> int:
        return -1 if self.settings.begin == "start" else reader.size() - 1

    def _advance(self, bunch: Bunch) -> None:
        """One that was rewound meanwhile stays where it was put."""
        if self._around.cursors.advance(self.settings.name, bunch.before, bunch.after):
            self.sequence = bunch.after

    async def _be_well(self) -> None:
        if self.problem:
            log.info("feed_well_again", feed=self.settings.name, failures=self._failures, sequence=self.sequence)
            self.problem = ""
            await self._note("")
        self._failures = 0

    async def _fail(self, error: Exception) -> None:
        """Say so once, and wait."""
        self._failures += 1
        self._around.failed(self.settings.name)
        problem = _described(error)
        if not self.problem:
            log.warning("feed_failing", feed=self.settings.name, problem=problem, sequence=self.sequence)
        before, self.problem = self.problem, problem
        if problem != before:
            await self._note(problem)
        await self._let_go()
        asked_s = error.retry_after_s if isinstance(error, FeedUnavailable) else 0.0
        await asyncio.sleep(max(self._around.backoff.delay_s(self._failures), asked_s))

    async def _note(self, problem: str) -> None:
        with contextlib.suppress(Exception):  # the log has it, and what matters is the cursor
            await self._around.in_thread(lambda: self._around.cursors.note(self.settings.name, problem))

    async def _let_go(self) -> None:
        """The sink stays, for what it knows of the connection before."""
        if self._sink:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSING_S):
                    await self._sink.close()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await self._nudged.wait()


def failure(name: str, error: Exception) -> FeedUnavailable:
    """What a command says of an attempt that failed."""
    return FeedUnavailable(f"{name}: {_described(error)}")


def _described(error: Exception) -> str:
    """In one line; what is none of the gateway's errors may name an address, so its kind alone."""
    if isinstance(error, GatewayError):
        return "; ".join(str(error).splitlines())
    return "it did not answer in time" if isinstance(error, TimeoutError) else f"it failed ({type(error).__name__})"
