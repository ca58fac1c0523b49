"""Sealing by itself: a running gateway moves old months into segments while it serves.

A month (UTC) is moved once all of it is old enough, so that segments are full and few. It is done in a thread, by a
connection of its own: neither the event loop nor the thread that commits waits for longer than one segment's
transaction. Of several processes on a machine one does it, and the others find nothing left to do.

Failing is logged once, counted, and tried again; whatever fails is left as :mod:`gateway.ledger.sealing` says. At a
stop, what is under way ends within one segment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import structlog

from gateway.clock import SECOND_US, Clock
from gateway.errors import GatewayError
from gateway.ledger import sealing
from gateway.ledger.sealing import SealingElsewhere, Told
from gateway.ledger.writer import LedgerWriter

log = structlog.get_logger(__name__)

LOOK_S = 1.0
EVERY_S = 3_600.0
RETRY_S = 300.0
PAUSE_S = 0.005
"""Between 256 entries and the next, so that requests come first."""


class Stopping(Exception):
    """The gateway stops; what was begun is left."""


class Sealer:
    """See the module.

    Args:
        ledger: its path.
        directory: for segments.
        after_s: how old all of a month has to be.
        told: the entry that tells of a segment.
        open_writer: of that ledger.

    Attributes:
        problem: why the last attempt failed, or "".
        segments: how many were made since the start.
    """

    def __init__(
        self,
        ledger: Path,
        directory: Path,
        *,
        after_s: int,
        clock: Clock,
        told: Told,
        open_writer: Callable[[Path], LedgerWriter] = LedgerWriter,
    ) -> None:
        self.problem = ""
        self.segments = 0
        self._ledger = ledger
        self._directory = directory
        self._after_s = after_s
        self._clock = clock
        self._told = told
        self._open_writer = open_writer
        self._next_s = float("-inf")
        self._stopping = Event()

    async def run(self) -> None:
        """Until cancelled, and what is under way has ended."""
        while True:
            under_way = asyncio.ensure_future(asyncio.to_thread(self.attend))
            try:
                await asyncio.shield(under_way)
            except asyncio.CancelledError:
                self._stopping.set()
                await asyncio.wait([under_way])
                raise
            await asyncio.sleep(LOOK_S)

    def attend(self) -> int:
        """Seal what is due, if it is time to look; blocking.

        Returns:
            How many segments were made.
        """
        if self._clock.monotonic_s() < self._next_s:
            return 0
        before = self.segments
        try:
            self._seal()
        except Stopping:
            return self.segments - before
        except SealingElsewhere:
            self._look_again(RETRY_S)
        except Exception as error:  # whatever it is, requests go on, and it is tried again
            self._fail(error)
        else:
            self._be_well()
        return self.segments - before

    def _seal(self) -> None:
        before_us = month_of(self._clock.now_us() - self._after_s * SECOND_US)
        if not sealing.ripe(self._ledger, before_us=before_us):
            return
        done = []
        with self._open_writer(self._ledger) as writer:
            for one in sealing.seal(
                self._ledger, self._directory, writer, before_us=before_us, told=self._told, pace=self._pace
            ):
                self.segments += 1
                done.append(one)
        if done:
            log.info("ledger_sealed", first=done[0].first, last=done[-1].last, segments=len(done))

    def _pace(self) -> None:
        if self._stopping.is_set():
            raise Stopping
        time.sleep(PAUSE_S)

    def _fail(self, error: Exception) -> None:
        problem = "; ".join(str(error).splitlines()) if isinstance(error, GatewayError) else repr(error)
        if problem != self.problem:
            log.error("ledger_not_sealed", problem=problem, retry_s=RETRY_S)
        self.problem = problem
        self._look_again(RETRY_S)

    def _be_well(self) -> None:
        if self.problem:
            log.info("ledger_sealed_again")
        self.problem = ""
        self._look_again(EVERY_S)

    def _look_again(self, after_s: float) -> None:
        self._next_s = self._clock.monotonic_s() + after_s


def month_of(instant_us: int) -> int:
    """The beginning of the month (UTC) in which an instant lies, in microseconds."""
    first = datetime.fromtimestamp(instant_us // SECOND_US, UTC).replace(day=1, hour=0, minute=0, second=0)
    return int(first.timestamp()) * SECOND_US
