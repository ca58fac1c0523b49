"""Threads that wait for the database, so that the event loop does not; and how many calls may wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.errors import Unavailable

Result = TypeVar("Result")


class Workers:
    """A few threads with a bounded queue.

    Args:
        name: of the threads.
        threads: how many.
        waiting: how many calls may be waiting or under way.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._limit = waiting
        self._busy = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """What the work returns.

        Raises:
            Unavailable: too many wait.
        """
        if self._busy >= self._limit:
            raise Unavailable(f"{self._busy} calls wait already; try again")
        self._busy += 1
        future = self._executor.submit(work)
        future.add_done_callback(self._leave_from(asyncio.get_running_loop()))
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Wait for what is under way; what waits is not begun."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _leave_from(self, loop: asyncio.AbstractEventLoop) -> Callable[[object], object]:
        """Calls back in the loop's thread, where the count belongs; a loop that is closed counts no more."""

        def leave(_future: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._leave)

        return leave

    def _leave(self) -> None:
        self._busy -= 1
