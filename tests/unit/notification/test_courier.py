"""The courier: at least once, beside everything else, whatever the receivers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing

from gateway.clock import SECOND_US
from gateway.errors import StateUnavailable
from gateway.notification import Answer, Backoff, Channel, Counts, Courier, Message, Notice, notice
from gateway.notification.courier import AT_A_TIME
from gateway.settings import NoticeSettings
from gateway.storage import StateOutbox, StateStore
from tests.unit.notification.samples import channel
from tests.world.clock import FakeClock
from tests.world.waiting import until

OK, BUSY, BROKEN = Answer(200), Answer(429, "30"), Answer(500)
NO_ANSWER = Answer(0, problem="no answer within 15 seconds")


class FakePoster:
    """Gives each channel's messages the answers that a test has prepared, and OK when there are no more."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.answers: dict[str, list[Answer]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.most = 0
        self._now = 0

    async def post(self, message: Message) -> Answer:
        name = message.url.rpartition("/")[2]
        self.sent.append((name, message.headers["webhook-id"]))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if name in self.gates:
                await self.gates[name].wait()
            return self.answers[name].pop(0) if self.answers.get(name) else OK
        finally:
            self._now -= 1

    def ids(self, name: str) -> list[str]:
        return [id_ for sent, id_ in self.sent if sent == name]


def hook(name: str, **changed: object) -> Channel:
    return channel(name=name, url=f"https://hooks.test/{name}", **changed)


class World:
    """A state, a clock, and what a courier needs."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.store = StateStore(f"sqlite:///{path}/gateway.db", self.clock)
        self.outbox: StateOutbox = StateOutbox(self.store)
        self.poster = FakePoster()
        self.channels = [hook("a")]
        self.courier = self.new_courier()

    def new_courier(self) -> Courier:
        return Courier(
            self.outbox,
            self.poster,
            clock=self.clock,
            channels=lambda: self.channels,
            settings=NoticeSettings,
            node="gateway-1",
            backoff=Backoff(base_s=5, random=lambda: 0.0),
            rest=Backoff(base_s=1, cap_s=60, random=lambda: 0.0),
            poll_s=0.005,
        )

    def tell(self, count: int = 1) -> list[Notice]:
        made = [
            notice("access.requested", subject=f"R-{number}", customer="acme", summary="", at_us=self.clock.now_us())
            for number in range(count)
        ]
        self.store.put(*made)
        return made

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self.courier.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def waits_s(self) -> tuple[int, float]:
        """Of the only delivery: attempts so far, and seconds until the next."""
        delivery = self.outbox.standings()[0].delivery
        return (delivery.attempts, (delivery.next_us - self.clock.now_us()) / SECOND_US) if delivery else (0, 0.0)

    def states(self) -> list[str]:
        return sorted(standing.state for standing in self.outbox.standings(limit=1_000))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


async def settled(rounds: int = 10) -> None:
    """Let the courier look several times more."""
    await asyncio.sleep(0.005 * 2 * rounds)


async def test_every_notice_reaches_every_channel_once(world: World) -> None:
    """While nothing goes wrong."""
    world.channels.append(hook("b"))
    made = {found.id for found in world.tell(30)}
    async with world.running():
        await until(lambda: world.states() == ["delivered"] * 60)
        await settled()
    for name in ("a", "b"):
        assert sorted(world.poster.ids(name)) == sorted(made)


async def test_failure_comes_again_after_its_wait_and_not_before(world: World) -> None:
    """Doubled each time; the same id each time."""
    world.poster.answers["a"] = [Answer(404), Answer(404), OK]
    [made] = world.tell()
    async with world.running():
        for attempts, wait_s in ((1, 5), (2, 10)):
            await until(lambda n=attempts, s=wait_s: world.waits_s() == (n, s))  # type: ignore[misc]
            world.clock.advance(wait_s - 0.1)
            await settled()
            assert world.poster.ids("a") == [made.id] * attempts
            world.clock.advance(0.1)
            await until(lambda n=attempts: len(world.poster.sent) > n)  # type: ignore[misc]
        await until(lambda: world.states() == ["delivered"])
    assert world.poster.ids("a") == [made.id] * 3


async def test_channel_that_asks_for_time_is_left_alone(world: World) -> None:
    """Retry-After is for all that it would get, and for nobody else."""
    world.channels.append(hook("b"))
    world.poster.answers["a"] = [BUSY]
    world.tell()
    async with world.running():
        await until(lambda: len(world.poster.sent) == 2 and bool(world.courier.problems))
        world.tell(3)
        await until(lambda: len(world.poster.ids("b")) == 4)
        world.clock.advance(29)
        await settled()
        assert len(world.poster.ids("a")) == 1
        world.clock.advance(1.1)
        await until(lambda: world.states() == ["delivered"] * 8)


async def test_channel_that_does_not_answer_holds_up_no_other(world: World) -> None:
    """And has no more than so many under way."""
    world.channels.append(hook("b"))
    world.poster.gates["a"] = asyncio.Event()
    world.tell(3 * AT_A_TIME)
    async with world.running():
        await until(lambda: len(world.poster.ids("b")) == 3 * AT_A_TIME)
        await settled()
        assert len(world.poster.ids("a")) == AT_A_TIME
        world.poster.gates["a"].set()
        await until(lambda: world.states() == ["delivered"] * 6 * AT_A_TIME)
    assert world.poster.most <= 2 * AT_A_TIME


async def test_channel_that_is_down_is_tried_ever_more_rarely(world: World) -> None:
    """A great many notices do not make a great many attempts."""
    world.poster.answers["a"] = [NO_ANSWER] * 1_000
    world.tell(200)
    async with world.running():
        for _ in range(60):
            world.clock.advance(1)
            await settled(2)
    assert len(world.poster.sent) <= 8 * AT_A_TIME
    assert world.courier.problems == {"a": "no answer within 15 seconds"}


async def test_restart_sends_what_was_under_way_at_once(world: World) -> None:
    """A gateway that is told to stop lets go of what did not finish."""
    world.poster.gates["a"] = asyncio.Event()
    made = {found.id for found in world.tell(3)}
    async with world.running():
        await until(lambda: len(world.poster.sent) == 3)
    world.poster.gates.clear()
    world.courier = world.new_courier()
    async with world.running():
        await until(lambda: world.states() == ["delivered"] * 3)
    assert sorted(world.poster.ids("a")) == sorted([*made, *made])


async def test_answer_that_comes_at_the_stop_still_counts(world: World) -> None:
    """Within a moment: then it is not sent twice."""
    gate = world.poster.gates["a"] = asyncio.Event()
    world.tell()
    async with world.running():
        await until(lambda: len(world.poster.sent) == 1)
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert world.states() == ["delivered"]


async def test_crash_loses_nothing(world: World) -> None:
    """What was under way when the process died is sent again when its lease is over, under the same id."""
    world.poster.gates["a"] = asyncio.Event()
    made = {found.id for found in world.tell(12)}
    settle = world.outbox.settle
    async with world.running():
        await until(lambda: len(world.poster.sent) == AT_A_TIME)
        world.outbox.settle = None  # type: ignore[assignment, method-assign]  # a dead process writes nothing
    world.outbox.settle = settle  # type: ignore[method-assign]
    world.poster.gates.clear()
    world.courier = world.new_courier()
    async with world.running():
        await until(lambda: world.states().count("delivered") == 12 - AT_A_TIME)
        await settled()
        assert world.states().count("waiting") == AT_A_TIME
        world.clock.advance(75)
        await until(lambda: world.states() == ["delivered"] * 12)
    assert set(world.poster.ids("a")) == made
    assert len(world.poster.sent) == 12 + AT_A_TIME


async def test_given_up_is_counted_and_logged(world: World) -> None:
    """Silence would look like success."""
    world.channels[:] = [hook("a", max_attempts=1)]
    world.poster.answers["a"] = [BROKEN]
    with structlog.testing.capture_logs() as logs:
        world.tell()
        async with world.running():
            await until(lambda: world.courier.counts == Counts(0, 1))
    events = {entry["event"]: entry for entry in logs}
    assert events["notice_given_up"]["problem"] == "the receiver answered 500; expected 200 to 299"
    assert "canary" not in repr(logs)


async def test_changed_configuration_is_followed(world: World) -> None:
    """A reload adds a channel: it gets what comes after, and what waits for one that is gone stays where it is."""
    world.tell()
    async with world.running():
        await until(lambda: world.states() == ["delivered"])
        world.channels[:] = [hook("b")]
        world.tell()
        await until(lambda: len(world.poster.ids("b")) == 1)
    assert len(world.poster.ids("a")) == 1


async def test_database_that_fails_does_not_end_it(world: World) -> None:
    """It goes on when the database does, and the log says so once."""
    plan, broken, failed = world.outbox.plan, [True], []

    def plan_or_fail(*given: object, **named: object) -> None:
        if broken[0]:
            failed.append(given)
            raise StateUnavailable("the disk is gone")
        plan(*given, **named)  # type: ignore[arg-type]

    world.outbox.plan = plan_or_fail  # type: ignore[method-assign]
    world.tell()
    with structlog.testing.capture_logs() as logs:
        async with world.running():
            await until(lambda: len(failed) > 2)
            broken[0] = False
            await until(lambda: world.states() == ["delivered"])
    assert [entry["event"] for entry in logs] == ["notices_not_read"]


async def test_answer_that_cannot_be_written_down_is_sent_again(world: World) -> None:
    """At least once: better twice than not at all."""
    settle, broken = world.outbox.settle, [True]

    def settle_or_fail(delivery: object) -> None:
        if broken.pop():
            broken[:] = [False]
            raise StateUnavailable("the disk is full")
        broken[:] = [False]
        settle(delivery)  # type: ignore[arg-type]

    world.outbox.settle = settle_or_fail  # type: ignore[method-assign]
    [made] = world.tell()
    async with world.running():
        await until(lambda: broken == [False])
        world.clock.advance(75)
        await until(lambda: world.states() == ["delivered"])
    assert world.poster.ids("a") == [made.id, made.id]


async def test_nudge_is_faster_than_the_poll(world: World) -> None:
    """A notice that is heard of goes out at once."""
    world.courier._poll_s = 3_600
    async with world.running():
        await settled()
        world.tell()
        world.courier.nudge()
        await until(lambda: len(world.poster.sent) == 1)


async def test_stopping_does_not_wait_for_a_receiver(world: World) -> None:
    """A gateway that is told to stop stops."""
    world.poster.gates["a"] = asyncio.Event()
    world.tell()
    async with asyncio.timeout(10):
        async with world.running():
            await until(lambda: len(world.poster.sent) == 1)
    assert world.states() == ["waiting"]
