"""Send to US Analyst."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import UsageError
from gateway.justification import Grant, Ticket, TicketKind
from gateway.justification.handoff import QUEUE_AT_HOME, hand_off, loser

NOW = 1_000
CASE = Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "No sound", 1, severity=3, holder="priya")
WHY = "CASE-5 was handed to a US analyst"
HELD = Grant("G-1", "R-1", "priya", CASE.id, "acme", ("case",), ("read",), 500, 2_000, "dana")


def test_ticket_goes_to_the_queue_and_every_grant_for_it_ends() -> None:
    """Whoever held one for this ticket, as far as it still is in force; and its holder's others for its customers."""
    theirs = replace(HELD, id="G-2", subject="sam")
    others = [
        replace(HELD, id="G-3", ticket="CASE-6", subject="sam"),
        replace(HELD, id="G-6", ticket="CASE-6", customer="globex"),
        replace(HELD, id="G-4", ends_us=NOW),
        replace(HELD, id="G-5", revoked_us=NOW - 1),
    ]
    elsewhere = replace(HELD, id="G-7", ticket="CASE-6")
    moved, ended = hand_off(CASE, [HELD, theirs, elsewhere, *others], now_us=NOW)
    assert moved == replace(CASE, holder=QUEUE_AT_HOME, handed_off_us=NOW)
    assert ended == [replace(grant, revoked_us=NOW, why=WHY) for grant in (HELD, theirs, elsewhere)]


def test_second_hand_off_ends_only_what_was_granted_since() -> None:
    """The ticket is in the queue already; a grant that came later ends too."""
    moved, ended = hand_off(CASE, [HELD], now_us=NOW)
    assert hand_off(moved, ended, now_us=NOW + 1) == (moved, [])
    assert hand_off(moved, [HELD], now_us=NOW + 1) == (moved, [replace(HELD, revoked_us=NOW + 1, why=WHY)])


def test_ticket_that_nobody_holds_goes_to_the_queue_all_the_same() -> None:
    """And access granted for it ends: who holds a grant need not hold the ticket."""
    moved, ended = hand_off(replace(CASE, holder=""), [HELD], now_us=NOW)
    assert (moved.holder, [grant.id for grant in ended]) == (QUEUE_AT_HOME, ["G-1"])


def test_closed_ticket_is_not_handed_off() -> None:
    """There is nothing left to do for it."""
    with pytest.raises(UsageError, match="CASE-5 is closed"):
        hand_off(replace(CASE, closed_us=NOW), [], now_us=NOW)


def test_who_works_on_it_at_home_keeps_it_and_what_they_have_elsewhere() -> None:
    """Only what hangs on this ticket ends; the second time nothing is left to do."""
    case, elsewhere = replace(CASE, holder="sam", holder_country="US"), replace(HELD, subject="sam", ticket="CASE-6")
    moved, ended = hand_off(case, [HELD, elsewhere], now_us=NOW, home={"US"})
    assert moved == replace(case, handed_off_us=NOW)
    assert [grant.id for grant in ended] == [HELD.id]
    assert hand_off(moved, ended, now_us=NOW + 1, home={"US"}) == (moved, [])
    assert hand_off(case, [], now_us=NOW, home={"CA"})[0].holder == QUEUE_AT_HOME


def test_security_ticket_that_is_handed_off_bars_only_who_held_it_abroad() -> None:
    """It goes to the queue; whoever else looks into it has a reason of their own."""
    incident = replace(CASE, kind=TicketKind.SECURITY, severity=0, holder_country="IN")
    assert hand_off(incident, [], now_us=NOW)[0] == replace(incident, holder=QUEUE_AT_HOME, holder_country="")
    assert loser(incident, {"US"}) == "priya"
    assert loser(replace(incident, holder_country=""), {"US"}) == "priya", "where they work is not known"
    assert loser(replace(incident, holder_country="US"), {"US"}) == ""
    assert loser(replace(incident, holder=QUEUE_AT_HOME, holder_country=""), {"US"}) == ""
    assert loser(replace(incident, holder=""), {"US"}) == ""
    assert loser(CASE, {"US"}) == "", "a case bars everybody"
