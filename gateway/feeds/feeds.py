"""All feeds of a gateway: those of the configuration that is in force, each in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

import structlog

from gateway.feeds.feed import Feed, Surroundings
from gateway.settings import FeedSettings

LOOK_S = 0.2
"""What a feed is woken by is looked at so often, and so it is woken no more often than that."""
log = structlog.get_logger(__name__)


class Feeds:
    """Begins, wakes and ends feeds.

    Args:
        around: what each works with.
        settings: the feeds, as configured now.
        grown: differs once there may be something new to send; asked every :data:`LOOK_S` seconds.
    """

    def __init__(
        self, around: Surroundings, *, settings: Callable[[], Sequence[FeedSettings]], grown: Callable[[], object]
    ) -> None:
        self._around = around
        self._settings = settings
        self._grown = grown
        self._running: dict[str, tuple[Feed, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        seen: object = None
        try:
            while True:
                self._reconcile()
                now = self._look()
                if now != seen:
                    self._nudge()
                seen = now
                await asyncio.sleep(LOOK_S)
        finally:
            tasks = [task for _, task in self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def lags(self, size: int) -> Mapping[str, float]:
        """How many of so many entries each feed has yet to be done with."""
        return {
            name: float(max(0, size - 1 - feed.sequence))
            for name, (feed, _) in self._running.items()
            if feed.sequence is not None
        }

    def problems(self) -> Mapping[str, str]:
        """Why each feed that fails does."""
        return {name: feed.problem for name, (feed, _) in self._running.items() if feed.problem}

    def _look(self) -> object:
        if self._running:
            with contextlib.suppress(Exception):  # files that cannot be looked at: the feeds look for themselves
                return self._grown()
        return None

    def _nudge(self) -> None:
        for feed, _ in self._running.values():
            feed.nudge()

    def _reconcile(self) -> None:
        """Let the feeds be as configured; one that changed begins anew once the old one has ended."""
        wanted = {settings.name: settings for settings in self._settings()}
        for name, (feed, task) in list(self._running.items()):
            if wanted.get(name) != feed.settings:
                task.cancel()
                if name not in wanted:
                    del self._running[name]
        for name, settings in wanted.items():
            old = self._running.get(name)
            if old is None or old[0].settings != settings:
                feed = Feed(settings, self._around)
                task = asyncio.get_running_loop().create_task(_succeed(feed, old[1] if old else None))
                self._running[name] = (feed, task)


async def _succeed(feed: Feed, before: asyncio.Task[None] | None) -> None:
    if before:
        await asyncio.wait([before])
    await feed.run()
