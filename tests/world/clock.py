"""A clock that stands still until a test moves it."""

from __future__ import annotations

from gateway.clock import SECOND_US

NOW_S = 1_800_000_000


class FakeClock:
    """Wall clock and monotonic clock, moved together by ``advance`` and apart by ``jump``."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self._now_us = round(now_s * SECOND_US)
        self._monotonic_s = 1_000.0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._now_us += round(seconds * SECOND_US)
        self._monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self._now_us += round(seconds * SECOND_US)
