"""How an access request becomes a grant: pure transitions, each returning the new nouns.

Invariants: nobody decides on their own request, however the name is spelled (case, blanks around it, Unicode form); a
request is for an open bug ticket that names the customer; a grant is exactly what was asked for and never longer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from gateway.catalog.resource import Action
from gateway.clock import SECOND_US
from gateway.errors import UsageError
from gateway.justification.nouns import AccessRequest, Grant, RequestState, Ticket, TicketKind

LONGEST_S = 7 * 86_400
"""The longest that one grant may last; longer work is a new request."""


def request(
    *,
    id: str,  # noqa: A002 - the noun's own field
    subject: str,
    ticket: Ticket,
    customer: str,
    data_classes: Sequence[str],
    actions: Sequence[str],
    reason: str,
    duration_s: int,
    now_us: int,
    max_bytes: int = 0,
    max_requests: int = 0,
) -> AccessRequest:
    """A new access request.

    Raises:
        UsageError: it could never be granted; the message says why.
    """
    if ticket.kind is not TicketKind.BUG:
        raise UsageError(f"{ticket.id} is a {ticket.kind} ticket; access is requested for a bug ticket")
    if not ticket.is_open:
        raise UsageError(f"{ticket.id} is closed; open it again, or name another bug ticket")
    if not ticket.covers(customer):
        raise UsageError(f"{ticket.id} does not name {customer}; it names {', '.join(ticket.customers)}")
    if not 60 <= duration_s <= LONGEST_S:
        longest = f"{LONGEST_S // 86_400} days"
        raise UsageError(f"a grant lasts from 60 seconds to {longest}; {duration_s} seconds were asked for")
    if not reason.strip():
        raise UsageError("a reason is needed: what of this customer's data does the bug need, and why")
    unknown = [action for action in actions if action not in set(Action)]
    if unknown or not actions or not data_classes:
        expected = f"at least one data class, and actions among {', '.join(Action)}"
        raise UsageError(f"expected {expected}; got {', '.join(actions) or 'none'}")
    return AccessRequest(
        id=id,
        subject=subject,
        ticket=ticket.id,
        customer=customer,
        data_classes=tuple(data_classes),
        actions=tuple(actions),
        reason=reason,
        duration_s=duration_s,
        requested_us=now_us,
        max_bytes=max_bytes,
        max_requests=max_requests,
    )


def approve(asked: AccessRequest, *, ticket: Ticket, approver: str, now_us: int) -> tuple[AccessRequest, Grant]:
    """Approve: the decided request, and the grant that comes of it, which begins now.

    Raises:
        UsageError: the request is decided already, the approver is nobody or the requester, or the ticket is another
            one or has closed.
    """
    decided = _decide(asked, RequestState.APPROVED, by=approver, now_us=now_us)
    if ticket.id != asked.ticket:
        raise UsageError(f"got {ticket.id}; {asked.id} is for {asked.ticket}")
    if not ticket.is_open:
        raise UsageError(f"{ticket.id} is closed; a grant would end at once")
    grant = Grant(
        id=f"G-{asked.id.removeprefix('R-')}",
        request=asked.id,
        subject=asked.subject,
        ticket=asked.ticket,
        customer=asked.customer,
        data_classes=asked.data_classes,
        actions=asked.actions,
        starts_us=now_us,
        ends_us=now_us + asked.duration_s * SECOND_US,
        approved_by=approver,
        max_bytes=asked.max_bytes,
        max_requests=asked.max_requests,
    )
    return decided, grant


def deny(asked: AccessRequest, *, approver: str, now_us: int) -> AccessRequest:
    """Deny: the decided request.

    Raises:
        UsageError: the request is decided already, or the approver is nobody or the requester.
    """
    return _decide(asked, RequestState.DENIED, by=approver, now_us=now_us)


def revoke(grant: Grant, *, now_us: int) -> Grant:
    """End a grant now; revoking a second time changes nothing."""
    return grant if grant.revoked_us else replace(grant, revoked_us=now_us)


def _decide(asked: AccessRequest, state: RequestState, *, by: str, now_us: int) -> AccessRequest:
    if asked.state is not RequestState.REQUESTED:
        raise UsageError(f"{asked.id} was {asked.state} by {asked.decided_by}; a decided request stays decided")
    if not _person(by):
        raise UsageError(f"nobody is named who decides on {asked.id}; expected an approver")
    if _person(by) == _person(asked.subject):
        raise UsageError(f"{by} made {asked.id} and cannot decide on it; another approver has to")
    return replace(asked, state=state, decided_us=now_us, decided_by=by)


def _person(name: str) -> str:
    """One form for every spelling of a name."""
    return unicodedata.normalize("NFKC", name).casefold().strip()
