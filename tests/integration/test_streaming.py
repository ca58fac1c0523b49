"""Bytes in bulk: streamed both ways, in constant memory, and counted."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web

from gateway.demo.stores import Addresses
from gateway.demo.world import ADA, PRIYA, SAM
from gateway.justification import Grant
from tests.integration.conftest import Running, running
from tests.integration.test_bad_input import completion

GIB = 1024**3
MIB = 1024**2
BLOCK = os.urandom(MIB)


@pytest.fixture
async def bulk(stores: Addresses) -> AsyncIterator[Addresses]:
    """The sample stores, with one that gives and takes as many bytes as the path says."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            size = 0
            async for chunk in request.content.iter_any():
                size += len(chunk)
            return web.json_response({"received": size})
        blocks = int(request.path.rpartition("/")[2])
        response = web.StreamResponse()
        response.content_length = blocks * MIB
        await response.prepare(request)
        for _ in range(blocks):
            await response.write(BLOCK)
        return response

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield replace(stores, conversations=f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_one_gibibyte_each_way_grows_memory_by_less_than_64_mebibytes(tmp_path: Path, bulk: Addresses) -> None:
    """The gateway, in a process of its own, carries 1 GiB down and 1 GiB up."""
    script = Path(__file__).with_name("serve_world.py")
    arguments = [sys.executable, str(script), str(tmp_path / "world"), bulk.crm, bulk.conversations, bulk.archive]
    process = subprocess.Popen([*arguments, bulk.uploads], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url, token, _ = (await asyncio.to_thread(process.stdout.readline)).split()
        memory = psutil.Process(process.pid).memory_info
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": SAM.address}
        async with aiohttp.ClientSession(headers=headers) as client:
            await _down(client, url, 8)
            before, most = memory().rss, 0
            for transfer in (_down(client, url, 1024), _up(client, url, 1024)):
                task = asyncio.ensure_future(transfer)
                while not task.done():
                    most = max(most, memory().rss)
                    await asyncio.wait([task], timeout=0.05)
                assert await task == GIB
        assert most - before < 64 * MIB, f"grew by {(most - before) / MIB:.1f} MiB"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()  # type: ignore[union-attr]


async def _down(client: aiohttp.ClientSession, url: str, blocks: int) -> int:
    size = 0
    async with client.get(f"{url}/conversations/acme/{blocks}") as response:
        assert response.status == 200
        async for chunk in response.content.iter_any():
            size += len(chunk)
    return size


async def _up(client: aiohttp.ClientSession, url: str, blocks: int) -> int:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(blocks):
            yield BLOCK

    async with client.post(f"{url}/conversations/acme/1", data=body()) as response:
        assert response.status == 200
        return int((await response.json())["received"])


async def test_a_grants_cap_cuts_the_stream_and_ends_the_grant(tmp_path: Path, bulk: Addresses) -> None:
    """A read under a grant that is capped at 64 MiB ends there; the next one is denied."""
    async with running(tmp_path / "world", bulk) as site:
        with pytest.raises((aiohttp.ClientPayloadError, ConnectionError, aiohttp.ServerDisconnectedError)):
            await site.ask(PRIYA, "/conversations/acme/100", ticket="BUG-9")
        status, headers, _ = await site.ask(PRIYA, "/conversations/acme/1", ticket="BUG-9")
        assert (status, site.entry(headers["Residency-Decision"])["rule"]) == (403, "outside-home")


async def test_the_completion_counts_what_went_each_way(site: Running) -> None:
    """Bytes, status and outcome are a second entry."""
    status, headers, body = await site.ask(SAM, "/recordings/acme/7.wav")
    entry = await completion(site, headers["Residency-Decision"])
    assert status == 200
    assert (entry["outcome"], entry["status"], entry["bytes"]) == ("whole", 200, len(body))
    assert len(body) > 2 * MIB


async def test_a_client_that_goes_away_is_a_cut(tmp_path: Path, bulk: Addresses) -> None:
    """The client hangs up in the middle: the store's connection is closed, and the completion says cut."""
    async with running(tmp_path / "world", bulk) as site:
        headers = {"Authorization": f"Bearer {site.world.token(SAM)}", "X-Forwarded-For": SAM.address}
        response = await site.client.get(f"{site.url}/conversations/acme/500", headers=headers)
        await response.content.readany()
        decision = response.headers["Residency-Decision"]
        response.close()
        assert (await completion(site, decision))["outcome"] == "cut"


async def test_answers_outside_home_may_not_be_kept_and_answers_at_home_may(site: Running) -> None:
    """The obligation ``no-store`` is applied to whoever is not home, a customer's own user included."""
    _, abroad, _ = await site.ask(ADA, "/recordings/acme/7.wav")
    _, at_home, _ = await site.ask(SAM, "/recordings/acme/7.wav")
    assert abroad["Cache-Control"] == "no-store, private"
    assert "Cache-Control" not in at_home


async def test_a_store_over_ftp_gives_keeps_lists_and_removes_files(site: Running) -> None:
    """The FTP site through the HTTP door."""
    path = "/uploads/acme/trace%20one.txt"
    assert (await site.ask(ADA, path, method="PUT", data=b"sample" * 50_000))[0] == 201
    status, headers, body = await site.ask(ADA, path)
    assert (status, headers["Content-Length"], body) == (200, "300000", b"sample" * 50_000)
    status, _, listing = await site.ask(ADA, "/uploads/acme")
    assert status == 200
    assert b"trace one.txt" in listing
    assert (await site.ask(ADA, path, method="DELETE"))[0] == 200
    assert (await site.ask(ADA, path))[0] == 404


async def test_a_cap_on_requests_holds_for_requests_at_once(site: Running) -> None:
    """Twelve requests at once under a grant of one: one is served, and the rest find nothing that speaks for them."""
    state = site.world.state
    state.put(dataclasses.replace(state.get(Grant, "G-1"), max_requests=1))
    await site.gateway.rooms.follower.poll()
    answers = await asyncio.gather(*(site.ask(PRIYA, "/conversations/acme/7", ticket="BUG-9") for _ in range(12)))
    assert sorted(status for status, _, _ in answers) == [200] + [403] * 11
