"""The clock, injected everywhere: nothing else in the package asks what time it is.

Instants are integer microseconds since the Unix epoch (``_us``). Durations that must survive a changed wall clock
use :meth:`Clock.monotonic_s`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

SECOND_US = 1_000_000


class Clock(Protocol):
    """Tells the time."""

    def now_us(self) -> int:
        """Wall clock, microseconds since the epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only ever go forward."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class SteadyClock:
    """A wall clock that never goes back: what has an end in it is not prolonged by somebody who sets the clock.

    While the machine's clock is behind where it was, this one goes on at the pace of the monotonic one.

    Args:
        clock: the machine's.
        floor_us: an instant that is known to be past.
    """

    def __init__(self, clock: Clock, floor_us: int = 0) -> None:
        self._clock = clock
        self._latest_us, self._latest_s = max(floor_us, clock.now_us()), clock.monotonic_s()

    def now_us(self) -> int:
        wall_us, now_s = self._clock.now_us(), self._clock.monotonic_s()
        least_us = self._latest_us + int((now_s - self._latest_s) * SECOND_US)
        if wall_us > least_us:
            self._latest_us, self._latest_s = wall_us, now_s
            return wall_us
        return least_us

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()


def rfc3339(instant_us: int) -> str:
    """``1_700_000_000_000_000`` → ``2023-11-14T22:13:20.000000Z`` (RFC 3339, always six decimals, always UTC)."""
    seconds, micros = divmod(instant_us, SECOND_US)
    return f"{_to_the_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def parse_rfc3339(text: str) -> int:
    """The instant that an RFC 3339 text with an offset names, in microseconds.

    Raises:
        ValueError: not a date-time, or one without an offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; expected a time such as 2026-03-01T09:00:00Z")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
