"""Checkpoints of a running gateway: when one is due, who is told, and that failing holds nothing up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import GatewayError, HolderUnavailable, LedgerContradicted, LedgerUnavailable
from gateway.ledger import checkpoints
from gateway.ledger.appender import Ledger
from gateway.ledger.checkpoints import Checkpoints, LedgerBook
from gateway.ledger.committing import Committing
from gateway.ledger.file import LedgerFile
from gateway.ledger.free_space import FreeSpace
from gateway.ledger.holding import Vouching
from gateway.ledger.notary import Notary, size_of
from gateway.ledger.signing import SigningKey
from tests.unit.ledger.entries import decision
from tests.world.clock import FakeClock
from tests.world.committing import in_thread
from tests.world.signed import ORIGIN


class Holder:
    """Notes what it is told; fails, or hangs, if asked to."""

    def __init__(self, name: str = "away", *, required: bool = False) -> None:
        self.name = name
        self.required = required
        self.timeout_s = 0.2
        self.error: Exception | None = None
        self.hangs = False
        self.sizes: list[int] = []
        self.closed = False
        self._news = asyncio.Event()

    async def check(self, ledger: Vouching) -> None:
        await self._answer()

    async def tell(self, note: str, ledger: Vouching) -> None:
        await self._answer()
        self.sizes.append(size_of(note))
        self._news.set()

    async def told_of(self, size: int) -> None:
        """Wait until it is told of a checkpoint of this size."""
        async with asyncio.timeout(10):
            while size not in self.sizes:
                await self._news.wait()
                self._news.clear()

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def taking(path: Path, clock: FakeClock, *holders: Holder) -> AsyncIterator[tuple[Checkpoints, Ledger]]:
    async with Ledger.open(path) as ledger:
        notary = Notary(path, LedgerBook(ledger), SigningKey(path, ORIGIN), clock=clock, node="n")
        yield Checkpoints(ledger, notary, holders, clock=clock, interval_s=60, entries=10), ledger


async def test_one_is_due_by_time_by_entries_and_when_asked(path: Path, clock: FakeClock) -> None:
    """The first at once; then each a minute or ten entries after the last, also when nothing was added."""
    holder = Holder()
    async with taking(path, clock, holder) as (taken, ledger):
        await taken.begin("gateway")
        assert [await taken.attend(), await taken.attend()] == [True, False]
        clock.advance(59.9)
        assert not await taken.attend()
        clock.advance(0.1)
        assert await taken.attend()
        await taken.told()
        for number in range(9):
            await ledger.append(decision(number))
        assert not await taken.attend()
        await ledger.append(decision(9))
        assert await taken.attend()
        await taken.told()
        taken.ask()
        assert await taken.attend()
        await taken.told()
        assert holder.sizes == [1, 1, 11, 11]
        assert (taken.size, taken.age_s, taken.problem, taken.alarm) == (11, 0, "", "")
        await taken.close()


async def test_it_goes_on_by_itself(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """And at the end everything that was handed in is signed, also what nobody waits for."""
    monkeypatch.setattr(checkpoints, "LOOK_S", 0.005)
    holder = Holder()
    async with taking(path, clock, holder) as (taken, ledger):
        await taken.begin("gateway")
        running = asyncio.get_running_loop().create_task(taken.run())
        await holder.told_of(1)
        await ledger.append(decision(1))
        taken.ask()
        await holder.told_of(2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        ledger.submit(decision(2))
        await taken.close()
        assert holder.sizes[-1] == 3
        assert holder.closed


async def test_holder_that_fails_is_named_and_tried_again(path: Path, clock: FakeClock) -> None:
    """Others are told meanwhile; nothing else is held up, and it is no alarm."""
    bad, slow, odd, good = Holder("bad"), Holder("slow"), Holder("odd"), Holder("good")
    bad.error, slow.hangs, odd.error = HolderUnavailable("503"), True, RuntimeError("odd")
    async with taking(path, clock, bad, slow, odd, good) as (taken, _):
        await taken.begin("gateway")
        await taken.take()
        await taken.told()
        assert taken.failing == {
            "bad": "bad: 503",
            "slow": "slow: it did not answer within 0.2 s",
            "odd": "odd: RuntimeError",
        }
        assert (good.sizes, taken.alarm) == ([1], "")
        bad.error, slow.hangs, odd.error = None, False, None
        await taken.take()
        await taken.told()
        assert taken.failing == {}
        await taken.close()


async def test_holder_that_still_hangs_is_left_alone(path: Path, clock: FakeClock) -> None:
    """It is told of a later one; the next checkpoint does not wait for it."""
    slow = Holder()
    slow.timeout_s, slow.hangs = 5.0, True
    async with taking(path, clock, slow) as (taken, ledger):
        await asyncio.to_thread(taken._notary.establish, "gateway")
        await taken.take()
        await ledger.append(decision(1))
        async with asyncio.timeout(2):
            await taken.take()
        assert taken.size == 2
        assert len(taken._telling) == 1


async def test_stopping_waits_only_so_long(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that hangs does not keep the gateway from ending."""
    monkeypatch.setattr(checkpoints, "CLOSE_S", 0.1)
    slow = Holder()
    slow.timeout_s = 30.0
    async with taking(path, clock, slow) as (taken, _):
        await taken.begin("gateway")
        slow.hangs = True
        async with asyncio.timeout(2):
            await taken.close()
        assert slow.closed


async def test_contradiction_while_running_is_an_alarm_and_no_end(path: Path, clock: FakeClock) -> None:
    """Until it is gone."""
    holder = Holder()
    async with taking(path, clock, holder) as (taken, ledger):
        await taken.begin("gateway")
        holder.error = LedgerContradicted("it is over 9 entries")
        await taken.take()
        await taken.told()
        assert taken.alarm == "away: it is over 9 entries"
        await ledger.append(decision(1))
        holder.error = HolderUnavailable("503")
        assert await taken.take()
        await taken.told()
        assert taken.alarm == "away: it is over 9 entries"
        holder.error = None
        await taken.take()
        await taken.told()
        assert taken.alarm == ""
        await taken.close()


@pytest.mark.parametrize(
    ("error", "required", "refused"),
    [
        (LedgerContradicted("forked"), False, True),
        (LedgerContradicted("forked"), True, True),
        (HolderUnavailable("503"), False, False),
        (HolderUnavailable("503"), True, True),
        (None, True, False),
    ],
)
async def test_start_is_refused_by_what_contradicts_and_what_is_required(
    path: Path, clock: FakeClock, error: GatewayError | None, required: bool, refused: bool
) -> None:
    """Before anything is written; what is out of reach is shown."""
    holder = Holder(required=required)
    holder.error = error
    async with taking(path, clock, holder) as (taken, ledger):
        if refused:
            with pytest.raises(type(error), match="away: "):
                await taken.begin("gateway")
            assert ledger.size == 0
        else:
            await taken.begin("gateway")
            assert taken.failing == ({"away": "away: 503"} if error else {})
        await taken.let_go()


class Shown(Holder):
    """Can be asked only with a checkpoint, as a witness; contradicts what it is shown."""

    async def check(self, ledger: Vouching) -> None:
        if await ledger.latest():
            raise LedgerContradicted("it has cosigned 9 entries")


async def test_new_ledger_is_shown_once_it_has_a_key(path: Path, clock: FakeClock) -> None:
    """Before that there is nothing to ask a witness with, and it may have seen another ledger of this name."""
    async with taking(path, clock, Shown()) as (taken, ledger):
        with pytest.raises(LedgerContradicted, match="away: it has cosigned 9 entries"):
            await taken.begin("gateway")
        assert ledger.size == 1
        with pytest.raises(LedgerContradicted, match="away: "):
            await taken.begin("gateway")
        assert ledger.size == 1
        await taken.let_go()


@pytest.mark.parametrize("error", [LedgerUnavailable("the disk is full"), ZeroDivisionError("odd")])
async def test_checkpoint_that_cannot_be_kept_holds_nothing_up(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is shown and tried again; entries go on."""
    holder = Holder()
    async with taking(path, clock, holder) as (taken, ledger):
        await taken.begin("gateway")

        def fail(size: int, note: str) -> None:
            raise error

        monkeypatch.setattr(taken._notary.book, "keep_checkpoint", fail)
        clock.advance(100)
        assert await taken.take() is None
        assert str(error) in taken.problem
        assert taken.age_s == 100
        assert holder.sizes == []
        await ledger.append(decision(1))
        monkeypatch.undo()
        clock.advance(60)
        assert await taken.attend()
        assert (taken.problem, taken.size) == ("", 2)
        await taken.close()


async def test_own_checkpoint_that_contradicts_is_an_alarm(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is not what was signed."""
    async with taking(path, clock) as (taken, _):
        await taken.begin("gateway")

        def contradicted() -> str:
            raise LedgerContradicted("changed or forked")

        monkeypatch.setattr(taken._notary, "checkpoint", contradicted)
        await taken.take()
        assert taken.alarm == "the ledger itself: changed or forked"
        monkeypatch.undo()
        await taken.take()
        assert taken.alarm == ""
        await taken.close()


async def test_ledger_that_does_not_answer_is_told_in_bounded_time(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is closed at once."""
    gate, file = threading.Event(), LedgerFile(path)
    monkeypatch.setattr(file, "head", lambda: gate.wait() and LedgerFile.head(file))
    space = FreeSpace(path, minimum_bytes=0, clock=clock)
    ledger = Ledger(Committing(path, in_thread(file, space)), queue_entries=10, commit_timeout_s=0.05)
    await ledger.start()
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        await ledger.head()
    gate.set()
    assert (await ledger.head())[0] == 0
    await ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        await ledger.head()
