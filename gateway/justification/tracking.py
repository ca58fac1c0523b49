"""Tickets of other systems: asked for by id, remembered for a stated time, and never believed for longer.

Which ids belong to which tracker is told by patterns; an id that belongs to two belongs to none.

Invariants: an answer that is older than the tracker's ``max_age_s``, counted from when it was asked for, by whichever
of the two clocks says more, is never used; a tracker that cannot be asked means that there is no ticket; only ids that
are short, plain and the tracker's own are ever sent; for one id one look-up is under way, however many wait for it; a
look-up that began before somebody said that the ticket changed is not believed. Memory is bounded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.clock import SECOND_US, Clock
from gateway.errors import NotFound, TrackerUnavailable
from gateway.justification.mapping import Answer
from gateway.justification.nouns import Ticket
from gateway.settings import Settings

log = structlog.get_logger(__name__)

MAX_REMEMBERED = 10_000
UNKNOWN_S = 10.0  # how long a ticket that is closed, unknown or of no use is remembered
FAILED_S = 1.0  # how long a look-up that failed is not tried again
MAX_PAUSE_S = 60.0  # how long a tracker that asks for it is left alone at most
AT_ONCE = 8  # look-ups of one tracker at a time
ROUNDS = 3  # how often a look-up begins anew when the ticket is said to have changed meanwhile
TICKET_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What a ticket's id is made of, here and in every tracker: nothing that means something in a path, a header or a
list."""
_PLAIN = re.compile(TICKET_ID)


class Tracker(Protocol):
    """Another ticket system that can be asked."""

    @property
    def name(self) -> str: ...

    @property
    def pattern(self) -> re.Pattern[str]:
        """Its ids match this as a whole."""
        ...

    @property
    def max_age_s(self) -> float: ...

    @property
    def timeout_s(self) -> float: ...

    async def find(self, ticket: str) -> Answer:
        """What it says of this id, which :func:`is_id` holds for.

        Raises:
            TrackerUnavailable: it did not say; the message is fit to be shown to whoever cited the id.
        """
        ...

    async def hand_off(self, ticket: str) -> None:
        """Write there that this ticket goes to the analysts at home, as the configuration says that is written.

        Raises:
            TrackerUnavailable: it is not known to be written; writing it again does no harm.
        """
        ...

    async def probe(self) -> None:
        """Ask something that needs no ticket.

        Raises:
            TrackerUnavailable: it would not answer.
        """
        ...

    async def close(self) -> None: ...


def is_id(pattern: re.Pattern[str], ticket: str) -> bool:
    """Whether a text is an id of this pattern: whole, short, and without a character that means something anywhere."""
    return _PLAIN.fullmatch(ticket) is not None and pattern.fullmatch(ticket) is not None


def owners(settings: Settings, ticket: str) -> list[str]:
    """The trackers of a configuration that an id belongs to."""
    return [one.name for one in settings.tracker if is_id(re.compile(one.pattern), ticket)]


@dataclass(slots=True)
class _Remembered:
    """An answer; instants are when it was asked for, ``due_s`` and ``lasts_s`` ages."""

    answer: Answer
    asked_s: float
    asked_us: int
    due_s: float
    lasts_s: float
    doubted: bool = False


class TrackedTickets:
    """What the trackers said lately.

    Args:
        trackers: those that can be asked.
        pushed: the ids of those that only push, by name.
        clock: counts ages.
        heard: told of each look-up: the tracker's name, and what was wrong, or "".

    Attributes:
        problems: why the last look-up of a tracker failed, by name; those that answered are not in it.
        changed: called when an answer differs from the one before.
        said: told of each answer that is one, of its ticket, and of the one before where that still counted.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker] = (),
        *,
        clock: Clock,
        pushed: Mapping[str, re.Pattern[str]] | None = None,
        heard: Callable[[str, str], object] = lambda _tracker, _problem: None,
    ) -> None:
        self.trackers = {tracker.name: tracker for tracker in trackers}
        self.problems: dict[str, str] = {}
        self.changed: Callable[[], object] = lambda: None
        self.said: Callable[[str, Answer | None, Answer], object] = lambda _ticket, _before, _answer: None
        self._patterns = {tracker.name: tracker.pattern for tracker in trackers} | dict(pushed or {})
        self._clock = clock
        self._heard = heard
        self._remembered: dict[str, _Remembered] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._paused: dict[str, float] = {}
        self._turns = {name: asyncio.Semaphore(AT_ONCE) for name in self.trackers}

    def owners(self, ticket: str) -> list[str]:
        """The trackers that an id belongs to; more than one is a fault of the patterns."""
        return [name for name, pattern in self._patterns.items() if is_id(pattern, ticket)]

    def answer(self, ticket: str) -> Answer | None:
        """What is known of an id now, without asking; None where it is not one that a tracker is asked for."""
        owners = self.owners(ticket)
        if len(owners) > 1:
            return Answer(problem=f"{ticket} belongs to several trackers ({', '.join(sorted(owners))}), so to none")
        if not owners or owners[0] not in self.trackers:
            return None
        known = self._known(ticket)
        if known is None:
            why = self.problems.get(owners[0]) or f"the tracker {owners[0]} was not asked lately"
            return Answer(problem=f"{ticket} is not known now: {why}", unsaid=True)
        return known.answer

    def ask(self, ticket: str) -> Awaitable[None] | None:
        """What to wait for until :meth:`answer` is as good as it gets; None where it is already.

        An answer that will soon be too old is asked for anew behind it.
        """
        tracker = self._tracker(ticket)
        if tracker is None:
            return None
        known = self._known(ticket)
        if known is None or known.doubted:
            return asyncio.shield(self._look_up(tracker, ticket))  # who waits may leave; the look-up goes on
        self._renew_if_due(tracker, ticket, known)
        return None

    def renew(self, ticket: str) -> None:
        """Ask behind the answer, in good time before it is too old, or at once where none is known."""
        tracker = self._tracker(ticket)
        if tracker is not None:
            self._renew_if_due(tracker, ticket, self._known(ticket))

    def doubt(self, ticket: str) -> None:
        """Somebody says that it changed: whoever cites it from now on waits for what the tracker says now."""
        tracker = self._tracker(ticket)
        known = self._remembered.get(ticket)
        if tracker is None or (known is None and ticket not in self._asking):
            return
        if known is not None:
            known.doubted = True
        self._again.add(ticket)
        self._look_up(tracker, ticket)

    def asked(self, ticket: str) -> str:
        """The one tracker that is asked for an id, or ""."""
        tracker = self._tracker(ticket)
        return tracker.name if tracker else ""

    async def find(self, ticket: str) -> Ticket:
        """The ticket with an id that a tracker is asked for, as that says it is.

        Raises:
            NotFound: it has none that can be used.
            TrackerUnavailable: it does not say.
        """
        waiting = self.ask(ticket)
        if waiting is not None:
            await waiting
        answer = self.answer(ticket) or Answer(problem=f"{ticket} is no id that a tracker is asked for")
        if answer.ticket is not None:
            return answer.ticket
        raise (TrackerUnavailable if answer.unsaid else NotFound)(answer.problem)

    async def hand_off(self, ticket: str) -> None:
        """Have the tracker write that a ticket goes home; from then on its answer is doubted.

        Raises:
            TrackerUnavailable: see :meth:`Tracker.hand_off`.
        """
        tracker = self.trackers[self.asked(ticket)]
        try:
            async with asyncio.timeout(tracker.timeout_s), self._turns[tracker.name]:
                await tracker.hand_off(ticket)
        except TimeoutError as error:
            late = f"the tracker {tracker.name} did not answer within {tracker.timeout_s:g} s"
            raise TrackerUnavailable(late) from error
        finally:
            self.doubt(ticket)

    async def close(self) -> None:
        """End the look-ups under way, and the connections."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for tracker in self.trackers.values():
            await tracker.close()

    def _tracker(self, ticket: str) -> Tracker | None:
        owners = self.owners(ticket)
        return self.trackers.get(owners[0]) if len(owners) == 1 else None

    def _known(self, ticket: str) -> _Remembered | None:
        known = self._remembered.pop(ticket, None)
        if known is None or self._age_s(known) > known.lasts_s:
            return None
        self._remembered[ticket] = known  # the last to be forgotten
        return known

    def _age_s(self, known: _Remembered) -> float:
        by_wall_s = (self._clock.now_us() - known.asked_us) / SECOND_US  # a machine that slept was not counting
        return max(self._clock.monotonic_s() - known.asked_s, by_wall_s)

    def _renew_if_due(self, tracker: Tracker, ticket: str, known: _Remembered | None) -> None:
        if known is None or known.doubted or self._age_s(known) >= known.due_s:
            self._look_up(tracker, ticket)

    def _look_up(self, tracker: Tracker, ticket: str) -> asyncio.Task[None]:
        task = self._asking.get(ticket)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._settle(tracker, ticket))
            self._asking[ticket] = task
        return task

    async def _settle(self, tracker: Tracker, ticket: str) -> None:
        """Ask, and remember what came of it; never raises."""
        try:
            for _ in range(ROUNDS):
                self._again.discard(ticket)
                found = await self._find(tracker, ticket)
                if ticket not in self._again:
                    break
            else:
                found = f"{ticket} changes faster than the tracker {tracker.name} says how it is"
            self._remember(tracker, ticket, found)
        finally:
            self._again.discard(ticket)
            del self._asking[ticket]

    async def _find(self, tracker: Tracker, ticket: str) -> _Remembered | str:
        """The tracker's answer, or why there is none."""
        asked_s, asked_us = self._clock.monotonic_s(), self._clock.now_us()
        if asked_s < self._paused.get(tracker.name, 0.0):
            return self.problems.get(tracker.name) or f"the tracker {tracker.name} asked to be left alone"
        try:
            async with asyncio.timeout(tracker.timeout_s), self._turns[tracker.name]:
                answer = await tracker.find(ticket)
        except TimeoutError:
            return f"the tracker {tracker.name} did not answer within {tracker.timeout_s:g} s"
        except TrackerUnavailable as error:
            self._paused[tracker.name] = asked_s + min(error.retry_after_s, MAX_PAUSE_S)
            return str(error)
        except Exception:
            log.exception("tracker_failed", tracker=tracker.name)
            return f"the tracker {tracker.name} could not be asked"
        lives = answer.ticket is not None and answer.ticket.is_open
        lasts_s = tracker.max_age_s if lives else min(tracker.max_age_s, UNKNOWN_S)
        return _Remembered(answer, asked_s, asked_us, due_s=lasts_s / 2 if lives else lasts_s, lasts_s=lasts_s)

    def _remember(self, tracker: Tracker, ticket: str, found: _Remembered | str) -> None:
        before = self._known(ticket)
        if isinstance(found, str):
            self._heard(tracker.name, found)
            self.problems[tracker.name] = found
            if before is not None and not before.doubted:
                before.due_s = self._age_s(before) + FAILED_S
                return
            found = self._failure(f"{ticket} is not known now: {found}")
        else:
            self._heard(tracker.name, "")
            self.problems.pop(tracker.name, None)
            self.said(ticket, before.answer if before else None, found.answer)
        self._remembered[ticket] = found
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        if before is None or before.answer != found.answer:
            self.changed()

    def _failure(self, problem: str) -> _Remembered:
        now_s, now_us = self._clock.monotonic_s(), self._clock.now_us()
        answer = Answer(problem=problem, unsaid=True)
        return _Remembered(answer, now_s, now_us, due_s=FAILED_S, lasts_s=FAILED_S)
