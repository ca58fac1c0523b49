"""How much of the gateway one client may hold: connections, requests at a time, requests a second.

Invariants: what was taken is given back once; memory grows with those who hold something now, never with those who
ever came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from gateway.clock import Clock
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


class SubjectLimits:
    """What one subject may ask for: so many requests at a time, and so many a second on average.

    The rate is kept by the generic cell rate algorithm (ITU-T I.371), a token bucket in one number: the instant at
    which the bucket is full again.

    Args:
        settings: ``subject_concurrency``, ``subject_rate_per_s`` (0: any) and ``subject_burst``.
        clock: the monotonic one is read.
    """

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        self._places = Places(settings.subject_concurrency)
        self._interval_s = 1 / settings.subject_rate_per_s if settings.subject_rate_per_s else 0.0
        self._slack_s = (settings.subject_burst - 1) * self._interval_s
        self._clock = clock
        self._full_at_s: dict[Hashable, float] = {}

    def enter(self, subject: Hashable) -> float | None:
        """Let a request of this subject in.

        Returns:
            None when it is in, to be followed by one :meth:`leave`; else how many seconds to wait before another try.
        """
        if not self._places.take(subject):
            return BUSY_WAIT_S
        wait_s = self._draw(subject) if self._interval_s else 0.0
        if wait_s > 0:
            self._places.give_back(subject)
            return wait_s
        return None

    def leave(self, subject: Hashable) -> None:
        """A request of this subject that was let in is over."""
        self._places.give_back(subject)

    def _draw(self, subject: Hashable) -> float:
        now_s = self._clock.monotonic_s()
        full_at_s = max(now_s, self._full_at_s.get(subject, 0.0))
        wait_s = full_at_s - now_s - self._slack_s
        if wait_s <= 0:
            if len(self._full_at_s) >= _SWEEP_AT and subject not in self._full_at_s:
                self._sweep(now_s)
            self._full_at_s[subject] = full_at_s + self._interval_s
        return wait_s

    def _sweep(self, now_s: float) -> None:
        """Forget those whose bucket is full: they are as if they had never come."""
        self._full_at_s = {subject: at_s for subject, at_s in self._full_at_s.items() if at_s > now_s}


def neighbourhood(peer: str) -> Hashable:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address, within which hosts pick their own."""
    address = parse_address(peer)
    if address is None or address.version == 4:
        return address
    return int(address) >> _V6_SITE_BITS
