"""Appending from an event loop: many wait, one thread commits, one sync serves all that waited.

Invariants: a batch is whatever came while the last one was being synced, so nobody waits for a timer; what nobody waits
for (a completion) begins no batch of its own: it rides with the next, or goes after :data:`RIDE_S`, and is handed in
once more when its batch failed; entries are committed in the order in which they were handed in; an entry that was
queued is committed even if whoever waits for it is cancelled; the queue is bounded; a waiter is told a sequence only
once its entry is durable, and is told *something* within the commit timeout.

Everything but the file belongs to the loop's thread; the file belongs to the committing thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog

from gateway.clock import Clock, SystemClock
from gateway.errors import LedgerFull, LedgerUnavailable
from gateway.ledger.committing_thread import CommittingThread
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import LedgerFile, Outcome
from gateway.ledger.pseudonyms import Pseudonyms

log = structlog.get_logger(__name__)

PROBE_S = 1.0
RIDE_S = 0.02
SPACE_CHECK_S = 1.0

Answer = TypeVar("Answer")
Result = tuple[str, list[Outcome]]
"""Of a batch: the problem with space, if any, and what became of each."""


class FreeSpace:
    """Whether there is room for permits. Asked by the committing thread; looks at most every second.

    Args:
        path: the ledger.
        minimum_bytes: below this, what is left is for denials and administrative entries.
        measure: bytes free where a path lies; tests give their own.
    """

    def __init__(
        self, path: Path, *, minimum_bytes: int, clock: Clock, measure: Callable[[Path], int] | None = None
    ) -> None:
        self._directory = path.parent
        self._minimum_bytes = minimum_bytes
        self._clock = clock
        self._measure = measure or _free_bytes
        self._next_s = float("-inf")
        self._problem = ""

    def problem(self) -> str:
        """Why permits are refused now, or ""."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + SPACE_CHECK_S
            self._problem = self._look()
        return self._problem

    def _look(self) -> str:
        try:
            free = self._measure(self._directory)
        except OSError as error:
            return f"the space left for the ledger cannot be told ({error.strerror}); no permit is recorded"
        if free >= self._minimum_bytes:
            return ""
        return f"the ledger's disk has {free} bytes left, and permits need {self._minimum_bytes}; make room"


class _Waiting(NamedTuple):
    entry: Entry
    permit: bool = False
    future: asyncio.Future[int] | None = None  # of whoever waits for it
    unclaimed: Callable[[], object] | None = None  # called when it landed and nobody waits for it any more
    last: bool = False  # not to be handed in again


class Ledger:
    """The ledger of a running gateway; see :meth:`open`. Every method is for the loop's thread.

    Args:
        file: opened, used and closed in a thread of its own.
        space: asked before each batch.
        queue_entries: how many entries may be waiting or under way.
        commit_timeout_s: when waiters are told that a commit takes too long.
        pseudonyms: take the place of names in administrative acts; decisions come with theirs.
    """

    def __init__(
        self,
        file: LedgerFile,
        space: FreeSpace,
        *,
        queue_entries: int,
        commit_timeout_s: float,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.pseudonyms = pseudonyms
        self._file = file
        self._space = space
        self._queue_entries = queue_entries
        self._commit_timeout_s = commit_timeout_s
        self._loop = asyncio.get_running_loop()
        self._thread = CommittingThread(self._loop)
        self._waiting: deque[_Waiting] = deque()
        self._batch: Sequence[_Waiting] = ()
        self._begun = False  # a batch is under way, or about to be
        self._awaited = False  # somebody waits for one of those waiting
        self._stalled = False
        self._closed = False
        self._problem = ""
        self._timer: asyncio.TimerHandle | None = None
        self._ride: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        queue_entries: int = 8_192,
        commit_timeout_s: float = 5.0,
        minimum_free_bytes: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> AsyncIterator[Ledger]:
        """The ledger at a path, as long as the context lasts; at its end everything that waits is committed.

        Raises:
            LedgerUnavailable: it cannot be opened.
        """
        space = FreeSpace(path, minimum_bytes=minimum_free_bytes, clock=clock or SystemClock())
        ledger = cls(
            LedgerFile(path),
            space,
            queue_entries=queue_entries,
            commit_timeout_s=commit_timeout_s,
            pseudonyms=pseudonyms,
        )
        await ledger.start()
        try:
            yield ledger
        finally:
            await ledger.close()

    async def start(self) -> None:
        """Open the file.

        Raises:
            LedgerUnavailable: it cannot be opened.
        """
        try:
            await self._thread.call(self._file.open)
        except BaseException:
            self._thread.stop()
            raise

    @property
    def problem(self) -> str:
        """Why entries cannot be recorded now, or ""; while there is a reason, it is tried again every second."""
        return self._problem

    @property
    def healthy(self) -> bool:
        return not self._problem

    async def append(
        self,
        entry: Mapping[str, object] | Entry,
        *,
        permit: bool = False,
        unclaimed: Callable[[], object] | None = None,
    ) -> int:
        """Write an entry and wait until it is durable. Being cancelled does not take it back.

        Args:
            entry: sealed, or its fields.
            permit: refuse it when the disk is low, so that room is left for denials and administrative entries.
            unclaimed: called when the entry became durable after whoever waited was cancelled, or told that it failed.

        Returns:
            Its sequence.

        Raises:
            UsageError: these are no fields of an entry.
            LedgerFull: too many wait, or the disk is low and this is a permit.
            LedgerUnavailable: it is not known to be durable. It may still land: handing in the *same* entry again
                makes no duplicate.
        """
        if self._stalled:
            raise LedgerUnavailable(self._problem)
        if self.pseudonyms and not isinstance(entry, Entry) and entry.get("kind") == "administrative":
            entry = await asyncio.to_thread(self.pseudonyms.act, entry)
        future = self.enqueue(entry, permit=permit, unclaimed=unclaimed)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:  # told in the same turn, so that nobody hears it
                _leave_unclaimed(unclaimed)
            raise

    def enqueue(
        self,
        entry: Mapping[str, object] | Entry,
        *,
        permit: bool = False,
        unclaimed: Callable[[], object] | None = None,
    ) -> asyncio.Future[int]:
        """Hand an entry in; see :meth:`append` for what may be raised.

        Returns:
            What will be its sequence, or the failure.
        """
        future: asyncio.Future[int] = self._loop.create_future()
        self._queue(_Waiting(self._sealed(entry), permit, future, unclaimed))
        self._awaited = True
        if not self._begun:
            self._begun = True
            self._loop.call_soon(self._begin)  # so that all of this turn of the loop share the batch
        return future

    def submit(self, entry: Mapping[str, object] | Entry) -> None:
        """Hand in an entry that nobody waits for, such as a completion; see :meth:`append` for what may be raised.

        If its batch fails, it is handed in once more; if that fails too, the log says which entry was lost.
        """
        self._queue(_Waiting(self._sealed(entry)))
        if not self._begun:
            self._let_ride()

    @property
    def size(self) -> int:
        """How many entries there were after the last batch."""
        return self._file.size

    async def head(self) -> tuple[int, bytes]:
        """Size and root of the tree over all that is durable; see :meth:`LedgerFile.head`."""
        return await self._between_batches(self._file.head)

    async def keep_checkpoint(self, size: int, note: str) -> None:
        """See :meth:`LedgerFile.keep_checkpoint`."""
        await self._between_batches(partial(self._file.keep_checkpoint, size, note))

    async def keep_cosignature(self, size: int, name: str, line: str) -> None:
        """See :meth:`LedgerFile.keep_cosignature`."""
        await self._between_batches(partial(self._file.keep_cosignature, size, name, line))

    async def flush(self) -> None:
        """Commit all that waits, also what nobody waits for; give up when that takes longer than two commits may."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._commit_timeout_s):
                while self._waiting or self._begun:
                    if not self._begun:
                        self._begin()
                    self._drained = self._loop.create_future()
                    await self._drained

    async def _between_batches(self, job: Callable[[], Answer]) -> Answer:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            async with asyncio.timeout(2 * self._commit_timeout_s):
                return await self._thread.call(job)
        except TimeoutError as error:
            raise LedgerUnavailable("the ledger does not answer; check the disk") from error

    async def close(self) -> None:
        """Commit everything that waits, and close the file. A commit that hangs is waited for only so long."""
        self._closed = True
        if self._waiting and not self._begun:
            self._begin()
        if self._begun:
            self._drained = self._loop.create_future()
            done, _ = await asyncio.wait([self._drained], timeout=2 * self._commit_timeout_s)
            if not done:
                log.error("ledger_left_hanging", entries=len(self._waiting) + len(self._batch))
                self._thread.stop()
                return
        self._stop_timer()
        await self._thread.call(self._file.close)
        self._thread.stop()

    def _sealed(self, entry: Mapping[str, object] | Entry) -> Entry:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed; nothing more is recorded")
        return entry if isinstance(entry, Entry) else seal(entry)

    def _queue(self, waiting: _Waiting) -> None:
        if len(self._waiting) + len(self._batch) >= self._queue_entries:
            raise LedgerFull(f"{self._queue_entries} entries wait for the ledger already; try again")
        self._waiting.append(waiting)

    def _let_ride(self) -> None:
        if self._ride is None:
            self._ride = self._loop.call_later(RIDE_S, self._arrive)

    def _arrive(self) -> None:
        self._ride = None
        if self._waiting and not self._begun:
            self._begin()

    def _begin(self) -> None:
        """Start on all that waits; on nothing, it is a probe of whether the ledger can be written again."""
        self._begun, self._awaited = True, False
        self._batch = tuple(self._waiting)
        self._waiting.clear()
        self._stop_timer()
        self._timer = self._loop.call_later(self._commit_timeout_s, self._overdue)
        self._thread.run(partial(self._commit, self._batch), self._settle, then=self._file.tidy)
        time.sleep(0)  # the thread gets the interpreter now, else not before this turn of the loop is over

    def _commit(self, batch: Sequence[_Waiting]) -> Result:
        """In the committing thread: the problem with space, if any, and what became of each."""
        low = self._space.problem()
        written = iter(self._file.commit([waiting.entry for waiting in batch if not (low and waiting.permit)]))
        return low, [LedgerFull(low) if low and waiting.permit else next(written) for waiting in batch]

    def _settle(self, result: Result | BaseException) -> None:
        """The batch is through. The next one goes to the disk before the waiters of this one are told."""
        batch, self._batch, self._stalled = self._batch, (), False
        if not isinstance(result, BaseException):
            result = self._in_place(result)
        if isinstance(result, BaseException):
            problem = str(result) if isinstance(result, LedgerUnavailable) else f"the ledger: {result!r}"
            outcomes: Sequence[Outcome] = [LedgerUnavailable(problem) for _ in batch]
        else:
            problem, outcomes = result
        self._note(problem, len(batch))
        self._hand_in_again(batch, outcomes)
        self._go_on()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.future:
                _tell(waiting.future, outcome, waiting.unclaimed)

    def _in_place(self, result: Result) -> Result | LedgerUnavailable:
        """The result, if the file still is where it was. Looked up here: in the thread it would cost two more waits for
        the interpreter, while whoever waits for the batch waits too."""
        try:
            self._file.require_in_place()
        except LedgerUnavailable as error:
            return error
        return result

    def _hand_in_again(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        """What failed and nobody waits for, before all that came since; its id keeps it from standing there twice."""
        failed = [
            waiting
            for waiting, outcome in zip(batch, outcomes, strict=True)
            if waiting.future is None and isinstance(outcome, LedgerUnavailable)
        ]
        for waiting in failed:
            if waiting.last:
                log.error("ledger_entry_lost", id=waiting.entry.id)
        self._waiting.extendleft(waiting._replace(last=True) for waiting in reversed(failed) if not waiting.last)

    def _go_on(self) -> None:
        if self._awaited or (self._closed and self._waiting):
            self._begin()
            return
        self._begun = False
        self._stop_timer()
        if self._drained and not self._drained.done():
            self._drained.set_result(None)
        elif self._problem:
            if not self._file.failure:
                self._timer = self._loop.call_later(PROBE_S, self._probe)  # what waits rides with it
        elif self._waiting:
            self._let_ride()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _probe(self) -> None:
        if not self._begun:
            self._begin()

    def _overdue(self) -> None:
        """A commit hangs: whoever waits is told now, and until it returns nobody waits for it any more."""
        self._stalled = True
        problem = f"the ledger: a commit takes longer than {self._commit_timeout_s} s; check the disk"
        self._note(problem, len(self._batch) + len(self._waiting))
        for waiting in (*self._batch, *self._waiting):
            if waiting.future:
                _tell(waiting.future, LedgerUnavailable(self._problem))

    def _note(self, problem: str, entries: int) -> None:
        if problem:
            log.error("ledger_unavailable", problem=problem, entries=entries)
        elif self._problem:
            log.info("ledger_available_again")
        self._problem = problem


def _tell(future: asyncio.Future[int], outcome: Outcome, unclaimed: Callable[[], object] | None = None) -> None:
    if future.done():  # cancelled, or told that it took too long
        if isinstance(outcome, int):
            _leave_unclaimed(unclaimed)
        return
    if isinstance(outcome, int):
        future.set_result(outcome)
        return
    future.set_exception(outcome)
    future.exception()  # it is in the log and in `problem`; whoever does not wait need not ask


def _leave_unclaimed(unclaimed: Callable[[], object] | None) -> None:
    """Say that an entry landed for which nobody waits any more."""
    if unclaimed:
        with contextlib.suppress(LedgerUnavailable):  # closed, or too many wait: what landed stands as it is
            unclaimed()


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
