"""Who fails to sign in again and again waits, and longer each time, up to a limit.

What is counted is one name from one place, and one place whatever the name: so that nobody locks out a customer from
somewhere else, and nobody tries name after name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

FREE = 10
LONGEST_S = 900.0
KEPT = 50_000


class Patience:
    """Failures in a row, in memory; the least recent are forgotten first.

    Args:
        monotonic_s: the clock.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._failed: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def wait_s(self, *keys: Hashable) -> float:
        """How long to wait before another try; 0: none."""
        now_s = self._monotonic_s()
        return max(0.0, *(self._failed.get(key, (0, now_s))[1] - now_s for key in keys))

    def failed(self, *keys: Hashable) -> None:
        """Another try was in vain."""
        for key in keys:
            count = self._failed.pop(key, (0, 0.0))[0] + 1
            pause_s = min(LONGEST_S, 2.0 ** min(count - FREE, 30)) if count >= FREE else 0.0
            self._failed[key] = count, self._monotonic_s() + pause_s
            if len(self._failed) > KEPT:
                self._failed.popitem(last=False)

    def succeeded(self, key: Hashable) -> None:
        """Somebody got in."""
        self._failed.pop(key, None)
