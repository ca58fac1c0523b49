"""Send to US Analyst for a ticket of another system: over here first, for good, and there as often as it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from gateway.acts import Homeward, Office, Replayed
from gateway.acts.decisions import hand_over_decision
from gateway.acts.tickets import hand_off_ticket
from gateway.errors import (
    Contradicted,
    Forbidden,
    HandOffUnfinished,
    LedgerUnavailable,
    NotFound,
    Outdated,
    TrackerUnavailable,
)
from gateway.justification import QUEUE_AT_HOME, Grant, HandOff, Ticket, TicketKind
from tests.world.office import AUDITOR, REFUSAL, SUPPORT, Bureau

BUG = Ticket("SEC-9", TicketKind.BUG, ("acme",), "Crash", 1, holder="priya")
CASE = replace(BUG, kind=TicketKind.SUPPORT, severity=2)
DENIAL = {
    "id": "019a0000-0000-7000-8000-000000000001",
    "effect": "deny",
    "rules": ["outside-home"],
    "subject": "raj",
    "customer": "acme",
    "ticket": "SEC-9",
}


@dataclass
class There:
    """Another system.

    Attributes:
        ticket: what it says; None where it has none.
        down: raised where it is to write.
        saw: what the state held, when it was to write: whether the hand-off was there.
    """

    bureau: Bureau
    ticket: Ticket | None = BUG
    down: Exception | None = None
    saw: list[bool] = field(default_factory=list)

    @property
    def office(self) -> Office:
        return replace(
            self.bureau.office, homeward=lambda key: Homeward(self.find, self.send) if key == "SEC-9" else None
        )

    def find(self) -> Ticket:
        if self.ticket is None:
            raise NotFound("the tracker jira knows no SEC-9")
        return self.ticket

    def send(self) -> None:
        self.saw.append(self.bureau.state.find(HandOff, "SEC-9") is not None and bool(self.bureau.entries))
        if self.down:
            raise self.down
        assert self.ticket is not None
        self.ticket = replace(self.ticket, holder="us-desk", handed_off_us=2)


@pytest.fixture
def there(bureau: Bureau) -> There:
    """Two grants of priya's for acme, and one of raj's for another ticket."""
    grant = Grant("G-1", "R-1", "priya", "SEC-9", "acme", ("case",), ("read",), bureau.now_us, 2**62, "dana")
    bureau.state.put(grant, replace(grant, id="G-2", ticket="SEC-10"))
    bureau.state.put(replace(grant, id="G-3", ticket="SEC-10", subject="raj"))
    return There(bureau)


def ended(bureau: Bureau) -> set[str]:
    return {grant.id for grant in bureau.state.all(Grant) if grant.revoked_us}


def test_hand_off_ends_access_before_the_other_system_hears_of_it(bureau: Bureau, there: There) -> None:
    """The record names the ticket, who held it, what ended and the denial; the ticket itself stays there."""
    moved = hand_off_ticket(there.office, SUPPORT, "SEC-9", decision="019a")
    assert (moved.holder, moved.handed_off_us) == (QUEUE_AT_HOME, bureau.now_us)
    assert ended(bureau) == {"G-1", "G-2"}
    assert there.saw == [True]
    *each, entry = bureau.entries
    assert [(one["act"], one["object"]) for one in each] == [("access.revoke", "G-1"), ("access.revoke", "G-2")]
    assert (entry["actor"], entry["act"], entry["object"]) == ("sam", "ticket.handoff", "SEC-9")
    assert entry["details"] == {
        "ticket": "SEC-9",
        "customer": "acme",
        "previous": "priya",
        "ended": ["G-1", "G-2"],
        "denial": "019a",
        "actor_kind": "personnel",
    }
    assert bureau.notices()[-1] == ("ticket.handed_off", "SEC-9")
    assert bureau.history("SEC-9") == [("sam", "ticket.handoff")]
    assert bureau.state.find(Ticket, "SEC-9") is None


def test_second_hand_off_changes_nothing(bureau: Bureau, there: There) -> None:
    """Neither here nor there; grants that were given since end."""
    first = hand_off_ticket(there.office, SUPPORT, "SEC-9")
    before, since = bureau.snapshot(), len(bureau.entries)
    bureau.clock.advance(60)
    assert hand_off_ticket(there.office, SUPPORT, "SEC-9") == first
    assert (bureau.snapshot(), len(bureau.entries), there.saw) == (before, since, [True])
    bureau.state.put(replace(bureau.state.get(Grant, "G-1"), id="G-4", revoked_us=0))
    hand_off_ticket(there.office, SUPPORT, "SEC-9")
    assert "G-4" in ended(bureau)
    assert bureau.state.get(HandOff, "SEC-9").at_us == first.handed_off_us


def test_system_that_does_not_take_it_leaves_access_ended_and_is_tried_again(bureau: Bureau, there: There) -> None:
    """Whoever hands off is told what happened; the second time only the writing is left."""
    there.down = TrackerUnavailable("the tracker jira answered 500", retry_after_s=7)
    with pytest.raises(HandOffUnfinished, match=r"SEC-9 is handed off here.*answered 500; hand it off again") as found:
        hand_off_ticket(there.office, SUPPORT, "SEC-9")
    assert found.value.retry_after_s == 7
    assert ended(bureau) == {"G-1", "G-2"}
    since = len(bureau.entries)
    there.down = None
    hand_off_ticket(there.office, SUPPORT, "SEC-9")
    assert (there.saw, len(bureau.entries)) == ([True, True], since)


def test_call_that_is_made_again_with_its_key_is_written_again(bureau: Bureau, there: There) -> None:
    """The answer that is kept says nothing of what failed behind it."""
    there.down = TrackerUnavailable("the tracker jira answered 500")
    call = there.office.once(SUPPORT, "key", b"asked")
    for _ in range(2):
        with pytest.raises(HandOffUnfinished):
            hand_off_ticket(call, SUPPORT, "SEC-9")
    there.down = None
    with pytest.raises(Replayed):
        hand_off_ticket(call, SUPPORT, "SEC-9")
    assert there.saw == [True] * 3


def _ledger_refuses(bureau: Bureau, _there: There) -> None:
    bureau.refuses = REFUSAL


def _is_closed(_bureau: Bureau, there: There) -> None:
    there.ticket = replace(BUG, closed_us=2)


def _is_gone(_bureau: Bureau, there: There) -> None:
    there.ticket = None


def _is_here_too(bureau: Bureau, _there: There) -> None:
    bureau.state.put(BUG)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_ledger_refuses, LedgerUnavailable),
        (_is_closed, Contradicted),
        (_is_gone, NotFound),
        (_is_here_too, Contradicted),
    ],
)
def test_hand_off_that_cannot_be_changes_nothing(
    bureau: Bureau, there: There, damage: Callable[[Bureau, There], None], error: type[Exception]
) -> None:
    """Neither here, nor there."""
    damage(bureau, there)
    before = bureau.snapshot()
    with pytest.raises(error):
        hand_off_ticket(there.office, SUPPORT, "SEC-9")
    assert (bureau.snapshot(), there.saw) == (before, [])


def test_who_may_not_and_who_read_another_version_hands_nothing_off(bureau: Bureau, there: There) -> None:
    """As for a ticket of the embedded desk."""
    with pytest.raises(Forbidden):
        hand_off_ticket(there.office, AUDITOR, "SEC-9")
    with pytest.raises(Outdated):
        hand_off_ticket(there.office, SUPPORT, "SEC-9", expected="another")
    assert (ended(bureau), there.saw) == (set(), [])


def test_ticket_that_its_system_has_at_home_already_is_not_written_there(bureau: Bureau, there: There) -> None:
    """It may be with an analyst by now; here it is handed off for good."""
    there.ticket = replace(BUG, holder="us-desk", handed_off_us=2)
    hand_off_ticket(there.office, SUPPORT, "SEC-9")
    assert there.saw == []
    assert bureau.state.get(HandOff, "SEC-9")


def test_denial_hands_over_the_ticket_that_it_cited(bureau: Bureau, there: There) -> None:
    """Wherever that is; no case is opened beside it."""
    there.ticket = CASE
    moved = hand_over_decision(there.office, SUPPORT, DENIAL)
    assert moved.id == "SEC-9"
    assert bureau.entries[-1]["details"]["denial"] == DENIAL["id"]
    assert there.saw == [True]
    assert bureau.state.find(Ticket, "CASE-000000000001") is None


@pytest.mark.parametrize(
    "ticket",
    [None, replace(CASE, closed_us=2), replace(CASE, customers=("globex",)), BUG],
    ids=["unknown", "closed", "other customer", "no case"],
)
def test_denial_that_cited_no_ticket_that_could_be_handed_over_opens_a_case(
    bureau: Bureau, there: There, ticket: Ticket | None
) -> None:
    """Nothing is written to the other system."""
    there.ticket = ticket
    assert hand_over_decision(there.office, SUPPORT, DENIAL).id == "CASE-000000000001"
    assert there.saw == []


def test_denial_opens_a_case_where_the_system_is_not_told_of_hand_offs(bureau: Bureau) -> None:
    """The button does what can be done here."""

    def refuse(_ticket: str) -> None:
        raise Contradicted("change it there")

    office = replace(bureau.office, homeward=refuse)
    assert hand_over_decision(office, SUPPORT, DENIAL).id == "CASE-000000000001"
    with pytest.raises(Contradicted):
        hand_off_ticket(office, SUPPORT, "SEC-9")
