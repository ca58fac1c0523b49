"""Killed at any instant, under load: what a store saw is on record, and the record is whole.

``make test`` kills fifty times; ``make soak`` kills ``SOAK`` times a thousand.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify
from tests.world.waiting import until

SOAK = float(os.environ.get("SOAK", "0"))
KILLS = round(1_000 * SOAK) or 50
COMMITTERS = round(100 * SOAK) or 5
CLIENTS, LONGEST_S = 16, 0.4

pytestmark = pytest.mark.timeout(300 + round(3_600 * SOAK))


@dataclass
class Seen:
    """What the store was asked under, and what clients got."""

    decisions: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    unrecorded: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.decisions.add(request.headers["Residency-Decision"])
        return web.Response(body=b"data")


@asynccontextmanager
async def kennel(directory: Path, addresses: Addresses) -> AsyncIterator[subprocess.Popen[str]]:
    """What starts gateways."""
    script = Path(__file__).with_name("serve_again.py")
    arguments = [sys.executable, str(script), str(directory), *astuple(addresses)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        yield process
    process.wait(10)


async def started(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """A gateway: its process, its address, and an analyst's token."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("again\n")
    process.stdin.flush()
    pid, url, token = (await asyncio.to_thread(process.stdout.readline)).split()
    return int(pid), url, token


async def is_gone(process: subprocess.Popen[str]) -> bool:
    """Whether the gateway has ended, once it has."""
    assert process.stdout is not None
    return await asyncio.to_thread(process.stdout.readline) == "gone\n"


@asynccontextmanager
async def clients(url: str, token: str, seen: Seen) -> AsyncIterator[None]:
    """Some that ask without a pause, until the gateway is gone."""
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": SAM.address}
    async with aiohttp.ClientSession(headers=headers) as client:
        asking = [asyncio.ensure_future(ask(client, url, seen)) for _ in range(CLIENTS)]
        yield
        await asyncio.gather(*asking)


async def ask(client: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    with suppress(aiohttp.ClientError, ConnectionError):
        while True:
            async with client.get(f"{url}/conversations/acme/7") as response:
                if response.status == 503:
                    seen.unrecorded += 1
                else:
                    seen.answered.add(response.headers["Residency-Decision"])
                await response.read()


@asynccontextmanager
async def store(seen: Seen, stores: Addresses) -> AsyncIterator[Addresses]:
    """The addresses of the stores, of which one notes what it is asked under."""
    runner = web.ServerRunner(web.Server(seen.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield replace(stores, conversations=f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_what_a_store_saw_is_on_record_however_often_the_gateway_is_killed(
    tmp_path: Path, stores: Addresses
) -> None:
    """And so is what a client was told; the tree over it all is whole, and grows on after each start."""
    seen = Seen()
    chance = random.Random(os.environ.get("SEED", "7"))
    async with store(seen, stores) as addresses, kennel(tmp_path / "world", addresses) as process:
        for _ in range(KILLS):
            pid, url, token = await started(process)
            async with clients(url, token, seen):
                await asyncio.sleep(chance.uniform(0.0, LONGEST_S))
                os.kill(pid, signal.SIGKILL)
            assert await is_gone(process)
    starts = on_record(tmp_path / "world" / "state" / "ledger.db", seen)
    print(f"{KILLS} kills, {len(seen.decisions)} requests at the store")
    assert starts == KILLS
    assert len(seen.decisions) > KILLS


async def test_what_a_store_saw_is_on_record_however_often_the_committer_is_killed(
    tmp_path: Path, stores: Addresses
) -> None:
    """The gateway goes on with another, which it starts for the next request; meanwhile no byte passes."""
    seen = Seen()
    chance = random.Random(os.environ.get("SEED", "7"))
    async with store(seen, stores) as addresses, kennel(tmp_path / "world", addresses) as process:
        pid, url, token = await started(process)
        gateway = psutil.Process(pid)
        async with clients(url, token, seen):
            for _ in range(COMMITTERS):
                await asyncio.sleep(chance.uniform(0.0, LONGEST_S))
                [committer] = gateway.children()
                committer.kill()
                before = len(seen.answered)
                await until(lambda before=before: len(seen.answered) >= before + 2 * CLIENTS)
            gateway.kill()
        assert await is_gone(process)
    assert on_record(tmp_path / "world" / "state" / "ledger.db", seen) == 1
    assert seen.unrecorded


def on_record(ledger: Path, seen: Seen) -> int:
    """How many starts are on record, along with all that was seen."""
    with LedgerReader(ledger) as reader:
        decisions = list(reader.search(Query(kind="decision")))
        starts = [entry for entry in reader.search(Query(kind="administrative")) if entry["act"] == "start"]
    permits = {entry["id"] for entry in decisions if entry["effect"] == "permit"}
    assert seen.decisions - permits == set()
    assert seen.answered - {entry["id"] for entry in decisions} == set()
    assert verify(ledger).problems == []
    return len(starts)
