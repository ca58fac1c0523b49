"""What time alone brings about is told once, and at its time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.customers import CustomerPlan
from gateway.clock import SECOND_US
from gateway.justification import QUEUE_AT_HOME, AccessRequest, Grant, RequestState, Ticket, TicketKind, Usage
from gateway.notification import Notice, Outlook
from gateway.notification.reminders import LOOK_BACK_US, due
from gateway.settings import NoticeSettings

HOUR_US = 3_600 * SECOND_US
WAITING = ["ticket.waiting"]
NOW_US = 1_800_000_000 * SECOND_US
SETTINGS = NoticeSettings()
ASKED = AccessRequest("R-1", "priya", "BUG-9", "acme", ("case",), ("read",), "secret reason", 3_600, NOW_US)
GRANT = Grant("G-1", "R-1", "priya", "BUG-9", "acme", ("case",), ("read",), NOW_US, NOW_US + 4 * HOUR_US, "dana")
CASE = Ticket("CASE-5", TicketKind.SUPPORT, ("acme", "globex"), "No sound", NOW_US, severity=3, holder=QUEUE_AT_HOME)
CRITICAL, QUARTER_US = replace(CASE, severity=1), HOUR_US // 4
PLAN = CustomerPlan("P-1", "us-only", ("US",), 400, NOW_US, NOW_US + 48 * HOUR_US)


def told(outlook: Outlook, after_us: int, given_: set[str] | None = None, **settings: Any) -> list[Notice]:
    found = due(outlook, settings=NoticeSettings(**settings), now_us=NOW_US + after_us, given=given_ or set())
    return [notice for _, notice in found]


def types(outlook: Outlook, after_us: int, **settings: Any) -> list[str]:
    return [notice.type for notice in told(outlook, after_us, **settings)]


@pytest.mark.parametrize(
    ("outlook", "after_us", "expected"),
    [
        (Outlook(requests=[ASKED]), 4 * HOUR_US - 1, []),
        (Outlook(requests=[ASKED]), 4 * HOUR_US, ["access.reminder"]),
        (Outlook(requests=[ASKED]), 4 * HOUR_US + LOOK_BACK_US, []),
        (Outlook(requests=[replace(ASKED, state=RequestState.DENIED)]), 4 * HOUR_US, []),
        (Outlook(requests=[replace(ASKED, state=RequestState.APPROVED)]), 4 * HOUR_US, []),
        (Outlook(grants=[GRANT]), 4 * HOUR_US - 900 * SECOND_US - 1, []),
        (Outlook(grants=[GRANT]), 4 * HOUR_US - 900 * SECOND_US, ["grant.ending"]),
        (Outlook(grants=[GRANT]), 4 * HOUR_US - 1, ["grant.ending"]),
        (Outlook(grants=[GRANT]), 4 * HOUR_US, ["grant.expired"]),
        (Outlook(grants=[GRANT]), 4 * HOUR_US + LOOK_BACK_US, []),
        (Outlook(grants=[replace(GRANT, revoked_us=NOW_US)]), 4 * HOUR_US, []),
        (Outlook(grants=[replace(GRANT, ends_us=NOW_US + HOUR_US // 4)]), 1, []),
        (Outlook(plans=[("acme", PLAN)]), 24 * HOUR_US - 1, []),
        (Outlook(plans=[("acme", PLAN)]), 24 * HOUR_US, ["plan.reminder"]),
        (Outlook(plans=[("acme", PLAN)]), 48 * HOUR_US, ["plan.due"]),
        (Outlook(plans=[("acme", replace(PLAN, enabled_us=NOW_US))]), 48 * HOUR_US, []),
        (Outlook(plans=[("acme", replace(PLAN, ends_us=NOW_US))]), 48 * HOUR_US, []),
        (Outlook(plans=[("acme", replace(PLAN, ends_us=NOW_US + 90 * HOUR_US))]), 48 * HOUR_US, ["plan.due"]),
        (Outlook(cases=[(CRITICAL, NOW_US)]), QUARTER_US - 1, []),
        (Outlook(cases=[(CRITICAL, NOW_US)]), QUARTER_US, ["ticket.waiting"]),
        (Outlook(cases=[(CRITICAL, NOW_US + 5)]), QUARTER_US, []),
        (Outlook(cases=[(CRITICAL, NOW_US)]), QUARTER_US + LOOK_BACK_US, []),
        (Outlook(cases=[(replace(CRITICAL, holder="sam"), NOW_US)]), QUARTER_US, []),
        (Outlook(cases=[(replace(CRITICAL, closed_us=NOW_US + 1), NOW_US)]), QUARTER_US, []),
        (Outlook(cases=[(CASE, NOW_US)]), HOUR_US - 1, []),
        (Outlook(cases=[(CASE, NOW_US)]), HOUR_US, ["ticket.waiting"]),
        (Outlook(cases=[(replace(CASE, queued_until_us=NOW_US + 9 * HOUR_US), NOW_US)]), 10 * HOUR_US - 1, []),
        (Outlook(cases=[(replace(CASE, queued_until_us=NOW_US + 9 * HOUR_US), NOW_US)]), 10 * HOUR_US, WAITING),
    ],
)
def test_each_is_told_at_its_time(outlook: Outlook, after_us: int, expected: list[str]) -> None:
    """Neither before, nor when it has been overtaken, nor long afterwards."""
    assert types(outlook, after_us) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage("G-1", 9, 99), []),
        (Usage("G-1", 10, 0), ["grant.exhausted"]),
        (Usage("G-1", 0, 100), ["grant.exhausted"]),
    ],
)
def test_grant_that_is_used_up_is_told(usage: Usage, expected: list[str]) -> None:
    """By requests or by bytes."""
    grant = replace(GRANT, max_requests=10, max_bytes=100)
    assert types(Outlook(grants=[grant], usages={"G-1": usage}), 1) == expected
    assert types(Outlook(grants=[GRANT], usages={"G-1": usage}), 1) == []


@pytest.mark.parametrize("ended_us", [0, NOW_US + HOUR_US])
def test_after_a_grant_was_used_up_nothing_more_is_told_of_it(ended_us: int) -> None:
    """Neither that it is about to end, nor that it has expired; used up shortly before its end is told after it."""
    grant = replace(GRANT, max_requests=1, ended_us=ended_us)
    outlook = Outlook(grants=[grant], usages={"G-1": Usage("G-1", 1, 0)})
    given_ = {mark for mark, _ in due(outlook, settings=SETTINGS, now_us=NOW_US + HOUR_US, given=set())}
    assert given_ == {"grant.exhausted:G-1"}
    for after_us in (4 * HOUR_US - 1, 4 * HOUR_US, 5 * HOUR_US):
        assert told(outlook, after_us, given_) == []
        assert types(outlook, after_us) == ["grant.exhausted"]
    assert told(outlook, 5 * HOUR_US, {"grant.expired:G-1"}) == []  # what is counted late tells nothing new


def test_grant_that_was_seen_to_end_before_its_time_was_used_up() -> None:
    """Its usage may be written later."""
    outlook = Outlook(grants=[replace(GRANT, max_requests=1, ended_us=NOW_US + 1)])
    assert [types(outlook, after_us) for after_us in (2, 4 * HOUR_US)] == [["grant.exhausted"]] * 2


def test_case_is_waited_for_while_support_is_open() -> None:
    """An hour after support opens, and not at night; a critical one at any time."""
    opens_us = NOW_US + 9 * HOUR_US  # nobody is there before, and nobody from half an hour after now on

    def window(instant_us: int) -> int:
        return max(instant_us, opens_us) if instant_us >= NOW_US + HOUR_US // 2 else instant_us

    evening = Outlook(cases=[(CASE, NOW_US)], opens_us=window)
    assert [types(evening, after_us) for after_us in (HOUR_US, 9 * HOUR_US - 1)] == [[], []]
    assert types(evening, 9 * HOUR_US) == ["ticket.waiting"]
    night = Outlook(cases=[(CASE, NOW_US + HOUR_US)], opens_us=window)
    assert [types(night, after_us) for after_us in (10 * HOUR_US - 1, 10 * HOUR_US)] == [[], ["ticket.waiting"]]
    assert types(Outlook(cases=[(CRITICAL, NOW_US + HOUR_US)], opens_us=window), HOUR_US + QUARTER_US) == WAITING


def test_case_that_comes_into_the_queue_again_is_told_of_again() -> None:
    """Each time once; what is told says how severe it is, and since when nobody took it."""
    [(mark, found)] = due(Outlook(cases=[(CASE, NOW_US)]), settings=SETTINGS, now_us=NOW_US + HOUR_US, given=set())
    assert (found.subject, found.customer, found.data["severity"]) == ("CASE-5", "acme,globex", 3)
    assert told(Outlook(cases=[(CASE, NOW_US)]), 2 * HOUR_US, {mark}) == []
    assert len(told(Outlook(cases=[(CASE, NOW_US + 1)]), 2 * HOUR_US, {mark})) == 1
    off = {"critical_case_reminder_after_s": 0, "case_reminder_after_s": 0}
    assert types(Outlook(cases=[(CASE, NOW_US), (CRITICAL, NOW_US)]), 2 * HOUR_US, **off) == []


def test_setting_of_zero_switches_a_reminder_off() -> None:
    """What has happened is told all the same."""
    outlook = Outlook(requests=[ASKED], grants=[GRANT], plans=[("acme", PLAN)])
    off = {"request_reminder_after_s": 0, "grant_reminder_before_s": 0, "plan_reminder_before_s": 0}
    assert types(outlook, 4 * HOUR_US - 1, **off) == []
    assert types(outlook, 49 * HOUR_US, **off) == ["grant.expired", "plan.due"]


def test_reminder_names_who_and_what_and_not_why() -> None:
    """A reason is free text that may quote what only the approver should read."""
    [found] = told(Outlook(requests=[ASKED]), 4 * HOUR_US)
    assert (found.subject, found.customer, found.data["ticket"]) == ("R-1", "acme", "BUG-9")
    assert "secret reason" not in repr(found)
    assert found.at_us == NOW_US + 4 * HOUR_US


INSTANTS = st.integers(0, 200 * HOUR_US)


@given(
    asked_us=INSTANTS,
    span_us=st.integers(60 * SECOND_US, 168 * HOUR_US),
    revoked=st.booleans(),
    due_after_us=INSTANTS,
    ticks=st.lists(INSTANTS, max_size=40).map(sorted),
)
def test_whenever_the_courier_looks_each_is_told_at_most_once_and_never_too_early(
    asked_us: int, span_us: int, revoked: bool, due_after_us: int, ticks: list[int]
) -> None:
    """For any times and any looks; and whoever looks again at the same instant has nothing to add."""
    grant = replace(GRANT, starts_us=NOW_US + asked_us, ends_us=NOW_US + asked_us + span_us, revoked_us=int(revoked))
    outlook = Outlook(
        requests=[replace(ASKED, requested_us=NOW_US + asked_us)],
        grants=[grant],
        plans=[("acme", replace(PLAN, due_us=NOW_US + due_after_us))],
    )
    given_: set[str] = set()
    for tick in ticks:
        found = list(due(outlook, settings=SETTINGS, now_us=NOW_US + tick, given=given_))
        for mark, notice in found:
            assert mark not in given_
            assert notice.at_us <= NOW_US + tick
            assert not (revoked and notice.type.startswith("grant."))
        given_ |= {mark for mark, _ in found}
        assert not list(due(outlook, settings=SETTINGS, now_us=NOW_US + tick, given=given_))


@given(span_us=st.integers(60 * SECOND_US, 168 * HOUR_US), begin=st.integers(0, 59))
def test_courier_that_looks_every_minute_misses_nothing(span_us: int, begin: int) -> None:
    """Every grant that runs out is told to have, and before, if it was long enough."""
    grant = replace(GRANT, ends_us=NOW_US + span_us)
    given_: set[str] = set()
    wanted = {NOW_US + span_us - 900 * SECOND_US, NOW_US + span_us}
    for instant_us in sorted(wanted):
        look_us = instant_us + begin * SECOND_US
        given_ |= {mark for mark, _ in due(Outlook(grants=[grant]), settings=SETTINGS, now_us=look_us, given=given_)}
    expected = {"grant.expired:G-1"} | ({"grant.ending:G-1"} if span_us >= 1_800 * SECOND_US else set())
    assert given_ == expected
