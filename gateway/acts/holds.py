"""Acts on legal holds: placed, ended. Whoever removes old entries asks for those in force, and lets none be placed
meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gateway.acts.actor import Actor
from gateway.acts.office import Office
from gateway.clock import rfc3339
from gateway.errors import NotFound, UsageError
from gateway.ledger.hold import Hold
from gateway.storage import StateStore

PLACE, END = "ledger.hold", "ledger.hold_end"


def place_hold(
    office: Office, actor: Actor, *, name: str, customer: str = "", since_us: int = 0, until_us: int = 0, reason: str
) -> Hold:
    """Keep entries until the hold is ended, whatever their age.

    Args:
        name: one that no hold had before.
        customer, since_us, until_us: see :class:`~gateway.ledger.hold.Hold`.

    Raises:
        UsageError: there is, or was, one of that name; or nothing would be held.
    """
    if until_us and until_us <= since_us:
        held = f"until {rfc3339(until_us)}, which is not after {rfc3339(since_us)}"
        raise UsageError(f"got a hold {held}, so nothing would be held; expected a later time")
    with office.change(actor, PLACE) as change:
        if change.find(Hold, name):
            raise UsageError(f"there is a hold {name!r} already, or was one; expected a new name")
        placed = Hold(name, customer, since_us, until_us, reason, actor.name, change.now_us)
        change.put(placed)
        times = {"since": since_us, "until": until_us}
        told = {"customer": customer, **{each: rfc3339(at_us) for each, at_us in times.items() if at_us}}
        change.note(name, **{each: value for each, value in told.items() if value}, reason=reason)
        change.result = placed
        return placed


def end_hold(office: Office, actor: Actor, name: str, *, reason: str) -> Hold:
    """End a hold: what it covered goes by its age again.

    Raises:
        NotFound: none of that name is in force.
    """
    with office.change(actor, END) as change:
        found = change.find(Hold, name)
        if found is None or not found.in_force:
            raise NotFound(f"no hold {name!r} is in force; see ledger hold list")
        ended = replace(found, ended_by=actor.name, ended_us=change.now_us)
        change.put(ended)
        named = {"customer": found.customer} if found.customer else {}
        change.note(name, **named, reason=reason)
        change.result = ended
        return ended


def all_holds(state: StateStore) -> list[Hold]:
    """Every hold, ended ones too, in the order in which they were placed."""
    return sorted(state.all(Hold), key=lambda hold: (hold.placed_us, hold.name))


@contextmanager
def holds_fixed(state: StateStore) -> Iterator[list[Hold]]:
    """The holds in force; none is placed or ended inside."""
    with state.transaction(exclusive=True) as transaction:
        yield [hold for hold in transaction.all(Hold) if hold.in_force]
