"""What was delivered lately: none is taken a second time, and none that is older than what its ticket heard last.

Only as much is remembered as the clocks may differ: what is older is refused for its age. After a restart the ledger,
which holds every delivery that was taken, says what that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.acts.pushes import ACTOR
from gateway.errors import Malformed, Unauthenticated


class Delivery(NamedTuple):
    """A push whose signature is good.

    Attributes:
        tracker: its name.
        event: what its sender calls it.
        ticket: the id of the ticket that it is about.
        sent_s: when it was sent, seconds since the epoch.
        said: what it says of the ticket.
    """

    tracker: str
    event: str
    ticket: str
    sent_s: int
    said: Any = None


class Deliveries:
    """Those of the last while."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], int] = {}
        self._latest: dict[tuple[str, str], int] = {}

    def require_new(self, delivery: Delivery, *, now_s: float, max_skew_s: float) -> None:
        """That it may be taken.

        Raises:
            Unauthenticated: it was sent too long ago, or comes from the future.
            Malformed: it was taken before, or a later one about this ticket was.
        """
        if abs(now_s - delivery.sent_s) > max_skew_s:
            raise Unauthenticated(f"it was sent {now_s - delivery.sent_s:.0f} s ago; expected at most {max_skew_s:g}")
        self._forget(delivery.tracker, now_s - max_skew_s)
        if (delivery.tracker, delivery.event) in self._taken:
            raise Malformed("this event was taken before; expected each only once")
        if delivery.sent_s < self._latest.get((delivery.tracker, delivery.ticket), 0):
            raise Malformed("a later event about this ticket was taken before")

    def is_later(self, delivery: Delivery) -> bool:
        """Whether it was sent in a later second than all that its ticket heard before."""
        return delivery.sent_s > self._latest.get((delivery.tracker, delivery.ticket), 0)

    def take(self, delivery: Delivery) -> None:
        """Remember that it was taken."""
        key = delivery.tracker, delivery.ticket
        self._taken[delivery.tracker, delivery.event] = delivery.sent_s
        self._latest[key] = max(delivery.sent_s, self._latest.pop(key, 0))

    def remember(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Take up what the ledger's entries say was taken, but for what another entry says did not come true."""
        known = list(entries)
        undone = {entry.get("details", {}).get("undone") for entry in known} - {None}
        for entry in known:
            if entry.get("id") in undone:
                continue
            details, actor = entry.get("details", {}), str(entry.get("actor", ""))
            if actor.startswith(ACTOR) and isinstance(details.get("sent_s"), int):
                name = actor.removeprefix(ACTOR)
                self.take(Delivery(name, str(details.get("event")), str(entry.get("object")), details["sent_s"]))

    def _forget(self, tracker: str, before_s: float) -> None:
        for known in (self._taken, self._latest):
            old = [key for key, sent_s in known.items() if key[0] == tracker and sent_s < before_s]
            for key in old:
                del known[key]
