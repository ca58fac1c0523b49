"""How an act on a ticket is written down: the ticket as it is now, a line in its history, and the ledger's entry."""

from __future__ import annotations

from collections.abc import Iterable

import uuid_utils

from gateway.acts.office import Change, Detail
from gateway.justification import QUEUE_AT_HOME, Ticket, TicketEvent


def write_ticket(change: Change, ticket: Ticket, *, act: str = "", **details: Detail) -> None:
    """The ticket as it is now, and what is to be read of the act, or of what follows from it."""
    change.put(ticket)
    write_history(change, ticket, act=act, **details)


def write_history(change: Change, ticket: Ticket, *, act: str = "", **details: Detail) -> None:
    """What is to be read of an act on a ticket that is not kept here, or is kept already."""
    change.put(_event(change, ticket, act or change.act, details))
    about: dict[str, Detail] = {"ticket": ticket.id, "customer": customer_of(ticket)} | details
    change.entries.append(change.entry(act or change.act, ticket.id, about))
    change.result = ticket


def holders_of(change: Change, ticket: Ticket) -> set[str]:
    """Everybody who holds or ever held a ticket, as far as that was written down here."""
    return {ticket.holder, *(event.holder for event in change.all(TicketEvent, ticket=ticket.id))} - {"", QUEUE_AT_HOME}


def who_did(act: str, events: Iterable[TicketEvent]) -> list[str]:
    """Of a ticket's history, who did an act, the first first, and nobody twice."""
    in_order = sorted(events, key=lambda event: (event.at_us, event.id))
    return list(dict.fromkeys(event.actor for event in in_order if event.act == act))


def customer_of(ticket: Ticket) -> str:
    """The customers that a ticket is about, as entries name them."""
    return ",".join(ticket.customers)


def _event(change: Change, ticket: Ticket, act: str, details: dict[str, Detail]) -> TicketEvent:
    said = (
        f"{name} {', '.join(value) if isinstance(value, (list, tuple)) else value}"
        for name, value in details.items()
        if value
    )
    id_, actor = str(uuid_utils.uuid7()), change.actor
    return TicketEvent(id_, ticket.id, change.now_us, actor.name, act, "; ".join(said), ticket.holder, actor.via)
