"""A whole gateway on loopback, over the sample world: what every integration test starts from and then damages."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from gateway.app import Gateway, build
from gateway.clock import Clock, SystemClock
from gateway.demo.stores import Addresses, sample_stores
from gateway.demo.world import Person, World, make_world
from gateway.ledger.reader import LedgerReader
from gateway.settings import Settings, Source


@dataclass(repr=False)  # asyncio writes it out, with every setting, for each fixture that gives it
class Running:
    """A gateway that serves, the world that it serves, and a client."""

    gateway: Gateway
    world: World
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.door_port}"

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.gateway.control_port}"

    async def ask(
        self, person: Person | None, path: str, *, method: str = "GET", ticket: str = "", **options: object
    ) -> tuple[int, dict[str, str], bytes]:
        """Make a request as somebody: status, headers, body."""
        headers = dict(options.pop("headers", {}))  # type: ignore[call-overload]
        if person is not None:
            headers.setdefault("Authorization", f"Bearer {self.world.token(person)}")
            headers.setdefault("X-Forwarded-For", person.address)
        if ticket:
            headers["Access-Ticket"] = ticket
        url = URL(self.url + path, encoded=True)
        async with self.client.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return response.status, dict(response.headers), await response.read()

    def entry(self, decision: str) -> dict[str, object]:
        """The ledger's entry of a decision."""
        with LedgerReader(self.world.settings.ledger.path) as reader:
            found = next(iter(reader.show(decision)), None)
        assert found is not None, f"no entry of {decision!r}"
        return found


@asynccontextmanager
async def running(
    directory: Path,
    addresses: Addresses,
    *,
    change: Callable[[Settings], Settings] = lambda settings: settings,
    reloads: bool = False,
    clock: Clock | None = None,
) -> AsyncIterator[Running]:
    """Build a gateway over the sample world, with its settings changed if need be; reloading its file if asked to.

    World and gateway follow the system's clock unless another one is given.
    """
    clock = clock or SystemClock()
    world = make_world(directory, addresses, clock=clock, ports=(0, 0))
    source = Source(world.config, os.environ) if reloads else None
    async with (
        build(change(world.settings), clock=clock, source=source) as gateway,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as client,
    ):
        try:
            yield Running(gateway, world, client)
        finally:
            world.state.close()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Addresses]:
    """The sample stores."""
    async with sample_stores(tmp_path / "ftp-site") as addresses:
        yield addresses


@pytest.fixture
async def site(tmp_path: Path, stores: Addresses) -> AsyncIterator[Running]:
    """A gateway over the sample world."""
    async with running(tmp_path / "world", stores) as site:
        yield site
