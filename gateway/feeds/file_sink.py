"""JSON lines in a file that rotates: one entry a line, synced before the feed goes on.

Invariants: a line is whole once the next one is written (what a crash left half is cut off, and comes again); what was
rotated is never overwritten and never removed; whoever writes there by the same rules waits for its turn (a lock beside
the file, ``NAME.lock``); its directory is never made, since one that is missing is a disk that is not mounted.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.clock import SECOND_US, Clock
from gateway.errors import FeedUnavailable
from gateway.feeds.item import Item, lines
from gateway.files import identity, locked, sync_directory
from gateway.ledger.own_thread import OwnThread
from gateway.settings import FeedSettings

LONGEST_LINE = 128 * 1024
"""Longer than the line of any entry."""


class FileSink:
    """A :class:`~gateway.feeds.sink.Sink` at a path."""

    def __init__(self, settings: FeedSettings, clock: Clock) -> None:
        assert settings.path is not None  # noqa: S101 - a fault of the configuration otherwise
        self._path = settings.path
        self._settings = settings
        self._clock = clock
        self._thread = OwnThread("feed", FeedUnavailable, timeout_s=settings.timeout_s)
        self._handle = -1

    async def send(self, batch: Sequence[Item]) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        await self._thread.do(lambda: self._append(batch))

    async def close(self) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        await self._thread.do(self._close)
        self._thread.stop()

    def _append(self, batch: Sequence[Item]) -> None:
        text = lines([item.body for item in batch])
        try:
            with locked(self._path.with_name(f"{self._path.name}.lock")):
                self._open()
                self._rotate_if_due(len(text))
                self._write(text)
        except OSError as error:
            self._close()
            raise FeedUnavailable(
                f"{self._path}: {error.strerror}; check the path, its disk and permissions"
            ) from error

    def _open(self) -> None:
        """The file that stands there now: somebody else may have moved the one that was open."""
        if self._handle >= 0 and identity(self._path) == _identity(self._handle):
            return
        self._close()
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sync_directory(self._path.parent)
        self._cut_off_half_a_line()

    def _cut_off_half_a_line(self) -> None:
        size = os.fstat(self._handle).st_size
        start = max(0, size - LONGEST_LINE)
        tail = os.pread(self._handle, size - start, start)
        whole = tail.rfind(b"\n") + 1
        if start and not whole:
            raise FeedUnavailable(f"{self._path}: it holds what no feed wrote; name another file")
        if whole < len(tail):
            os.ftruncate(self._handle, start + whole)

    def _rotate_if_due(self, more: int) -> None:
        found = os.fstat(self._handle)
        largest = self._settings.rotate_bytes
        full = bool(largest) and found.st_size + more > largest
        now = datetime.fromtimestamp(self._clock.now_us() // SECOND_US, UTC)
        old = self._settings.rotate_daily and datetime.fromtimestamp(found.st_mtime, UTC).date() < now.date()
        if found.st_size and (full or old):
            self._path.rename(_free_name(self._path, f"{now:%Y%m%dT%H%M%SZ}"))
            self._open()

    def _write(self, text: bytes) -> None:
        """All of it, or as far as can be told nothing."""
        size = os.fstat(self._handle).st_size
        try:
            rest = memoryview(text)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, size)
            raise

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def _free_name(path: Path, moment: str) -> Path:
    """``ledger.jsonl`` → ``ledger.20260302T140000Z.jsonl``, or with a number where that is taken."""
    names = itertools.chain([moment], (f"{moment}-{number}" for number in itertools.count(2)))
    return next(found for name in names if not (found := path.with_name(f"{path.stem}.{name}{path.suffix}")).exists())
