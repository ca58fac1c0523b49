"""What a ticket of another system no longer carries: ended by the steward, once, on record, never to begin again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import LedgerUnavailable
from gateway.justification import AccessRequest, Authorization, Grant, Lapse, RequestState, Ticket, TicketKind
from tests.world.office import REFUSAL, Bureau

BUG = Ticket("SEC-9", TicketKind.BUG, ("acme",), "Crash", 1, holder="priya")
CLOSED = Lapse("SEC-9", replace(BUG, closed_us=2))
HOME = Lapse("SEC-9", replace(BUG, holder="us-desk", handed_off_us=2), holder="priya")
FAR_US = 2**62
REVOKED, WITHDRAWN = ("grant.revoked", "G-1"), ("access.withdrawn", "R-2")
TAKEN_BACK = ("authorization.withdrawn", "A-1")


@pytest.fixture
def hung(bureau: Bureau) -> Bureau:
    """A grant, a request and an authorization hang on SEC-9; priya has another grant, raj one for another ticket."""
    now_us = bureau.now_us
    grant = Grant("G-1", "R-1", "priya", "SEC-9", "acme", ("case",), ("read",), now_us, FAR_US, "dana")
    bureau.state.put(
        grant,
        replace(grant, id="G-2", ticket="SEC-10"),
        replace(grant, id="G-3", ticket="SEC-10", subject="raj"),
        AccessRequest("R-2", "raj", "SEC-9", "acme", ("case",), ("read",), "why", 60, now_us),
        Authorization("A-1", "acme", "Ada of Acme", "SEC-9", ("case",), ("read",), now_us, 0),
    )
    return bureau


def ended(bureau: Bureau) -> set[str]:
    grants = {grant.id for grant in bureau.state.all(Grant) if grant.revoked_us}
    asked = {one.id for one in bureau.state.all(AccessRequest) if one.state is RequestState.WITHDRAWN}
    return grants | asked | {one.id for one in bureau.state.all(Authorization) if one.withdrawn_us}


def attend(bureau: Bureau, *lapses: Lapse) -> int:
    steward = bureau.steward
    steward.lapses.extend(lapses)
    return steward.attend()


@pytest.mark.parametrize(
    ("lapse", "gone", "told"),
    [
        (CLOSED, {"G-1", "R-2", "A-1"}, [REVOKED, WITHDRAWN, TAKEN_BACK]),
        (Lapse("SEC-9", None), {"G-1", "R-2", "A-1"}, [REVOKED, WITHDRAWN, TAKEN_BACK]),
        (Lapse("SEC-9", replace(BUG, kind=TicketKind.SUPPORT)), {"G-1", "R-2"}, [REVOKED, WITHDRAWN]),
        (HOME, {"G-1", "G-2", "R-2"}, [REVOKED, ("grant.revoked", "G-2"), WITHDRAWN, ("ticket.handed_off", "SEC-9")]),
    ],
    ids=["closed", "unusable", "no bug", "home"],
)
def test_lapse_ends_what_hangs_on_the_ticket(
    hung: Bureau, lapse: Lapse, gone: set[str], told: list[tuple[str, str]]
) -> None:
    """In one entry that names all of it, with the notices of an ending; nothing of a ticket is kept here."""
    before = len(hung.notices())
    assert attend(hung, lapse) == 1
    assert ended(hung) == gone
    *each, entry = hung.entries
    assert {one["object"] for one in each} == gone
    assert (entry["actor"], entry["act"], entry["object"]) == ("gateway", lapse.act, "SEC-9")
    assert set(entry["details"]["ended"]) == gone
    assert (entry["details"]["customer"], entry["details"]["why"]) == ("acme", lapse.why)
    assert hung.notices()[before:] == told
    assert hung.state.find(Ticket, "SEC-9") is None


def test_lapse_that_ends_nothing_more_leaves_no_trace(hung: Bureau) -> None:
    """Another node ended it first."""
    attend(hung, CLOSED)
    before, since = hung.snapshot(), len(hung.entries)
    attend(hung, CLOSED)
    assert (hung.snapshot(), len(hung.entries)) == (before, since)


def test_ledger_that_refuses_leaves_the_lapse_for_the_next_time(hung: Bureau) -> None:
    """Nothing ends before it is on record, and nothing is forgotten."""
    steward = hung.steward
    steward.lapses.append(CLOSED)
    hung.refuses = REFUSAL
    with pytest.raises(LedgerUnavailable):
        steward.attend()
    assert ended(hung) == set()
    hung.refuses = None
    assert steward.attend() == 1
    assert ended(hung) == {"G-1", "R-2", "A-1"}
    assert not steward.lapses
