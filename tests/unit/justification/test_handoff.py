"""Send to US Analyst."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import UsageError
from gateway.justification import Grant, Ticket, TicketKind
from gateway.justification.handoff import QUEUE_AT_HOME, hand_off

NOW = 1_000
CASE = Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "No sound", 1, severity=3, holder="priya")
HELD = Grant("G-1", "R-1", "priya", CASE.id, "acme", ("case",), ("read",), 500, 2_000, "dana")


def test_ticket_goes_to_the_queue_and_every_grant_for_it_ends() -> None:
    """Whoever held one for this ticket, as far as it still is in force."""
    theirs = replace(HELD, id="G-2", subject="sam")
    others = [
        replace(HELD, id="G-3", ticket="CASE-6"),
        replace(HELD, id="G-4", ends_us=NOW),
        replace(HELD, id="G-5", revoked_us=NOW - 1),
    ]
    moved, ended = hand_off(CASE, [HELD, theirs, *others], now_us=NOW)
    assert moved == replace(CASE, holder=QUEUE_AT_HOME, handed_off_us=NOW)
    assert ended == [replace(HELD, revoked_us=NOW), replace(theirs, revoked_us=NOW)]


def test_second_hand_off_ends_only_what_was_granted_since() -> None:
    """The ticket is in the queue already; a grant that came later ends too."""
    moved, ended = hand_off(CASE, [HELD], now_us=NOW)
    assert hand_off(moved, ended, now_us=NOW + 1) == (moved, [])
    assert hand_off(moved, [HELD], now_us=NOW + 1) == (moved, [replace(HELD, revoked_us=NOW + 1)])


def test_ticket_that_nobody_holds_goes_to_the_queue_all_the_same() -> None:
    """And access granted for it ends: who holds a grant need not hold the ticket."""
    moved, ended = hand_off(replace(CASE, holder=""), [HELD], now_us=NOW)
    assert (moved.holder, [grant.id for grant in ended]) == (QUEUE_AT_HOME, ["G-1"])


def test_closed_ticket_is_not_handed_off() -> None:
    """There is nothing left to do for it."""
    with pytest.raises(UsageError, match="CASE-5 is closed"):
        hand_off(replace(CASE, closed_us=NOW), [], now_us=NOW)
