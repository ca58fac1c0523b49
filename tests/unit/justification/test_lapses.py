"""What a tracker's answer ends for good, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.justification import (
    AccessRequest,
    Answer,
    Authorization,
    Desk,
    Grant,
    Hanging,
    Lapse,
    RequestState,
    Ticket,
    TicketKind,
)
from gateway.justification.lapses import lapse_of

BUG = Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash", 1, holder="priya")
GRANT = Grant("G-1", "R-1", "priya", "BUG-9", "acme", ("case",), ("read",), 0, 2**62, "dana")
ASKED = AccessRequest("R-2", "raj", "BUG-9", "acme", ("case",), ("read",), "why", 60, 1)
GIVEN = Authorization("A-1", "acme", "Ada of Acme", "BUG-9", ("case",), ("read",), 1, 0)
UNUSABLE = Answer(problem="BUG-9 cannot be used", said={"kind": ("Task",)})
UNKNOWN = Answer(problem="the tracker jira knows no BUG-9")


@pytest.mark.parametrize(
    ("answer", "act", "ended"),
    [
        (Answer(BUG), "", []),
        (Answer(replace(BUG, holder="raj", title="Another")), "", []),
        (UNKNOWN, "", []),
        (Answer(replace(BUG, closed_us=2)), "ticket.close", [GRANT, ASKED, GIVEN]),
        (UNUSABLE, "ticket.close", [GRANT, ASKED, GIVEN]),
        (Answer(replace(BUG, handed_off_us=2)), "ticket.handoff", [GRANT]),
        (Answer(replace(BUG, customers=("globex",))), "ticket.update", [GRANT, ASKED, GIVEN]),
        (Answer(replace(BUG, kind=TicketKind.SUPPORT)), "ticket.update", [GRANT, ASKED]),
    ],
    ids=["open", "other holder", "not shown", "closed", "unusable", "home", "other customer", "no bug"],
)
def test_answer_ends_what_the_ticket_no_longer_carries(answer: Answer, act: str, ended: list[Hanging]) -> None:
    """As it would have to be for what hangs on it to be granted; what is not shown is not known to have ended."""
    hanging = (GRANT, ASKED, GIVEN)
    lapse = lapse_of("BUG-9", Answer(BUG), answer, hanging)
    assert (lapse.act if lapse else "") == act
    assert [noun for noun in hanging if lapse and not lapse.carries(noun)] == ended


def test_ticket_on_which_nothing_hangs_lapses_only_where_its_holder_loses_more() -> None:
    """Who held it until it went home may have been granted more of its customer's data."""
    home = Answer(replace(BUG, handed_off_us=2, holder="us-queue"))
    assert lapse_of("BUG-9", Answer(BUG), Answer(replace(BUG, closed_us=2)), ()) is None
    assert lapse_of("BUG-9", Answer(BUG), home, ()) == Lapse("BUG-9", home.ticket, "priya")
    assert lapse_of("BUG-9", home, home, ()) is None
    assert lapse_of("BUG-9", None, home, ()) is None


def test_desk_keeps_a_lapse_until_it_is_taken_out() -> None:
    """Once, however often it is heard, though the ticket is open again; of what has ended there is none."""
    desk, closed = Desk(), Answer(replace(BUG, closed_us=2))
    for noun in (GRANT, ASKED, GIVEN):
        desk.put(noun)
    for answer in (closed, closed, Answer(BUG)):
        desk.hear("BUG-9", None, answer)
    assert [lapse.act for lapse in desk.lapses] == ["ticket.close"]
    desk.lapses.clear()
    for noun in (
        replace(GRANT, revoked_us=3),
        replace(ASKED, state=RequestState.WITHDRAWN),
        replace(GIVEN, withdrawn_us=3),
    ):
        desk.put(noun)
    desk.hear("BUG-9", None, closed)
    assert not desk.lapses
    assert desk.hanging("BUG-9") == ()
