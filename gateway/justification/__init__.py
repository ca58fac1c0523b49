"""Why? Tickets, access requests, grants and customer authorizations.

A :class:`Ticket` is a support case, a security incident or a bug. An :class:`AccessRequest` for a bug, approved by
somebody else, becomes a :class:`Grant`. An :class:`Authorization` was given by the customer. The :class:`Desk` holds
all of them in memory and finds, for one attempt, the :class:`Justification`: what speaks for it at this instant.

Promised: what is closed, ended, revoked, exhausted or stale never speaks for anybody.
"""

from gateway.justification.desk import Desk
from gateway.justification.nouns import (
    EVERY_CUSTOMER,
    AccessRequest,
    Authorization,
    Grant,
    Justification,
    RequestState,
    Ticket,
    TicketKind,
    Usage,
)

__all__ = [
    "EVERY_CUSTOMER",
    "AccessRequest",
    "Authorization",
    "Desk",
    "Grant",
    "Justification",
    "RequestState",
    "Ticket",
    "TicketKind",
    "Usage",
]
