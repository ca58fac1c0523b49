"""Threads that wait for a database, so that the loop does not."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.console.workers import Workers
from gateway.errors import Unavailable


async def test_more_than_may_wait_are_turned_away_and_room_comes_back() -> None:
    """Those who wait are served; whoever came too late may try again."""
    workers, go_on = Workers("test", threads=1, waiting=2), threading.Event()
    running = [asyncio.ensure_future(workers.run(lambda: go_on.wait(10))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="2 calls wait already"):
        await workers.run(lambda: None)
    go_on.set()
    assert await asyncio.gather(*running) == [True, True]
    assert await workers.run(lambda: "served") == "served"
    await workers.close()


async def test_what_is_raised_comes_back_and_takes_no_place() -> None:
    """However often."""
    workers = Workers("test", threads=1, waiting=1)

    def fail() -> None:
        raise ValueError("no")

    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await workers.run(fail)
    await workers.close()


async def test_a_place_is_kept_until_the_work_is_over_though_nobody_waits_for_it() -> None:
    """Being cancelled does not end what a thread does, so it goes on counting."""
    workers, go_on = Workers("test", threads=1, waiting=1), threading.Event()
    task = asyncio.ensure_future(workers.run(lambda: go_on.wait(10)))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(Unavailable):
        await workers.run(lambda: None)
    go_on.set()
    await workers.close()
