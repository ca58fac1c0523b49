"""Acts on access requests and grants (rule ``code-level-bug``): asked for, approved, consented to, denied, ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from gateway.acts.actor import Actor
from gateway.acts.history import holders_of
from gateway.acts.office import Change, Office, sees_all
from gateway.acts.terminations import end_grant, require_reason, settle
from gateway.catalog import Action
from gateway.catalog.customers import Customer
from gateway.clock import rfc3339
from gateway.errors import Contradicted, Forbidden, NotFound, UsageError
from gateway.justification import AccessRequest, Grant, RequestState, Ticket, Usage, requests
from gateway.policy import RoleScope

ENGINEER = "engineer"
"""The role that the rule ``code-level-bug`` grants access to."""


def request_access(
    office: Office,
    actor: Actor,
    *,
    ticket: str,
    customer: str,
    data_classes: Sequence[str],
    actions: Sequence[str],
    reason: str,
    duration_s: int,
    max_bytes: int = 0,
    max_requests: int = 0,
    sees: Callable[[Ticket], bool] = sees_all,
) -> AccessRequest:
    """Ask for access for oneself; others have to approve it. See :func:`gateway.justification.requests.request`.

    Args:
        sees: whether the actor may see a ticket; all of them unless given.

    Raises:
        NotFound: there is no such customer, or no such ticket that the actor may see.
        UsageError: it could never be granted, is granted already, or waits for its answer already.
    """
    unknown = [name for name in data_classes if name not in office.data_classes]
    if unknown:
        expected = ", ".join(sorted(office.data_classes))
        raise UsageError(f"unknown data class {', '.join(unknown)}; expected among {expected}")
    _require_grantable(office, data_classes, actions)
    there = office.elsewhere(ticket)
    with office.change(actor, "access.request") as change:
        about = change.get(Customer, customer)
        asked = requests.request(
            id=change.new_id(AccessRequest, "R"),
            subject=actor.name,
            ticket=change.ticket(ticket, there, sees=sees),
            customer=customer,
            data_classes=data_classes,
            actions=actions,
            reason=reason,
            duration_s=duration_s,
            now_us=change.now_us,
            max_bytes=max_bytes,
            max_requests=max_requests,
            approvers=about.approvers,
            consent=about.consent,
            answer_within_s=office.answer_within_s,
            longest_s=office.longest_grant_s,
            held=_unused(change, actor.name),
        )
        _require_needed(change, asked)
        _require_not_asked(change, asked)
        change.put(asked)
        change.note(
            asked.id,
            ticket=ticket,
            customer=customer,
            data_classes=list(asked.data_classes),
            actions=list(asked.actions),
            duration_s=asked.duration_s,
            max_bytes=max_bytes,
            max_requests=max_requests,
            reason=reason,
        )
        summary = f"{actor.name} asks for {customer}'s {', '.join(asked.data_classes)} for {ticket}"
        change.tell("access.requested", asked.id, customer, summary, ticket=ticket, needs=requests.missing(asked))
        change.result = asked
        return asked


def approve_access(
    office: Office, actor: Actor, request: str, *, why: str = "", expected: str = ""
) -> AccessRequest | Grant:
    """Approve a request: the grant, which begins now, or the request, if more is needed for it.

    Args:
        why: for the record, if there is more to say than the request does.

    Raises:
        UsageError: it is decided, or the actor may not be the one to approve it (separation of duties).
    """
    there = _elsewhere(office, request)
    with office.change(actor, "access.approve") as change:
        asked = _under_conditions(change, change.get(AccessRequest, request, expected=expected))
        ticket = change.ticket(asked.ticket, there)
        held_by = holders_of(change, ticket)
        decided, grant = requests.approve(
            asked, ticket=ticket, approver=actor.name, now_us=change.now_us, held_by=held_by, via=actor.via
        )
        return _step(change, decided, grant, why.strip())


def consent_to_access(
    office: Office, actor: Actor, request: str, *, by: str = "", why: str = "", expected: str = ""
) -> AccessRequest | Grant:
    """The customer's own yes, said by its own user, or recorded by the operator for whoever in the customer said it.

    Args:
        by: who in the customer, where it is not the actor.
        why: for the record.

    Raises:
        Forbidden: a user of another customer.
        UsageError: it is decided, or needs no consent.
    """
    there = _elsewhere(office, request)
    with office.change(actor, "access.consent") as change:
        asked = _under_conditions(change, change.get(AccessRequest, request, expected=expected))
        _require_own(actor, asked.customer)
        ticket = change.ticket(asked.ticket, there)
        name = actor.name if actor.customer else by
        held_by = holders_of(change, ticket)
        decided, grant = requests.consent(asked, ticket=ticket, by=name, now_us=change.now_us, held_by=held_by)
        return _step(change, decided, grant, why.strip())


def deny_access(office: Office, actor: Actor, request: str, *, why: str, expected: str = "") -> AccessRequest:
    """Deny a request.

    Raises:
        UsageError: it is decided, the actor made it, or no reason is given.
    """
    require_reason(why, "it is denied")
    with office.change(actor, "access.deny") as change:
        asked = change.get(AccessRequest, request, expected=expected)
        denied = requests.deny(asked, approver=actor.name, now_us=change.now_us, why=why.strip())
        change.result = settle(change, denied)
        return denied


def withdraw_access(office: Office, actor: Actor, request: str, *, expected: str = "") -> AccessRequest:
    """Withdraw one's own request.

    Raises:
        Forbidden: somebody else's.
        UsageError: it is decided.
    """
    with office.change(actor, "access.withdraw") as change:
        asked = change.get(AccessRequest, request, expected=expected)
        if actor.name != asked.subject and not actor.operator:
            raise Forbidden(f"{asked.id} was made by {asked.subject}; only they withdraw it")
        withdrawn = requests.withdraw(asked, by=actor.name, now_us=change.now_us)
        change.result = settle(change, withdrawn)
        return withdrawn


def revoke_grant(office: Office, actor: Actor, grant: str, *, why: str, expected: str = "") -> Grant:
    """End a grant now. The id of the request that it came from will do. Revoking again changes nothing.

    Raises:
        NotFound: there is none.
        UsageError: it has ended by itself, or no reason is given.
    """
    require_reason(why, "it is revoked")
    with office.change(actor, "access.revoke") as change:
        held = _grant(change, grant, expected)
        change.result = held
        if held.revoked_us:
            return held
        if not requests.may_count(held, change.now_us):
            raise Contradicted(
                f"{held.id} is over since {rfc3339(held.ended_us or held.ends_us)}; nothing is left to end"
            )
        ended = end_grant(change, held, why.strip())
        change.result = ended
        return ended


def _require_grantable(office: Office, data_classes: Sequence[str], actions: Sequence[str]) -> None:
    scopes = _scopes(office, data_classes, actions)
    never = [f"{action} {name}" for (name, action), scope in scopes.items() if scope is RoleScope.DENIED]
    if never:
        raise UsageError(
            f"the role {ENGINEER} may never {', '.join(never)}, so that a grant of it would count for nothing; "
            "leave it out"
        )


def _require_needed(change: Change, asked: AccessRequest) -> None:
    """Without a plan a role is enough, but for what it may do by grant only."""
    scopes = _scopes(change.office, asked.data_classes, asked.actions).values()
    if change.plan(asked.customer) is None and RoleScope.BY_GRANT not in scopes:
        raise Contradicted(
            f"{asked.customer} has no plan in effect, so that nobody needs a grant for this; just use it"
        )


def _scopes(office: Office, data_classes: Sequence[str], actions: Sequence[str]) -> dict[tuple[str, Action], RoleScope]:
    """What the role of whoever is granted access may do at most; of actions that there are."""
    uses = product(data_classes, (Action(action) for action in actions if action in set(Action)))
    return {use: office.roles.scope(frozenset({ENGINEER}), *use) for use in uses}


def _elsewhere(office: Office, request: str) -> Ticket | None:
    """The ticket of a request where another system has it: asked for before the state is locked."""
    asked = office.state.find(AccessRequest, request)
    return office.elsewhere(asked.ticket) if asked else None


def _unused(change: Change, subject: str) -> list[Grant]:
    """The grants of somebody whose caps are not used up, as far as that is written down."""
    held = change.all(Grant, subject=subject)
    return [grant for grant in held if not grant.is_exhausted(change.find(Usage, grant.id) or Usage(grant.id))]


def _under_conditions(change: Change, asked: AccessRequest) -> AccessRequest:
    """A request is granted under what its customer and the policy demand by now, if that is more than when it was made.

    Raises:
        Contradicted: it asks for longer than what may be granted by now.
    """
    about = change.get(Customer, asked.customer)
    if asked.duration_s > change.office.longest_grant_s:
        raise Contradicted(f"{asked.id} asks for longer than a grant may last by now; make a new request")
    return requests.under(asked, approvers=about.approvers, consent=about.consent)


def _step(change: Change, decided: AccessRequest, grant: Grant | None, why: str) -> AccessRequest | Grant:
    """What an approval or a consent led to."""
    change.put(decided)
    if grant is None:
        change.result = decided
        change.note(
            decided.id, request=decided.id, ticket=decided.ticket, customer=decided.customer,
            grantee=decided.subject, missing=requests.missing(decided), why=why,
        )  # fmt: skip
        return decided
    grant = replace(grant, id=change.new_id(Grant, "G", decided.id.removeprefix("R-")))
    change.result = grant
    change.put(grant)
    change.note(
        grant.id,
        request=decided.id,
        grant=grant.id,
        grantee=grant.subject,
        ticket=grant.ticket,
        customer=grant.customer,
        data_classes=list(grant.data_classes),
        actions=list(grant.actions),
        approved_by=grant.approved_by,
        consented_by=decided.consented_by,
        ends_us=grant.ends_us,
        why=why,
    )
    change.tell("access.approved", decided.id, decided.customer, f"{decided.id} of {decided.subject} was approved")
    until = f"until {rfc3339(grant.ends_us)}"
    change.tell("grant.began", grant.id, grant.customer, f"{grant.id} of {grant.subject} began, {until}")
    return grant


def _require_not_asked(change: Change, asked: AccessRequest) -> None:
    for other in change.all(AccessRequest, subject=asked.subject, ticket=asked.ticket):
        same = (other.customer, {*other.data_classes}, {*other.actions}) == (
            asked.customer,
            {*asked.data_classes},
            {*asked.actions},
        )
        waits = other.state is RequestState.REQUESTED and not requests.is_late(other, change.now_us)
        if same and waits:
            raise Contradicted(f"{other.id} asks for the same and waits for its answer; withdraw it to ask anew")


def _require_own(actor: Actor, customer: str) -> None:
    if actor.customer not in ("", customer):
        raise Forbidden(f"this is about another customer than {actor.customer}")


def _grant(change: Change, key: str, expected: str) -> Grant:
    if change.find(Grant, key):
        return change.get(Grant, key, expected=expected)
    found = change.all(Grant, request=key)
    if not found:
        raise NotFound(f"there is no grant {key!r}, nor one that came of a request of that id")
    return change.get(Grant, found[0].id, expected=expected)
