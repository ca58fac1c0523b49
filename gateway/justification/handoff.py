"""The hand-off: "Send to US Analyst" moves a ticket to the queue at home (rule ``send-to-us-analyst``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.errors import UsageError
from gateway.justification.nouns import Grant, Ticket
from gateway.justification.requests import revoke

QUEUE_AT_HOME = "us-queue"


def hand_off(ticket: Ticket, grants: Iterable[Grant], *, now_us: int) -> tuple[Ticket, list[Grant]]:
    """Move a ticket to the queue at home, and end what it gave anybody outside: grants, and what it allowed by itself.

    An incident or a customer's authorization no longer lets anybody in who cites it, whoever holds it afterwards; a
    grant that somebody approves for it later is new access. Handing off a second time ends only such grants.

    Args:
        ticket: to move.
        grants: all there are.
        now_us: the instant.

    Returns:
        The ticket as moved, and the grants that end.

    Raises:
        UsageError: the ticket is closed.
    """
    if not ticket.is_open:
        raise UsageError(f"{ticket.id} is closed; there is nothing to hand off")
    held = [grant for grant in grants if grant.ticket == ticket.id and grant.is_active(now_us)]
    moved = replace(ticket, holder=QUEUE_AT_HOME, handed_off_us=ticket.handed_off_us or now_us)
    moved = ticket if moved == ticket else moved
    return moved, [revoke(grant, now_us=now_us) for grant in held]
