"""``customers``: plans, what they cost, and which are overdue."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.catalog.customers import Customer
from gateway.cli.context import Operation
from gateway.clock import SECOND_US, SystemClock, rfc3339
from tests.integration.commands.lines import for_people, one, said

DAY_US = 86_400 * SECOND_US


def test_a_customer_is_shown_with_its_charge_and_every_plan_it_had(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ordered, ended and ordered anew: each purchase with its state, its instants and what it costs a month."""
    ordered = one(capsys, "customers order globex --seats 333 --json")
    assert (ordered["state"], ordered["monthly_charge_cents"]) == ("ordered", 500_000)
    one(capsys, "customers enable globex --json")
    assert "no longer protected" in for_people(capsys, "customers end globex")[1]
    ended = one(capsys, "customers show globex --json")
    assert (ended["state"], ended["plan"], ended["monthly_charge_cents"], ended["seats"]) == ("no plan", "", None, None)
    again = one(capsys, "customers order globex --seats 334 --json")
    assert (again["monthly_charge"], again["monthly_charge_cents"]) == ("$5,010.00", 501_000)
    assert [(plan["state"], plan["monthly_charge_cents"]) for plan in again["plans"]] == [
        ("ended", 500_000),
        ("ordered", 501_000),
    ]
    shown, _ = for_people(capsys, "customers show globex")
    assert "monthly charge" in shown
    assert "plans" in shown


def test_a_plan_that_was_due_and_not_enabled_is_overdue(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in effect by itself and listed until somebody enables it."""
    assert said(capsys, "customers overdue --json") == []
    assert "no plan is overdue" in for_people(capsys, "customers list --overdue")[1]
    one(capsys, "customers order globex --seats 5 --json")
    _backdate(desk, "globex")
    for line in ("customers overdue --json", "customers list --overdue --json"):
        late = one(capsys, line)
        assert (late["id"], late["state"]) == ("globex", "in effect (overdue: enable it)")
    one(capsys, "customers enable globex --json")
    assert said(capsys, "customers overdue --json") == []


def test_a_quote_says_where_the_minimum_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """333 seats pay the minimum commitment, 334 are the first above it; in cents."""
    at, above = (one(capsys, f"customers quote --seats {seats} --json") for seats in (333, 334))
    assert (at["monthly_charge_cents"], at["minimum_applies"], at["seats_where_minimum_ends"]) == (500_000, True, 334)
    assert (above["monthly_charge_cents"], above["minimum_applies"]) == (501_000, False)


def test_an_order_has_its_own_time_and_home(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed in a month later it is in effect at once, and shown as overdue."""
    made_us = SystemClock().now_us() - 30 * DAY_US
    ordered = one(capsys, f"customers order globex --seats 5 --ordered {rfc3339(made_us)} --home us,PR --json")
    assert (ordered["home"], ordered["state"]) == (["PR", "US"], "in effect (overdue: enable it)")
    [plan] = ordered["plans"]
    assert (plan["ordered_us"], plan["home"]) == (made_us, ["PR", "US"])
    [entry] = [entry for entry in said(capsys, "ledger tail -n 99 --json") if entry["act"] == "plan.order"]
    assert (entry["details"]["home"], entry["details"]["ordered_us"]) == (["PR", "US"], made_us)


def test_a_plan_gets_other_seats_and_an_end_to_come(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both stand in what is shown, and the customer stays protected."""
    resized = one(capsys, "customers seats acme 500 --json")
    assert (resized["seats"], resized["monthly_charge"], resized["state"]) == (500, "$7,500.00", "in effect")
    assert [text.split(" until ")[0] for text in resized["plans"][0]["past_seats"]] == ["400"]
    _, told = for_people(capsys, "customers end acme --at 30d")
    assert "is protected until then" in told
    shown = one(capsys, "customers show acme --json")
    assert (shown["state"], shown["ends_us"] - SystemClock().now_us() > 29 * DAY_US) == ("in effect", True)


class Terminal(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "status", "state"), [("n\n", 130, "in effect"), ("y\n", 0, "no plan")])
def test_an_end_is_confirmed_at_a_terminal(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str, status: int, state: str
) -> None:
    """Whoever says no ends nothing; the question says what the end opens."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    _, told = for_people(capsys, "customers end acme", status)
    assert "The plan of acme (Acme Health) ends now; then its data is no longer protected" in told
    assert "from any country" in told
    assert one(capsys, "customers show acme --json")["state"] == state


def test_an_end_with_yes_asks_nobody(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there to be read."""
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert "has ended" in for_people(capsys, "customers end acme --yes")[1]


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("customers order acme --seats 5", 2, "has a plan already"),
        ("customers order nobody --seats 5", 1, "there is no customer 'nobody'"),
        ("customers enable globex", 2, "order one first"),
        ("customers end globex", 2, "has no plan"),
        ("customers end acme --at 2020-01-01T00:00:00Z", 2, "which has passed"),
        ("customers order globex --seats 5 --ordered yesterday", 2, "expected a time such as"),
        ("customers order globex --seats 5 --ordered 2020-01-01T00:00:00Z", 2, "in the last 31 days"),
        ("customers order globex --seats 5 --home USA", 2, "got the home USA"),
        ("customers add new --name New --home US", 2, "--home came without --plan"),
        ("customers add new --name New --seats 5", 2, "--seats came without --plan; name the plan"),
        ("customers add new --name New --new", 2, "--new came without --plan"),
        ("customers seats globex 5", 2, "has no plan"),
        ("customers order globex --seats 10000001", 2, "no more than ten million"),
    ],
)
def test_a_wrong_customer_line_says_what_to_do(
    desk: Path, capsys: pytest.CaptureFixture[str], line: str, status: int, says: str
) -> None:
    """Each wrong use once: its exit status, one message, and no act in the record."""
    before = len(said(capsys, "ledger tail -n 99 --json"))
    assert says in for_people(capsys, line, status)[1]
    assert len(said(capsys, "ledger tail -n 99 --json")) == before


def _backdate(config: Path, customer: str) -> None:
    """As if the plan had been due a minute ago."""
    operation = Operation(config, {})
    known = operation.state.get(Customer, customer)
    due_us = operation.clock.now_us() - 60 * SECOND_US
    operation.state.put(replace(known, plans=tuple(replace(plan, due_us=due_us) for plan in known.plans)))
    operation.close()
