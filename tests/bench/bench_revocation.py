"""From a revocation to the end of the stream that rested on it, and to the first request denied.

A grant is revoked in the state database, as a command in another process would, while a download is in flight under it;
a hundred times. Another client asks again and again meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import aiohttp
from aiohttp import web

from gateway import operations
from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, revoke_grant
from gateway.justification import Grant
from tests.integration.conftest import Running, running

TIMES = 100


async def _endless(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"x" * 1_000)
            await asyncio.sleep(0.005)
    return response


async def _once(site: Running) -> tuple[float, float]:
    """Seconds until the stream broke off, and until a request was denied."""
    state = site.world.state
    state.put(replace(state.get(Grant, "G-1"), revoked_us=0, max_bytes=0))
    headers = {"Authorization": f"Bearer {site.world.token(PRIYA)}", "X-Forwarded-For": PRIYA.address}
    headers["Access-Ticket"] = "BUG-9"
    url = f"{site.url}/conversations/acme/7"
    while True:
        async with site.client.get(url, headers=headers) as response:
            if response.status != 200:
                continue
            await response.content.readany()
            await asyncio.to_thread(revoke_grant, site.world, now_us=time.time_ns() // 1_000)
            began = time.perf_counter()
            denied = asyncio.ensure_future(_until_denied(site.client, url, headers, began))
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                while await response.content.readany():
                    pass
            return time.perf_counter() - began, await denied


async def _until_denied(client: aiohttp.ClientSession, url: str, headers: dict[str, str], began: float) -> float:
    while True:
        async with client.get(url, headers=headers) as response:
            if response.status == 403:
                return time.perf_counter() - began
            response.close()


async def _main() -> None:
    runner = web.ServerRunner(web.Server(_endless, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), Addresses(url, url, url, "ftp://127.0.0.1:1/")) as site:
            found = [await _once(site) for _ in range(TIMES)]
    for what, seconds in zip(("stream in flight cut", "next request denied"), zip(*found, strict=True), strict=True):
        cuts = statistics.quantiles(seconds, n=100)
        print(f"{what:22} p50 {cuts[49] * 1e3:6.0f} ms   p99 {cuts[98] * 1e3:6.0f} ms   of {TIMES}")
    await runner.cleanup()


if __name__ == "__main__":
    operations.run(_main())
