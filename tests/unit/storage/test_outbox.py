"""Notices wait in the state database, and are taken by one courier at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from gateway.catalog import Customer, CustomerPlan
from gateway.clock import SECOND_US
from gateway.justification import AccessRequest, Grant, Ticket, TicketEvent, TicketKind, Usage
from gateway.notification import Counts, Delivery, Notice, notice
from gateway.settings import NoticeSettings
from gateway.storage import StateOutbox, StateStore
from tests.unit.notification.samples import channel
from tests.unit.storage.conftest import Opener
from tests.unit.storage.nouns import TICKET
from tests.world.clock import FakeClock

HOOK, OTHER = channel(), channel(name="other", types=["grant.*"])
DAY_US = 86_400 * SECOND_US
MINUTE = {"hook": 60 * SECOND_US, "other": 60 * SECOND_US}


@pytest.fixture
def outbox(store: StateStore) -> StateOutbox:
    return StateOutbox(store)


def told(store: StateStore, clock: FakeClock, kind: str = "access.requested", customer: str = "acme") -> Notice:
    made = notice(kind, subject="R-1", customer=customer, summary="something", at_us=clock.now_us())
    store.put(made)
    return made


def claim(outbox: StateOutbox, clock: FakeClock, most: int = 8) -> list[tuple[Delivery, Notice]]:
    now_us = clock.now_us()
    lease_us = {name: now_us + span_us for name, span_us in MINUTE.items()}
    return outbox.claim({"hook": most, "other": most}, now_us=now_us, lease_us=lease_us)


def planned(outbox: StateOutbox, clock: FakeClock) -> None:
    outbox.plan([HOOK, OTHER], now_us=clock.now_us(), node="gateway-1")


def test_notice_stands_and_falls_with_its_change(store: StateStore, outbox: StateOutbox, clock: FakeClock) -> None:
    """One transaction: neither is there without the other."""

    def half() -> None:
        with store.transaction() as transaction:
            transaction.put(TICKET)
            transaction.put(notice("ticket.queued", subject="CASE-5", customer="acme", summary="", at_us=1))
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert (list(store.all(Ticket)), list(store.all(Notice))) == ([], [])


def test_notice_is_due_at_once_at_the_channels_that_want_it(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """And at no others, once; it carries who took it up."""
    made = told(store, clock)
    planned(outbox, clock)
    planned(outbox, clock)
    [(delivery, found)] = claim(outbox, clock)
    assert found == replace(made, planned_us=clock.now_us(), node="gateway-1")
    assert delivery == Delivery(
        made.id, "hook", attempts=1, since_us=clock.now_us(), next_us=clock.now_us() + 60 * SECOND_US
    )


def test_notice_that_nobody_wants_is_kept_and_not_planned_again(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """A channel that is added later is not told of what was before."""
    told(store, clock)
    outbox.plan([OTHER], now_us=clock.now_us(), node="gateway-1")
    planned(outbox, clock)
    assert claim(outbox, clock) == []
    assert [standing.state for standing in outbox.standings()] == ["unwanted"]


def test_what_is_taken_is_not_taken_again_before_its_lease_ends(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """Then its courier is taken for dead; each attempt counts."""
    told(store, clock)
    planned(outbox, clock)
    assert len(claim(outbox, clock)) == 1
    clock.advance(59)
    assert claim(outbox, clock) == []
    clock.advance(1)
    assert [delivery.attempts for delivery, _ in claim(outbox, clock)] == [2]


def test_couriers_at_once_share_what_there_is(
    store: StateStore, outbox: StateOutbox, clock: FakeClock, open_store: Opener
) -> None:
    """Each notice goes to one of them."""
    for _ in range(40):
        told(store, clock)
    planned(outbox, clock)
    together = Barrier(4)
    outboxes = [StateOutbox(open_store()) for _ in range(4)]

    def take(other: StateOutbox) -> list[str]:
        together.wait(10)
        return [found.id for _ in range(5) for _, found in claim(other, clock, 3)]

    with ThreadPoolExecutor(4) as crowd:
        taken = [id_ for ids in crowd.map(take, outboxes) for id_ in ids]
    assert len(taken) == len(set(taken)) == 40


def test_claim_takes_no_more_than_is_free(store: StateStore, outbox: StateOutbox, clock: FakeClock) -> None:
    """The rest waits for its turn."""
    for _ in range(5):
        told(store, clock)
    planned(outbox, clock)
    assert [len(claim(outbox, clock, 3)), len(claim(outbox, clock, 0)), len(claim(outbox, clock, 3))] == [3, 0, 2]


def test_success_counts_whenever_it_comes_and_failure_only_of_the_newest_attempt(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """Two couriers may have tried, if the first was slow."""
    told(store, clock)
    planned(outbox, clock)
    [(first, _)] = claim(outbox, clock)
    clock.advance(60)
    [(second, _)] = claim(outbox, clock)
    outbox.settle(replace(first, next_us=1, last_problem="late"))
    assert outbox.standings()[0].delivery == second
    outbox.settle(replace(first, next_us=0, delivered_us=5))
    outbox.settle(replace(second, next_us=9, last_problem="too late"))
    [standing] = outbox.standings()
    assert (standing.state, standing.delivery and standing.delivery.last_problem) == ("delivered", "")


def test_counts_are_of_what_waits_and_what_failed(store: StateStore, outbox: StateOutbox, clock: FakeClock) -> None:
    """What waits for a channel that there is no more is nobody's."""
    for kind in ("access.requested", "grant.revoked", "access.denied"):
        told(store, clock, kind)
    planned(outbox, clock)
    assert outbox.counts(["hook", "other"]) == Counts(4, 0)
    [(one, _), (two, _)] = claim(outbox, clock, 1)
    outbox.settle(replace(one, next_us=0, given_up_us=7, last_problem="x"))
    outbox.settle(replace(two, next_us=0, delivered_us=7))
    assert outbox.counts(["hook", "other"]) == Counts(2, 1)
    assert outbox.counts(["other"]) == Counts(0, 1)


def test_given_up_can_be_tried_again(store: StateStore, outbox: StateOutbox, clock: FakeClock) -> None:
    """As if it were new; what has arrived is not sent again."""
    made = told(store, clock, "grant.revoked")
    planned(outbox, clock)
    for delivery, _ in claim(outbox, clock):
        arrived = delivery.channel == "other"
        outbox.settle(replace(delivery, next_us=0, given_up_us=0 if arrived else 7, delivered_us=7 if arrived else 0))
    clock.advance(1_000)
    assert outbox.retry(made.id, channel="other", now_us=clock.now_us()) == 0
    assert outbox.retry(made.id, now_us=clock.now_us()) == 1
    [(again, _)] = claim(outbox, clock)
    assert (again.channel, again.attempts, again.since_us, again.given_up_us) == ("hook", 1, clock.now_us(), 0)


def test_trouble_says_what_is_wrong_with_a_channel(store: StateStore, outbox: StateOutbox, clock: FakeClock) -> None:
    """For doctor: what waits after a failure, and what was given up since the last success."""
    for _ in range(3):
        told(store, clock)
    planned(outbox, clock)
    assert outbox.trouble("hook") == ""
    first, second, third = [delivery for delivery, _ in claim(outbox, clock)]
    outbox.settle(replace(first, last_problem="the receiver answered 500"))
    outbox.settle(replace(second, next_us=0, given_up_us=5, last_problem="the receiver answered 410"))
    assert outbox.trouble("hook").startswith("1 notice waits and 1 was given up: the receiver answered 4")
    outbox.settle(replace(first, next_us=0, delivered_us=9))
    outbox.settle(replace(third, next_us=0, delivered_us=9))
    assert outbox.trouble("hook") == ""
    assert outbox.trouble("other") == ""


def test_what_was_settled_long_ago_is_forgotten(store: StateStore, outbox: StateOutbox, clock: FakeClock) -> None:
    """What still waits is not, however old."""
    delivered, waiting = told(store, clock), told(store, clock)
    planned(outbox, clock)
    [(done, _), _] = claim(outbox, clock)
    outbox.settle(replace(done, next_us=0, delivered_us=clock.now_us()))
    assert done.notice == delivered.id
    unwanted = told(store, clock)
    outbox.plan([], now_us=clock.now_us(), node="gateway-1")
    unseen = told(store, clock)
    clock.advance(30 * 86_400)
    outbox.prune(["hook"], now_us=clock.now_us(), keep_us=30 * DAY_US)
    assert {found.id for found in store.all(Notice)} == {delivered.id, waiting.id, unwanted.id, unseen.id}
    clock.advance(1)
    outbox.prune(["hook"], now_us=clock.now_us(), keep_us=30 * DAY_US)
    assert {found.id for found in store.all(Notice)} == {waiting.id, unseen.id}


def test_what_waits_for_a_channel_that_is_gone_is_given_up(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """Not at once: a name may have been mistyped."""
    told(store, clock)
    planned(outbox, clock)
    outbox.prune([], now_us=clock.now_us(), keep_us=30 * DAY_US)
    assert [standing.state for standing in outbox.standings(state="waiting")] == ["waiting"]
    clock.advance(3 * 86_400 + 1)
    outbox.prune([], now_us=clock.now_us(), keep_us=30 * DAY_US)
    [standing] = outbox.standings(state="failed")
    assert standing.delivery is not None
    assert "no channel of this name" in standing.delivery.last_problem


def remind(outbox: StateOutbox, clock: FakeClock) -> list[str]:
    outbox.remind(NoticeSettings(), now_us=clock.now_us())
    return sorted(f"{found.notice.type}:{found.notice.subject}" for found in outbox.standings(limit=1_000))


def world(now_us: int) -> list[object]:
    plan = CustomerPlan("P-1", "us-only", ("US",), 4, now_us, now_us + DAY_US)
    grant = Grant("G-1", "R-1", "priya", "BUG-9", "acme", ("case",), ("read",), now_us, now_us + DAY_US, "dana")
    return [
        Customer("acme", "Acme", (plan, replace(plan, id="P-2", enabled_us=now_us))),
        AccessRequest("R-2", "raj", "BUG-9", "acme", ("case",), ("read",), "why", 60, now_us),
        grant,
        replace(grant, id="G-2", max_requests=1),
        replace(grant, id="G-3", revoked_us=1, max_requests=1),
        Usage("G-2", 1, 0),
        Usage("G-3", 1, 0),
    ]


def test_time_brings_about_notices_that_are_written_once(
    store: StateStore, outbox: StateOutbox, clock: FakeClock, open_store: Opener
) -> None:
    """However often, and by however many nodes, it is looked at."""
    store.put(*world(clock.now_us()))
    assert remind(outbox, clock) == ["grant.exhausted:G-2", "plan.reminder:P-1"]
    clock.advance(86_400)
    for other in (outbox, StateOutbox(open_store()), outbox):
        assert remind(other, clock) == [
            "access.reminder:R-2",
            "grant.exhausted:G-2",
            "grant.expired:G-1",
            "plan.due:P-1",
            "plan.reminder:P-1",
        ]


def test_a_case_in_the_queue_is_told_of_by_when_it_last_changed(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """Made critical at noon it waits since then; what somebody has, is closed or is no case is not told of."""
    opened_us = clock.now_us()
    case = Ticket("CASE-1", TicketKind.SUPPORT, ("acme",), "Down", opened_us, severity=1, holder="us-queue")
    others = (
        replace(case, id="CASE-2", holder="sam"),
        replace(case, id="CASE-3", closed_us=opened_us),
        replace(case, id="BUG-4", kind=TicketKind.BUG, severity=0),
        replace(case, id="CASE-5"),
    )
    clock.advance(600)
    store.put(case, *others, TicketEvent("019", "CASE-1", clock.now_us(), "sam", "ticket.severity"))
    clock.advance(300)
    assert remind(outbox, clock) == ["ticket.waiting:CASE-5"]
    clock.advance(600)
    for _ in range(2):
        assert remind(outbox, clock) == ["ticket.waiting:CASE-1", "ticket.waiting:CASE-5"]


def test_nodes_that_look_at_once_write_each_once(
    store: StateStore, clock: FakeClock, open_store: Opener, outbox: StateOutbox
) -> None:
    """The mark is the first's, and so is the notice."""
    store.put(*world(clock.now_us()))
    together = Barrier(4)
    outboxes = [StateOutbox(open_store()) for _ in range(4)]

    def look(other: StateOutbox) -> None:
        together.wait(10)
        other.remind(NoticeSettings(), now_us=clock.now_us())

    with ThreadPoolExecutor(4) as crowd:
        list(crowd.map(look, outboxes))
    assert len(list(store.all(Notice))) == 2


def test_reminder_is_not_given_again_after_its_notice_was_forgotten(
    store: StateStore, outbox: StateOutbox, clock: FakeClock
) -> None:
    """The mark outlives it, as long as it could be told."""
    store.put(*world(clock.now_us()))
    remind(outbox, clock)
    outbox.plan([], now_us=clock.now_us(), node="n")
    clock.advance(10)
    outbox.prune([], now_us=clock.now_us(), keep_us=SECOND_US)
    assert list(store.all(Notice)) == []
    assert remind(outbox, clock) == []


def test_a_writer_that_waits_its_turn_loses_nothing(store: StateStore, open_store: Opener, clock: FakeClock) -> None:
    """A courier reads and then writes while acts write, too: neither is refused for the other."""
    other = open_store()
    outbox = StateOutbox(other)

    def repeat(act: Callable[[], object]) -> None:
        for _ in range(25):
            act()

    with ThreadPoolExecutor(2) as crowd:
        acts = [
            crowd.submit(repeat, lambda: told(store, clock)),
            crowd.submit(repeat, lambda: (planned(outbox, clock), claim(outbox, clock))),
        ]
        for act in acts:
            act.result()
    planned(outbox, clock)
    assert len(outbox.standings(limit=1_000)) == 25
