"""Group commit: what waiters are told, in every way that a commit can end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.errors import LedgerFull, LedgerUnavailable, UsageError
from gateway.ledger import appender as module
from gateway.ledger.appender import Ledger
from gateway.ledger.committing import Committing, NotAsked
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import LedgerFile, Outcome
from gateway.ledger.free_space import FreeSpace
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import verify
from tests.unit.ledger.entries import decision
from tests.world.clock import FakeClock
from tests.world.committing import in_thread
from tests.world.waiting import until


class TestFile(LedgerFile):
    """A real file that can be held up, and made to fail before or after it has committed."""

    __test__ = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: Exception | None = None
        self.error_after: Exception | None = None

    def commit(self, batch: Sequence[Entry]) -> list[Outcome]:
        self.batches.append(len(batch))
        self.entered.set()
        self.gate.wait()
        if self.error:
            raise self.error
        outcomes = super().commit(batch)
        if self.error_after:
            raise self.error_after
        return outcomes


class World:
    """A ledger over such a file, and the space on its disk."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path, self.clock = path, clock
        self.file = TestFile(path)
        self.free = 1_000
        self.space = FreeSpace(path, minimum_bytes=100, clock=clock, measure=lambda _path: self.free)

    @asynccontextmanager
    async def ledger(self, *, queue_entries: int = 100, commit_timeout_s: float = 5.0) -> AsyncIterator[Ledger]:
        opened = Ledger(self.committing(), queue_entries=queue_entries, commit_timeout_s=commit_timeout_s)
        await opened.start()
        try:
            yield opened
        finally:
            self.file.gate.set()
            await opened.close()

    def committing(self) -> Committing:
        return Committing(self.path, in_thread(self.file, self.space))

    async def hold_up(self) -> None:
        """From here on a commit hangs until the gate is opened."""
        self.file.gate.clear()
        self.file.entered.clear()

    async def until_entered(self) -> None:
        await asyncio.to_thread(self.file.entered.wait)

    def bodies(self) -> list[bytes]:
        with LedgerReader(self.path) as reader:
            return [body for _, body in reader.bodies()]


@pytest.fixture
def world(path: Path, clock: FakeClock) -> World:
    return World(path, clock)


@pytest.fixture(autouse=True)
def _probe_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.01)


async def test_an_entry_with_a_sequence_is_in_the_file(path: Path) -> None:
    """What was confirmed is there for another connection."""
    async with Ledger.open(path) as ledger:
        assert [await ledger.append(decision(number)) for number in range(3)] == [0, 1, 2]
        with LedgerReader(path) as reader:
            assert reader.size() == 3
        assert ledger.healthy
    assert verify(path).verified


async def test_what_comes_during_a_commit_shares_the_next_one(world: World) -> None:
    """One commit serves all that waited, in the order in which they came."""
    async with world.ledger() as ledger:
        await world.hold_up()
        first = ledger.enqueue(decision(0))
        await asyncio.sleep(0)
        await world.until_entered()
        rest = [ledger.enqueue(decision(number)) for number in range(1, 20)]
        world.file.gate.set()
        assert await asyncio.gather(first, *rest) == list(range(20))
    assert world.file.batches == [1, 19]


async def test_batches_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, and in their order."""
    monkeypatch.setattr(module, "BATCH_ENTRIES", 4)
    async with world.ledger() as ledger:
        assert await asyncio.gather(*(ledger.append(decision(number)) for number in range(10))) == list(range(10))
        for number in range(10, 15):
            ledger.submit(decision(number))
        await ledger.flush()
    assert world.file.batches == [4, 4, 2, 4, 1]


async def test_entries_of_one_turn_of_the_loop_share_a_commit(world: World) -> None:
    """Nobody waits for a timer, and still the first does not go alone."""
    async with world.ledger() as ledger:
        await asyncio.gather(*(ledger.append(decision(number)) for number in range(10)))
    assert world.file.batches == [10]


async def test_what_lands_in_a_file_that_is_no_longer_there_is_confirmed_to_nobody(world: World) -> None:
    """A commit into an unlinked file succeeds, and is lost with it."""
    async with world.ledger() as ledger:
        assert await ledger.append(decision(0)) == 0
        world.path.unlink()
        for number in (1, 2):
            with pytest.raises(LedgerUnavailable, match="unlinked or replaced"):
                await ledger.append(decision(number))
        assert "unlinked or replaced" in ledger.problem


async def test_a_sealed_entry_is_taken_as_it_is(world: World) -> None:
    """Sealed or not, the same bytes are written."""
    entries = [decision(number) for number in range(2)]
    async with world.ledger() as ledger:
        assert await ledger.append(seal(entries[0])) == 0
        assert await ledger.append(entries[1]) == 1
    assert world.bodies() == [seal(entry).body for entry in entries]


async def test_what_nobody_waits_for_rides_with_the_next_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A completion begins no batch, neither before nor after a commit, and keeps its place in the order."""
    monkeypatch.setattr(module, "RIDE_S", 60)
    entries = [decision(number) for number in range(4)]
    async with world.ledger() as ledger:
        ledger.submit(entries[0])
        await asyncio.sleep(0.02)
        assert world.file.batches == []
        appending = asyncio.ensure_future(ledger.append(entries[1]))
        await world.hold_up()
        await asyncio.sleep(0)
        await world.until_entered()
        ledger.submit(entries[2])
        world.file.gate.set()
        assert await appending == 1
        await asyncio.sleep(0.02)
        assert world.file.batches == [2]
        assert await ledger.append(entries[3]) == 3
    assert world.file.batches == [2, 2]
    assert world.bodies() == [seal(entry).body for entry in entries]


async def test_what_nobody_waits_for_goes_after_a_short_while(world: World) -> None:
    """Without another decision it is written all the same, whether it came before a commit or during one."""
    async with world.ledger() as ledger:
        ledger.submit(decision(0))
        ledger.submit(decision(1))
        await until(lambda: world.file.batches == [2])
        await world.hold_up()
        appending = asyncio.ensure_future(ledger.append(decision(2)))
        await asyncio.sleep(0)
        await world.until_entered()
        ledger.submit(decision(3))
        world.file.gate.set()
        assert await appending == 2
        await until(lambda: world.file.batches == [2, 1, 1])
    assert len(world.bodies()) == 4


async def test_closing_commits_what_nobody_waits_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end does not come before a completion that was handed in."""
    monkeypatch.setattr(module, "RIDE_S", 60)
    async with world.ledger() as ledger:
        ledger.submit(decision(0))
    assert len(world.bodies()) == 1
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.submit(decision(1))


@pytest.mark.parametrize("persisted", [False, True])
async def test_what_nobody_waits_for_is_handed_in_once_more(world: World, persisted: bool) -> None:
    """After a batch that failed, or failed but persisted, it stands in the ledger once, before what came later."""
    entries = [decision(number) for number in range(3)]
    async with world.ledger() as ledger:
        world.file.error, world.file.error_after = (
            (None, LedgerUnavailable("lost"))
            if persisted
            else (
                LedgerUnavailable("the disk is full"),
                None,
            )
        )
        for entry in entries[:2]:
            ledger.submit(entry)
        await until(lambda: not ledger.healthy)
        world.file.error = world.file.error_after = None
        assert await ledger.append(entries[2]) == 2
    assert world.bodies() == [seal(entry).body for entry in entries]


async def test_what_fails_twice_is_lost_and_said_to_be(world: World) -> None:
    """Nothing is tried for ever: the log names the entry, and the ledger goes on."""
    lost = decision(0)
    with structlog.testing.capture_logs() as logged:
        async with world.ledger() as ledger:
            world.file.error = LedgerUnavailable("the disk is full")
            ledger.submit(lost)
            await until(lambda: len(world.file.batches) >= 3)
            assert world.file.batches[:3] == [1, 1, 0]
            world.file.error = None
            await until(lambda: ledger.healthy)
    assert [line["id"] for line in logged if line["event"] == "ledger_entry_lost"] == [lost["id"]]
    assert world.bodies() == []


async def test_a_commit_that_hangs_loses_nothing_that_nobody_waits_for(world: World) -> None:
    """Nobody is there to be told that it takes long; it is written when the disk is back."""
    async with world.ledger(commit_timeout_s=0.02) as ledger:
        await world.hold_up()
        ledger.submit(decision(0))
        await until(lambda: "longer than" in ledger.problem)
        world.file.gate.set()
        await until(lambda: ledger.healthy)
    assert len(world.bodies()) == 1


async def test_a_full_queue_is_told_at_once(world: World) -> None:
    """Those under way count too; what was accepted is written."""
    async with world.ledger(queue_entries=3) as ledger:
        await world.hold_up()
        accepted = [ledger.enqueue(decision(0))]
        await asyncio.sleep(0)
        accepted += [ledger.enqueue(decision(number)) for number in (1, 2)]
        with pytest.raises(LedgerFull):
            await ledger.append(decision(3))
        world.file.gate.set()
        assert await asyncio.gather(*accepted) == [0, 1, 2]
        assert await ledger.append(decision(4)) == 3


async def test_what_nobody_waits_for_has_places_of_its_own(world: World) -> None:
    """A completion was paid for by its decision; but these too are bounded."""
    async with world.ledger(queue_entries=2) as ledger:
        await world.hold_up()
        futures = [ledger.enqueue(decision(number)) for number in (0, 1)]
        with pytest.raises(LedgerFull):
            ledger.enqueue(decision(2))
        ledger.submit(decision(3))
        ledger.submit(decision(4))
        with pytest.raises(LedgerFull):
            ledger.submit(decision(5))
        world.file.gate.set()
        await asyncio.gather(*futures)
        await ledger.flush()
    assert len(world.bodies()) == 4


async def test_what_is_no_entry_is_refused_before_it_is_queued(world: World) -> None:
    """A wrong entry costs nobody else theirs."""
    async with world.ledger() as ledger:
        with pytest.raises(UsageError):
            await ledger.append({"kind": "decision"})
    assert world.file.batches == []


@pytest.mark.parametrize("under_way", [True, False])
async def test_a_cancelled_waiter_does_not_take_its_entry_out(world: World, under_way: bool) -> None:
    """Queued or under way: it is written all the same, and the others get their sequences."""
    async with world.ledger() as ledger:
        if not under_way:
            await world.hold_up()
            ledger.enqueue(decision(0))
            await asyncio.sleep(0)
        await world.hold_up()
        task = asyncio.ensure_future(ledger.append(decision(1)))
        other = asyncio.ensure_future(ledger.append(decision(2)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        world.file.gate.set()
        assert await other == (1 if under_way else 2)
        assert task.cancelled()
    assert len(world.bodies()) == (2 if under_way else 3)


@pytest.mark.parametrize("error", [LedgerUnavailable("injected"), ValueError("unforeseen")])
async def test_a_commit_that_fails_is_told_to_all_of_its_batch(world: World, error: Exception) -> None:
    """Every waiter gets the failure; readiness says so; the next entry is tried again."""
    async with world.ledger() as ledger:
        world.file.error = error
        failed = await asyncio.gather(*(ledger.append(decision(n)) for n in range(3)), return_exceptions=True)
        assert [type(each) for each in failed] == [LedgerUnavailable] * 3
        assert len({id(each) for each in failed}) == 3
        assert str(error) in ledger.problem
        world.file.error = None
        assert await ledger.append(decision(3)) == 0
        assert ledger.healthy


async def test_a_commit_that_fails_after_it_persisted_makes_no_duplicate(world: World) -> None:
    """The entries are there; handed in again they get the sequences that they have."""
    entries = [decision(number) for number in range(3)]
    async with world.ledger() as ledger:
        world.file.error_after = LedgerUnavailable("the answer was lost")
        for each in await asyncio.gather(*map(ledger.append, entries), return_exceptions=True):
            assert isinstance(each, LedgerUnavailable)
        world.file.error_after = None
        assert await asyncio.gather(*map(ledger.append, entries)) == [0, 1, 2]
        assert await ledger.append(decision(4)) == 3
    assert verify(world.path).verified


async def test_a_problem_that_passes_is_noticed_without_traffic(world: World) -> None:
    """A gateway that is not ready gets no requests: it looks by itself whether it can write again."""
    async with world.ledger() as ledger:
        world.file.error = LedgerUnavailable("the disk is full")
        with pytest.raises(LedgerUnavailable):
            await ledger.append(decision(0))
        await asyncio.sleep(0.05)
        assert not ledger.healthy
        world.file.error = None
        await until(lambda: ledger.healthy)
        assert world.file.batches[-1] == 0
    assert world.bodies() == []


async def test_a_file_that_failed_for_good_is_not_probed(world: World) -> None:
    """After a failed sync every append is refused, and the disk is left alone."""
    async with world.ledger() as ledger:
        world.file.failure = "the disk failed; restart after checking the disk"
        for number in range(2):
            with pytest.raises(LedgerUnavailable, match="restart"):
                await ledger.append(decision(number))
        await asyncio.sleep(0.05)
        assert len(world.file.batches) == 2
        assert "restart" in ledger.problem


async def test_a_commit_that_hangs_is_told_in_time(world: World) -> None:
    """Those under way and those behind are told; new ones are told at once; what was queued still lands."""
    async with world.ledger(commit_timeout_s=0.05) as ledger:
        await world.hold_up()
        first = ledger.enqueue(decision(0))
        await asyncio.sleep(0)
        behind = ledger.enqueue(decision(1))
        for future in (first, behind):
            with pytest.raises(LedgerUnavailable, match="longer than"):
                await future
        assert "longer than" in ledger.problem
        with pytest.raises(LedgerUnavailable, match="longer than"):
            await ledger.append(decision(2))
        ledger.submit(decision(3))  # a completion waits for nobody
        world.file.gate.set()
        await until(lambda: ledger.healthy)
        assert await ledger.append(decision(4)) == 3
    assert len(world.bodies()) == 4


async def test_closing_commits_what_waits(world: World) -> None:
    """Everything handed in before the end is in the file; nothing is accepted after it."""
    async with world.ledger() as ledger:
        futures = [ledger.enqueue(decision(number)) for number in range(5)]
    assert [future.result() for future in futures] == list(range(5))
    assert len(world.bodies()) == 5
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.enqueue(decision(6))


async def test_closing_waits_for_a_hanging_commit_only_so_long(world: World) -> None:
    """A sync that never returns does not keep the process from ending."""
    ledger = Ledger(world.committing(), queue_entries=10, commit_timeout_s=0.02)
    await ledger.start()
    await world.hold_up()
    future = ledger.enqueue(decision(0))
    async with asyncio.timeout(2):
        await ledger.close()
    assert isinstance(future.exception(), LedgerUnavailable)
    world.file.gate.set()
    await asyncio.sleep(0.05)


async def test_closing_while_there_is_a_problem_ends(world: World) -> None:
    """No probe is left behind."""
    async with world.ledger() as ledger:
        world.file.error = LedgerUnavailable("injected")
        with pytest.raises(LedgerUnavailable):
            await ledger.append(decision(0))
    count = len(world.file.batches)
    await asyncio.sleep(0.05)
    assert len(world.file.batches) == count


async def test_a_low_disk_refuses_permits_and_keeps_room_for_the_rest(world: World) -> None:
    """A denial and an administrative act still go through; once there is room, permits do again."""
    async with world.ledger() as ledger:
        assert await ledger.append(decision(0), permit=True) == 0
        world.free = 99
        assert await ledger.append(decision(1), permit=True) == 1  # looked less than a second ago
        world.clock.advance(1)
        results = await asyncio.gather(
            ledger.append(decision(2), permit=True),
            ledger.append(decision(3)),
            ledger.append(decision(4), permit=True),
            ledger.append(decision(5)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [LedgerFull, int, LedgerFull, int]
        assert [results[1], results[3]] == [2, 3]
        assert "make room" in ledger.problem
        world.free = 100
        world.clock.advance(1)
        await until(lambda: ledger.healthy)
        assert await ledger.append(decision(6), permit=True) == 4


async def test_a_probe_gives_way_to_an_entry(world: World) -> None:
    """An entry that came in the same turn of the loop is the better probe."""
    async with world.ledger() as ledger:
        future = ledger.enqueue(decision(0))
        ledger._probe()
        assert await future == 0
    assert world.file.batches == [1]


def test_space_that_cannot_be_told_is_no_space(path: Path, clock: FakeClock) -> None:
    """A disk that does not answer gets no permits."""

    def fail(_path: Path) -> int:
        raise OSError(5, "Input/output error")

    assert "cannot be told" in FreeSpace(path, minimum_bytes=1, clock=clock, measure=fail).problem()


def test_space_is_measured_where_the_ledger_is(tmp_path: Path, clock: FakeClock) -> None:
    """The real measure: this disk has a byte, and not 2^60."""
    path = tmp_path / "ledger.db"
    assert FreeSpace(path, minimum_bytes=1, clock=clock).problem() == ""
    assert "make room" in FreeSpace(path, minimum_bytes=2**60, clock=clock).problem()


async def test_a_ledger_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """The gateway does not start without."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnavailable):
        async with Ledger.open(tmp_path / "file" / "ledger.db"):
            pytest.fail("opened")


async def test_a_failing_clean_up_does_not_end_the_committer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong after the waiters were told does not stop the next commit, and is told with it."""

    def fail() -> None:
        raise ValueError("injected")

    monkeypatch.setattr(world.file, "tidy", fail)
    async with world.ledger() as ledger:
        with structlog.testing.capture_logs() as logs:
            assert [await ledger.append(decision(number)) for number in range(2)] == [0, 1]
    assert {(line["event"], line["problem"]) for line in logs} == {
        ("ledger_not_tidied", "the ledger: ValueError('injected')")
    }


async def test_a_commit_that_was_in_time_is_not_told_to_hang_later(world: World) -> None:
    """Nothing is under way any more when its time would be over."""
    async with world.ledger(commit_timeout_s=0.5) as ledger:
        assert await ledger.append(decision(0)) == 0
        await asyncio.sleep(0.6)
        assert ledger.healthy
        assert await ledger.append(decision(1)) == 1


async def test_cancelling_the_opening_is_harmless(world: World) -> None:
    """The answer of the thread finds nobody waiting."""
    ledger = Ledger(world.committing(), queue_entries=10, commit_timeout_s=1)
    opening = asyncio.ensure_future(ledger.start())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.sleep(0.05)


async def test_two_ledgers_at_once_keep_one_order(path: Path) -> None:
    """Two gateways on one file append to one sequence."""
    async with Ledger.open(path) as one, Ledger.open(path) as two:
        appends: list[Any] = [ledger.append(decision(n)) for n in range(50) for ledger in (one, two)]
        assert sorted(await asyncio.gather(*appends)) == list(range(100))
    assert verify(path).verified


@pytest.mark.parametrize("lands", [True, False], ids=["landed", "failed"])
async def test_what_lands_when_nobody_waits_any_more_is_said_once(world: World, lands: bool) -> None:
    """Cancelled while it was written: said if it is durable, and not if it is not."""
    said: list[str] = []
    async with world.ledger() as ledger:
        await world.hold_up()
        world.file.error = None if lands else LedgerUnavailable("no")
        waiting = asyncio.ensure_future(ledger.append(decision(0), permit=True, unclaimed=lambda: said.append("x")))
        await world.until_entered()
        waiting.cancel()
        world.file.gate.set()
        await until(lambda: not ledger._begun)
        world.file.error = None
    assert said == (["x"] if lands else [])


async def test_what_is_told_in_the_turn_in_which_the_waiter_is_cancelled_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiter never hears the sequence that it was just given."""
    said: list[str] = []
    async with world.ledger() as ledger:
        waiting = asyncio.ensure_future(ledger.append(decision(0), unclaimed=lambda: said.append("x")))
        settle = ledger._settle

        def settle_and_cancel(result: Any) -> None:
            settle(result)
            waiting.cancel()

        monkeypatch.setattr(ledger, "_settle", settle_and_cancel)  # nothing else comes between the two
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert said == ["x"]


async def test_what_somebody_waits_for_is_not_said(world: World) -> None:
    """They have it."""
    said: list[str] = []
    async with world.ledger() as ledger:
        assert await ledger.append(decision(0), unclaimed=lambda: said.append("x")) == 0
    assert said == []


async def test_what_lands_after_its_waiter_was_told_that_it_takes_too_long_is_said(world: World) -> None:
    """A commit that hung and then went through."""
    said: list[str] = []
    async with world.ledger(commit_timeout_s=0.05) as ledger:
        await world.hold_up()
        with pytest.raises(LedgerUnavailable, match="takes longer"):
            await ledger.append(decision(0), unclaimed=lambda: said.append("x"))
        world.file.gate.set()
        await until(lambda: bool(said))
    assert said == ["x"]


async def test_a_flush_leaves_the_probe(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it waited for may have found no committer, and the ledger is to be tried again all the same."""
    async with world.ledger() as ledger:
        with monkeypatch.context() as early:
            soon = asyncio.get_running_loop().call_soon
            early.setattr(ledger._committing, "commit", lambda _batch, done: soon(done, NotAsked("too early")))
            waiting = ledger.enqueue(decision(0))
            await ledger.flush()
            with pytest.raises(LedgerUnavailable, match="too early"):
                await waiting
        await until(lambda: ledger.healthy)
        assert await ledger.append(decision(1)) == 0


async def test_who_is_behind_somebody_who_left_is_told(world: World) -> None:
    """Whatever goes wrong in telling of what nobody waits for any more."""

    def fail() -> None:
        raise ValueError("unclaimed")

    async with world.ledger() as ledger:
        await world.hold_up()
        left = asyncio.ensure_future(ledger.append(decision(0), unclaimed=fail))
        await asyncio.sleep(0)
        stays = ledger.enqueue(decision(1))
        await world.until_entered()
        left.cancel()
        await asyncio.sleep(0)
        with structlog.testing.capture_logs() as logs:
            world.file.gate.set()
            assert await asyncio.wait_for(stays, 5) == 1
    assert [line["event"] for line in logs] == ["ledger_unclaimed_not_told"]


async def test_a_batch_is_bounded_by_what_it_weighs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handing it over holds up the loop."""
    monkeypatch.setattr(module, "BATCH_BYTES", 20_000)
    async with world.ledger() as ledger:
        entries = [decision(number) | {"object": "x" * 9_000} for number in range(7)]
        assert await asyncio.gather(*map(ledger.append, entries)) == list(range(7))
    assert world.file.batches[:3] == [3, 3, 1]
