"""What a denial says beside the rule: what was not cited, and why what the caller was granted does not help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.attempt import Attempt, Decision
from gateway.catalog import Action, Resource, Scope
from gateway.explanation import NOTHING_CITED, Explainer
from gateway.identity import Kind, Principal
from gateway.justification import Desk, Grant, Justification, Ticket, TicketKind
from gateway.location import Location
from gateway.policy import Effect, Plan, Verdict

PRIYA = Principal("priya", "https://idp.example/", Kind.PERSONNEL, frozenset({"engineer"}))
RESOURCE = Resource("crm", "conversation", "acme", Action.READ, Scope.ONE)
BUG = Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash in export", 1)
REVOKED = Grant("G-1", "R-1", "priya", "BUG-9", "acme", ("conversation",), ("read",), 1, 10**9, "dana", revoked_us=5)


def detail(*nouns: Any, rule: str = "outside-home", cited: str = "", **changed: Any) -> str:
    desk = Desk()
    for noun in nouns:
        desk.put(noun)
    attempt = Attempt(
        principal=changed.get("principal", PRIYA),
        location=Location("49.36.0.1", ()),
        resource=changed.get("resource", RESOURCE),
        justification=Justification(cited=cited),
        time_us=10,
        home=frozenset({"US"}),
        plan=Plan.IN_EFFECT,
        plan_id="P-1",
        target=None,
        route=None,
    )
    decision = Decision("1", attempt, Verdict(Effect.DENY, (rule,), ""), "p@1")
    return Explainer(lambda us: us, desk=desk).explain(decision).detail


@pytest.mark.parametrize("rule", ["outside-home", "location-unassured", "role"])
def test_a_denial_without_a_ticket_names_the_header(rule: str) -> None:
    """Where a ticket could have helped."""
    assert detail(rule=rule).endswith(NOTHING_CITED)


def test_a_denial_that_no_ticket_would_change_does_not_speak_of_it() -> None:
    """Another rule, a customer's own user, an answer about several customers; nor where one was cited."""
    said = (
        detail(rule="storage-home"),
        detail(principal=replace(PRIYA, kind=Kind.CUSTOMER)),
        detail(resource=RESOURCE._replace(scope=Scope.MANY)),
        detail(cited="BUG-10"),
    )
    assert [text for text in said if NOTHING_CITED in text] == []


def test_a_grant_that_is_over_is_spoken_of_whether_or_not_its_ticket_is_cited() -> None:
    """In place of the hint at the header."""
    for cited in ("", "BUG-9"):
        assert detail(BUG, REVOKED, cited=cited).endswith("G-1 was revoked at 1970-01-01T00:00:00.000005Z.")
