"""A gateway over the sample world whose time a story moves: it begins on a Tuesday morning in New York."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.acts import Actor
from gateway.clock import SECOND_US
from gateway.demo.stores import sample_stores
from gateway.demo.world import Person
from tests.integration.conftest import Running, running
from tests.world.clock import FakeClock

NEW_YORK = ZoneInfo("America/New_York")
BEGINNING = "2027-01-12 10:00"  # a Tuesday
SUPPORT_DESK = Actor("desk", operator=True)


def new_york(wall: str) -> int:
    """The instant at which New York's clocks show this, in microseconds."""
    return int(datetime.fromisoformat(wall).replace(tzinfo=NEW_YORK).timestamp()) * SECOND_US


@dataclass
class Story:
    """What happens, in the order in which it is told."""

    site: Running
    clock: FakeClock

    async def it_is(self, wall: str, *, off_by_us: int = 0) -> None:
        """Let time pass until New York's clocks show this."""
        self.clock.advance((new_york(wall) + off_by_us - self.clock.now_us()) / SECOND_US)
        await self.site.gateway.rooms.follower.poll()

    async def does(self, act: Callable[..., Any], *said: object, by: Actor = SUPPORT_DESK, **more: object) -> Any:
        """Somebody acts, and what they did is known at the door."""
        loop = asyncio.get_running_loop()

        def record(entry: Any) -> int:
            return asyncio.run_coroutine_threadsafe(self.site.gateway.ledger.append(entry), loop).result(10)

        done = await asyncio.to_thread(act, self.site.gateway.rooms.office(record), by, *said, **more)
        await self.site.gateway.rooms.follower.poll()
        return done

    async def asks(self, person: Person, path: str, **options: object) -> tuple[int, str]:
        """The status of the answer, and the rule that the ledger names for it."""
        entry, status = await self.recorded(person, path, **options)
        return status, str(entry["rule"])

    async def recorded(self, person: Person, path: str, **options: object) -> tuple[dict[str, object], int]:
        """The ledger's entry of a request, and the status of the answer."""
        status, headers, _ = await self.site.ask(person, path, **options)  # type: ignore[arg-type]
        return self.site.entry(headers["Residency-Decision"]), status


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    """A gateway that runs, on a Tuesday at ten in the morning in New York."""
    clock = FakeClock(new_york(BEGINNING) / SECOND_US)
    async with (
        sample_stores(tmp_path / "ftp-site") as stores,
        running(tmp_path / "world", stores, clock=clock) as site,
    ):
        yield Story(site, clock)
