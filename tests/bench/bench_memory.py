"""Memory while eight transfers of 1 GiB go down at once, and eight up: the gateway in a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

MIB = 1024**2
AT_ONCE, SIZE_MIB = 8, int(os.environ.get("BENCH_MIB", "1024"))
BLOCK = os.urandom(MIB)


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "POST":
        async for _ in request.content.iter_any():
            pass
        return web.Response(text="taken")
    response = web.StreamResponse()
    response.content_length = int(request.path.rpartition("/")[2]) * MIB
    await response.prepare(request)
    for _ in range(response.content_length // MIB):
        await response.write(BLOCK)
    return response


async def _down(client: aiohttp.ClientSession, url: str) -> int:
    size = 0
    async with client.get(f"{url}/conversations/acme/{SIZE_MIB}") as response:
        async for chunk in response.content.iter_any():
            size += len(chunk)
    return size


async def _up(client: aiohttp.ClientSession, url: str) -> int:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(SIZE_MIB):
            yield BLOCK

    async with client.post(f"{url}/conversations/acme/1", data=body()) as response:
        await response.read()
        return SIZE_MIB * MIB if response.status == 200 else 0


async def _main(folder: Path) -> None:
    runner = web.ServerRunner(web.Server(_answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store = f"http://127.0.0.1:{runner.addresses[0][1]}"
    script = Path(__file__).parents[1] / "integration" / "serve_world.py"
    arguments = [sys.executable, str(script), str(folder), store, store, store, "ftp://127.0.0.1:1/"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url, token, _ = (await asyncio.to_thread(process.stdout.readline)).split()
        memory = psutil.Process(process.pid).memory_info
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "10.20.0.5"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as client:
            for what, transfer in (("down", _down), ("up", _up)):
                before, most, began = memory().rss, 0, time.perf_counter()
                tasks = [asyncio.ensure_future(transfer(client, url)) for _ in range(AT_ONCE)]
                while not all(task.done() for task in tasks):
                    most = max(most, memory().rss)
                    await asyncio.wait(tasks, timeout=0.1)
                assert {task.result() for task in tasks} == {SIZE_MIB * MIB}
                rate = AT_ONCE * SIZE_MIB / (time.perf_counter() - began)
                print(
                    f"{AT_ONCE} x {SIZE_MIB} MiB {what:5} grew by {(most - before) / MIB:5.1f} MiB   {rate:5.0f} MiB/s"
                )
    finally:
        process.terminate()
        process.wait(20)
    await runner.cleanup()


if __name__ == "__main__":
    import uvloop

    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(_main(Path(directory)))
