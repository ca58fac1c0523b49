"""Files as they were seen: whether one has changed since, or another was put in its place."""

from __future__ import annotations

import os
from pathlib import Path

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
