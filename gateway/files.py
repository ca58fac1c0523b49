"""Files as they were seen: whether one has changed since, or another was put in its place; and putting one in place."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_PAUSE_S = 0.02

Stamp = tuple[int, ...]
Identity = tuple[int, int]


def stamp(path: Path | str) -> Stamp | None:
    """What differs between two versions of a file; None where it cannot be looked at. Blocking, and quick."""
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116 - many times a second: a plain call costs half of a Path's
    except OSError:
        return None


def stamp_of(found: os.stat_result) -> Stamp:
    """The same of a file that is open: device, inode, size and times."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def identity(path: Path | str) -> Identity | None:
    """Which file a path leads to, whatever it holds; None where there is none.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def replace_file(path: Path, text: str) -> None:
    """Put a file with this text in the place of what is there, durably: whoever reads finds the old or the new.

    It is its owner's only. A crash leaves at most a file ``.NAME.new`` beside it, which the next one overwrites.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make durable which files a directory has.

    Raises:
        OSError: it cannot be done.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, *, timeout_s: float = 5.0) -> Iterator[None]:
    """Hold a lock that every process of this machine respects; its file stays.

    Raises:
        OSError: it cannot be had; TimeoutError, another process has held it for too long.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for_lock(handle, time.monotonic() + timeout_s)
        yield
    finally:
        os.close(handle)


def _wait_for_lock(handle: int, until_s: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise TimeoutError(None, "another process holds its lock") from None
            time.sleep(LOCK_PAUSE_S)
