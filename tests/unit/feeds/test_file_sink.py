"""JSON lines in a file: whole, synced, put aside when it is time, and never in anybody's way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.errors import FeedUnavailable
from gateway.feeds import Facts, Item
from gateway.feeds.file_sink import LONGEST_LINE, FileSink
from gateway.files import locked
from tests.world.clock import FakeClock
from tests.world.feeds import feed

DAY_S = 86_400


def items(*sequences: int) -> list[Item]:
    return [Item(number, f"id-{number}", b'{"sequence":%d}' % number, Facts()) for number in sequences]


def sequences(path: Path) -> list[int]:
    return [json.loads(line)["sequence"] for line in path.read_bytes().splitlines()]


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("ledger*.jsonl"))


def sink(path: Path, **given: object) -> FileSink:
    return FileSink(feed(kind="file", path=path, **given), FakeClock())


async def test_each_entry_is_a_line_and_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is its owner's only."""
    path = tmp_path / "ledger.jsonl"
    found, synced = sink(path), []
    original = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), original(handle)))
    await found.send(items(0, 1))
    assert path.stat().st_size in synced
    await found.send(items(2))
    await found.close()
    await found.send(items(3))
    await found.close()
    assert sequences(path) == [0, 1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b"{", b'{"sequence":1', b'{"sequence":1}', b"x" * (LONGEST_LINE - 20)])
async def test_half_a_line_that_a_crash_left_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    """It comes again, whole."""
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"sequence":0}\n' + torn)
    found = sink(path)
    await found.send(items(1, 2))
    await found.close()
    assert sequences(path) == [0, 1, 2]


async def test_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """What has no line end for longer than any entry was not written by a feed."""
    path = tmp_path / "movie.bin"
    path.write_bytes(b"x" * 2 * LONGEST_LINE)
    with pytest.raises(FeedUnavailable, match="holds what no feed wrote"):
        await sink(path).send(items(0))
    assert path.read_bytes() == b"x" * 2 * LONGEST_LINE


async def test_file_that_would_get_too_large_is_put_aside(tmp_path: Path) -> None:
    """Under a name of its own each time; nothing is overwritten, and nothing lost."""
    path = tmp_path / "ledger.jsonl"
    found = sink(path, rotate_bytes=40)
    for number in range(6):
        await found.send(items(number))
    await found.close()
    files = files_in(tmp_path)
    assert len(files) == 3
    assert sorted(number for file in files for number in sequences(file)) == list(range(6))
    assert "ledger.20270115T080000Z-2.jsonl" in {file.name for file in files}
    assert sequences(path) == [4, 5]


async def test_file_of_another_day_is_put_aside(tmp_path: Path) -> None:
    """By when it was last written, so that a restart makes no difference."""
    path = tmp_path / "ledger.jsonl"
    clock = FakeClock()
    for days in (1, 0, 0):
        found = FileSink(feed(kind="file", path=path, rotate_daily=True), clock)
        await found.send(items(days))
        await found.close()
        now_s = clock.now_us() / 1e6 - days * DAY_S
        os.utime(path, (now_s, now_s))
    assert sequences(path) == [0, 0]
    assert sequences(tmp_path / "ledger.20270115T080000Z.jsonl") == [1]


async def test_file_that_somebody_moved_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does."""
    path = tmp_path / "ledger.jsonl"
    found = sink(path)
    await found.send(items(0))
    path.rename(tmp_path / "ledger.old")
    await found.send(items(1))
    await found.close()
    assert (sequences(tmp_path / "ledger.old"), sequences(path)) == ([0], [1])


async def test_disk_that_fails_is_told_and_leaves_no_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that is missing is not made; a write that broke off is taken back."""
    with pytest.raises(FeedUnavailable, match=r"No such file or directory; check the path"):
        await sink(tmp_path / "mount" / "ledger.jsonl").send(items(0))
    path = tmp_path / "ledger.jsonl"
    found, original = sink(path), os.write
    await found.send(items(0))

    def full(handle: int, data: memoryview) -> int:
        if len(data) > 10:
            return original(handle, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(FeedUnavailable, match="No space left on device"):
        await found.send(items(1))
    monkeypatch.undo()
    assert sequences(path) == [0]
    await found.send(items(1))
    assert sequences(path) == [0, 1]
    await found.close()


async def test_disk_that_hangs_holds_up_nothing(tmp_path: Path) -> None:
    """It is told within the time-out, and nothing more is begun there."""
    path = tmp_path / "ledger.jsonl"
    found = sink(path, timeout_s=0.2)
    with locked(tmp_path / "ledger.jsonl.lock"):
        with pytest.raises(TimeoutError):
            await found.send(items(0))
        with pytest.raises(FeedUnavailable, match="has not ended"):
            await found.send(items(0))
