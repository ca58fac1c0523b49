"""What was read under a grant is known after a stop and after a crash, and while a long answer goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from gateway.app import build
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, World
from gateway.justification import Grant, Usage
from gateway.storage import StateStore
from tests.integration.conftest import Running, running
from tests.integration.test_continuous import endless as endless
from tests.integration.test_continuous import streaming

PATH = "/conversations/acme/7"


async def cap(site: Running, **caps: int) -> None:
    state = site.world.state
    state.put(replace(state.get(Grant, "G-1"), **caps))
    await site.gateway.rooms.follower.poll()


def opened(world: World) -> StateStore:
    return StateStore(world.settings.state.url.get_secret_value(), SystemClock())


def forget(world: World) -> None:
    """Leave the state as a crash does that came before anything was written."""
    state = opened(world)
    state.put(Usage("G-1", 0, 0))
    state.close()


@asynccontextmanager
async def again(world: World) -> AsyncIterator[Running]:
    """The gateway, started once more over what is there."""
    async with build(world.settings) as gateway, aiohttp.ClientSession() as client:
        yield Running(gateway, world, client)


async def test_a_cap_on_requests_holds_over_a_crash(tmp_path: Path, stores: Addresses) -> None:
    """The permit is on record, so the grant's only request has been made."""
    async with running(tmp_path / "world", stores) as site:
        await cap(site, max_requests=1)
        assert (await site.ask(PRIYA, PATH, ticket="BUG-9"))[0] == 200
    forget(site.world)
    async with again(site.world) as restarted:
        assert (await restarted.ask(PRIYA, PATH, ticket="BUG-9"))[0] == 403


async def test_a_cap_on_bytes_holds_over_a_crash(tmp_path: Path, stores: Addresses) -> None:
    """The completion says how many there were."""
    async with running(tmp_path / "world", stores) as site:
        _, _, body = await site.ask(PRIYA, PATH, ticket="BUG-9")
        await cap(site, max_bytes=len(body))
    forget(site.world)
    async with again(site.world) as restarted:
        assert restarted.gateway.rooms.desk.usage("G-1") == Usage("G-1", 1, len(body))
        assert (await restarted.ask(PRIYA, PATH, ticket="BUG-9"))[0] == 403


async def test_usage_is_written_before_the_gateway_has_stopped(tmp_path: Path, stores: Addresses) -> None:
    """However soon after the last answer."""
    async with running(tmp_path / "world", stores) as site:
        _, _, body = await site.ask(PRIYA, PATH, ticket="BUG-9")
    state = opened(site.world)
    assert state.find(Usage, "G-1") == Usage("G-1", 1, len(body))
    state.close()


async def test_bytes_of_a_long_answer_are_written_while_it_goes_on(tmp_path: Path, endless: Addresses) -> None:
    """A crash gives back no more than the last of them."""
    async with running(tmp_path / "world", endless) as site:
        await cap(site, max_bytes=10_000_000)
        async with streaming(site, PRIYA, PATH, ticket="BUG-9") as response:
            seen: set[int] = set()
            async with asyncio.timeout(10):
                while len(seen) < 3:
                    await response.content.readany()
                    found = await asyncio.to_thread(site.world.state.find, Usage, "G-1")
                    seen |= {found.bytes} if found else set()
