"""A feed's way: from its cursor on, at least once, in order, whatever its sink does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import FeedUnavailable
from gateway.feeds import Gone
from gateway.feeds.feed import IDLE_S
from gateway.feeds.reading import MAX_BATCH_BYTES, MAX_LOOKED_AT
from tests.world.feeds import Fed, ListSink, act, completion, decision, feed
from tests.world.waiting import until


@pytest.fixture
def sink(fed: Fed) -> ListSink:
    """What every feed of the test opens."""
    found = ListSink()
    fed.open_sink = lambda _settings: found
    return found


async def test_new_feed_begins_at_the_start_or_with_what_comes(fed: Fed, sink: ListSink) -> None:
    """Where it begins is kept before anything is sent, so that a restart passes over nothing."""
    fed.grow(3)
    async with fed.feeding(feed(name="all", kind="syslog"), feed(name="new", kind="syslog", **{"from": "now"})):
        await fed.caught_up("all")
        await until(lambda: fed.cursors.find("new"))
        assert fed.cursors.find("new").sequence == 2
    assert sink.bodies() == fed.lines()
    fed.grow(2)
    sink.items.clear()
    async with fed.feeding(feed(name="new", kind="syslog", **{"from": "now"})):
        await fed.caught_up("new")
    assert sink.bodies() == fed.lines()[3:]


async def test_what_comes_is_sent_soon_after(fed: Fed, sink: ListSink) -> None:
    """A feed that waits is woken by the ledger, not by its own idle look."""
    async with fed.feeding(feed(kind="syslog")):
        fed.grow(1)
        await fed.caught_up()
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        fed.grow(1)
        await until(lambda: len(sink.items) == 2)
        assert asyncio.get_running_loop().time() - began < IDLE_S / 5


async def test_batch_that_fails_comes_again_and_nothing_behind_it_before(fed: Fed, sink: ListSink) -> None:
    """The log says when it fails and when it is well, once each; the cursor says why meanwhile."""
    fed.grow(25)
    sink.failures = [FeedUnavailable("gone"), FeedUnavailable("gone"), RuntimeError("secret"), OSError("secret")]
    with capture_logs() as logs:
        async with fed.feeding(feed(kind="syslog", batch_entries=10)) as feeds:
            await until(lambda: (found := fed.cursors.find("out")) and found.problem == "gone")
            assert feeds.problems() == {"out": "gone"}
            await fed.caught_up()
            await until(lambda: not feeds.problems())
    assert sink.bodies() == fed.lines()
    assert [line["event"] for line in logs] == ["feed_failing", "feed_well_again"]
    assert "secret" not in str(logs)
    assert fed.failures == ["out"] * 4
    assert fed.cursors.find("out").problem == ""
    assert sink.closed >= 4


async def test_receiver_that_asks_to_be_left_alone_is(fed: Fed, sink: ListSink) -> None:
    """For as long as it said, however short the wait would be otherwise."""
    fed.grow(1)
    sink.failures = [FeedUnavailable("busy", retry_after_s=0.7)]
    async with fed.feeding(feed(kind="syslog")):
        await until(lambda: fed.failures)
        await asyncio.sleep(0.4)
        assert not sink.items
        await fed.caught_up()


async def test_feed_that_cannot_be_opened_or_hangs_holds_up_no_other(fed: Fed, sink: ListSink) -> None:
    """Nor does it lose its own place."""

    class Hanging(ListSink):
        async def send(self, batch: Any) -> None:
            await asyncio.Event().wait()

    def open_(settings: Any) -> ListSink:
        if settings.name == "wrong":
            raise FileNotFoundError("no such certificate")
        return Hanging() if settings.name == "hung" else sink

    fed.open_sink = open_
    fed.grow(1_200)
    async with fed.feeding(*(feed(name=name, kind="syslog") for name in ("wrong", "hung", "out"))) as feeds:
        await fed.caught_up()
        await until(lambda: feeds.lags(1_200) == {"wrong": 1_200, "hung": 1_200, "out": 0})
    assert sink.bodies() == fed.lines()
    assert [fed.cursors.find(name).sequence for name in ("wrong", "hung")] == [-1, -1]


async def test_only_what_is_wanted_is_sent_and_all_is_done_with(fed: Fed, sink: ListSink) -> None:
    """A completion goes where its decision goes; an act where a search by customer finds it."""
    ours, theirs = decision(effect="deny"), decision(customer="globex")
    acts = act("acme"), act("T-1", customer="globex,acme"), act("T-2", customer="*"), act("T-3", customer="globex")
    fed.append(ours, theirs, completion(str(ours["id"])), completion(str(theirs["id"])), completion("none"), *acts)
    wanted = {
        "everything": ({}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        "acme": ({"customers": ["acme"]}, [0, 2, 5, 6, 7]),
        "denied": ({"effects": ["deny"]}, [0, 2]),
        "acts": ({"kinds": ["administrative"], "customers": ["globex"]}, [6, 7, 8]),
        "none": ({"customers": ["nobody"], "effects": ["deny"]}, []),
    }
    for name, (given, sequences) in wanted.items():
        sink.items.clear()
        async with fed.feeding(feed(name=name, kind="syslog", **given)):
            await fed.caught_up(name)
        assert [item.sequence for item in sink.items] == sequences, name


async def test_completion_whose_decision_was_long_ago_is_known_by_it(fed: Fed, sink: ListSink) -> None:
    """It is looked up in the ledger."""
    ours = decision(effect="deny", rule="outside-home")
    fed.append(ours)
    fed.cursors.begin("out", 0)
    fed.append(completion(str(ours["id"])))
    async with fed.feeding(feed(kind="syslog", effects=["deny"])):
        await fed.caught_up()
    [item] = sink.items
    assert (item.facts.rule, item.facts.customer, item.facts.decision) == ("outside-home", "acme", ours["id"])


def shorten(fed: Fed, first: int, after: int) -> None:
    """Remove entries as retention does, but for one in their middle."""
    kept = (first + after) // 2
    with closing(sqlite3.connect(fed.path)) as connection:
        connection.execute("DROP TRIGGER entry_delete")
        connection.execute("DROP TRIGGER segment_insert")
        connection.execute(
            "INSERT INTO segment VALUES (?, ?, 0, 1, zeroblob(32), 'gone', ?, ?)", (first, after, after, after)
        )
        connection.execute(
            "INSERT INTO kept SELECT sequence, body FROM entry WHERE sequence = ?",
            (kept,),
        )
        connection.execute("INSERT INTO tile VALUES (?, zeroblob(8192))", (kept // 256,))
        connection.execute("DELETE FROM entry WHERE sequence >= ? AND sequence < ?", (first, after))
        connection.commit()


async def test_what_was_removed_before_it_was_sent_is_told_once_and_passed_over(fed: Fed, sink: ListSink) -> None:
    """Once it has come to it, in the log and in the record; all else is sent."""
    fed.grow(700)
    shorten(fed, 0, 512)
    with capture_logs() as logs:
        async with fed.feeding(
            feed(kind="syslog", batch_entries=100), feed(name="new", kind="syslog", **{"from": "now"})
        ):
            await fed.caught_up()
            await fed.caught_up("new")
            fed.grow(1)
            await fed.caught_up()
    assert [item.sequence for item in sink.items if item.sequence < 700] == [256, *range(512, 700)]
    assert fed.gone == [("out", Gone(0, 511, 511))]
    told = [(line["event"], line["feed"], line["first"], line["last"], line["entries"]) for line in logs]
    assert told == [("feed_passed_over", "out", 0, 511, 511)]


async def test_what_cannot_be_told_is_not_passed_over(
    fed: Fed, sink: ListSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor stays until it stands in the record."""
    fed.grow(700)
    shorten(fed, 0, 512)
    refusals = [FeedUnavailable("the ledger is full")] * 3
    written: list[Any] = []

    class Record(list[Any]):
        def append(self, told: Any) -> None:
            if refusals:
                raise refusals.pop()
            written.append(told)

    fed.gone = Record()
    async with fed.feeding(feed(kind="syslog")):
        await until(lambda: len(refusals) < 2)
        assert fed.cursors.find("out").sequence == -1
        await fed.caught_up()
    assert written == [("out", Gone(0, 511, 511))]
    assert {item.sequence for item in sink.items} == {256, *range(512, 700)}


async def test_batch_is_bounded_in_entries_and_bytes(fed: Fed, sink: ListSink) -> None:
    """Whatever the ledger holds; what is unwanted is passed over a bounded number at a time."""
    batches: list[tuple[int, int]] = []

    async def send(batch: Any) -> None:
        batches.append((len(batch), sum(len(item.body) for item in batch)))

    sink.send = send  # type: ignore[method-assign]
    fed.append(*(decision(reason="x" * 60_000) for _ in range(40)))
    fed.grow(MAX_LOOKED_AT + 100)
    async with fed.feeding(feed(kind="syslog", batch_entries=300)):
        await fed.caught_up()
    assert max(count for count, _ in batches) <= 300
    assert max(size for _, size in batches) <= MAX_BATCH_BYTES + 65_600
    assert sum(count for count, _ in batches) == fed.ledger.size
    async with fed.feeding(feed(name="acts", kind="syslog", kinds=["administrative"])):
        await fed.caught_up("acts")


async def test_rewound_feed_sends_again_and_what_was_under_way_undoes_nothing(fed: Fed, sink: ListSink) -> None:
    """A cursor that was put elsewhere while a batch was being sent stays there."""
    fed.grow(10)

    async def send(batch: Any) -> None:
        if not sink.items:
            fed.cursors.rewind("out", 4)
        sink.items.extend(batch)

    sink.send = send  # type: ignore[method-assign]
    async with fed.feeding(feed(kind="syslog")):
        await fed.caught_up()
    assert [item.sequence for item in sink.items] == [*range(10), *range(5, 10)]


async def test_cursor_beyond_the_ledger_is_told(fed: Fed, sink: ListSink) -> None:
    """It is another ledger's: waiting until this one has grown as long would lose what is in it."""
    fed.grow(2)
    fed.cursors.begin("out", 50)
    async with fed.feeding(feed(kind="syslog")) as feeds:
        await until(feeds.problems)
        assert "it is at entry 50, and the ledger has 2" in feeds.problems()["out"]
    assert not sink.items


async def test_changed_configuration_is_followed(fed: Fed, sink: ListSink) -> None:
    """A feed that changes goes on where it was; one that is taken out ends, and one that comes begins."""
    fed.grow(2)
    async with fed.feeding(feed(kind="syslog")) as feeds:
        await fed.caught_up()
        fed.settings[:] = [feed(kind="syslog", effects=["deny"])]
        await asyncio.sleep(0.5)
        fed.append(decision(effect="deny"), decision())
        await fed.caught_up()
        fed.settings[:] = [feed(name="other", kind="syslog", **{"from": "now"})]
        await until(lambda: feeds.lags(4) == {"other": 0.0})
        fed.grow(1)
        await fed.caught_up("other")
    assert [item.sequence for item in sink.items] == [0, 1, 2, 4]


async def test_state_that_cannot_be_written_sends_again(fed: Fed, sink: ListSink, monkeypatch: Any) -> None:
    """What arrived without its cursor having moved comes once more, with the same ids."""
    fed.grow(3)
    calls = []

    def failing(self: Any, name: str, before: int, after: int) -> bool:
        calls.append(after)
        if len(calls) == 1:
            raise OSError("disk")
        return original(self, name, before, after)

    original = type(fed.cursors).advance
    monkeypatch.setattr(type(fed.cursors), "advance", failing)
    async with fed.feeding(feed(kind="syslog")):
        await fed.caught_up()
    assert sink.bodies() == fed.lines() * 2
    assert [item.id for item in sink.items[:3]] == [json.loads(line)["id"] for line in fed.lines()]
