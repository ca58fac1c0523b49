"""The hand-off: "Send to US Analyst" moves a ticket to the queue at home (rule ``send-to-us-analyst``)."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace

from gateway.errors import Contradicted
from gateway.justification.nouns import QUEUE_AT_HOME, AccessRequest, Grant, Ticket, TicketKind
from gateway.justification.requests import is_same, may_count, revoke

NOWHERE: frozenset[str] = frozenset()


def hand_off(
    ticket: Ticket, grants: Iterable[Grant], *, now_us: int, home: Set[str] = NOWHERE
) -> tuple[Ticket, list[Grant]]:
    """Move a ticket to the queue at home, and end what it gave anybody outside; see :func:`move_home`.

    Args:
        ticket: to move.
        grants: all there are.
        now_us: the instant.
        home: where an analyst for its customers has to be.

    Returns:
        The ticket as moved, and the grants that end.

    Raises:
        Contradicted: the ticket is closed.
    """
    moved = move_home(ticket, now_us=now_us, home=home)
    ended = [grant for grant in grants if may_count(grant, now_us) and hangs_on(grant, ticket, home=home)]
    return moved, [revoke(grant, now_us=now_us, why=why_ended(ticket)) for grant in ended]


def move_home(ticket: Ticket, *, now_us: int, home: Set[str]) -> Ticket:
    """The ticket in the queue at home, or still with whoever works on it at home; a second time changes nothing.

    The customer's authorization of it no longer lets anybody in who cites it, whoever holds it afterwards; what
    somebody grants for it later is new access. A security ticket is a reason of their own for each who looks into it
    (rule ``security-incident``), so its hand-off bars only who held it: see :func:`loser`.

    Raises:
        Contradicted: the ticket is closed.
    """
    if not ticket.is_open:
        raise Contradicted(f"{ticket.id} is closed; there is nothing to hand off")
    bars = ticket.kind is not TicketKind.SECURITY
    handed_off_us = (ticket.handed_off_us or now_us) if bars else ticket.handed_off_us
    if is_at_home(ticket, home):
        return replace(ticket, handed_off_us=handed_off_us)
    return replace(ticket, holder=QUEUE_AT_HOME, holder_country="", handed_off_us=handed_off_us)


def is_at_home(ticket: Ticket, home: Set[str]) -> bool:
    """Whether somebody at home works on it already."""
    return bool(ticket.holder) and ticket.holder_country in home


def loser(ticket: Ticket, home: Set[str]) -> str:
    """Who may read under a security ticket no more, once it is handed off: its holder abroad; or ""."""
    held = ticket.holder not in ("", QUEUE_AT_HOME) and not is_at_home(ticket, home)
    return ticket.holder if held and ticket.kind is TicketKind.SECURITY else ""


def hangs_on(noun: Grant | AccessRequest, ticket: Ticket, *, home: Set[str]) -> bool:
    """Whether a grant or a request ends with the hand-off: one for the ticket, or whatever else whoever loses it has of
    its customers' data."""
    loses_it = bool(ticket.holder) and not is_at_home(ticket, home) and is_same(noun.subject, ticket.holder)
    return noun.ticket == ticket.id or (loses_it and ticket.covers(noun.customer))


def why_ended(ticket: Ticket) -> str:
    """In words."""
    return f"{ticket.id} was handed to a US analyst"
