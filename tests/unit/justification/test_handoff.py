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


def test_ticket_goes_to_the_queue_and_its_holders_access_for_it_ends() -> None:
    """Only what this holder holds for this ticket, and still is in force."""
    others = [
        replace(HELD, id="G-2", subject="sam"),
        replace(HELD, id="G-3", ticket="CASE-6"),
        replace(HELD, id="G-4", ends_us=NOW),
        replace(HELD, id="G-5", revoked_us=NOW - 1),
    ]
    moved, ended = hand_off(CASE, [HELD, *others], now_us=NOW)
    assert moved == replace(CASE, holder=QUEUE_AT_HOME)
    assert ended == [replace(HELD, revoked_us=NOW)]


def test_second_hand_off_changes_nothing() -> None:
    """It is in the queue already."""
    moved, _ = hand_off(CASE, [], now_us=NOW)
    assert hand_off(moved, [HELD], now_us=NOW + 1) == (moved, [])


def test_ticket_that_nobody_holds_ends_nobodys_access() -> None:
    """It goes to the queue all the same."""
    moved, ended = hand_off(replace(CASE, holder=""), [HELD], now_us=NOW)
    assert (moved.holder, ended) == (QUEUE_AT_HOME, [])


def test_closed_ticket_is_not_handed_off() -> None:
    """There is nothing left to do for it."""
    with pytest.raises(UsageError, match="CASE-5 is closed"):
        hand_off(replace(CASE, closed_us=NOW), [], now_us=NOW)
