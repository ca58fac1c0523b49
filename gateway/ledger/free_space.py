"""Whether there is room for permits, which leave the rest of the disk to denials and administrative entries."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gateway.clock import Clock

SPACE_CHECK_S = 1.0


class FreeSpace:
    """The space left for a ledger. Asked before each batch; looks at most every second.

    Args:
        path: the ledger.
        minimum_bytes: below this, what is left is for denials and administrative entries.
        measure: bytes free where a path lies; tests give their own.
    """

    def __init__(
        self, path: Path, *, minimum_bytes: int, clock: Clock, measure: Callable[[Path], int] | None = None
    ) -> None:
        self._directory = path.parent
        self._minimum_bytes = minimum_bytes
        self._clock = clock
        self._measure = measure or _free_bytes
        self._next_s = float("-inf")
        self._problem = ""

    def problem(self) -> str:
        """Why permits are refused now, or ""."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + SPACE_CHECK_S
            self._problem = self._look()
        return self._problem

    def _look(self) -> str:
        try:
            free = self._measure(self._directory)
        except OSError as error:
            return f"the space left for the ledger cannot be told ({error.strerror}); no permit is recorded"
        if free >= self._minimum_bytes:
            return ""
        return f"the ledger's disk has {free} bytes left, and permits need {self._minimum_bytes}; make room"


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
