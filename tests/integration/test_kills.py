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
import pytest
from aiohttp import web

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify

SOAK = float(os.environ.get("SOAK", "0"))
KILLS = round(1_000 * SOAK) or 50
CLIENTS, LONGEST_S = 16, 0.4

pytestmark = pytest.mark.timeout(300 + round(3_600 * SOAK))


@dataclass
class Seen:
    """What the store was asked under, and what clients got."""

    decisions: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)

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


async def killed_once(process: subprocess.Popen[str], seen: Seen, after_s: float) -> None:
    """Start a gateway, ask it without a pause, and kill it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("again\n")
    process.stdin.flush()
    pid, url, token = (await asyncio.to_thread(process.stdout.readline)).split()
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": SAM.address}
    async with aiohttp.ClientSession(headers=headers) as client:
        asking = [asyncio.ensure_future(ask(client, url, seen)) for _ in range(CLIENTS)]
        await asyncio.sleep(after_s)
        os.kill(int(pid), signal.SIGKILL)
        await asyncio.gather(*asking)
    assert await asyncio.to_thread(process.stdout.readline) == "gone\n"


async def ask(client: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    with suppress(aiohttp.ClientError, ConnectionError):
        while True:
            async with client.get(f"{url}/conversations/acme/7") as response:
                seen.answered.add(response.headers["Residency-Decision"])
                await response.read()


async def test_what_a_store_saw_is_on_record_however_often_the_gateway_is_killed(
    tmp_path: Path, stores: Addresses
) -> None:
    """And so is what a client was told; the tree over it all is whole, and grows on after each start."""
    seen = Seen()
    runner = web.ServerRunner(web.Server(seen.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    addresses = replace(stores, conversations=f"http://127.0.0.1:{runner.addresses[0][1]}")
    chance = random.Random(os.environ.get("SEED", "7"))
    async with kennel(tmp_path / "world", addresses) as process:
        for _ in range(KILLS):
            await killed_once(process, seen, chance.uniform(0.0, LONGEST_S))
    await runner.cleanup()
    ledger = tmp_path / "world" / "state" / "ledger.db"
    with LedgerReader(ledger) as reader:
        decisions = list(reader.search(Query(kind="decision")))
        starts = [entry for entry in reader.search(Query(kind="administrative")) if entry["act"] == "start"]
    permits = {entry["id"] for entry in decisions if entry["effect"] == "permit"}
    print(f"{KILLS} kills, {len(seen.decisions)} requests at the store, {len(decisions)} decisions")
    assert seen.decisions - permits == set()
    assert seen.answered - {entry["id"] for entry in decisions} == set()
    assert len(starts) == KILLS
    assert len(seen.decisions) > KILLS
    assert verify(ledger).problems == []
