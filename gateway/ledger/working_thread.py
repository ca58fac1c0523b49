"""A thread for what blocks, so that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from gateway.ledger.futures import settle

Result = TypeVar("Result")


class WorkingThread:
    """One thread that does one thing after the other, and tells a loop what came of it.

    A daemon: what hangs in the kernel must not keep the process from ending.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], object], done: Callable[..., None]) -> None:
        """Do a job, and call ``done`` in the loop with its result or exception."""

        def work() -> None:
            try:
                result = job()
            except BaseException as error:
                result = error
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                self._loop.call_soon_threadsafe(done, result)

        self._jobs.put(work)

    async def call(self, job: Callable[[], Result]) -> Result:
        """Do a job and wait for what comes of it."""
        done: asyncio.Future[Result] = self._loop.create_future()
        self.run(job, partial(settle, done))
        return await done

    def stop(self) -> None:
        """End once what was given to it is done."""
        self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
