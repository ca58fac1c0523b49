"""Customers and plans as acts: added, ordered, enabled, due, ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.acts.customers import (
    add_customer,
    change_seats,
    enable_plan,
    end_plan,
    order_plan,
    overdue,
    set_conditions,
)
from gateway.acts.tickets import assign_ticket
from gateway.catalog import Customer, Customers
from gateway.clock import SECOND_US, parse_rfc3339
from gateway.errors import Contradicted, NotFound, UsageError
from gateway.justification import QUEUE_AT_HOME, Ticket
from tests.world.office import ADMIN, HOUR_US, MANAGER, Bureau

# The bureau's now is Tuesday, January 13, 2026, 11:00 in New York; two business days on is Thursday, 11:00.
DUE = parse_rfc3339("2026-01-15T16:00:00Z")


def protected(bureau: Bureau, customer: str, instant_us: int) -> bool:
    return bureau.state.get(Customer, customer).plan_at(instant_us) is not None


def test_new_customers_plan_is_in_effect_from_onboarding(bureau: Bureau) -> None:
    """``enable-new``: at the instant at which it is added, and not before."""
    added = add_customer(bureau.office, MANAGER, id="initech", name="Initech", plan="us-only", seats=400, is_new=True)
    assert bureau.state.get(Customer, "initech") == added
    assert [protected(bureau, "initech", bureau.now_us + at) for at in (-1, 0)] == [False, True]
    assert bureau.acts() == [("maria", "customer.add", "initech")]
    assert bureau.notices()[-1] == ("plan.ordered", "initech")


def test_existing_customers_plan_begins_by_itself_when_due(bureau: Bureau) -> None:
    """``enable-existing``: two business days on; the last microsecond before, and the due one."""
    ordered = order_plan(bureau.office, MANAGER, "globex", seats=400)
    assert ordered.plans[-1].due_us == DUE
    assert [protected(bureau, "globex", DUE + at) for at in (-1, 0)] == [False, True]
    assert overdue([ordered], DUE - 1) == []
    assert overdue([ordered], DUE) == [ordered]
    assert bureau.entries[-1]["details"]["due_us"] == DUE
    assert bureau.notices()[-1] == ("plan.ordered", "globex")


def test_enabled_plan_is_in_effect_at_once_and_not_overdue(bureau: Bureau) -> None:
    """Enabling again changes nothing; enabled late, it began when it was due."""
    order_plan(bureau.office, MANAGER, "globex", seats=400)
    bureau.clock.advance(3_600)
    since = len(bureau.entries)
    enabled = enable_plan(bureau.office, MANAGER, "globex")
    assert [protected(bureau, "globex", bureau.now_us + at) for at in (-1, 0)] == [False, True]
    assert enable_plan(bureau.office, MANAGER, "globex") == enabled
    assert overdue([enabled], DUE + 1) == []
    assert bureau.acts(since) == [("maria", "plan.enable", "globex")]
    assert bureau.notices()[-1] == ("plan.enabled", "globex")


def test_plan_that_is_enabled_after_its_due_time_began_then(bureau: Bureau) -> None:
    """Nobody's lateness takes protection away."""
    order_plan(bureau.office, MANAGER, "globex", seats=400)
    bureau.clock.advance(10 * 86_400)
    enabled = enable_plan(bureau.office, MANAGER, "globex")
    assert enabled.plans[-1].starts_us == DUE
    assert [protected(bureau, "globex", DUE + at) for at in (-1, 0)] == [False, True]


def test_ended_plan_stays_in_the_history_and_another_may_be_ordered(bureau: Bureau) -> None:
    """A decision is judged by the plan of its moment."""
    bureau.clock.advance(86_400)
    ended_us, since = bureau.now_us, len(bureau.entries)
    end_plan(bureau.office, ADMIN, "acme")
    assert [protected(bureau, "acme", ended_us + at) for at in (-1, 0)] == [True, False]
    assert bureau.notices()[-1] == ("plan.ended", "acme")
    again = order_plan(bureau.office, MANAGER, "acme", seats=10)
    assert [plan.seats for plan in again.plans] == [1, 10]
    assert protected(bureau, "acme", ended_us - 1)
    assert not protected(bureau, "acme", ended_us)
    assert [act for _, act, _ in bureau.acts(since)] == ["plan.end", "plan.order"]


def test_plan_that_ends_before_it_is_due_never_begins(bureau: Bureau) -> None:
    """An order that was taken back."""
    order_plan(bureau.office, MANAGER, "globex", seats=400)
    bureau.clock.advance(60)
    ended = end_plan(bureau.office, ADMIN, "globex")
    assert not any(protected(bureau, "globex", instant) for instant in (bureau.now_us, DUE - 1, DUE, DUE + 10**12))
    assert overdue([ended], DUE) == []
    with pytest.raises(Contradicted, match="has no plan"):
        enable_plan(bureau.office, MANAGER, "globex")


def test_an_order_counts_from_when_the_customer_made_it(bureau: Bureau) -> None:
    """On Friday, typed in on Tuesday: due on Tuesday at the same time, and not two business days after the typing."""
    friday, due_us = parse_rfc3339("2026-01-09T17:00:00Z"), parse_rfc3339("2026-01-13T17:00:00Z")
    ordered = order_plan(bureau.office, MANAGER, "globex", seats=400, ordered_us=friday)
    [plan] = ordered.plans
    assert (plan.ordered_us, plan.due_us, plan.recorded_us) == (friday, due_us, bureau.now_us)
    assert [protected(bureau, "globex", due_us + at) for at in (-1, 0)] == [False, True]
    assert bureau.entries[-1]["details"]["ordered_us"] == friday


def test_an_order_that_is_typed_in_too_late_protects_at_once_and_is_overdue(bureau: Bureau) -> None:
    """What was judged before stays judged by what was known then."""
    ordered = order_plan(
        bureau.office, MANAGER, "globex", seats=400, ordered_us=bureau.now_us - 31 * 24 * HOUR_US
    )  # fmt: skip
    assert ordered.plans[0].due_us < bureau.now_us
    assert [protected(bureau, "globex", bureau.now_us + at) for at in (-1, 0)] == [False, True]
    assert overdue([ordered], bureau.now_us) == [ordered]
    bureau.case("CASE-7", "globex")
    bureau.steward.attend()
    assert bureau.acts()[-1] == ("gateway", "plan.begin", "globex")


def test_a_plan_ordered_before_the_last_one_ended_stands_in_the_order_of_the_orders(bureau: Bureau) -> None:
    """As it is read again, so that whoever changes it next has its version."""
    bureau.clock.advance(86_400)
    end_plan(bureau.office, ADMIN, "acme")
    again = order_plan(bureau.office, MANAGER, "acme", seats=5, ordered_us=bureau.now_us - 48 * HOUR_US)
    assert bureau.state.get(Customer, "acme") == again
    assert [plan.seats for plan in again.plans] == [5, 1]


def test_a_plan_may_list_what_is_home_to_it(bureau: Bureau) -> None:
    """In the state and in the record; without a list it follows the policy."""
    listed = order_plan(bureau.office, MANAGER, "globex", seats=5, home=["US", "PR", "US"]).plans[0]
    assert (listed.home, bureau.entries[-1]["details"]["home"]) == (("PR", "US"), ["PR", "US"])
    added = add_customer(bureau.office, MANAGER, id="new", name="N", plan="us-only", is_new=True, home=["PR"])
    assert (added.plans[0].home, bureau.entries[-1]["details"]["home"]) == (("PR",), ["PR"])
    assert bureau.state.get(Customer, "acme").plans[0].home == ()


def test_a_case_goes_to_whoever_is_at_home_to_its_customers_plans(bureau: Bureau) -> None:
    """What a plan lists, whatever the policy's home is; of several customers, where all of them are at home."""
    add_customer(bureau.office, MANAGER, id="isla", name="Isla", plan="us-only", is_new=True, home=["US", "PR"])
    for key, named in (("CASE-1", ("isla",)), ("CASE-2", ("isla", "acme"))):
        bureau.case(key, *named)
    assert assign_ticket(bureau.office, ADMIN, "CASE-1", holder="paz", country="PR").holder_country == "PR"
    with pytest.raises(Contradicted, match="assign it to an analyst in US"):
        assign_ticket(bureau.office, ADMIN, "CASE-2", holder="paz", country="PR")


def test_a_plan_that_ends_later_protects_until_then_and_no_longer(bureau: Bureau) -> None:
    """The last microsecond before, and the instant itself; another instant, or now, takes its place."""
    at_us = bureau.now_us + 24 * HOUR_US
    ended = end_plan(bureau.office, ADMIN, "acme", at_us=at_us)
    assert [protected(bureau, "acme", at_us + at) for at in (-1, 0)] == [True, False]
    assert ended.plans[0].ends_us == bureau.entries[-1]["details"]["ends_us"] == at_us
    since = len(bureau.entries)
    assert end_plan(bureau.office, ADMIN, "acme", at_us=at_us) == ended
    assert bureau.acts(since) == []
    with pytest.raises(Contradicted, match="acme has a plan already until 2026-01-14T16:00:00"):
        order_plan(bureau.office, MANAGER, "acme", seats=1)
    end_plan(bureau.office, ADMIN, "acme")
    assert not protected(bureau, "acme", bureau.now_us)


def test_a_plan_that_ends_later_begins_by_itself_all_the_same(bureau: Bureau) -> None:
    """It was due before its end, and nobody enabled it: the cases go home, and it stands in the record."""
    order_plan(bureau.office, MANAGER, "globex", seats=5)
    end_plan(bureau.office, ADMIN, "globex", at_us=DUE + HOUR_US)
    bureau.case("CASE-7", "globex", holder="raj")
    bureau.clock.advance((DUE - bureau.now_us) / SECOND_US)
    known = Customers()
    known.put(bureau.state.get(Customer, "globex"))
    assert [customer.id for customer in known.unbegun()] == ["globex"]
    bureau.steward.attend()
    assert bureau.acts()[-2:] == [("gateway", "plan.begin", "globex"), ("gateway", "ticket.queue", "CASE-7")]
    assert bureau.state.get(Ticket, "CASE-7").holder == QUEUE_AT_HOME


def test_seats_change_without_a_gap_and_with_their_history(bureau: Bureau) -> None:
    """The plan goes on, in effect or ordered; the same number again is nothing."""
    bureau.clock.advance(3_600)
    since, before = len(bureau.entries), bureau.state.get(Customer, "acme").plans[0]
    resized = change_seats(bureau.office, MANAGER, "acme", seats=500)
    assert change_seats(bureau.office, MANAGER, "acme", seats=500) == resized
    assert resized.plans == (replace(before, seats=500, past_seats=((1, bureau.now_us),)),)
    assert bureau.state.get(Customer, "acme") == resized
    assert all(protected(bureau, "acme", bureau.now_us + at) for at in (-1, 0, 1))
    assert bureau.acts(since) == [("maria", "plan.seats", "acme")]
    details = {"customer": "acme", "plan": before.id, "seats": 500, "previous": 1, "actor_kind": "personnel"}
    assert bureau.entries[-1]["details"] == details


@pytest.mark.parametrize(
    ("act", "said", "kind"),
    [
        (lambda b: add_customer(b.office, MANAGER, id="acme", name="A"), "a customer acme already", Contradicted),
        (lambda b: add_customer(b.office, MANAGER, id="Acme", name="A"), "got 'Acme'; expected", UsageError),
        (lambda b: add_customer(b.office, MANAGER, id="*", name="A"), "expected a customer id", UsageError),
        (lambda b: add_customer(b.office, MANAGER, id="a" * 64, name="A"), "at most 63", UsageError),
        (lambda b: add_customer(b.office, MANAGER, id="new", name=" "), "has no name", UsageError),
        (lambda b: add_customer(b.office, MANAGER, id="new", name="N", plan="eu"), "got the plan 'eu'", UsageError),
        (
            lambda b: add_customer(b.office, MANAGER, id="new", name="N", plan="us-only", seats=0),
            "got 0 seats",
            UsageError,
        ),
        (lambda b: order_plan(b.office, MANAGER, "globex", seats=10_000_001), "no more than ten million", UsageError),
        (lambda b: order_plan(b.office, MANAGER, "acme", seats=1), "acme has a plan already", Contradicted),
        (
            lambda b: order_plan(b.office, MANAGER, "globex", seats=1, ordered_us=b.now_us + 1),
            "expected one that was made, in the last 31 days",
            UsageError,
        ),
        (
            lambda b: order_plan(b.office, MANAGER, "globex", seats=1, ordered_us=b.now_us - 31 * 24 * HOUR_US - 1),
            "got an order of 2025-12-13T15:59:59.999999Z",
            UsageError,
        ),
        (lambda b: order_plan(b.office, MANAGER, "globex", seats=1, home=["US", "XX"]), "got the home XX", UsageError),
        (
            lambda b: add_customer(b.office, MANAGER, id="new", name="N", home=["US"]),
            "got the home US and no plan",
            UsageError,
        ),
        (lambda b: change_seats(b.office, MANAGER, "globex", seats=5), "globex has no plan", Contradicted),
        (lambda b: change_seats(b.office, MANAGER, "acme", seats=0), "got 0 seats", UsageError),
        (lambda b: end_plan(b.office, ADMIN, "acme", at_us=b.now_us - 1), "which has passed", UsageError),
        (lambda b: order_plan(b.office, MANAGER, "nobody", seats=1), "no customer 'nobody'", NotFound),
        (lambda b: enable_plan(b.office, MANAGER, "globex"), "globex has no plan", Contradicted),
        (lambda b: end_plan(b.office, ADMIN, "globex"), "globex has no plan", Contradicted),
        (
            lambda b: set_conditions(b.office, MANAGER, "acme", approvers=0, consent=False),
            "got 0 approvers",
            UsageError,
        ),
        (
            lambda b: set_conditions(b.office, MANAGER, "acme", approvers=3, consent=False),
            "expected 1 or 2",
            UsageError,
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(bureau: Bureau, act, said: str, kind: type[Exception]) -> None:
    """With the reason."""
    before = bureau.snapshot()
    with pytest.raises(kind, match=said):
        act(bureau)
    assert (bureau.snapshot(), bureau.entries) == (before, [])


def test_conditions_are_written_down_where_they_change(bureau: Bureau) -> None:
    """The plans stay as they are."""
    plans = bureau.state.get(Customer, "acme").plans
    for _ in range(2):
        changed = set_conditions(bureau.office, MANAGER, "acme", approvers=2, consent=True)
        assert (changed.approvers, changed.consent, changed.plans) == (2, True, plans)
    assert bureau.acts() == [("maria", "customer.change", "acme")]
    assert bureau.entries[0]["details"] == {
        "customer": "acme",
        "approvers": 2,
        "consent": True,
        "actor_kind": "personnel",
    }
