"""Why what somebody was granted, or asked for, does not help."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from gateway.catalog import Action, Resource, Scope
from gateway.justification import (
    AccessRequest,
    Desk,
    Grant,
    RequestState,
    Ticket,
    TicketKind,
    Usage,
    shortfall,
)

SECOND_US = 1_000_000
NOW = 100 * SECOND_US
RESOURCE = Resource("crm", "conversation", "acme", Action.READ, Scope.ONE)
BUG = Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash in export", 1)
GRANT = Grant("G-1", "R-1", "priya", "BUG-9", "acme", ("conversation",), ("read",), 1, 2 * NOW, "dana")
ASKED = AccessRequest("R-2", "priya", "BUG-9", "acme", ("conversation",), ("read",), "why", 60, 1)
JWS = "eyJhbGciOiJub25lIn0.canary.canary"


def said(*nouns: Any, cited: str = "BUG-9", fresh: bool = True) -> tuple[str, ...]:
    held = Desk(lambda: fresh)
    for noun in nouns:
        held.put(noun)
    return shortfall(held, subject="priya", resource=RESOURCE, cited=cited, now_us=NOW)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"revoked_us": NOW, "why": "found it"}, "G-1 was revoked at 1970-01-01T00:01:40.000000Z: found it"),
        ({"revoked_us": NOW, "why": f"see {JWS}"}, "G-1 was revoked at 1970-01-01T00:01:40.000000Z: see ***"),
        ({"ends_us": NOW}, "G-1 ended at 1970-01-01T00:01:40.000000Z"),
        ({"starts_us": NOW + 1}, "G-1 begins at 1970-01-01T00:01:40.000001Z"),
        ({"data_classes": ("case",)}, "G-1 covers case, not conversation"),
        ({"actions": ("write",)}, "G-1 allows write, not read"),
        ({"customer": "globex"}, "G-1 is for globex, not for acme"),
        ({"ticket": "BUG-1"}, "G-1 is for BUG-1; cite that"),
        ({"max_requests": 1, "ended_us": NOW}, "G-1 was used up at 1970-01-01T00:01:40.000000Z"),
        ({"max_requests": 1}, "G-1 is used up"),
    ],
)
def test_a_grant_that_does_not_help_says_why(changed: dict[str, Any], expected: str) -> None:
    """The first thing that is in its way, and when that began."""
    assert said(BUG, replace(GRANT, **changed), Usage("G-1", 1, 1)) == (expected,)


def test_a_ticket_that_no_longer_carries_a_grant_is_named() -> None:
    """Closed, about another customer, or not known at this moment."""
    assert said(replace(BUG, closed_us=NOW), GRANT) == ("G-1 is for BUG-9, which is closed",)
    assert said(replace(BUG, customers=("globex",)), GRANT) == ("G-1 is for BUG-9, which does not name acme",)
    assert said(GRANT) == ("G-1 is for BUG-9, of which nothing is known now",)


def test_a_request_says_what_it_waits_for() -> None:
    """Of the caller's own, undecided and in time."""
    assert said(BUG, ASKED) == ("R-2 still waits for 1 more approver",)
    assert said(BUG, replace(ASKED, state=RequestState.DENIED)) == ()
    assert said(BUG, replace(ASKED, answer_by_us=NOW)) == ()


def test_several_grants_that_fit_ask_for_a_ticket() -> None:
    """Nothing is cited, and there is doubt which issue it is for."""
    other, second = replace(BUG, id="BUG-10"), replace(GRANT, id="G-3", ticket="BUG-10")
    expected = "several of your grants fit; cite the ticket of one of them (BUG-10, BUG-9)"
    assert said(BUG, other, GRANT, second, cited="") == (expected,)


def test_nothing_is_said_of_what_others_have_nor_of_what_may_be_old() -> None:
    """Whose it is not learns nothing of it."""
    theirs = replace(GRANT, subject="raj", revoked_us=NOW), replace(ASKED, subject="raj")
    assert said(BUG, *theirs) == ()
    assert said(BUG, replace(GRANT, revoked_us=NOW), fresh=False) == ()


def test_the_grant_that_comes_nearest_is_spoken_of() -> None:
    """One that covers what is asked for goes before one of another class, however new that is."""
    other = replace(GRANT, id="G-3", data_classes=("case",), starts_us=50)
    assert said(BUG, other, replace(GRANT, ends_us=NOW)) == ("G-1 ended at 1970-01-01T00:01:40.000000Z",)


def past(count: int) -> list[Any]:
    """What somebody had and asked for over the years, nothing of which goes on."""
    grants = [replace(GRANT, id=f"G-{1_000 + number}", revoked_us=number + 1) for number in range(count)]
    return [*grants, *(replace(ASKED, id=f"R-{number}", state=RequestState.DENIED) for number in range(count))]


@pytest.mark.parametrize("waiting", [False, True], ids=["decided", "waiting"])
def test_a_long_past_makes_no_denial_dearer(monkeypatch: pytest.MonkeyPatch, waiting: bool) -> None:
    """Of 10,000 grants and requests a few hundred are looked at, the last that changed among them."""
    module, looked = sys.modules["gateway.justification.shortfall"], []
    concerns = getattr(module, "_concerns")  # noqa: B009 - the module's own
    monkeypatch.setattr(module, "_concerns", lambda noun, *more: looked.append(noun) or concerns(noun, *more))
    asked = [replace(ASKED, id=f"R-{number}", requested_us=number) for number in range(10_000)] if waiting else []
    lacks = said(BUG, *past(10_000), *asked)
    assert lacks[0] == "G-10999 was revoked at 1970-01-01T00:00:00.010000Z"
    assert lacks[1:] == (("R-9999 still waits for 1 more approver",) if waiting else ())
    assert 0 < len(looked) <= 400


@pytest.mark.parametrize("cited", ["", "BUG-9"])
def test_a_long_past_makes_no_decision_dearer(monkeypatch: pytest.MonkeyPatch, cited: str) -> None:
    """Only the grants that may count are held against what is asked for."""
    covers, held = Grant.covers, []
    monkeypatch.setattr(Grant, "covers", lambda grant, **more: held.append(grant) or covers(grant, **more))
    desk = Desk()
    for noun in (BUG, *past(10_000), GRANT):
        desk.put(noun)
    found = desk.justify(subject="priya", resource=RESOURCE, cited=cited, reason="", now_us=NOW)
    assert (found.grant, held) == (GRANT, [GRANT])


def test_what_goes_on_is_spoken_of_however_much_ended_since() -> None:
    """A grant for another class is near, and those that ended after it do not push it out."""
    other = replace(GRANT, data_classes=("case",), starts_us=NOW - 1)
    assert said(BUG, other, *(replace(noun, data_classes=("case",)) for noun in past(500))) == (
        "G-1 covers case, not conversation",
    )
