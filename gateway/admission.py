"""Admissions: permitted decisions, alive while bytes flow, and ended when they would no longer be permitted.

An admission counts the bytes that flow under it and is completed once. While it is in flight it is judged again and
again, by the same steps as the first time: as soon as the state has changed, and every :data:`SWEEP_S` for what changes
by the clock alone. Whatever would now deny the request (a grant revoked or expired, a ticket closed, a plan begun, a
token revoked or expired, a location elsewhere, another policy, state that is no longer known to be current) ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import structlog

from gateway.attempt import Approach, Decision
from gateway.justification import Desk

log = structlog.get_logger(__name__)

SWEEP_S = 0.5
BREATH = 100  # admissions judged before the event loop gets a turn


class Keeping(Protocol):
    """What an admission needs of the checkpoint that made it."""

    @property
    def admissions(self) -> Admissions: ...

    @property
    def desk(self) -> Desk: ...

    @property
    def save_usage(self) -> Callable[[str], None]: ...

    def record_completion(self, admission: Admission, outcome: str, status: int) -> None: ...


class Admission:
    """A permitted decision under which bytes flow; made by the checkpoint's ``admit``.

    Attributes:
        bytes_in, bytes_out: how many went to the store, and to the client.
        frames_in, frames_out, closed: of a WebSocket, likewise, and whether a side closed it as the protocol has it.
        ended: why it was ended before its time, or "".
        digest, offset: of a file, the SHA-256 of the bytes that flowed (hexadecimal, or ""), and where they begin.
    """

    __slots__ = (
        "_checkpoint",
        "_completed",
        "_grant",
        "_limit",
        "_stop",
        "approach",
        "bytes_in",
        "bytes_out",
        "closed",
        "decision",
        "digest",
        "ended",
        "frames_in",
        "frames_out",
        "offset",
    )

    def __init__(self, decision: Decision, approach: Approach, checkpoint: Keeping) -> None:
        grant = decision.attempt.justification.grant
        self.decision = decision
        self.approach = approach
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_in = 0
        self.frames_out = 0
        self.closed = False
        self.ended = ""
        self.digest = ""
        self.offset = 0
        self._checkpoint = checkpoint
        self._completed = False
        self._grant = grant.id if grant else ""
        self._limit = grant.max_bytes if grant else 0
        self._stop: Callable[[], object] | None = None

    @property
    def frames(self) -> tuple[int, int] | None:
        """Of a WebSocket, how many went to the client, and to the store."""
        return (self.frames_out, self.frames_in) if self.frames_out or self.frames_in else None

    @property
    def capped(self) -> str:
        """The grant whose cap its bytes count towards, or ""."""
        return self._grant if self._limit else ""

    def on_end(self, stop: Callable[[], object]) -> None:
        """Say what cuts the stream when the admission ends before its time."""
        self._stop = stop

    def end(self, why: str) -> None:
        """End it before its time; only the first call counts."""
        if self.ended or self._completed:
            return
        self.ended = why
        if self._stop:
            self._stop()

    def count_out(self, size: int) -> bool:
        """Count bytes on their way to the client.

        Returns:
            Whether they may still go: ``False`` once a grant's cap would be passed.
        """
        self.bytes_out += size
        return self._within_cap(size)

    def count_in(self, size: int) -> bool:
        """Count bytes on their way to the store; they count towards a grant's cap too. See :meth:`count_out`."""
        self.bytes_in += size
        return self._within_cap(size)

    def _within_cap(self, size: int) -> bool:
        if not self._grant:
            return True
        usage = self._checkpoint.desk.count(self._grant, bytes_=size)
        return not self._limit or usage.bytes <= self._limit

    def complete(self, outcome: str, status: int) -> None:
        """Record how it ended; only the first call counts.

        Args:
            outcome: ``whole``, ``cut``, ``capped``, ``ended`` or what went wrong upstream.
            status: the HTTP status that was answered, or 0.
        """
        if not self._completed:
            self._completed = True
            self._checkpoint.admissions.forget(self)
            self._checkpoint.record_completion(self, outcome, status)
            if self._grant:
                self._checkpoint.save_usage(self._grant)


class Admissions:
    """Those in flight."""

    def __init__(self) -> None:
        self._live: set[Admission] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Admission]:
        return iter(tuple(self._live))

    def remember(self, admission: Admission) -> None:
        self._live.add(admission)

    def forget(self, admission: Admission) -> None:
        self._live.discard(admission)

    def capped(self) -> set[str]:
        """The grants whose caps the bytes that flow now count towards."""
        return {admission.capped for admission in self._live} - {""}

    def nudge(self) -> None:
        """Something changed on which an admission may rest: judge them now."""
        self._changed.set()

    async def sweep(self, judge_again: Callable[[Admission], Awaitable[str]]) -> None:
        """Judge each once more, and end those that would not be admitted now.

        Args:
            judge_again: why an admission would be denied now, or "".
        """
        for number, admission in enumerate(tuple(self._live), 1):
            try:
                why = await judge_again(admission)
            except Exception:
                log.exception("admission_not_judged")
                why = "unavailable: it could not be judged again"
            if why:
                admission.end(why)
            if not number % BREATH:
                await asyncio.sleep(0)

    async def watch(self, judge_again: Callable[[Admission], Awaitable[str]]) -> None:
        """Sweep as soon as something changed, and at least every :data:`SWEEP_S`, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._changed.wait()
            self._changed.clear()
            await self.sweep(judge_again)
