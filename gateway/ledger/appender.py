"""Appending from an event loop: many wait, one process commits, one sync serves all that waited.

Invariants: a batch is whatever came while the last one was being synced, so nobody waits for a timer; what nobody waits
for (a completion) begins no batch of its own: it rides with the next, or goes after :data:`RIDE_S`, is handed in once
more when its batch failed, and as often as it takes when its committer died; entries are committed in the order in
which they were handed in; an entry that was queued is committed even if whoever waits for it is cancelled; the queue
is bounded; a waiter is told a sequence only once its entry is durable, and is told *something* within the commit
timeout.

The file belongs to a process of its own; see :mod:`gateway.ledger.committing`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from gateway.errors import LedgerFull, LedgerUnavailable
from gateway.ledger.committer import Written
from gateway.ledger.committing import Committing, NoAnswer, NotAsked
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import Outcome
from gateway.ledger.pseudonyms import Pseudonyms

log = structlog.get_logger(__name__)

PROBE_S = 1.0
RIDE_S = 0.02
BATCH_ENTRIES = 4_096
BATCH_BYTES = 2 << 20


class _Waiting(NamedTuple):
    entry: Entry
    permit: bool = False
    future: asyncio.Future[int] | None = None  # of whoever waits for it
    unclaimed: Callable[[], object] | None = None  # called when it landed and nobody waits for it any more
    last: bool = False  # not to be handed in again


class Ledger:
    """The ledger of a running gateway; see :meth:`open`. Every method is for the loop's thread.

    Args:
        committing: writes what is handed in.
        queue_entries: how many entries may be waiting or under way; for those that nobody waits for, as many more.
        commit_timeout_s: when waiters are told that a commit takes too long.
        pseudonyms: take the place of names in administrative acts; decisions come with theirs.
    """

    def __init__(
        self,
        committing: Committing,
        *,
        queue_entries: int,
        commit_timeout_s: float,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.pseudonyms = pseudonyms
        self._committing = committing
        committing.on_loss = self._lost
        self._queue_entries = queue_entries
        self._commit_timeout_s = commit_timeout_s
        self._loop = asyncio.get_running_loop()
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
        pseudonyms: Pseudonyms | None = None,
    ) -> AsyncIterator[Ledger]:
        """The ledger at a path, as long as the context lasts; at its end everything that waits is committed.

        Raises:
            LedgerUnavailable: it cannot be opened.
        """
        ledger = cls(
            Committing.in_process(path, minimum_free_bytes=minimum_free_bytes),
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
        await self._committing.open()

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
        self._require_answering()
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
        self._require_answering()
        future: asyncio.Future[int] = self._loop.create_future()
        self._queue(_Waiting(self._sealed(entry), permit, future, unclaimed), self._queue_entries)
        self._awaited = True
        if not self._begun:
            self._begin_soon()
        return future

    def submit(self, entry: Mapping[str, object] | Entry) -> None:
        """Hand in an entry that nobody waits for, such as a completion; see :meth:`append` for what may be raised.

        If its batch fails, it is handed in once more; if that fails too, the log says which entry was lost.
        """
        self._queue(_Waiting(self._sealed(entry)), 2 * self._queue_entries)
        if not self._begun:
            self._let_ride()

    @property
    def size(self) -> int:
        """How many entries there were after the last batch."""
        return self._committing.size

    @property
    def committers_lost(self) -> int:
        """How many processes that wrote it have ended and were not to."""
        return self._committing.lost

    async def head(self) -> tuple[int, bytes]:
        """Size and root of the tree over all that is durable; see :meth:`LedgerFile.head`."""
        size, root = await self._between_batches("head")
        return size, root

    async def keep_checkpoint(self, size: int, note: str) -> None:
        """See :meth:`LedgerFile.keep_checkpoint`."""
        await self._between_batches("keep_checkpoint", size, note)

    async def keep_cosignature(self, size: int, name: str, line: str) -> None:
        """See :meth:`LedgerFile.keep_cosignature`."""
        await self._between_batches("keep_cosignature", size, name, line)

    async def flush(self) -> None:
        """Commit all that waits, also what nobody waits for; give up when that takes longer than two commits may."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._commit_timeout_s):
                while self._waiting or self._begun:
                    if not self._begun:
                        self._begin()
                    self._drained = self._loop.create_future()
                    await self._drained

    async def _between_batches(self, act: str, *arguments: Any) -> Any:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            async with asyncio.timeout(2 * self._commit_timeout_s):
                return await self._committing.call(act, *arguments)
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
        self._stop_timer()
        await self._committing.close(within_s=0 if self._begun else 2 * self._commit_timeout_s)
        self._leave()

    def _leave(self) -> None:
        """Nothing is written any more, and nothing is left without a word."""
        for waiting in self._waiting:
            if waiting.future:
                _tell(waiting.future, LedgerUnavailable("the ledger is closed"))
            else:
                log.error("ledger_entry_lost", id=waiting.entry.id)
        self._waiting.clear()

    def _require_answering(self) -> None:
        """Nobody begins to wait for a commit that hangs, or for a committer that there is not."""
        if self._stalled:
            raise LedgerUnavailable(self._problem)

    def _sealed(self, entry: Mapping[str, object] | Entry) -> Entry:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed; nothing more is recorded")
        return entry if isinstance(entry, Entry) else seal(entry)

    def _queue(self, waiting: _Waiting, places: int) -> None:
        if len(self._waiting) + len(self._batch) >= places:
            raise LedgerFull(f"{places} entries wait for the ledger already; try again")
        self._waiting.append(waiting)

    def _let_ride(self) -> None:
        if self._ride is None:
            self._ride = self._loop.call_later(RIDE_S, self._arrive)

    def _arrive(self) -> None:
        self._ride = None
        if self._waiting and not self._begun:
            self._begin()

    def _begin_soon(self) -> None:
        """Begin in the next turn of the loop: what is judged in this one and before it shares the batch."""
        self._begun = True
        self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Start on all that waits; on nothing, it is a probe of whether the ledger can be written again."""
        self._begun = True
        self._batch = self._next_batch()
        self._awaited = bool(self._waiting)
        self._stop_timer()
        self._timer = self._loop.call_later(self._commit_timeout_s, self._overdue)
        self._committing.commit([(permit, *entry) for entry, permit, *_ in self._batch], self._settle)

    def _next_batch(self) -> list[_Waiting]:
        """What waits, first come first; so much that handing it over holds up the loop for some milliseconds."""
        batch: list[_Waiting] = []
        room = BATCH_BYTES
        while self._waiting and room > 0 and len(batch) < BATCH_ENTRIES:
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].entry.body)
        return batch

    def _settle(self, result: Written | LedgerUnavailable) -> None:
        """The batch is through: all of it, or nothing that is known."""
        batch, self._batch = self._batch, ()
        self._stalled = isinstance(result, NotAsked)
        self._stop_timer()
        if isinstance(result, LedgerUnavailable):
            problem = str(result)
            outcomes: list[Outcome] = [LedgerUnavailable(problem) for _ in batch]
        else:
            problem, written = result
            outcomes = [_outcome(each, problem) for each in written]
        self._note(problem, len(batch))
        self._hand_in_again(batch, outcomes, is_try=not isinstance(result, NoAnswer))
        self._go_on()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.future:
                _tell(waiting.future, outcome, waiting.unclaimed)

    def _hand_in_again(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome], *, is_try: bool) -> None:
        """What failed and nobody waits for, before all that came since; its id keeps it from standing there twice."""
        failed = [
            waiting
            for waiting, outcome in zip(batch, outcomes, strict=True)
            if waiting.future is None and isinstance(outcome, LedgerUnavailable)
        ]
        for waiting in reversed(failed):
            if waiting.last and is_try:
                log.error("ledger_entry_lost", id=waiting.entry.id)
            else:
                self._waiting.appendleft(waiting._replace(last=waiting.last or is_try))

    def _go_on(self) -> None:
        if self._committing.closed:
            self._begun = False
            return
        if not self._stalled and (self._awaited or (self._closed and self._waiting)):
            self._begin_soon()
            return
        self._begun = False
        if self._drained and not self._drained.done() and not (self._stalled and self._waiting):
            self._drained.set_result(None)
        if self._problem:
            self._probe_later()
        elif self._waiting:
            self._let_ride()

    def _probe_later(self) -> None:
        """What waits rides with it. If the ledger failed for good, whoever waits is told now."""
        if not self._committing.failure:
            self._timer = self._loop.call_later(PROBE_S, self._probe)
        elif self._awaited:
            self._begin_soon()

    def _lost(self, problem: str) -> None:
        """There is no committer any more, whether or not somebody waited for it."""
        if not self._begun:
            self._note(problem, len(self._waiting))
            self._stop_timer()
            self._probe_later()

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
        if problem == self._problem:
            return
        if problem:
            log.error("ledger_unavailable", problem=problem, entries=entries)
        else:
            log.info("ledger_available_again")
        self._problem = problem


def _outcome(written: int | str | None, problem: str) -> Outcome:
    if isinstance(written, int):
        return written
    return LedgerFull(problem) if written is None else LedgerUnavailable(written)


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
        try:
            unclaimed()
        except LedgerUnavailable:
            pass  # closed, or too many wait: what landed stands as it is
        except Exception:
            log.exception("ledger_unclaimed_not_told")  # others wait to be told what came of theirs
