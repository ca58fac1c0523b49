"""Acts on customers' authorizations (rule ``customer-authorized``): recorded, withdrawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.acts.actor import Actor
from gateway.acts.office import Office, sees_all
from gateway.catalog import Action
from gateway.catalog.customers import Customer
from gateway.clock import rfc3339
from gateway.errors import Contradicted, Forbidden, UsageError
from gateway.justification import Authorization, Ticket, TicketKind

_SHA256 = re.compile(r"[0-9a-f]{64}")


def record_authorization(
    office: Office,
    actor: Actor,
    *,
    customer: str,
    given_by: str,
    received: str,
    data_classes: Sequence[str],
    actions: Sequence[str] = ("read",),
    ticket: str = "",
    starts_us: int = 0,
    ends_us: int = 0,
    document_sha256: str = "",
    any_severity: bool = False,
    sees: Callable[[Ticket], bool] = sees_all,
) -> Authorization:
    """Record that a customer authorised access from outside home, which whoever records it cannot use themselves.

    Args:
        given_by: who in the customer.
        received: how it came, such as ``letter`` or ``signed order``.
        ticket: the case that it covers; without one it is standing, and must have an end.
        starts_us: now unless given, and never before: what was done until now it does not allow.
        document_sha256: of the document, in hexadecimal digits, where there is one.
        any_severity: it says itself that it goes further than severity 1, which is all that it covers otherwise.
        sees: whether the actor may see a ticket; all of them unless given.

    Raises:
        UsageError: it lacks what makes it one, or contradicts itself.
        Contradicted: the ticket is closed, or was sent to a US analyst.
    """
    _require_whole(office, given_by, received, data_classes, actions, document_sha256)
    there = office.elsewhere(ticket) if ticket else None  # before the state is locked
    with office.change(actor, "authorization.record") as change:
        change.get(Customer, customer)
        if ticket:
            _require_case(change.ticket(ticket, there, sees=sees), customer)
        starts_us = starts_us or change.now_us
        if starts_us < change.now_us:
            raise UsageError(f"got the beginning {rfc3339(starts_us)}, which has passed; expected now or a later one")
        if ends_us and ends_us <= starts_us:
            raise UsageError("its end is not after its beginning and now; expected a later one")
        if not ticket and not ends_us:
            raise UsageError("a standing authorization needs an end; say until when, or name the ticket that it covers")
        given = Authorization(
            id=change.new_id(Authorization, "A"),
            customer=customer,
            given_by=given_by.strip(),
            ticket=ticket,
            data_classes=tuple(dict.fromkeys(data_classes)),
            actions=tuple(dict.fromkeys(actions)),
            starts_us=starts_us,
            ends_us=ends_us,
            received=received.strip(),
            document_sha256=document_sha256.lower(),
            recorded_by=actor.name,
            any_severity=any_severity,
        )
        change.put(given)
        change.note(
            given.id,
            customer=customer,
            given_by=given.given_by,
            received=given.received,
            document_sha256=given.document_sha256,
            ticket=ticket,
            data_classes=list(given.data_classes),
            actions=list(given.actions),
            starts_us=starts_us,
            ends_us=ends_us,
            any_severity=any_severity,
        )
        change.tell("authorization.recorded", given.id, customer, f"{customer} authorised access: {given.id}")
        change.result = given
        return given


def withdraw_authorization(
    office: Office,
    actor: Actor,
    id: str,
    *,
    by: str = "",
    expected: str = "",
) -> Authorization:
    """Withdraw an authorization, at once. Withdrawing again changes nothing.

    Args:
        by: who in the customer asked for it, where that is not the actor.

    Raises:
        Forbidden: a user of another customer.
    """
    with office.change(actor, "authorization.withdraw") as change:
        given = change.get(Authorization, id, expected=expected)
        if actor.customer not in ("", given.customer):
            raise Forbidden(f"this is about another customer than {actor.customer}")
        change.result = given
        if given.withdrawn_us:
            return given
        ended = replace(given, withdrawn_us=change.now_us)
        change.put(ended)
        change.note(id, customer=given.customer, ticket=given.ticket, asked_by=by)
        change.tell("authorization.withdrawn", id, given.customer, f"{given.customer} withdrew {id}")
        change.result = ended
        return ended


def _require_case(cited: Ticket, customer: str) -> None:
    if cited.kind is not TicketKind.SUPPORT:
        instead = "; for a bug, ask for access: access request" if cited.kind is TicketKind.BUG else ""
        raise UsageError(
            f"{cited.id} is a {cited.kind} ticket; expected a support ticket, which is all that customers authorise for"
            + instead
        )
    if not cited.covers(customer):
        raise UsageError(f"{cited.id} does not name {customer}; expected an open ticket that does")
    if not cited.is_open:
        raise Contradicted(f"{cited.id} is closed; expected an open ticket")
    if cited.handed_off_us:
        raise Contradicted(f"{cited.id} was sent to a US analyst; nobody abroad works on it, so name another one")


def _require_whole(
    office: Office,
    given_by: str,
    received: str,
    data_classes: Sequence[str],
    actions: Sequence[str],
    document_sha256: str,
) -> None:
    if not given_by.strip() or not received.strip():
        raise UsageError("an authorization says who in the customer gave it, and how it was received; say both")
    unknown = [name for name in data_classes if name not in office.data_classes]
    if unknown or not data_classes:
        expected = ", ".join(sorted(office.data_classes))
        raise UsageError(f"unknown data class {', '.join(unknown) or 'none'}; expected among {expected}")
    if not actions or not {*actions} <= {*Action}:
        raise UsageError(f"got the actions {', '.join(actions) or 'none'}; expected among {', '.join(Action)}")
    if document_sha256 and not _SHA256.fullmatch(document_sha256.lower()):
        raise UsageError("the hash of the document is no SHA-256; expected 64 hexadecimal digits")
