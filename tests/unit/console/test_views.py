"""Nouns as they are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.catalog.customers import Customer, CustomerPlan
from gateway.console import views
from gateway.justification import AccessRequest, Authorization, RequestState, Ticket, TicketKind

PLAN = CustomerPlan("P-1", "us-only", ("US",), 334, ordered_us=100, due_us=200)
GIVEN = Authorization("A-1", "acme", "Ada", "", ("case",), ("read",), starts_us=100, ends_us=200)


@pytest.mark.parametrize(
    ("plan", "now_us", "state", "overdue"),
    [
        (PLAN, 150, "ordered", False),
        (PLAN, 200, "in-effect", True),
        (replace(PLAN, enabled_us=150), 150, "in-effect", False),
        (replace(PLAN, enabled_us=150, ends_us=300), 299, "in-effect", False),
        (replace(PLAN, enabled_us=150, ends_us=300), 300, "ended", False),
        (replace(PLAN, ends_us=150), 160, "ended", False),
        (replace(PLAN, ends_us=150), 149, "ordered", False),
        (replace(PLAN, ends_us=300), 150, "ordered", False),
    ],
)
def test_a_plan_is_ordered_in_effect_or_ended(plan: CustomerPlan, now_us: int, state: str, *, overdue: bool) -> None:
    """One that was ended before it began never is in effect; one that began by itself is overdue."""
    shown = views.customer(Customer("acme", "Acme", (plan,)), now_us)
    assert (shown.plans[0].state, shown.plans[0].overdue) == (state, overdue)
    assert (shown.plan is not None) == (state == "in-effect")
    assert shown.plans[0].monthly_charge_cents == 5_010_00


@pytest.mark.parametrize(
    ("given", "now_us", "state"),
    [
        (GIVEN, 99, "pending"),
        (GIVEN, 100, "active"),
        (GIVEN, 200, "ended"),
        (replace(GIVEN, ends_us=0), 10_000, "active"),
        (replace(GIVEN, withdrawn_us=120), 150, "withdrawn"),
    ],
)
def test_an_authorization_is_pending_active_ended_or_withdrawn(given: Authorization, now_us: int, state: str) -> None:
    """By the instant, and for good once it was withdrawn."""
    assert views.authorization(given, now_us).state == state


def test_what_is_not_yet_is_null() -> None:
    """No instant of 1970, no empty name."""
    ticket = views.ticket(Ticket("BUG-9", TicketKind.BUG, ("acme",), "Odd", 1), 2)
    assert ticket.opened_at == "1970-01-01T00:00:00.000001Z"
    assert {ticket.closed_at, ticket.holder, ticket.severity, ticket.nature, ticket.queued_until} == {None}


def test_a_decided_request_misses_nothing() -> None:
    """Whatever it still needed when it was denied."""
    asked = AccessRequest("R-1", "priya", "BUG-9", "acme", ("case",), ("read",), "why", 60, 1)
    assert views.access_request(asked, []).missing == "1 more approver"
    assert views.access_request(replace(asked, state=RequestState.DENIED), []).missing == ""
