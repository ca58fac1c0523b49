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
