"""Pushes of trackers as acts: one after another with what people do meanwhile."""

from __future__ import annotations

import threading

import pytest

from gateway.acts import Office
from gateway.acts.pushes import take_push
from gateway.acts.tickets import close_ticket, hand_off_ticket
from gateway.justification import QUEUE_AT_HOME, Answer, Grant, Ticket, TicketKind
from tests.world.office import SUPPORT, Bureau

BUG = Ticket("PAGE-7", TicketKind.BUG, ("acme",), "Crash", 1, holder="hans", pushed_by="pager")


def push(office: Office, title: str = "Crash in export") -> str:
    said = Answer(Ticket("PAGE-7", TicketKind.BUG, ("acme",), title, 1, holder="hans"))
    return take_push(office, "pager", "PAGE-7", said, is_later=False, details={"event": "e-2"})


@pytest.mark.parametrize("act", ["hand-off", "close"])
def test_push_that_waits_for_the_ledger_undoes_nothing_that_is_done_meanwhile(bureau: Bureau, act: str) -> None:
    """Whoever hands off or closes waits for the push, and what they do comes after all that it wrote."""
    bureau.state.put(BUG)
    bureau.granted(ticket="PAGE-7")
    bureau.entries.clear()
    meanwhile = hand_off_ticket if act == "hand-off" else close_ticket
    other = threading.Thread(target=lambda: meanwhile(bureau.office, SUPPORT, "PAGE-7"))

    def begin() -> None:
        bureau.also = lambda: None
        other.start()
        other.join(0.3)
        assert other.is_alive(), "it did not wait for the push"

    bureau.also = begin
    assert push(bureau.office) == "ticket.update"
    other.join(20)
    assert not other.is_alive()
    kept = bureau.state.get(Ticket, "PAGE-7")
    assert (kept.title, kept.is_open, bool(kept.handed_off_us)) == ("Crash in export", act != "close", act != "close")
    assert act == "close" or kept.holder == QUEUE_AT_HOME
    assert all(grant.revoked_us for grant in bureau.state.all(Grant))
    assert bureau.acts()[0] == ("tracker:pager", "ticket.update", "PAGE-7")


def test_push_after_a_hand_off_leaves_it_in_force(bureau: Bureau) -> None:
    """Whoever holds the ticket there, here it was handed off."""
    bureau.state.put(BUG)
    handed_off_us = hand_off_ticket(bureau.office, SUPPORT, "PAGE-7").handed_off_us
    bureau.clock.advance(60)
    push(bureau.office)
    assert bureau.state.get(Ticket, "PAGE-7").handed_off_us == handed_off_us
