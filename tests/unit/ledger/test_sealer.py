"""Sealing by itself: when, what, how it fails, and how it stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.clock import SECOND_US, parse_rfc3339
from gateway.errors import LedgerUnavailable
from gateway.files import locked
from gateway.ledger import sealing
from gateway.ledger.file import connect
from gateway.ledger.sealed import Sealed
from gateway.ledger.sealer import EVERY_S, RETRY_S, Sealer, month_of
from gateway.ledger.sealing import Written
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.sealing_world import built, sealed_entry
from tests.world.clock import FakeClock

DAY_S = 86_400
MONTH_ENDS_S = parse_rfc3339("2027-02-01T00:00:00Z") // SECOND_US
"""Of the month in which the entries are."""


@pytest.fixture
def clock(path: Path) -> FakeClock:
    """Nine days after the month of the entries."""
    built(path)
    return FakeClock(MONTH_ENDS_S + 9 * DAY_S)


def sealer(path: Path, clock: FakeClock, *, after_s: int = 10 * DAY_S, **more: Any) -> Sealer:
    return Sealer(path, sealing.segments_directory(path), after_s=after_s, clock=clock, told=sealed_entry, **more)


def segments(path: Path) -> list[tuple[int, int]]:
    with closing(connect(path, mode="ro")) as connection:
        return [(one.first, one.last) for one in Sealed(connection).all()]


def test_month_begins_on_its_first_day_in_utc() -> None:
    """To the microsecond, from the first instant to the last."""
    january, february = (parse_rfc3339(f"2027-{month}-01T00:00:00Z") for month in ("01", "02"))
    assert [month_of(at) for at in (january, january + 1, february - 1, february)] == [january] * 3 + [february]


def test_month_is_sealed_once_all_of_it_is_old_enough(path: Path, clock: FakeClock) -> None:
    """Not before, and once; the log says it in one line."""
    found = sealer(path, clock)
    assert found.attend() == 0
    clock.advance(DAY_S)
    with capture_logs() as logs:
        assert found.attend() == 1
        clock.advance(EVERY_S)
        assert found.attend() == 0
    assert segments(path) == [(0, 511)]
    assert [(line["event"], line["first"], line["last"], line["segments"]) for line in logs] == [
        ("ledger_sealed", 0, 511, 1)
    ]
    assert (found.segments, found.problem) == (1, "")
    report = verify(path, processes=1)
    assert (report.verified, report.entries) == (True, 601)


def test_it_looks_once_an_hour(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and then."""
    looked: list[int] = []
    monkeypatch.setattr(sealing, "ripe", lambda _path, *, before_us: looked.append(before_us))
    found = sealer(path, clock)
    for seconds in (0.0, 1.0, EVERY_S - 2.0, 1.0, 1.0):
        clock.advance(seconds)
        found.attend()
    assert len(looked) == 2


def test_failure_is_logged_once_told_and_tried_again(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sooner than the next look; then it is well again, and nothing was lost."""
    clock.advance(DAY_S)
    found = sealer(path, clock)
    with monkeypatch.context() as patch, capture_logs() as logs:

        def full(*_arguments: object) -> Written:
            raise OSError(28, "No space left on device")

        patch.setattr(sealing, "write", full)
        for seconds in (0.0, RETRY_S, 1.0, RETRY_S):
            clock.advance(seconds)
            assert found.attend() == 0
    assert [line["event"] for line in logs] == ["ledger_not_sealed"]
    assert "No space left on device; make room" in found.problem
    clock.advance(RETRY_S - 1)
    assert (found.attend(), segments(path)) == (0, [])
    clock.advance(1)
    with capture_logs() as logs:
        assert found.attend() == 1
    assert [line["event"] for line in logs] == ["ledger_sealed", "ledger_sealed_again"]
    assert (found.problem, segments(path)) == ("", [(0, 511)])


def test_what_is_nobodys_fault_in_particular_is_a_failure_too(path: Path, clock: FakeClock) -> None:
    """Requests go on."""

    def told(_one: Written) -> Mapping[str, object]:
        raise KeyError("act")

    clock.advance(DAY_S)
    found = Sealer(path, sealing.segments_directory(path), after_s=DAY_S, clock=clock, told=told)
    assert found.attend() == 0
    assert found.problem == "KeyError('act')"


def test_ledger_that_cannot_be_written_is_a_failure(path: Path, clock: FakeClock) -> None:
    """Of the lock, say."""

    def refuse(_path: Path) -> LedgerWriter:
        raise LedgerUnavailable("another process has held its lock for too long")

    clock.advance(DAY_S)
    found = sealer(path, clock, open_writer=refuse)
    assert (found.attend(), found.problem) == (0, "another process has held its lock for too long")


def test_one_process_does_it(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """That another is at it is no failure; it is looked at again soon."""
    clock.advance(DAY_S)
    found = sealer(path, clock)
    directory = sealing.segments_directory(path)
    directory.mkdir()
    monkeypatch.setattr(sealing, "locked", lambda path: locked(path, timeout_s=0.05))
    with locked(directory / ".lock"), capture_logs() as logs:
        assert found.attend() == 0
    assert (logs, found.problem, segments(path)) == ([], "", [])
    clock.advance(RETRY_S)
    assert found.attend() == 1


async def test_stop_ends_what_is_under_way_before_its_segment_is_in_force(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops it waits for that, and no thread is left; the next start goes on."""
    clock.advance(DAY_S)
    found = sealer(path, clock)
    begun, whole = threading.Event(), sealing._bunches

    def slow(*arguments: Any) -> Any:
        for count, bunch in enumerate(whole(*arguments)):
            begun.set()
            while count == 0 and not found._stopping.is_set():
                threading.Event().wait(0.01)
            yield bunch

    monkeypatch.setattr(sealing, "_bunches", slow)
    task = asyncio.ensure_future(found.run())
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (segments(path), found.problem) == ([], "")
    monkeypatch.setattr(sealing, "_bunches", whole)
    assert sealer(path, clock).attend() == 1
    assert verify(path, processes=1).verified


async def test_loop_goes_on_meanwhile(path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is in a thread, and it looks by itself."""
    clock.advance(DAY_S)
    found, free = sealer(path, clock), threading.Event()
    whole = sealing.write

    def held(*arguments: Any) -> Written:
        assert free.wait(10)
        return whole(*arguments)

    monkeypatch.setattr(sealing, "write", held)
    task = asyncio.ensure_future(found.run())
    for _ in range(20):
        await asyncio.sleep(0.005)
    free.set()
    async with asyncio.timeout(10):
        while not found.segments:  # noqa: ASYNC110  it is told by nobody
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert segments(path) == [(0, 511)]
