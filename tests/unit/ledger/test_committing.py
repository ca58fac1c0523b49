"""The committer: whatever becomes of its process, who waits is told, and the ledger goes on or is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, current_thread, main_thread

import psutil
import pytest
import structlog

from gateway.errors import LedgerUnavailable
from gateway.files import identity
from gateway.ledger import appender
from gateway.ledger import committing as module
from gateway.ledger.appender import Ledger
from gateway.ledger.committer import PROGRAM
from gateway.ledger.committing import Committing
from gateway.ledger.entry import seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.free_space import FreeSpace
from gateway.ledger.messages import encode, received
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from gateway.policy import Effect
from tests.unit.ledger.entries import decision
from tests.world.clock import FakeClock
from tests.world.committing import RunningThread, in_thread
from tests.world.waiting import until


@pytest.fixture(autouse=True)
def _again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)


def process(ledger: Ledger) -> psutil.Process:
    running = ledger._committing._running
    assert isinstance(running, subprocess.Popen)
    return psutil.Process(running.pid)


async def killed(ledger: Ledger) -> None:
    """The committer ends now, and the gateway has seen it."""
    lost = ledger.committers_lost
    process(ledger).kill()
    await until(lambda: ledger.committers_lost > lost)


async def test_a_ledger_goes_on_with_another_committer(path: Path) -> None:
    """In the order and the tree that there was; an entry that was handed in before keeps its place."""
    entries = [decision(number) for number in range(4)]
    async with Ledger.open(path) as ledger:
        assert [await ledger.append(entry) for entry in entries[:2]] == [0, 1]
        await killed(ledger)
        assert [await ledger.append(entry) for entry in entries[1:]] == [1, 2, 3]
        assert ledger.size == 4
        await killed(ledger)
        assert (await ledger.head())[0] == 4
        assert ledger.committers_lost == 2
    assert verify(path).verified


async def test_who_waits_for_a_committer_that_ends_is_told(path: Path) -> None:
    """It is not known whether the entry is durable. What nobody waits for is handed in to the next one."""
    async with Ledger.open(path) as ledger:
        stopped = process(ledger)
        stopped.suspend()
        waiting = asyncio.ensure_future(ledger.append(decision(0)))
        ledger.submit(decision(1))
        await asyncio.sleep(0.05)
        stopped.kill()
        with pytest.raises(LedgerUnavailable, match=r"has ended with status -9; another is started"):
            await waiting
        assert not ledger.healthy
        await ledger.flush()
        assert await ledger.append(decision(2)) == 1
        assert ledger.healthy
    assert verify(path).verified


async def test_a_committer_that_hangs_is_told_of_and_gone_on_with(path: Path) -> None:
    """As soon as it goes on, what was handed in to it stands."""
    async with Ledger.open(path, commit_timeout_s=0.5) as ledger:
        stopped = process(ledger)
        stopped.suspend()
        with pytest.raises(LedgerUnavailable, match="longer than"):
            await ledger.append(decision(0))
        stopped.resume()
        await until(lambda: ledger.healthy)
        assert await ledger.append(decision(1)) == 1


async def test_a_committer_that_hangs_does_not_keep_a_gateway_from_ending(path: Path) -> None:
    """It is ended, and nothing of it stays; whoever waits is told, and what nobody waits for is named."""
    left = [decision(number) for number in range(4)]
    async with Ledger.open(path, commit_timeout_s=0.05) as ledger:
        stopped = process(ledger)
        stopped.suspend()
        ledger.submit(left[0])
        futures = [ledger.enqueue(decision(10))]
        await until(lambda: ledger._committing._pending)
        ledger.submit(left[1])
        futures.append(ledger.enqueue(decision(11)))
        ledger.submit(left[2])
        ledger.submit(left[3])
        with structlog.testing.capture_logs() as logs:
            async with asyncio.timeout(20):
                await ledger.close()
        assert all(isinstance(future.exception(), LedgerUnavailable) for future in futures)
        assert not stopped.is_running()
    assert [line["id"] for line in logs if line["event"] == "ledger_entry_lost"] == [entry["id"] for entry in left]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
async def test_signals_that_end_a_gateway_do_not_end_its_committer(path: Path, number: int) -> None:
    """What was decided is recorded while the gateway ends."""
    async with Ledger.open(path) as ledger:
        there = process(ledger)
        there.send_signal(number)
        assert await ledger.append(decision(0)) == 0
        assert there == process(ledger)


async def test_a_committer_is_not_in_the_session_of_the_gateway(path: Path) -> None:
    """A terminal sends its signals to a whole group."""
    async with Ledger.open(path) as ledger:
        assert os.getsid(process(ledger).pid) != os.getsid(0)


def moved_aside(path: Path) -> None:
    path.rename(path.with_name("aside"))


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("gone", [moved_aside, removed])
async def test_another_file_is_not_gone_on_with(path: Path, tmp_path: Path, gone: Callable[[Path], None]) -> None:
    """Not with one that is as long and as whole, either, whose number is never that of the ledger; and for good."""
    other = tmp_path / "other.db"
    async with Ledger.open(other) as ledger:
        await ledger.append(decision(7))
    async with Ledger.open(path) as ledger:
        await ledger.append(decision(0))
        was, pin = identity(path), ledger._committing._pin
        await killed(ledger)
        gone(path)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink()
        shutil.copy(other, path)
        assert pin is not None
        assert (os.fstat(pin).st_dev, os.fstat(pin).st_ino) == was
        assert identity(path) != was
        for number in (1, 2):
            with pytest.raises(LedgerUnavailable, match="was unlinked or replaced"):
                await ledger.append(decision(number))
    assert LedgerReader(path).size() == 1


async def test_a_ledger_that_went_back_is_not_gone_on_with(path: Path, tmp_path: Path) -> None:
    """In the same file, so that only its size tells."""
    older = tmp_path / "older.db"
    async with Ledger.open(path) as ledger:
        await ledger.append(decision(0))
    shutil.copy(path, older)
    async with Ledger.open(path) as ledger:
        await ledger.append(decision(1))
        await killed(ledger)
        shutil.copyfile(older, path)
        os.truncate(path.with_name(path.name + "-wal"), 0)
        with pytest.raises(LedgerUnavailable, match="went back from 2 entries to 1"):
            await ledger.append(decision(2))


async def test_no_other_is_started_once_the_file_failed_for_good(path: Path) -> None:
    """It would write to a page that may be lost."""
    async with Ledger.open(path) as ledger:
        ledger._committing.failure = "the disk failed; restart after checking the disk"
        await killed(ledger)
        with pytest.raises(LedgerUnavailable, match="the disk failed"):
            await ledger.append(decision(0))
        assert ledger._committing._running is None


async def test_a_committer_that_cannot_be_started_is_told(path: Path) -> None:
    """When the gateway starts, and when another is needed."""

    def refuse(_end: socket.socket) -> subprocess.Popen[bytes]:
        raise OSError(11, "Resource temporarily unavailable")

    ledger = Ledger(Committing(path, refuse), queue_entries=10, commit_timeout_s=1)
    with pytest.raises(LedgerUnavailable, match="no process to write it can be started: Resource temporarily"):
        await ledger.start()
    ledger = Ledger(Committing.in_process(path, minimum_free_bytes=0), queue_entries=10, commit_timeout_s=1)
    await ledger.start()
    ledger._committing._start = refuse
    await killed(ledger)
    with pytest.raises(LedgerUnavailable, match="no process"):
        await ledger.append(decision(0))
    await ledger.close()


@pytest.mark.parametrize(
    "error", [TypeError("expected str"), MemoryError(), OSError(24, "Too many open files")], ids=repr
)
async def test_whatever_keeps_one_from_being_started_is_gone_on_from(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As soon as the cause is gone."""

    def refuse(*_arguments: object) -> subprocess.Popen[bytes]:
        raise error

    for where in ("_start", "_started"):
        async with Ledger.open(path) as ledger:
            await killed(ledger)
            with monkeypatch.context() as broken:
                broken.setattr(ledger._committing, where, refuse)
                with pytest.raises(LedgerUnavailable, match="no process to write it can be started"):
                    await ledger.append(decision(0))
            await until(lambda: ledger.healthy)
            await ledger.append(decision(1))


class Lingering:
    """As a process that let go of its end of the sockets, and lives on until it is killed."""

    def __init__(self) -> None:
        self.gone = Event()
        self.held_up_s = 0.0

    def wait(self, timeout: float) -> int:
        if current_thread() is main_thread():
            self.held_up_s += timeout
        elif self.gone.wait(timeout):
            return -9
        raise subprocess.TimeoutExpired("committer", timeout)

    def kill(self) -> None:
        self.gone.set()


async def test_one_that_lingers_holds_up_nothing_and_has_no_other_beside_it(path: Path) -> None:
    """It is ended by a thread; meanwhile whoever asks is told."""
    lingering: list[Lingering] = []
    over = Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    taken = asyncio.get_running_loop().run_in_executor(None, over.wait)  # no thread is left that others use, too

    def linger(_end: socket.socket) -> Lingering:
        lingering.append(Lingering())
        return lingering[-1]

    ledger = Ledger(Committing.in_process(path, minimum_free_bytes=0), queue_entries=10, commit_timeout_s=5)
    await ledger.start()
    await killed(ledger)
    ledger._committing._start = linger
    with pytest.raises(LedgerUnavailable, match="answers no more"):
        await ledger.append(decision(0))
    with pytest.raises(LedgerUnavailable):
        await ledger.head()
    assert [one.gone.is_set() for one in lingering] == [False]
    await until(lambda: ledger.committers_lost == 2)
    assert lingering[0].held_up_s == module.LINGER_S < 0.1
    assert lingering[0].gone.is_set()
    await ledger.close()
    over.set()
    await taken


async def test_who_waits_is_told_once_it_is_known_that_no_other_follows(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it was handed in while it was too early for another, and would have gone with the next probe."""
    monkeypatch.setattr(appender, "PROBE_S", 60.0)
    over = Event()

    class Dying(Lingering):
        def wait(self, timeout: float) -> int:
            if current_thread() is main_thread():
                raise subprocess.TimeoutExpired("committer", timeout)
            over.wait(5)
            return -signal.SIGBUS

    def start(end: socket.socket) -> Dying:
        in_thread(LedgerFile(path), FreeSpace(path, minimum_bytes=0, clock=clock))(end)
        return Dying()

    ledger = Ledger(Committing(path, start), queue_entries=10, commit_timeout_s=5)
    await ledger.start()
    await ledger._committing.call("close")
    await until(lambda: ledger._committing._channel is None)
    first = ledger.enqueue(decision(0))
    await asyncio.sleep(0)
    second = ledger.enqueue(decision(1))
    with pytest.raises(LedgerUnavailable, match="about to end"):
        await first
    assert not second.done()
    over.set()
    with pytest.raises(LedgerUnavailable, match="the disk failed"):
        await asyncio.wait_for(second, 5)
    await ledger.close()


async def test_one_that_does_not_last_is_followed_by_another_only_so_often(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start for each request would take the processor from whoever is to mend it."""
    monkeypatch.setattr(module, "AGAIN_S", 0.8)
    monkeypatch.setattr(appender, "PROBE_S", 0.02)
    starts = 0

    def start(end: socket.socket) -> subprocess.Popen[bytes]:
        nonlocal starts
        starts += 1
        return module._start_process(path, 0, end) if starts == 1 else subprocess.Popen(["true"], stdin=end.fileno())

    ledger = Ledger(Committing(path, start), queue_entries=10, commit_timeout_s=1)
    await ledger.start()
    await asyncio.sleep(0.8)
    await killed(ledger)
    for number in range(20):
        with pytest.raises(LedgerUnavailable, match="has ended with status 0"):
            await ledger.append(decision(number))
    assert starts == 2
    await until(lambda: starts >= 3)
    await ledger.close()


async def test_no_other_is_started_beside_one_that_cannot_be_ended(path: Path, clock: FakeClock) -> None:
    """Its end of the sockets is closed, and it hangs in the system."""

    class Hanging:
        def wait(self, timeout: float) -> int:
            raise subprocess.TimeoutExpired("committer", timeout)

        def kill(self) -> None: ...

    def start(end: socket.socket) -> Hanging:
        in_thread(LedgerFile(path), FreeSpace(path, minimum_bytes=0, clock=clock))(end)
        return Hanging()

    ledger = Ledger(Committing(path, start), queue_entries=10, commit_timeout_s=1)
    await ledger.start()
    await ledger._committing.call("close")
    await until(lambda: ledger._committing.failure)
    for number in range(2):
        with pytest.raises(LedgerUnavailable, match="cannot be ended; restart"):
            await ledger.append(decision(number))
    await ledger.close()


async def test_one_that_was_told_to_end_is_not_lost(path: Path) -> None:
    """Whoever closes it may hear that it is gone before the answer, and need not wait for that any longer."""
    with structlog.testing.capture_logs() as logs:
        async with Ledger.open(path) as ledger:
            process(ledger).suspend()
            closing = asyncio.ensure_future(ledger._committing.close(within_s=60))
            await asyncio.sleep(0.05)
            process(ledger).kill()
            await asyncio.wait_for(closing, 20)
            assert ledger.committers_lost == 0
    assert logs == []


async def test_what_cannot_be_handed_over_fails_alone(path: Path) -> None:
    """No answer goes to another than who waits for it."""
    async with Ledger.open(path) as ledger:
        with pytest.raises(LedgerUnavailable, match="cannot be handed"):
            await ledger._committing.call("head", object())
        assert await ledger.append(decision(0)) == 0
        assert (await ledger.head())[0] == 1


async def test_a_value_of_an_enumeration_is_as_good_as_its_text(path: Path) -> None:
    """In the index, too."""
    async with Ledger.open(path) as ledger:
        assert await ledger.append(decision(0) | {"effect": Effect.DENY}) == 0
    with LedgerReader(path) as reader:
        assert len(list(reader.search(Query(effect="deny")))) == 1


async def test_a_ledger_that_went_back_is_refused_however_many_committers_later(path: Path, tmp_path: Path) -> None:
    """Also by the one after one that could not read it."""
    older = tmp_path / "older.db"
    async with Ledger.open(path) as ledger:
        await ledger.append(decision(0))
    shutil.copy(path, older)
    async with Ledger.open(path) as ledger:
        await ledger.append(decision(1))
        await killed(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerUnavailable, match="its lock"):
                await ledger.append(decision(2))
            assert ledger.size == 2
        await killed(ledger)
        shutil.copyfile(older, path)  # its log was moved when the lock was let go of
        with pytest.raises(LedgerUnavailable, match="went back from 2 entries to 1"):
            await ledger.append(decision(3))


async def test_what_nobody_waits_for_is_kept_until_there_is_a_committer_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is asked for meanwhile; also at the stop."""
    monkeypatch.setattr(module, "AGAIN_S", 0.5)
    monkeypatch.setattr(appender, "PROBE_S", 0.05)
    left = [decision(number) for number in range(1, 6)]
    with structlog.testing.capture_logs() as logs:
        async with Ledger.open(path) as ledger:
            await ledger.append(decision(0))
            await killed(ledger)
            for entry in left:
                ledger.submit(entry)
            for number in range(100):
                with pytest.raises(LedgerUnavailable, match="has ended with status -9"):
                    await ledger.append(decision(100 + number))
    with LedgerReader(path) as reader:
        there = [entry["id"] for entry in reader.search(Query())]
    assert [there.count(entry["id"]) for entry in left] == [1] * 5
    assert [line["event"] for line in logs if line["event"].startswith("ledger_unavailable")] == ["ledger_unavailable"]
    assert not [line for line in logs if line["event"] == "ledger_entry_lost"]


async def test_a_loss_is_known_and_mended_before_anybody_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness tells of it, and a probe starts another."""
    monkeypatch.setattr(appender, "PROBE_S", 0.1)
    async with Ledger.open(path) as ledger:
        await killed(ledger)
        assert "has ended with status -9" in ledger.problem
        await until(lambda: ledger.healthy)
        assert process(ledger).is_running()


async def test_a_committer_of_another_program_ends_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was installed while the gateway ran, and may know other tables."""
    async with Ledger.open(path) as ledger:
        monkeypatch.setattr(module, "PROGRAM", "another")
        await killed(ledger)
        for number in range(2):
            with pytest.raises(LedgerUnavailable, match="another version of the gateway was installed; restart it"):
                await ledger.append(decision(number))
        assert ledger.committers_lost == 2


ANSWERS: dict[str, Callable[[int], bytes]] = {
    "none": lambda _: encode(()),
    "short": lambda number: encode((number,)),
    "of another": lambda number: encode((number + 1, None, "", 0, "")),
    "lacking": lambda number: encode((number, None, "", 0)),
    "no size": lambda number: encode((number, ("", [0]), "", "0", "")),
    "no reason": lambda number: encode((number, ("", [0]), "", 0, None)),
    "too few": lambda number: encode((number, ("", []), "", 0, "")),
    "no outcomes": lambda number: encode((number, ("", [1.5]), "", 0, "")),
    "no pair": lambda number: encode((number, 1, "", 0, "")),
    "no form": lambda _: (5).to_bytes(4) + b"\xff\xff\xff\xff\xff",
    "cut": lambda _: (5).to_bytes(4) + b"(\x05\x00\x00\x00",
    "no tuple": lambda _: (5).to_bytes(4) + b"i\x01\x00\x00\x00",
    "too long": lambda _: b"\xff\xff\xff\xff",
    "a size beside it": lambda number: encode((number, 5, "", 10**12, "")),
    "a failure beside it": lambda number: encode((number, 5, "", 0, "the disk failed")),
    "before the first": lambda number: encode((number, ("", [-5]), "", 0, "")),
    "fewer than none": lambda number: encode((number, ("", [0]), "", -7, "")),
    "a yes": lambda number: encode((number, ("", [True]), "", 1, "")),
    "yes, many": lambda number: encode((number, ("", [0]), "", True, "")),
    "no space for a denial": lambda number: encode((number, ("low", [None]), "", 0, "")),
    "refused for nothing": lambda number: encode((number, ("", [None]), "", 0, "")),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_not_due_is_believed_in_nothing(path: Path, answer: Callable[[int], bytes]) -> None:
    """Who says it is ended, and who waits is told."""

    LedgerWriter(path).close()

    def start(end: socket.socket) -> RunningThread:
        return RunningThread(Liar(path, answer), end.dup())

    ledger = Ledger(Committing(path, start), queue_entries=10, commit_timeout_s=1)
    await ledger.start()
    with pytest.raises(LedgerUnavailable, match="has ended"):
        await ledger.append(decision(0), permit=answer is ANSWERS["refused for nothing"])
    assert ledger.committers_lost == 1
    assert (ledger.size, ledger._committing.failure) == (0, "")
    await ledger.close()


class Liar:
    """Opens well, and answers everything else with this."""

    def __init__(self, path: Path, answer: Callable[[int], bytes]) -> None:
        self._opened = identity(path)
        self._answer = answer
        self.asked: list[str] = []

    def serve(self, end: socket.socket) -> None:
        with end, suppress(ConnectionError):
            for number, act, *_ in received(end):
                self.asked.append(act)
                end.sendall(encode((number, self._opened, "", 0, "")) if act == "open" else self._answer(number))


@pytest.mark.parametrize("answer", ["no form", "too few"])
async def test_what_nobody_waits_for_outlives_every_committer_that_had_it(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """None of them said that it failed."""
    monkeypatch.setattr(appender, "PROBE_S", 0.01)
    LedgerWriter(path).close()
    whole = in_thread(LedgerFile(path), FreeSpace(path, minimum_bytes=0, clock=clock))
    had: list[Liar] = []

    def start(end: socket.socket) -> RunningThread:
        if len(had) == 4:
            return whole(end)
        had.append(Liar(path, ANSWERS[answer]))
        return RunningThread(had[-1], end.dup())

    entry = decision(0)
    with structlog.testing.capture_logs() as logs:
        ledger = Ledger(Committing(path, start), queue_entries=10, commit_timeout_s=1)
        await ledger.start()
        ledger.submit(entry)
        await until(lambda: ledger.committers_lost == 4 and ledger.healthy)
        await ledger.close()
    with LedgerReader(path) as reader:
        assert [each["id"] for each in reader.search(Query())] == [entry["id"]]
    assert [liar.asked for liar in had] == [["open", "commit"]] * 4
    assert not [line for line in logs if line["event"] == "ledger_entry_lost"]


async def test_what_fails_for_good_while_tidying_up_is_known_at_once(path: Path, clock: FakeClock) -> None:
    """Before the next batch, and when that committer is gone."""

    class Failing(LedgerFile):
        def tidy(self) -> None:
            self.failure = "the disk failed; restart after checking the disk"

    start = in_thread(Failing(path), FreeSpace(path, minimum_bytes=0, clock=clock))
    ledger = Ledger(Committing(path, start), queue_entries=10, commit_timeout_s=1)
    await ledger.start()
    await until(lambda: not ledger.healthy)
    assert "the disk failed" in ledger.problem
    with pytest.raises(LedgerUnavailable, match="the disk failed"):
        await ledger.append(decision(0))
    await ledger.close()


@pytest.mark.parametrize("last", [b"", encode((3,))], ids=["the end", "nothing that can be read"])
def test_a_log_that_cannot_be_relied_on_is_not_moved_at_the_end(path: Path, last: bytes) -> None:
    """Not by SQLite either, as it lets go of the file, whatever the end is."""
    program = (
        "import sys; from gateway.ledger import committer as c\n"
        "commit = c.LedgerFile.commit\n"
        "def fail(file, batch): outcomes = commit(file, batch); file.failure = 'failed'; return outcomes\n"
        "c.LedgerFile.commit = fail; c.main(*sys.argv[1:])\n"
    )
    ours, theirs = socket.socketpair()
    line = [sys.executable, "-c", program, PROGRAM, str(path), "0"]
    with ours, subprocess.Popen(line, stdin=theirs.fileno()) as committer:
        theirs.close()
        entry = seal(decision(0))
        for message in ((1, "open"), (2, "commit", [(False, *entry)])):
            ours.sendall(encode(message))
        answers = received(ours)
        assert next(answers)[0] == 1
        assert next(answers)[4] == "failed"
        ours.sendall(last)
        ours.shutdown(socket.SHUT_WR)
        assert committer.wait(10) == 1
    assert path.with_name(path.name + "-wal").stat().st_size


async def test_a_signal_while_it_starts_does_not_end_it(path: Path) -> None:
    """From its first instruction on."""
    async with Ledger.open(path) as ledger:
        for number in range(10):
            await killed(ledger)
            waiting = asyncio.ensure_future(ledger.append(decision(number)))
            await until(lambda: ledger._committing._running)
            process(ledger).terminate()
            assert await waiting == number


async def test_a_committer_imports_nothing_from_where_it_was_started(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file there that has the name of a library is none."""
    (tmp_path / "sqlite3.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    async with Ledger.open(path) as ledger:
        assert await ledger.append(decision(0)) == 0


async def test_a_committer_is_given_no_secret(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment, only what says how an interpreter runs."""
    secrets = {"STORE_PASSWORD", "LD_SDK_KEY", "LANGUAGE_TOKEN", "PATH_SECRET", "PYTHON_TOKEN"}
    for name in secrets:
        monkeypatch.setenv(name, "t0p")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    async with Ledger.open(path) as ledger:
        await ledger.append(decision(0))
        given = process(ledger).environ()
    assert given["PYTHONHASHSEED"] == "7"
    assert secrets.isdisjoint(given)


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_a_committer_is_as_isolated_as_its_gateway(path: Path, tmp_path: Path, flag: str) -> None:
    """What the environment says of modules, it says to both of them or to neither."""
    (tmp_path / "evil").mkdir()
    for module_of_others in ("sitecustomize", "sqlite3"):
        (tmp_path / "evil" / f"{module_of_others}.py").write_text("import os; os._exit(9)")
    program = (
        f"import sys; sys.path[:] = {[place for place in sys.path if place]!r}\n"
        "import asyncio, pathlib\n"
        "from gateway.ledger.appender import Ledger\n"
        "async def main():\n"
        "    async with Ledger.open(pathlib.Path(sys.argv[1])) as ledger: print(await ledger.head())\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "evil")}
    line = [sys.executable, flag, "-c", program, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20, env=environment)
    assert done.stdout.startswith("(0, b"), done.stderr


async def test_who_waits_when_a_ledger_is_closed_is_told(path: Path) -> None:
    """Also who came after its committer began to hang."""
    async with Ledger.open(path, commit_timeout_s=0.05) as ledger:
        process(ledger).suspend()
        first = ledger.enqueue(decision(0))
        await asyncio.sleep(0.1)
        with pytest.raises(LedgerUnavailable, match="takes longer"):
            ledger.enqueue(decision(1))
    await asyncio.sleep(0.01)
    assert type(first.exception()) is LedgerUnavailable


async def test_entries_larger_than_any_socket_holds(path: Path) -> None:
    """Some are sent when there is room, and nothing of them is lost or changed."""
    entries = [decision(number) | {"object": "x" * 60_000} for number in range(300)]
    async with Ledger.open(path) as ledger:
        assert await asyncio.gather(*map(ledger.append, entries)) == list(range(300))
    assert verify(path).verified


async def test_a_committer_ends_with_its_gateway(path: Path) -> None:
    """Even with one that was killed: the file is closed, and nothing stays behind."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.ledger.appender import Ledger\n"
        "async def main():\n"
        "    async with Ledger.open(pathlib.Path(sys.argv[1])) as ledger:\n"
        "        print(ledger._committing._running.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    line = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        committer = psutil.Process(int(await asyncio.to_thread(gateway.stdout.readline)))
        gateway.kill()
    await asyncio.to_thread(psutil.wait_procs, [committer], 5)
    assert not committer.is_running()
    assert not path.with_name(path.name + "-wal").exists()


async def test_what_goes_wrong_in_an_act_is_told_and_not_the_end(path: Path) -> None:
    """Whatever it is: the committer goes on."""
    async with Ledger.open(path) as ledger:
        there = process(ledger)
        with pytest.raises(LedgerUnavailable, match="nothing that a committer does"):
            await ledger._committing.call("no such act")
        assert await ledger.append(decision(0)) == 0
        assert there == process(ledger)


def test_a_committer_starts_with_little() -> None:
    """It stands beside every gateway: what it does not need is not there, and takes neither time nor memory."""
    program = "import sys, gateway.ledger.committer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    heavy = {"aiohttp", "asyncio", "cryptography", "pydantic", "sqlalchemy", "structlog"}
    assert heavy.isdisjoint(loaded.stdout.split())


def test_a_file_that_is_opened_anew_says_which_it_is(path: Path) -> None:
    """And is opened again by that."""
    first, again = LedgerFile(path), LedgerFile(path)
    opened = first.open()
    first.close()
    assert again.open(opened, 0) == opened
    again.close()
