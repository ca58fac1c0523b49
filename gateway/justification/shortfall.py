"""Why what somebody was granted, or asked for, does not help with an attempt: in words, and to nobody but them.

Only the caller's own grants and requests are looked at, a bounded number of them, and one of each is spoken of.
"""

from __future__ import annotations

from gateway.catalog.resource import Resource
from gateway.clock import rfc3339
from gateway.justification.desk import Desk
from gateway.justification.nouns import AccessRequest, Grant
from gateway.justification.requests import is_late, missing
from gateway.masking import masked


def shortfall(desk: Desk, *, subject: str, resource: Resource, cited: str, now_us: int) -> tuple[str, ...]:
    """What the caller's own grants and requests lack for this attempt; nothing where the desk cannot tell.

    Args:
        cited: the ticket's id as the request cites it, or "".
    """
    if not subject or not desk.fresh():
        return ()
    said = (
        _of_grants(desk, subject, resource, cited, now_us),
        _of_requests(desk, subject, resource, cited, now_us),
    )
    return tuple(filter(None, said))


def _of_grants(desk: Desk, subject: str, resource: Resource, cited: str, now_us: int) -> str:
    near = desk.held(subject, customer=resource.customer, ticket=cited)
    held = [grant for grant in near if _concerns(grant, resource, cited)]
    lacking = {grant.id: _lack(desk, grant, resource, cited, now_us) for grant in held}
    fitting = [grant.ticket for grant in held if not lacking[grant.id]]
    if fitting:
        one_each = ", ".join(sorted(set(fitting)))
        return f"several of your grants fit; cite the ticket of one of them ({one_each})" if not cited else ""
    if not held:
        return ""
    nearest = max(held, key=lambda grant: (_covers(grant, resource), grant.ticket == cited, grant.starts_us))
    return f"{nearest.id} {lacking[nearest.id]}"


def _concerns(noun: Grant | AccessRequest, resource: Resource, cited: str) -> bool:
    """Whether the caller may have meant it: it is for the ticket cited, or covers what is asked for."""
    return noun.ticket == cited or (noun.customer == resource.customer and (not cited or _covers(noun, resource)))


def _covers(noun: Grant | AccessRequest, resource: Resource) -> bool:
    return (
        noun.customer == resource.customer
        and resource.data_class in noun.data_classes
        and resource.action in noun.actions
    )


def _lack(desk: Desk, grant: Grant, resource: Resource, cited: str, now_us: int) -> str:
    """What is in the grant's way, as the end of a sentence; "" where nothing is."""
    return _over(desk, grant, now_us) or _elsewhere(grant, resource) or _ticket_of(desk, grant, resource, cited)


def _over(desk: Desk, grant: Grant, now_us: int) -> str:
    if grant.revoked_us:
        why = f": {masked(grant.why)}" if grant.why else ""
        return f"was revoked at {rfc3339(grant.revoked_us)}{why}"
    if grant.is_exhausted(desk.usage(grant.id)):
        return f"was used up at {rfc3339(grant.ended_us)}" if grant.ended_us else "is used up"
    if grant.ended_us or grant.ends_us <= now_us:
        return f"ended at {rfc3339(grant.ends_us)}"
    return f"begins at {rfc3339(grant.starts_us)}" if now_us < grant.starts_us else ""


def _elsewhere(grant: Grant, resource: Resource) -> str:
    if grant.customer != resource.customer:
        return f"is for {grant.customer}, not for {resource.customer}"
    if resource.data_class not in grant.data_classes:
        return f"covers {', '.join(grant.data_classes)}, not {resource.data_class}"
    return f"allows {', '.join(grant.actions)}, not {resource.action}" if resource.action not in grant.actions else ""


def _ticket_of(desk: Desk, grant: Grant, resource: Resource, cited: str) -> str:
    ticket = desk.ticket(grant.ticket) or desk.elsewhere(grant.ticket)
    if cited and grant.ticket != cited:
        return f"is for {grant.ticket}; cite that"
    if ticket is None:
        return f"is for {grant.ticket}, of which nothing is known now"
    if not ticket.is_open:
        return f"is for {ticket.id}, which is closed"
    return (
        f"is for {ticket.id}, which does not name {resource.customer}" if not ticket.covers(resource.customer) else ""
    )


def _of_requests(desk: Desk, subject: str, resource: Resource, cited: str, now_us: int) -> str:
    made = [asked for asked in desk.asked(subject) if not is_late(asked, now_us) and _concerns(asked, resource, cited)]
    if not made:
        return ""
    newest = max(made, key=lambda asked: asked.requested_us)
    return f"{newest.id} still waits for {missing(newest)}"
