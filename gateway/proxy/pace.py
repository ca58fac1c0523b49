"""The pace of refusals: whoever is refused again and again is answered more slowly, and cannot keep the gateway busy.

A client's refusals are answered so many a second. One that comes too early waits for its turn, on record already, while
nothing more is read from its connection. Nothing else waits: neither what is permitted, nor another client's refusal.

Invariants: no more than a bounded number wait, each no longer than the settings say, and where there is no room to wait
the connection is closed instead; memory grows with those who were refused lately.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable

from gateway.proxy.limits import Places, Rate
from gateway.settings import LimitSettings

BURST_S = 1.0  # so many seconds' worth of refusals are answered at once
LEAST_S = 0.001  # less is not worth waiting
SHARE = 4  # of all connections, one in so many may wait


class Pace:
    """How soon each client's refusals are answered.

    Args:
        limits: ``refusal_rate_per_s`` (0: any), ``refusal_wait_s`` and ``max_connections``.
        now_s: a monotonic clock.
    """

    def __init__(self, limits: LimitSettings, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._places = Places(0)
        self._ending = asyncio.Event()
        self.use(limits)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._places)

    def use(self, limits: LimitSettings) -> None:
        """Take other settings: who waits goes on, and the past is forgotten."""
        per_s = limits.refusal_rate_per_s
        self._rate = Rate(per_s, max(1.0, per_s * BURST_S), self._now_s) if per_s else None
        self._longest_s = limits.refusal_wait_s
        self._places.limit = max(1, limits.max_connections // SHARE)

    def enter(self, client: Hashable) -> float | None:
        """Take a refused client's turn.

        Returns:
            How many seconds to wait for it, and where that is not 0 a :meth:`leave` has to follow; None where too many
            wait already.
        """
        wait_s = self._draw(client) if self._rate else 0.0
        if wait_s < LEAST_S or self._ending.is_set():
            return 0.0
        return wait_s if self._places.take() else None

    def leave(self) -> None:
        """It waits no longer."""
        self._places.give_back()

    async def wait(self, client: Hashable) -> bool:
        """Wait for a refused client's turn; False, at once, where too many wait already."""
        wait_s = self.enter(client)
        if wait_s:
            await self.sleep(wait_s)
        return wait_s is not None

    async def sleep(self, wait_s: float) -> None:
        """What :meth:`enter` said, and leave."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ending.wait()
        finally:
            self.leave()

    def end(self) -> None:
        """Nobody waits any more: the gateway stops."""
        self._ending.set()

    def _draw(self, client: Hashable) -> float:
        assert self._rate is not None  # noqa: S101 - as the caller saw
        wait_s = self._rate.wait_s(client)
        if wait_s < self._longest_s:  # else it owes as much as it ever may
            self._rate.draw(client)
        return min(wait_s, self._longest_s)
