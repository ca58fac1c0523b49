"""Stopping: what was taken is finished, and what was decided is recorded."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify

CLIENTS = 16


@asynccontextmanager
async def served(directory: Path, stores: Addresses) -> AsyncIterator[tuple[subprocess.Popen[str], str, str, str]]:
    """A gateway in a process of its own: the process, its door, a token, its control listener."""
    script = Path(__file__).with_name("serve_world.py")
    arguments = [sys.executable, str(script), str(directory), stores.crm, stores.conversations, stores.archive]
    process = subprocess.Popen([*arguments, stores.uploads], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url, token, control = (await asyncio.to_thread(process.stdout.readline)).split()
        yield process, url, token, control
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()  # type: ignore[union-attr]


async def test_no_request_is_lost_at_sigterm_under_load(tmp_path: Path, stores: Addresses) -> None:
    """Sixteen clients ask without a pause: each request that was taken is answered, and each answer is on record."""
    async with served(tmp_path / "world", stores) as (process, url, token, control):
        seen: Counter[str] = Counter()
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": SAM.address}

        async def ask(client: aiohttp.ClientSession) -> None:
            while True:
                try:
                    async with client.get(f"{url}/conversations/acme/7") as response:
                        await response.read()
                        seen[str(response.status)] += 1
                except aiohttp.ClientConnectorError:
                    return  # nobody listens any more: it was never taken
                except (aiohttp.ClientError, ConnectionError) as error:
                    seen[f"lost: {error!r}"] += 1
                    return

        async with aiohttp.ClientSession(headers=headers) as client:
            asking = [asyncio.ensure_future(ask(client)) for _ in range(CLIENTS)]
            await asyncio.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            async with client.get(f"{control}/readyz") as response:
                assert response.status == 503
                assert "stop" in (await response.json())["checks"]["stopping"]
            await asyncio.wait_for(asyncio.gather(*asking), 20)
        assert await asyncio.to_thread(process.wait, 20) == 0
    assert set(seen) == {"200"}
    ledger = tmp_path / "world" / "state" / "ledger.db"
    with LedgerReader(ledger) as reader:
        kinds = Counter(entry["kind"] for entry in reader.search(Query()))
    assert kinds["decision"] == kinds["completion"] == seen["200"]
    assert verify(ledger).verified


@pytest.mark.parametrize("number", [signal.SIGHUP])
async def test_sighup_reloads(tmp_path: Path, stores: Addresses, number: signal.Signals) -> None:
    """The process goes on, and the ledger says that it read its configuration again."""
    async with served(tmp_path / "world", stores) as (process, *_):
        process.send_signal(number)
        for _ in range(100):
            await asyncio.sleep(0.1)
            with LedgerReader(tmp_path / "world" / "state" / "ledger.db") as reader:
                if [entry for entry in reader.search(Query(kind="administrative")) if entry["act"] == "reload"]:
                    break
        else:
            raise AssertionError("nothing was reloaded")
        assert process.poll() is None
