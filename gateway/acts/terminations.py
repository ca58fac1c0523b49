"""How access ends before its time: a grant is revoked, a request denied or withdrawn, an authorization withdrawn.

Promised: each is an entry of its own, with who, why and when, and a notice; whoever did it, or whatever else happened:
a ticket was closed, handed off, or went to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.acts.office import Change
from gateway.errors import UsageError
from gateway.justification import AccessRequest, Authorization, Grant, RequestState, requests

_ACTS: Mapping[RequestState, str] = {
    RequestState.DENIED: "access.deny",
    RequestState.WITHDRAWN: "access.withdraw",
}


def terminate(change: Change, nouns: Iterable[Grant | AccessRequest | Authorization], why: str) -> list[str]:
    """End what rested on something that is over.

    Args:
        nouns: none of which has ended.
        why: what is over, in words.

    Returns:
        Their ids.
    """
    ended = list(nouns)
    for noun in ended:
        match noun:
            case Grant():
                end_grant(change, noun, why)
            case AccessRequest():
                settle(change, requests.withdraw_unheld(noun, now_us=change.now_us, why=why))
            case Authorization():
                _withdraw(change, noun, why)
    return [noun.id for noun in ended]


def end_grant(change: Change, grant: Grant, why: str) -> Grant:
    """Revoke a grant, on record; the grant as it is then."""
    ended = requests.revoke(grant, now_us=change.now_us, why=why)
    change.put(ended)
    change.note(
        grant.id,
        act="access.revoke",
        grant=grant.id,
        grantee=grant.subject,
        customer=grant.customer,
        ticket=grant.ticket,
        why=why,
    )
    news = f"{grant.id} of {grant.subject} was revoked: {why}"
    change.tell("grant.revoked", grant.id, grant.customer, news, ticket=grant.ticket, why=why)
    return ended


def settle(change: Change, decided: AccessRequest) -> AccessRequest:
    """Put a request on record that was denied or withdrawn."""
    act, why = _ACTS[decided.state], decided.why
    change.put(decided)
    change.note(
        decided.id, act=act, ticket=decided.ticket, customer=decided.customer, requester=decided.subject, why=why
    )
    news = f"{decided.id} of {decided.subject} was {decided.state}" + (f": {why}" if why else "")
    change.tell(f"access.{decided.state}", decided.id, decided.customer, news, ticket=decided.ticket, why=why)
    return decided


def require_reason(why: str, what: str) -> None:
    """That somebody says why.

    Raises:
        UsageError: nobody does.
    """
    if not why.strip():
        raise UsageError(f"got no reason; expected why {what}, in a few words: say it")


def _withdraw(change: Change, given: Authorization, why: str) -> None:
    change.put(replace(given, withdrawn_us=change.now_us))
    change.note(given.id, act="authorization.withdraw", customer=given.customer, ticket=given.ticket, why=why)
    news = f"{given.id} of {given.customer} ended: {why}"
    change.tell("authorization.withdrawn", given.id, given.customer, news, ticket=given.ticket, why=why)
