"""Why? Tickets, access requests, grants and customer authorizations.

A :class:`Ticket` is a support case, a security incident or a bug. An :class:`AccessRequest` for a bug, approved by
somebody else, becomes a :class:`Grant`. An :class:`Authorization` was given by the customer. The :class:`Desk` holds
all of them in memory and finds, for one attempt, the :class:`Justification`: what speaks for it at this instant.

Tickets may live in another system, too: :class:`TrackedTickets` asks a :class:`Tracker` by id and remembers for a
stated time what a :class:`FieldMapping` made of it. A :class:`Lapse` says that this ends what hangs on the ticket, a
:class:`HandOff` that the ticket was handed off here.

Promised: what is closed, ended, revoked, exhausted or stale never speaks for anybody.
"""

from gateway.justification.desk import Desk
from gateway.justification.lapses import Hanging, Lapse
from gateway.justification.mapping import Answer, FieldMapping
from gateway.justification.nouns import (
    EVERY_CUSTOMER,
    QUEUE_AT_HOME,
    AccessRequest,
    Authorization,
    Grant,
    GrantState,
    HandOff,
    Justification,
    Nature,
    RequestState,
    Ticket,
    TicketEvent,
    TicketKind,
    Usage,
)
from gateway.justification.shortfall import shortfall
from gateway.justification.tracking import TICKET_ID, TrackedTickets, Tracker, is_id, owners

__all__ = [
    "EVERY_CUSTOMER",
    "QUEUE_AT_HOME",
    "TICKET_ID",
    "AccessRequest",
    "Answer",
    "Authorization",
    "Desk",
    "FieldMapping",
    "Grant",
    "GrantState",
    "HandOff",
    "Hanging",
    "Justification",
    "Lapse",
    "Nature",
    "RequestState",
    "Ticket",
    "TicketEvent",
    "TicketKind",
    "TrackedTickets",
    "Tracker",
    "Usage",
    "is_id",
    "owners",
    "shortfall",
]
