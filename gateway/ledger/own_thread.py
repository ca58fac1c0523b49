"""A thread for what blocks: a job that hangs holds up nothing but its own feed or holder, and not the process's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gateway.errors import Unavailable
from gateway.ledger.working_thread import WorkingThread

Result = TypeVar("Result")


class OwnThread:
    """One job at a time.

    Args:
        name: of the thread.
        busy: what is raised while a job has not ended.
        timeout_s: how long a job is waited for; one that takes longer goes on, and no other is begun meanwhile. None:
            the deadline is the caller's.
    """

    def __init__(self, name: str, busy: type[Unavailable], *, timeout_s: float | None = None) -> None:
        self._name = name
        self._unavailable = busy
        self._timeout_s = timeout_s
        self._thread: WorkingThread | None = None
        self._busy = False

    async def do(self, job: Callable[[], Result]) -> Result:
        """Do a job and wait for what comes of it.

        Raises:
            Unavailable: of the kind that was given: the one before has not ended.
            TimeoutError: it takes too long.
        """
        if self._busy:
            raise self._unavailable("what was begun before has not ended; check the disk, mount or network behind it")
        self._thread = self._thread or WorkingThread(asyncio.get_running_loop(), self._name)
        self._busy = True
        async with asyncio.timeout(self._timeout_s):
            return await self._thread.call(lambda: self._done(job))

    def stop(self) -> None:
        """End once what is under way has ended; another job begins a new thread."""
        if self._thread:
            self._thread.stop()
            self._thread = None

    def _done(self, job: Callable[[], Result]) -> Result:
        try:
            return job()
        finally:
            self._busy = False
