"""How much of the gateway one client may hold: connections, requests at a time, requests a second.

Invariants: what was taken is given back once; memory grows with those who hold something now, never with those who
ever came.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Self

from gateway.clock import Clock
from gateway.identity import Principal
from gateway.location.networks import parse_address
from gateway.settings import LimitSettings

BUSY_WAIT_S = 1.0
_SWEEP_AT = 4_096
_V6_SITE_BITS = 64


class Places:
    """A number of places for each key.

    Attributes:
        limit: how many one key may hold at a time; may be changed, and takes nothing away from who holds more.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        """How many are taken, by all."""
        return self._taken.total()

    def of(self, key: Hashable) -> int:
        """How many this key holds."""
        return self._taken[key]

    def take(self, key: Hashable = "") -> bool:
        """Take a place if one is left."""
        if self._taken[key] >= self.limit:
            return False
        self._taken[key] += 1
        return True

    def give_back(self, key: Hashable = "") -> None:
        """Give a place back that was taken."""
        self._taken[key] -= 1
        if self._taken[key] <= 0:
            del self._taken[key]


class Rate:
    """How often each key may do something: so many times a second on average, and some at once.

    It is kept by the generic cell rate algorithm (ITU-T I.371), a token bucket in one number: the instant at which the
    bucket is full again.

    Args:
        per_s: above 0.
        burst: how many at once.
        now_s: a monotonic clock.
    """

    def __init__(self, per_s: float, burst: float, now_s: Callable[[], float]) -> None:
        self._interval_s = 1 / per_s
        self._slack_s = (burst - 1) * self._interval_s
        self._now_s = now_s
        self._full_at_s: dict[Hashable, float] = {}

    def wait_s(self, key: Hashable) -> float:
        """How many seconds too early it is now; not above 0 where it is not."""
        now_s = self._now_s()
        return max(now_s, self._full_at_s.get(key, 0.0)) - now_s - self._slack_s

    def draw(self, key: Hashable) -> None:
        """Count it, in time or not."""
        now_s = self._now_s()
        if len(self._full_at_s) >= _SWEEP_AT and key not in self._full_at_s:
            self._sweep(now_s)
        self._full_at_s[key] = max(now_s, self._full_at_s.get(key, 0.0)) + self._interval_s

    def _sweep(self, now_s: float) -> None:
        """Forget those whose bucket is full: they are as if they had never come."""
        self._full_at_s = {key: at_s for key, at_s in self._full_at_s.items() if at_s > now_s}


class SubjectLimits:
    """What one subject may ask for: so many requests at a time, and so many a second on average.

    Args:
        settings: ``subject_concurrency``, ``subject_rate_per_s`` (0: any) and ``subject_burst``.
        clock: the monotonic one is read.
    """

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        self._places = Places(settings.subject_concurrency)
        self._rate: Rate | None = None
        if settings.subject_rate_per_s:
            self._rate = Rate(settings.subject_rate_per_s, settings.subject_burst, clock.monotonic_s)

    def enter(self, subject: Hashable) -> float | None:
        """Let a request of this subject in.

        Returns:
            None when it is in, to be followed by one :meth:`leave`; else how many seconds to wait before another try.
        """
        if not self._places.take(subject):
            return BUSY_WAIT_S
        if self._rate is None:
            return None
        wait_s = self._rate.wait_s(subject)
        if wait_s > 0:
            self._places.give_back(subject)
            return wait_s
        self._rate.draw(subject)
        return None

    def leave(self, subject: Hashable) -> None:
        """A request of this subject that was let in is over."""
        self._places.give_back(subject)


class Turn:
    """One request's place among those of its subject: taken when it would be permitted, given back at the end.

    Attributes:
        retry_after_s: when to try again, where there was none to take.
    """

    __slots__ = ("_limits", "_subject", "retry_after_s")

    def __init__(self, limits: SubjectLimits) -> None:
        self._limits = limits
        self._subject: Hashable = None
        self.retry_after_s = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._subject is not None:
            self._limits.leave(self._subject)

    def take(self, principal: Principal) -> str:
        """Take it; why not, where there is none, or ""."""
        subject = principal.issuer, principal.subject
        wait_s = self._limits.enter(subject)
        if wait_s is None:
            self._subject = subject
            return ""
        self.retry_after_s = math.ceil(wait_s)
        return f"as many requests as one may have at a time are or were under way; try again in {self.retry_after_s} s"


def neighbourhood(peer: str) -> Hashable:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address, within which hosts pick their own."""
    address = parse_address(peer)
    if address is None or address.version == 4:
        return address
    return int(address) >> _V6_SITE_BITS
