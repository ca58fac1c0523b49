"""Acts of trackers that push: a ticket of theirs opens, changes or closes here, and what it no longer carries ends.

A tracker changes the tickets that it pushed, and no others; a hand-off made here is not undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.acts.actor import Actor
from gateway.acts.endings import bar_by, end_by
from gateway.acts.history import write_ticket
from gateway.acts.office import Change, Detail, Office
from gateway.errors import Contradicted, Malformed
from gateway.justification import Answer, Hanging, Lapse, Ticket

ACTOR = "tracker:"
"""What the name of a tracker that acts begins with."""


def take_push(
    office: Office, tracker: str, key: str, answer: Answer, *, is_later: bool, details: Mapping[str, Detail]
) -> str:
    """Let a ticket be as its tracker says.

    Args:
        tracker: its name.
        key: the ticket's id.
        answer: what the tracker says; where nothing of it can be used, the ticket that there was closes.
        is_later: whether it was said in a later second than all that was said before; only such a one opens again.
        details: what else the entry has to hold.

    Returns:
        What was done, as the ledger calls it.

    Raises:
        Contradicted: there is such a ticket, and this tracker did not push it.
        Malformed: nothing of it can be used and there is no open ticket, or it may not open again.
    """
    with office.change(Actor(ACTOR + tracker, operator=True, service=True), "ticket.push") as change:
        before = _own(change, tracker, key)
        act, after = _transition(before, _pushed(answer, tracker), change.now_us)
        if act == "ticket.reopen" and not is_later:
            raise Malformed("it was closed in the second in which this was sent; send it again")
        ended, barred = _ended(change, before, after), _barred(change, before, answer)
        told: dict[str, Detail] = {
            "ticket_kind": after.kind.value,
            "customers": list(after.customers),
            "problem": answer.problem,
            "ended": [noun.id for noun in ended],
        }
        write_ticket(change, after, act=act, **details, **told, **barred)
        return act


def _own(change: Change, tracker: str, key: str) -> Ticket | None:
    found = change.find(Ticket, key)
    if found is not None and found.pushed_by != tracker:
        whose = f"of the tracker {found.pushed_by}" if found.pushed_by else "that was opened here"
        raise Contradicted(
            f"{key} is a ticket {whose}; expected one that the tracker {tracker} pushed: give it another id, or a "
            "pattern to the tracker that does not match this one"
        )
    return found


def _pushed(answer: Answer, tracker: str) -> Answer:
    """The answer, with a ticket that says who pushed it."""
    return answer._replace(ticket=replace(answer.ticket, pushed_by=tracker)) if answer.ticket else answer


def _transition(before: Ticket | None, answer: Answer, now_us: int) -> tuple[str, Ticket]:
    """What becomes of a ticket, and what that is called."""
    after = answer.ticket
    if after is None:
        if before is None or not before.is_open:
            raise Malformed(answer.problem)
        return "ticket.close", replace(before, closed_us=now_us)  # whatever it is now, it is not what it was
    if before is None:
        after = replace(after, opened_us=after.opened_us or now_us)
        return ("ticket.open" if after.is_open else "ticket.close"), after
    after = replace(after, opened_us=before.opened_us, handed_off_us=before.handed_off_us or after.handed_off_us)
    if before.is_open == after.is_open:
        return "ticket.update", replace(after, closed_us=before.closed_us)
    return ("ticket.reopen" if after.is_open else "ticket.close"), after


def _barred(change: Change, before: Ticket | None, answer: Answer) -> dict[str, Detail]:
    """Bar who held a security ticket until this push sent it home, each time that one does."""
    after = answer.ticket
    if before is None or after is None or not after.handed_off_us or before.holder == after.holder:
        return {}
    return bar_by(change, Lapse(after.id, after, holder=before.holder))


def _ended(change: Change, before: Ticket | None, after: Ticket) -> list[Hanging]:
    """What the ticket no longer carries; of one that was handed off before, what was granted since goes on."""
    again = before is not None and before.handed_off_us
    said = replace(after, handed_off_us=0) if again else after
    return end_by(change, Lapse(after.id, said, holder=before.holder if before else ""))
