"""What time does: made final and written down once; who is told of it when is the reminders' business."""

from __future__ import annotations

import pytest

from gateway.acts.access import revoke_grant
from gateway.acts.customers import end_plan, order_plan
from gateway.catalog import Customer
from gateway.errors import LedgerUnavailable
from gateway.justification import QUEUE_AT_HOME, AccessRequest, Grant, RequestState, Ticket, Usage
from tests.world.office import ADMIN, APPROVER, HOUR_US, MANAGER, REFUSAL, Bureau

DUE_S = 2 * 86_400  # Tuesday → Thursday, at the same time of day


def test_nothing_is_written_where_nothing_is_due(bureau: Bureau) -> None:
    """The last microsecond of a grant, of a request, before a plan."""
    bureau.bug()
    bureau.granted(duration_s=DUE_S)
    order_plan(bureau.office, MANAGER, "globex", seats=1)
    bureau.ask(data_classes=["case"])
    before, since = bureau.snapshot(), len(bureau.entries)
    bureau.clock.advance(DUE_S - 1e-6)
    assert bureau.steward.attend() == 0
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since)


def test_grant_whose_time_is_over_ends_for_good(bureau: Bureau) -> None:
    """At its end; once; and a clock that is set back revives nothing."""
    bureau.bug()
    grant, since = bureau.granted(), len(bureau.entries)
    bureau.clock.advance(4 * 3_600)
    assert bureau.steward.attend() == 1
    ended = bureau.state.get(Grant, grant.id)
    assert (ended.ended_us, ended.why) == (grant.ends_us, "its time is over")
    assert bureau.steward.attend() == 0
    assert bureau.acts(since) == [("gateway", "grant.expired", grant.id)]
    bureau.clock.jump(-3_600)
    assert not bureau.state.get(Grant, grant.id).is_active(bureau.now_us)


def test_grant_whose_cap_is_used_up_ends_for_good(bureau: Bureau) -> None:
    """The record says how much was read."""
    bureau.bug()
    grant = bureau.granted(max_bytes=100)
    bureau.usage[grant.id] = Usage(grant.id, 7, 99)
    assert bureau.steward.attend() == 0
    bureau.usage[grant.id] = Usage(grant.id, 8, 100)
    bureau.steward.attend()
    entry = bureau.entries[-1]
    assert (entry["act"], entry["details"]["requests"], entry["details"]["bytes"]) == ("grant.exhausted", 8, 100)
    assert bureau.state.get(Grant, grant.id).why == "its cap is used up"
    bureau.usage.clear()
    assert not bureau.state.get(Grant, grant.id).is_active(bureau.now_us)


def test_request_that_nobody_answered_expires(bureau: Bureau) -> None:
    """And stays so, though the clock is set back."""
    bureau.bug()
    asked, since = bureau.ask(), len(bureau.entries)
    bureau.clock.advance(3 * 86_400)
    bureau.steward.attend()
    bureau.clock.jump(-86_400)
    assert bureau.steward.attend() == 0
    assert bureau.state.get(AccessRequest, asked.id).state is RequestState.EXPIRED
    assert bureau.acts(since) == [("gateway", "access.expire", asked.id)]
    assert bureau.notices()[-1] == ("access.expired", asked.id)


def test_plan_that_is_due_begins_and_sends_cases_home(bureau: Bureau) -> None:
    """Once; it is overdue until somebody enables it."""
    bureau.case("CASE-1", "globex", holder="raj")
    order_plan(bureau.office, MANAGER, "globex", seats=400)
    since = len(bureau.entries)
    bureau.clock.advance(DUE_S)
    assert bureau.steward.attend() == 1
    assert bureau.steward.attend() == 0
    assert bureau.acts(since) == [("gateway", "plan.begin", "globex"), ("gateway", "ticket.queue", "CASE-1")]
    assert ("ticket.queued", "CASE-1") in bureau.notices()
    [plan] = bureau.state.get(Customer, "globex").plans
    assert (plan.begun_us, plan.enabled_us) == (bureau.now_us, 0)
    assert bureau.state.get(Ticket, "CASE-1").holder == QUEUE_AT_HOME


def test_what_somebody_ended_first_is_not_ended_again(bureau: Bureau) -> None:
    """A revoked grant, a plan that was taken back."""
    bureau.bug()
    grant = bureau.granted()
    revoke_grant(bureau.office, APPROVER, grant.id, why="found it")
    order_plan(bureau.office, MANAGER, "globex", seats=400)
    end_plan(bureau.office, ADMIN, "globex")
    since = len(bureau.entries)
    bureau.clock.advance(10 * 86_400)
    assert bureau.steward.attend() == 0
    assert len(bureau.entries) == since


def test_ledger_that_refuses_leaves_it_for_the_next_time(bureau: Bureau) -> None:
    """What is over does not count in the meantime either."""
    bureau.bug()
    grant = bureau.granted()
    bureau.clock.advance(4 * 3_600)
    bureau.refuses = REFUSAL
    with pytest.raises(LedgerUnavailable):
        bureau.steward.attend()
    assert bureau.state.get(Grant, grant.id) == grant
    assert not grant.is_active(bureau.now_us)
    bureau.refuses = None
    assert bureau.steward.attend() == 1
    assert bureau.state.get(Grant, grant.id).ended_us == grant.starts_us + 4 * HOUR_US
