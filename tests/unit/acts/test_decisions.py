"""Send to US Analyst from a denial: the case that is opened for it is its own, whatever else has its id."""

from __future__ import annotations

from dataclasses import replace

from gateway.acts import Actor
from gateway.acts.decisions import hand_over_decision
from gateway.acts.tickets import close_ticket
from gateway.justification import QUEUE_AT_HOME, Ticket
from tests.world.office import SUPPORT, Bureau

RAJ = Actor("raj", frozenset({"support"}))
DENIAL = {
    "id": "01a20a8b-2bf8-77b3-a86a-57940c1204fa",
    "effect": "deny",
    "rules": ["outside-home"],
    "subject": "raj",
    "customer": "acme",
    "ticket": "",
    "action": "read",
    "data_class": "case",
}
ANOTHER = "01a20a8b-2bf8-77b3-b111-57940c1204fa"
SHORT, WHOLE = "CASE-57940C1204FA", "CASE-01A20A8B2BF877B3A86A57940C1204FA"


def test_case_of_a_denial_ends_as_that_does_and_is_opened_once(bureau: Bureau) -> None:
    """A second press finds the same case."""
    case = hand_over_decision(bureau.office, RAJ, DENIAL)
    assert (case.id, case.holder, case.customers) == (SHORT, QUEUE_AT_HOME, ("acme",))
    before = bureau.snapshot()
    assert hand_over_decision(bureau.office, RAJ, DENIAL) == case
    assert bureau.snapshot() == before


def test_case_of_another_with_that_id_is_left_alone(bureau: Bureau) -> None:
    """Somebody opened a ticket with the id that the denial's case would have; another denial ends alike."""
    theirs = bureau.case(SHORT, "globex", holder="erin")
    case = hand_over_decision(bureau.office, RAJ, DENIAL)
    assert (case.id, case.customers) == (WHOLE, ("acme",))
    assert hand_over_decision(bureau.office, RAJ, DENIAL) == case
    assert bureau.state.get(Ticket, SHORT) == theirs
    other = hand_over_decision(bureau.office, RAJ, DENIAL | {"id": ANOTHER})
    assert other.id not in (SHORT, WHOLE)
    assert bureau.state.get(Ticket, WHOLE) == case


def test_another_denial_of_the_same_leads_to_the_case_that_is_open_for_it(bureau: Bureau) -> None:
    """Of one person, customer and path; closed, it leads there no longer, but both denials go on doing so."""
    denials = {
        id_: DENIAL | {"id": id_, "path": path, **more}
        for id_, path, more in (
            ("d-1", "/crm/acme/cases/1", {}),
            ("d-2", "/crm/acme/cases/1", {}),
            ("d-3", "/crm/acme/cases/2", {}),
            ("d-4", "/crm/acme/cases/1", {"subject": "rita"}),
            ("d-5", "/crm/acme/cases/1", {}),
        )
    }

    def press(id_: str) -> Ticket:
        actor = replace(RAJ, name=str(denials[id_]["subject"]))
        return hand_over_decision(bureau.office, actor, denials[id_], earlier=denials.get)

    first = press("d-1")
    assert press("d-2").id == first.id
    assert len({first.id, press("d-3").id, press("d-4").id}) == 3
    assert "/crm" not in first.title
    assert "read case that raj could not do" in first.title
    closed = close_ticket(bureau.office, SUPPORT, first.id)
    assert (press("d-1"), press("d-2")) == (closed, closed)
    assert press("d-5").id != first.id
