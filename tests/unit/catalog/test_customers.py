"""Customers and the plans in effect for them."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.catalog import Customer, CustomerPlan, Customers

ORDERED, DUE, ENDS = 100, 200, 300
PLAN = CustomerPlan("p1", "us-only", ("US",), 400, ORDERED, DUE)


@pytest.mark.parametrize(
    ("changed", "starts", "in_effect"),
    [
        ({}, 200, {199: False, 200: True, 10**18: True}),
        ({"enabled_us": 150}, 150, {149: False, 150: True, 200: True}),
        ({"enabled_us": 250}, 200, {199: False, 200: True}),  # enabled late: began when due
        ({"enabled_us": 200}, 200, {199: False, 200: True}),
        ({"ends_us": 300}, 200, {200: True, 299: True, 300: False}),
        ({"ends_us": 200}, 200, {199: False, 200: False}),
        ({"ends_us": 150}, 200, {149: False, 175: False, 200: False, 250: False}),
        ({"due_us": 100, "new": True}, 100, {99: False, 100: True}),
    ],
)
def test_plan_is_in_effect_from_start_until_end(
    changed: dict[str, int], starts: int, in_effect: dict[int, bool]
) -> None:
    """It begins when enabled, when due at the latest, and no longer holds at its end."""
    plan = dataclasses.replace(PLAN, **changed)  # type: ignore[arg-type]  # instants only
    assert plan.starts_us == starts
    assert {instant: plan.is_in_effect(instant) for instant in in_effect} == in_effect


def test_of_several_plans_the_one_that_began_last_counts() -> None:
    """A decision names the plan in effect at its moment."""
    first = dataclasses.replace(PLAN, ends_us=ENDS)
    second = dataclasses.replace(PLAN, id="p2", due_us=250)
    customer = Customer("acme", "Acme", (second, first))
    at = {instant: plan.id if (plan := customer.plan_at(instant)) else "" for instant in (199, 200, 249, 250, 300)}
    assert at == {199: "", 200: "p1", 249: "p1", 250: "p2", 300: "p2"}


def test_registry_holds_what_was_put_last() -> None:
    """A customer put again replaces what was known of it; another spelling is another customer."""
    known = Customers()
    known.put(Customer("acme", "Old", (PLAN,)))
    known.put(Customer("acme", "New"))
    assert known.get("acme") == Customer("acme", "New")
    assert known.get("ACME") is None
    assert len(known) == 1
    assert not known.any_protected(DUE)


def test_removed_customer_is_forgotten() -> None:
    """Nothing of it stays, and removing it again does no harm."""
    known = Customers()
    known.put(Customer("acme", "Acme", (PLAN,)))
    known.remove("acme")
    known.remove("acme")
    assert known.get("acme") is None
    assert len(known) == 0
    assert not known.any_protected(DUE)


def test_protected_are_those_with_a_plan_in_effect() -> None:
    """Neither a customer without a plan nor one whose plan has not begun or has ended is protected."""
    known = Customers()
    known.put(Customer("none", "None"))
    known.put(Customer("acme", "Acme", (PLAN,)))
    known.put(Customer("past", "Past", (dataclasses.replace(PLAN, due_us=1, ends_us=2),)))
    assert [customer.id for customer in known.protected(DUE)] == ["acme"]
    assert not known.any_protected(DUE - 1)


def test_next_change_is_the_next_begin_or_end() -> None:
    """Instants after the one asked for only, of any customer, and None when nothing changes any more."""
    known = Customers()
    known.put(Customer("acme", "Acme", (dataclasses.replace(PLAN, ends_us=ENDS),)))
    known.put(Customer("globex", "Globex", (dataclasses.replace(PLAN, due_us=250),)))
    known.put(Customer("none", "None"))
    assert [known.next_change_us(instant) for instant in (0, 200, 250, 300)] == [200, 250, 300, None]


def test_customer_and_plan_are_compact() -> None:
    """Millions of them carry no dictionary of their own."""
    assert not hasattr(PLAN, "__dict__")
    assert not hasattr(Customer("acme", "Acme"), "__dict__")
