"""Send to US Analyst, for a ticket of another system: access ends here first, and only then is it written there.

The state keeps that it was handed off, so that it lets nobody abroad in by itself, whatever its tracker says later.
Where the tracker does not take it, what ended stays ended, and handing it off again tries that again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.acts.actor import Actor
from gateway.acts.endings import bar_holder, ending_with
from gateway.acts.history import write_history
from gateway.acts.office import Change, Office, Replayed
from gateway.acts.terminations import terminate
from gateway.acts.version import version_of
from gateway.errors import HandOffUnfinished, Outdated, TrackerUnavailable
from gateway.justification import HandOff, Ticket
from gateway.justification.handoff import NOWHERE, move_home, why_ended


def send_home(
    office: Office,
    actor: Actor,
    there: Ticket,
    send: Callable[[], object],
    *,
    decision: str = "",
    expected: str = "",
) -> Ticket:
    """Hand a ticket of another system off. Idempotent: there it is written until that shows it at home.

    Args:
        there: the ticket, as its tracker says it is.
        send: writes it there, or sees to it that it is written; may wait.
        decision: the denial from whose link this came, or "".
        expected: its version as whoever acts read it, or "".

    Raises:
        UsageError: the ticket is closed, or there is one with its id here, too.
        HandOffUnfinished: it is handed off here, and not there.
    """
    if expected and version_of(there) != expected:
        raise Outdated(f"{there.id} has changed since it was read; read it again")
    try:
        with office.change(actor, "ticket.handoff") as change:
            moved = _handed_off(change, change.ticket(there.id, there), decision)
    except Replayed:  # the answer is kept from a call that may have failed behind it
        _send(there, send)
        raise
    _send(there, send)
    return moved


def _handed_off(change: Change, there: Ticket, decision: str) -> Ticket:
    known = change.find(HandOff, there.id)
    kept = known or HandOff(there.id, change.now_us)
    moved = replace(move_home(there, now_us=change.now_us, home=NOWHERE), handed_off_us=kept.at_us)
    ending = ending_with(change, there, NOWHERE)
    change.result = moved
    barred = {} if there.handed_off_us else bar_holder(change, there, NOWHERE)
    if known and not ending and not barred:
        return moved
    change.put(kept)
    ended = terminate(change, ending, why_ended(there))
    write_history(change, moved, act=change.act, previous=there.holder, ended=ended, denial=decision, **barred)
    news = f"{there.id} was sent to a US analyst"
    change.tell("ticket.handed_off", there.id, there.customers, news, previous=there.holder)
    return moved


def _send(there: Ticket, send: Callable[[], object]) -> None:
    if there.handed_off_us:  # one of its home queues has it already
        return
    try:
        send()
    except TrackerUnavailable as error:
        raise unfinished(there.id, error) from error


def unfinished(ticket: str, error: TrackerUnavailable) -> HandOffUnfinished:
    """A hand-off that is in force here and that a tracker did not take."""
    return HandOffUnfinished(
        f"{ticket} is handed off here, and what it gave anybody outside has ended, but its tracker did not take it: "
        f"{error}; hand it off again once that is mended",
        retry_after_s=error.retry_after_s,
    )
