"""How an access request becomes a grant, and how a grant ends: pure transitions, each returning the new nouns.

Invariants: nobody decides on their own request, nor approves one for a ticket that they hold or ever held, however the
name is spelled (case, blanks, Unicode form, what does not show); nobody's word counts twice, as an approver's or as the
customer's; a request is for an open bug ticket that names the customer; a grant is exactly what was asked for and never
longer; what has ended never begins again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from gateway.catalog.resource import Action
from gateway.clock import SECOND_US
from gateway.errors import Contradicted, UsageError
from gateway.justification.nouns import AccessRequest, Grant, GrantState, RequestState, Ticket, TicketKind, Usage
from gateway.letters import folded

LONGEST_S = 7 * 86_400
"""The longest that one grant may last unless a policy says less; longer work is a new request."""

COMMAND_LINE = "cli:"
"""What the way of whoever came by the command line begins with; the account and the node follow."""

State = RequestState | GrantState
TRANSITIONS: Mapping[State, frozenset[State]] = {
    RequestState.REQUESTED: frozenset(set(RequestState) - {RequestState.REQUESTED}),
    RequestState.APPROVED: frozenset(),
    RequestState.DENIED: frozenset(),
    RequestState.WITHDRAWN: frozenset(),
    RequestState.EXPIRED: frozenset(),
    GrantState.ACTIVE: frozenset(set(GrantState) - {GrantState.ACTIVE}),
    GrantState.EXPIRED: frozenset(),
    GrantState.REVOKED: frozenset(),
    GrantState.EXHAUSTED: frozenset(),
}
"""What may follow each state of a request, and of a grant. Approving takes several steps where several approvers or a
consent are needed; until the last of them it stays requested."""


def require_transition(key: str, before: State, after: State) -> None:
    """That a request or a grant may go from one state to another.

    Raises:
        Contradicted: it may not.
    """
    if after not in TRANSITIONS[before]:
        raise Contradicted(f"got {key}, which is {before}; it cannot become {after}, since what has ended stays so")


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
    approvers: int = 1,
    consent: bool = False,
    answer_within_s: int = 0,
    longest_s: int = LONGEST_S,
    held: Iterable[Grant] = (),
) -> AccessRequest:
    """A new access request.

    Args:
        approvers: how many people have to approve it.
        consent: whether the customer has to say yes, too.
        max_bytes, max_requests: caps; 0: none.
        answer_within_s: it expires unanswered after so long; 0: never.
        longest_s: the longest that the policy allows.
        held: grants that there are.

    Raises:
        UsageError: it could never be granted; the message says why.
        Contradicted: it is granted already, or the ticket is closed.
    """
    if ticket.kind is not TicketKind.BUG:
        raise UsageError(f"{ticket.id} is a {ticket.kind} ticket; access is requested for a bug ticket")
    if not ticket.is_open:
        raise Contradicted(f"{ticket.id} is closed; name another bug ticket")
    if not ticket.covers(customer):
        raise UsageError(f"{ticket.id} does not name {customer}; it names {', '.join(ticket.customers)}")
    if not 60 <= duration_s <= longest_s:
        raise UsageError(f"a grant lasts from 60 seconds to {_spoken(longest_s)}; {duration_s} seconds were asked for")
    if not reason.strip():
        raise UsageError("a reason is needed: what of this customer's data does the bug need, and why")
    unknown = [action for action in actions if action not in set(Action)]
    if unknown or not actions or not data_classes:
        expected = f"at least one data class, and actions among {', '.join(Action)}"
        raise UsageError(f"expected {expected}; got {', '.join(actions) or 'none'}")
    if min(max_bytes, max_requests) < 0:
        raise UsageError(f"got the caps {max_bytes} bytes and {max_requests} requests; expected 0, for none, or more")
    asked = AccessRequest(
        id=id,
        subject=subject,
        ticket=ticket.id,
        customer=customer,
        data_classes=tuple(dict.fromkeys(data_classes)),
        actions=tuple(dict.fromkeys(actions)),
        reason=reason,
        duration_s=duration_s,
        requested_us=now_us,
        max_bytes=max_bytes,
        max_requests=max_requests,
        approvers=approvers,
        consent=consent,
        answer_by_us=now_us + answer_within_s * SECOND_US if answer_within_s else 0,
    )
    _require_not_granted(asked, held, now_us)
    return asked


def _require_not_granted(asked: AccessRequest, held: Iterable[Grant], now_us: int) -> None:
    """A request that asks for longer than what is granted is an extension, and that is a new request."""
    ends_us = now_us + asked.duration_s * SECOND_US
    for grant in held:
        same = (grant.subject, grant.ticket, grant.customer) == (asked.subject, asked.ticket, asked.customer)
        more = (
            not {*asked.data_classes} <= {*grant.data_classes}
            or not {*asked.actions} <= {*grant.actions}
            or not _is_within(asked.max_bytes, grant.max_bytes)
            or not _is_within(asked.max_requests, grant.max_requests)
        )
        if same and not more and grant.is_active(now_us) and grant.ends_us >= ends_us:
            raise Contradicted(f"{grant.id} grants all of this already, and for longer; use it, or ask for more")


def _is_within(cap: int, other: int) -> bool:
    return not other or 0 < cap <= other


def under(asked: AccessRequest, *, approvers: int, consent: bool) -> AccessRequest:
    """The request under what its customer demands by now: the stricter of that and of what it was made under."""
    if asked.state is not RequestState.REQUESTED:
        return asked
    return replace(asked, approvers=max(asked.approvers, approvers), consent=asked.consent or consent)


def approve(
    asked: AccessRequest, *, ticket: Ticket, approver: str, now_us: int, held_by: Iterable[str] = (), via: str = ""
) -> tuple[AccessRequest, Grant | None]:
    """Approve: the request, and the grant, which begins now if nothing more is needed for it.

    Args:
        held_by: who held the ticket until now: handing it off makes nobody impartial.
        via: by what way the approver came: one account at the command line is one person, whoever it acts for.

    Raises:
        UsageError: the approver is nobody, the requester, holds or held the ticket, or has consented; or the ticket is
            another one.
        Contradicted: the request is decided already, the approver has approved before, or the ticket has closed.
    """
    _require_undecided(asked, now_us)
    _require_other(asked, approver)
    if ticket.holder and is_same(approver, ticket.holder):
        raise UsageError(f"{approver} holds {ticket.id}, which {asked.id} is for; another approver has to decide")
    holders = _names(ticket.holder, *held_by)
    if folded(approver) in holders:
        raise UsageError(f"{approver} held {ticket.id}, which {asked.id} is for; another approver has to decide")
    if any(is_same(approver, other) for other in asked.approved_by):
        raise Contradicted(f"{approver} approved {asked.id} already; another approver has to")
    _require_other_account(asked, via)
    if asked.consented_by and is_same(approver, asked.consented_by):
        raise UsageError(
            f"{approver} consented to {asked.id} for {asked.customer}; an approver has to be somebody else"
        )
    _require_ticket(asked, ticket)
    ways = (*(way for _, way in _approvals(asked)), via)
    approved = replace(asked, approved_by=(*asked.approved_by, approver), approved_via=ways)
    return _granted_if_complete(_without(approved, holders), now_us)


def consent(
    asked: AccessRequest, *, ticket: Ticket, by: str, now_us: int, held_by: Iterable[str] = ()
) -> tuple[AccessRequest, Grant | None]:
    """The customer's own yes; ``by`` names who in the customer gave it. See :func:`approve`.

    Raises:
        UsageError: nobody is named, or somebody who made or approved it.
        Contradicted: the request is decided already, or needs no consent, or has it; or the ticket has closed.
    """
    _require_undecided(asked, now_us)
    if not asked.consent:
        raise Contradicted(f"{asked.id} needs no consent of {asked.customer}; it needs approvers")
    if asked.consented_by:
        raise Contradicted(f"{asked.consented_by} consented to {asked.id} already; nothing is left to consent to")
    if not folded(by):
        raise UsageError(f"nobody is named who consents to {asked.id}; expected somebody of {asked.customer}")
    if any(is_same(by, other) for other in (asked.subject, *asked.approved_by)):
        raise UsageError(f"{by} made or approved {asked.id}; somebody of {asked.customer} has to consent")
    _require_ticket(asked, ticket)
    holders = _names(ticket.holder, *held_by)
    return _granted_if_complete(_without(replace(asked, consented_by=by), holders), now_us)


def _names(*names: str) -> frozenset[str]:
    return frozenset(folded(name) for name in names if name)


def _approvals(asked: AccessRequest) -> list[tuple[str, str]]:
    """Who approved, and by what way they came; of earlier ones that is not known."""
    ways = (*asked.approved_via, *[""] * len(asked.approved_by))
    return list(zip(asked.approved_by, ways, strict=False))


def _require_other_account(asked: AccessRequest, via: str) -> None:
    account = _account(via)
    for approver, way in _approvals(asked):
        if account and _account(way) == account:
            raise Contradicted(
                f"{account} approved {asked.id} at the command line already, as {approver}; expected another person's "
                "approval: from an account or with a token of their own"
            )


def _account(via: str) -> str:
    """The account at the command line, on whichever node; "" for any other way."""
    return via.removeprefix(COMMAND_LINE).rpartition("@")[0] if via.startswith(COMMAND_LINE) else ""


def _without(asked: AccessRequest, holders: Set[str]) -> AccessRequest:
    """An approval does not count once its approver has held the ticket."""
    kept = [pair for pair in _approvals(asked) if folded(pair[0]) not in holders]
    return replace(asked, approved_by=tuple(name for name, _ in kept), approved_via=tuple(way for _, way in kept))


def missing(asked: AccessRequest) -> str:
    """What an undecided request still needs, in words; "" where it needs nothing."""
    left = asked.approvers - len(asked.approved_by)
    needed = [f"{left} more approver{'s' if left > 1 else ''}"] if left > 0 else []
    if asked.consent and not asked.consented_by:
        needed.append(f"the consent of {asked.customer}")
    return " and ".join(needed)


def deny(asked: AccessRequest, *, approver: str, now_us: int, why: str = "") -> AccessRequest:
    """Deny: the decided request.

    Raises:
        UsageError: the approver is nobody or the requester.
        Contradicted: the request is decided already.
    """
    _require_undecided(asked, now_us)
    _require_other(asked, approver)
    return _decided(asked, RequestState.DENIED, by=approver, now_us=now_us, why=why)


def withdraw(asked: AccessRequest, *, by: str, now_us: int, why: str = "") -> AccessRequest:
    """Withdraw a request that nobody decided on.

    Raises:
        Contradicted: it is decided already.
    """
    _require_undecided(asked, now_us)
    return _decided(asked, RequestState.WITHDRAWN, by=by, now_us=now_us, why=why)


def withdraw_unheld(asked: AccessRequest, *, now_us: int, why: str) -> AccessRequest:
    """A request that the gateway withdraws, answered in time or not: what it was for is over."""
    return _decided(asked, RequestState.WITHDRAWN, by="gateway", now_us=now_us, why=why)


def expire_unanswered(asked: AccessRequest, *, now_us: int) -> AccessRequest:
    """A request that was not answered in time; one that still may be stays as it is."""
    if asked.state is not RequestState.REQUESTED or not is_late(asked, now_us):
        return asked
    return _decided(asked, RequestState.EXPIRED, by="gateway", now_us=now_us, why="nobody answered in time")


def may_count(grant: Grant, now_us: int) -> bool:
    """Whether it counts now or may yet, on a clock that is behind the one by which it began."""
    return not grant.revoked_us and not grant.ended_us and now_us < grant.ends_us


def revoke(grant: Grant, *, now_us: int, why: str = "") -> Grant:
    """End a grant now; revoking a second time changes nothing.

    Raises:
        Contradicted: it has ended by itself.
    """
    if grant.revoked_us:
        return grant
    require_transition(grant.id, _written(grant), GrantState.REVOKED)
    return replace(grant, revoked_us=now_us, why=why)


def end_if_over(grant: Grant, usage: Usage, *, now_us: int) -> Grant:
    """A grant that is over by time or by its caps, marked as ended for good; else the same."""
    if not TRANSITIONS[_written(grant)]:
        return grant
    if grant.is_exhausted(usage):
        return _over(grant, GrantState.EXHAUSTED, now_us=now_us, why="its cap is used up")
    return grant if now_us < grant.ends_us else _over(grant, GrantState.EXPIRED, now_us=now_us, why="its time is over")


def _over(grant: Grant, state: GrantState, *, now_us: int, why: str) -> Grant:
    require_transition(grant.id, _written(grant), state)
    return replace(grant, ended_us=now_us, why=why)


def _written(grant: Grant) -> GrantState:
    """Where a grant stands as far as that is written down; of one that ended by itself its usage would say how."""
    if grant.revoked_us:
        return GrantState.REVOKED
    return GrantState.EXPIRED if grant.ended_us else GrantState.ACTIVE


def _granted_if_complete(asked: AccessRequest, now_us: int) -> tuple[AccessRequest, Grant | None]:
    if missing(asked):
        return asked, None
    by = ", ".join(asked.approved_by)
    decided = _decided(asked, RequestState.APPROVED, by=by, now_us=now_us)
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
        approved_by=by,
        max_bytes=asked.max_bytes,
        max_requests=asked.max_requests,
    )
    return decided, grant


def _decided(asked: AccessRequest, state: RequestState, *, by: str, now_us: int, why: str = "") -> AccessRequest:
    require_transition(asked.id, asked.state, state)
    return replace(asked, state=state, decided_us=now_us, decided_by=by, why=why)


def is_late(asked: AccessRequest, now_us: int) -> bool:
    """Whether the time to answer it is over."""
    return bool(asked.answer_by_us) and now_us >= asked.answer_by_us


def _require_undecided(asked: AccessRequest, now_us: int) -> None:
    if not TRANSITIONS[asked.state]:
        by = f" by {asked.decided_by}" if asked.decided_by else ""
        raise Contradicted(f"{asked.id} was {asked.state}{by}; a decided request stays decided")
    if is_late(asked, now_us):
        raise Contradicted(f"{asked.id} was not answered in time; make a new request")


def _require_other(asked: AccessRequest, by: str) -> None:
    if not folded(by):
        raise UsageError(f"nobody is named who decides on {asked.id}; expected an approver")
    if is_same(by, asked.subject):
        raise UsageError(f"{by} made {asked.id} and cannot decide on it; another approver has to")


def _require_ticket(asked: AccessRequest, ticket: Ticket) -> None:
    if ticket.id != asked.ticket:
        raise UsageError(f"got {ticket.id}; {asked.id} is for {asked.ticket}")
    if not ticket.is_open:
        raise Contradicted(f"{ticket.id} is closed; a grant would end at once")
    if ticket.kind is not TicketKind.BUG or not ticket.covers(asked.customer):
        raise Contradicted(f"{ticket.id} is no bug ticket that names {asked.customer} any more")


def _spoken(span_s: int) -> str:
    return f"{span_s // 86_400} days" if span_s % 86_400 == 0 else f"{span_s} seconds"


def is_same(name: str, other: str) -> bool:
    """Whether two names are spellings of one."""
    return folded(name) == folded(other)
