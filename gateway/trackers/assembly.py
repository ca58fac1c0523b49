"""The trackers of a configuration."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.clock import Clock
from gateway.errors import Contradicted, TrackerUnavailable, UsageError
from gateway.justification import Answer, Ticket, TrackedTickets, Tracker, owners
from gateway.settings import Settings, TrackerSettings
from gateway.trackers.jira import JiraTracker
from gateway.trackers.servicenow import ServiceNowTracker

Result = TypeVar("Result")


def tracker_of(settings: TrackerSettings, clock: Clock) -> Tracker | None:
    """The tracker to ask; None for one that only pushes. Nothing is connected to yet.

    Raises:
        ConfigurationError: a file that it names cannot be used.
    """
    match settings.kind:
        case "jira":
            return JiraTracker(settings, clock)
        case "servicenow":
            return ServiceNowTracker(settings, clock)
        case _:
            return None


def tracked_tickets(
    settings: Settings, clock: Clock, heard: Callable[[str, str], object] = lambda _tracker, _problem: None
) -> TrackedTickets:
    """All trackers, and what they say.

    Args:
        heard: see :class:`TrackedTickets`.

    Raises:
        ConfigurationError: a file that one of them names cannot be used.
    """
    return TrackedTickets(
        [tracker for one in settings.tracker if (tracker := tracker_of(one, clock))],
        clock=clock,
        pushed={one.name: re.compile(one.pattern) for one in settings.tracker if one.kind == "webhook"},
        heard=heard,
    )


def find(settings: Settings, clock: Clock, tracker: str, ticket: str) -> Answer:
    """What a tracker says of an id at this moment; for commands, and so blocking.

    Raises:
        TrackerUnavailable: it does not say.
        UsageError: the id is not one of this tracker.
    """
    if tracker not in owners(settings, ticket):
        raise UsageError(f"{ticket!r} is no id of the tracker {tracker}")
    return asyncio.run(_once(_named(settings, clock, tracker), lambda asked: asked.find(ticket)))


def hand_off(settings: Settings, clock: Clock, tracker: str, ticket: str) -> None:
    """Have a tracker write that a ticket goes home; for commands, and so blocking.

    Raises:
        TrackerUnavailable: it is not known to be written.
    """
    asyncio.run(_once(_named(settings, clock, tracker), lambda asked: asked.hand_off(ticket)))


def require_handed_off(settings: Settings, tracker: str, ticket: str) -> None:
    """That the configuration says how a tracker's tickets are handed off.

    Raises:
        Contradicted: it does not.
    """
    if not any(one.name == tracker and one.handoff for one in settings.tracker):
        raise Contradicted(
            f"{ticket} is a ticket of the tracker {tracker}; change it there, or set handoff.fields in its [[tracker]] "
            "of the configuration, and hand it off again"
        )


@dataclass(frozen=True, slots=True)
class Homing:
    """How tickets of the trackers that are asked are sent home, for the event loop.

    Attributes:
        is_here: whether the embedded desk has a ticket with this id, which then is handed off here.
    """

    settings: Settings
    tracked: TrackedTickets
    is_here: Callable[[str], bool]

    def goes_home_there(self, ticket: str) -> bool:
        """Whether it is a ticket of such a tracker.

        Raises:
            Contradicted: it is, and the configuration does not say how it is handed off there.
        """
        tracker = self.tracked.asked(ticket)
        if not tracker or self.is_here(ticket):
            return False
        require_handed_off(self.settings, tracker, ticket)
        return True

    async def find(self, ticket: str) -> Ticket:
        """See :meth:`TrackedTickets.find`."""
        return await self.tracked.find(ticket)

    async def hand_off(self, ticket: str) -> None:
        """See :meth:`TrackedTickets.hand_off`."""
        await self.tracked.hand_off(ticket)


def probe(settings: TrackerSettings, clock: Clock) -> None:
    """Whether a tracker would answer; for commands, and so blocking.

    Raises:
        TrackerUnavailable: it would not.
        ConfigurationError: a file that it names cannot be used.
    """
    tracker = tracker_of(settings, clock)
    if tracker is not None:
        asyncio.run(_once(tracker, lambda asked: asked.probe()))


def _named(settings: Settings, clock: Clock, name: str) -> Tracker:
    [found] = [one for one in settings.tracker if one.name == name]
    tracker = tracker_of(found, clock)
    assert tracker is not None  # noqa: S101 - only those that are asked are named
    return tracker


async def _once(tracker: Tracker, ask: Callable[[Tracker], Awaitable[Result]]) -> Result:
    try:
        async with asyncio.timeout(tracker.timeout_s):
            return await ask(tracker)
    except TimeoutError as error:
        late = f"the tracker {tracker.name} did not answer within {tracker.timeout_s:g} s"
        raise TrackerUnavailable(late) from error
    finally:
        await tracker.close()
