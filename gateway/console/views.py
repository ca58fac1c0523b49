"""Nouns as they are shown. Each view takes a snapshot to read what belongs to the noun from, and the instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal

from gateway.acts import Change
from gateway.catalog import Action
from gateway.catalog.customers import Customer, CustomerPlan
from gateway.clock import rfc3339
from gateway.console import shown
from gateway.identity import TransferPass, UploadAccount
from gateway.justification import (
    AccessRequest,
    Authorization,
    Grant,
    RequestState,
    Ticket,
    TicketEvent,
    Usage,
    requests,
)
from gateway.storage.store import Transaction
from gateway.support import quote as price_of

Snapshot = Change | Transaction
"""The state at one moment: of an act under way, or of a transaction that reads."""


def customer(found: Customer, now_us: int) -> shown.Customer:
    """A customer with its plans, the last one that was ordered last."""
    current = found.plan_at(now_us)
    return shown.Customer(
        id=found.id,
        name=found.name,
        approvers=found.approvers,
        consent=found.consent,
        plan=plan(current, now_us) if current else None,
        plans=[plan(one, now_us) for one in found.plans],
    )


def plan(found: CustomerPlan, now_us: int) -> shown.Plan:
    """One purchase of a plan."""
    return shown.Plan(
        id=found.id,
        name=found.name,
        state=_plan_state(found, now_us),
        home=list(found.home),
        seats=found.seats,
        past_seats=[shown.PastSeats(seats=seats, until=rfc3339(until_us)) for seats, until_us in found.past_seats],
        monthly_charge_cents=price_of(found.seats).monthly_charge_cents,
        new=found.new,
        overdue=found.is_overdue(now_us),
        ordered_at=rfc3339(found.ordered_us),
        recorded_at=_instant(found.recorded_us),
        due_at=rfc3339(found.due_us),
        enabled_at=_instant(found.enabled_us),
        begins_at=rfc3339(found.starts_us),
        ends_at=_instant(found.ends_us),
    )


def quote(seats: int) -> shown.Quote:
    """The price of a number of seats."""
    return shown.Quote(**asdict(price_of(seats)))


def ticket(found: Ticket, now_us: int) -> shown.Ticket:
    """A ticket without its history."""
    return shown.Ticket(**_ticket(found, now_us))


def ticket_with_history(found: Ticket, now_us: int, snapshot: Snapshot) -> shown.TicketWithHistory:
    """A ticket and what was done to it, the oldest first."""
    events = sorted(snapshot.all(TicketEvent, ticket=found.id), key=lambda event: (event.at_us, event.id))
    history = [
        shown.TicketEvent(
            at=rfc3339(event.at_us), actor=event.actor, act=event.act, detail=event.detail, via=event.via or None
        )
        for event in events
    ]
    return shown.TicketWithHistory(**_ticket(found, now_us), history=history)


def access_request(found: AccessRequest, grants: Iterable[Grant]) -> shown.AccessRequest:
    """An access request.

    Args:
        grants: those that came of it: one at most.
    """
    return shown.AccessRequest(
        id=found.id,
        state=found.state,
        subject=found.subject,
        ticket=found.ticket,
        customer=found.customer,
        data_classes=list(found.data_classes),
        actions=list(map(Action, found.actions)),
        reason=found.reason,
        duration_s=found.duration_s,
        max_bytes=found.max_bytes or None,
        max_requests=found.max_requests or None,
        approvers=found.approvers,
        approved_by=list(found.approved_by),
        approved_via=list(found.approved_via),
        consent=found.consent,
        consented_by=found.consented_by or None,
        missing=requests.missing(found) if found.state is RequestState.REQUESTED else "",
        requested_at=rfc3339(found.requested_us),
        answer_by=_instant(found.answer_by_us),
        decided_at=_instant(found.decided_us),
        decided_by=found.decided_by or None,
        why=found.why,
        grant=next((grant.id for grant in grants), None),
    )


def grant(found: Grant, now_us: int, usage: Usage) -> shown.Grant:
    """A grant and its use."""
    return shown.Grant(
        id=found.id,
        state=found.state(now_us, usage),
        request=found.request,
        subject=found.subject,
        ticket=found.ticket,
        customer=found.customer,
        data_classes=list(found.data_classes),
        actions=list(map(Action, found.actions)),
        approved_by=found.approved_by,
        starts_at=rfc3339(found.starts_us),
        ends_at=rfc3339(found.ends_us),
        ended_at=_instant(found.revoked_us or found.ended_us),
        why=found.why,
        max_bytes=found.max_bytes or None,
        max_requests=found.max_requests or None,
        bytes=usage.bytes,
        requests=usage.requests,
    )


def authorization(found: Authorization, now_us: int) -> shown.Authorization:
    """A customer's authorization."""
    return shown.Authorization(
        id=found.id,
        state=authorization_state(found, now_us),
        customer=found.customer,
        given_by=found.given_by,
        received=found.received,
        document_sha256=found.document_sha256 or None,
        recorded_by=found.recorded_by,
        ticket=found.ticket or None,
        any_severity=found.any_severity,
        data_classes=list(found.data_classes),
        actions=list(map(Action, found.actions)),
        starts_at=rfc3339(found.starts_us),
        ends_at=_instant(found.ends_us),
        withdrawn_at=_instant(found.withdrawn_us),
    )


def upload(found: UploadAccount) -> shown.Upload:
    """An account at the transfer doors; its password's hash is nobody's to see."""
    return shown.Upload(**_upload(found))


def upload_with_password(found: UploadAccount, password: str) -> shown.UploadWithPassword:
    """The same, where a password was made for it."""
    return shown.UploadWithPassword(**_upload(found), password=password)


def transfer_pass(found: TransferPass, now_us: int) -> shown.TransferPass:
    """A pass; what its holder signs in with is nobody's to see."""
    return shown.TransferPass(**_transfer_pass(found, now_us))


def minted_transfer_pass(found: TransferPass, told: str) -> shown.MintedTransferPass:
    """The same, as it was minted.

    Args:
        told: the password or the certificate.
    """
    by_certificate = found.is_certificate
    return shown.MintedTransferPass(
        **_transfer_pass(found, found.made_us),
        password=None if by_certificate else told,
        certificate=told if by_certificate else None,
    )


def authorization_state(found: Authorization, now_us: int) -> Literal["pending", "active", "ended", "withdrawn"]:
    """Where an authorization stands."""
    if found.withdrawn_us:
        return "withdrawn"
    if now_us < found.starts_us:
        return "pending"
    return "active" if found.is_active(now_us) else "ended"


def reading(decision: Mapping[str, Any], completion: Mapping[str, Any] | None) -> shown.Reading:
    """One permitted access, from its entries in the ledger."""
    return shown.Reading(
        sequence=decision["sequence"],
        decision=decision["id"],
        at=decision["time"],
        country=decision["location"]["country"],
        outcome=completion["outcome"] if completion else None,
        bytes=completion["bytes"] if completion else None,
        **{
            name: decision[name]
            for name in (
                "subject", "roles", "customer", "store", "data_class", "action", "method", "path", "rule",
            )
        },
    )  # fmt: skip


def _ticket(found: Ticket, now_us: int) -> dict[str, Any]:
    return {
        "id": found.id,
        "kind": found.kind,
        "state": found.state(now_us),
        "customers": list(found.customers),
        "title": found.title,
        "severity": found.severity or None,
        "nature": found.nature or None,
        "holder": found.holder or None,
        "holder_country": found.holder_country or None,
        "opened_at": rfc3339(found.opened_us),
        "queued_until": _instant(found.queued_until_us),
        "handed_off_at": _instant(found.handed_off_us),
        "closed_at": _instant(found.closed_us),
    }


def _upload(found: UploadAccount) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "customer": found.customer,
        "state": "closed" if found.closed_us else "open",
        "keys": list(found.keys),
        "made_at": rfc3339(found.made_us),
        "closed_at": _instant(found.closed_us),
    }


def _transfer_pass(found: TransferPass, now_us: int) -> dict[str, Any]:
    return {
        "id": found.id,
        "state": found.state(now_us),
        "by": "certificate" if found.is_certificate else "password",
        "subject": found.subject,
        "customer": found.customer,
        "ticket": found.ticket or None,
        "reason": found.reason,
        "made_at": rfc3339(found.made_us),
        "ends_at": rfc3339(found.ends_us),
        "revoked_at": _instant(found.revoked_us),
        "sessions": found.sessions or None,
        "used": found.used,
    }


def _plan_state(found: CustomerPlan, now_us: int) -> Literal["ordered", "in-effect", "ended"]:
    if found.is_in_effect(now_us):
        return "in-effect"
    return "ended" if found.ends_us and found.ends_us <= now_us else "ordered"


def _instant(instant_us: int) -> str | None:
    return rfc3339(instant_us) if instant_us else None
