"""Send to US Analyst from a denial: which ticket it leads to, for whom, and that it is the same one for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.acts import Actor
from gateway.acts.decisions import hand_over_decision
from gateway.acts.tickets import assign_ticket, close_ticket
from gateway.justification import QUEUE_AT_HOME, Ticket
from tests.world.office import OPERATOR, SUPPORT, Bureau

RAJ = Actor("raj", frozenset({"support"}))
DENIAL = {
    "id": "01a20a8b-2bf8-77b3-a86a-57940c1204fa",
    "effect": "deny",
    "rules": ["outside-home"],
    "subject": "raj",
    "customer": "acme",
    "ticket": "CASE-5",
    "action": "read",
    "data_class": "case",
}
CASE = "CASE-57940C1204FA"


def pressed(bureau: Bureau, *, ticket: str = "CASE-5", sees: Callable[[Ticket], bool] = lambda _ticket: True) -> Ticket:
    return hand_over_decision(bureau.office, RAJ, DENIAL | {"ticket": ticket}, sees=sees)


def test_case_cited_is_handed_off_and_the_record_names_the_denial(bureau: Bureau) -> None:
    """It was in the queue already: the press is on record all the same, once, and nobody is told of nothing."""
    before, since = bureau.case(), len(bureau.entries)
    pressed(bureau)
    told = bureau.notices()
    assert bureau.state.get(Ticket, "CASE-5") == replace(before, handed_off_us=bureau.now_us)
    other = DENIAL | {"id": "01a20a8b-0000-77b3-a86a-000000000000"}
    for _ in range(2):
        assert hand_over_decision(bureau.office, RAJ, other).id == "CASE-5"
    assert [entry["details"]["denial"] for entry in bureau.entries[since:]] == [DENIAL["id"], other["id"]]
    assert bureau.notices() == told


@pytest.mark.parametrize("ticket", ["", "INC-7", "BUG-9", "CASE-6", "CASE-0", "none"])
def test_whatever_else_was_cited_stays_as_it_is(bureau: Bureau, ticket: str) -> None:
    """None, an incident, a bug, another customer's case, one that is closed: a case is opened for the denial."""
    bureau.incident(), bureau.bug(), bureau.case("CASE-6", "globex"), bureau.case("CASE-0")
    close_ticket(bureau.office, OPERATOR, "CASE-0")
    before = {one.id: one for one in bureau.state.all(Ticket)}
    case = pressed(bureau, ticket=ticket)
    assert (case.id, case.holder, case.customers) == (CASE, QUEUE_AT_HOME, ("acme",))
    assert {one.id: one for one in bureau.state.all(Ticket)} == before | {CASE: case}


def test_ticket_that_the_actor_may_not_see_is_as_if_it_were_not_cited(bureau: Bureau) -> None:
    """Nobody shuts off what is hidden from them."""
    hidden = bureau.case()
    assert pressed(bureau, sees=lambda ticket: ticket.id != "CASE-5").id == CASE
    assert bureau.state.get(Ticket, "CASE-5") == hidden


@pytest.mark.parametrize("ticket", ["CASE-5", ""])
def test_denial_leads_to_the_same_ticket_for_ever(bureau: Bureau, ticket: str) -> None:
    """With whoever has it by now, and closed: no second case, and nothing more is written."""
    bureau.case()
    first = pressed(bureau, ticket=ticket)
    taken = assign_ticket(bureau.office, SUPPORT, first.id, holder="sam")
    assert pressed(bureau, ticket=ticket) == taken
    closed = close_ticket(bureau.office, SUPPORT, first.id)
    before = bureau.snapshot()
    assert pressed(bureau, ticket=ticket) == closed
    assert bureau.snapshot() == before
