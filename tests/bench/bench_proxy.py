"""Requests per second through the gateway, beside a bare aiohttp pass-through proxy, in one run.

Three processes on this machine: a store, the proxy under test, and this client. Everything is on: token, location,
policy, and a ledger that syncs before the first byte. Rounds alternate, so that a noisy machine is noisy for both; the
figure to read is the ratio, the median over pairs of rounds. It grows with the number of clients at once, because
those who wait at the same time share a sync.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil

CLIENTS = (32, 128, 256)
ROUNDS, ROUND_S = 7, 1.0
BODY = b"x" * int(os.environ.get("BENCH_BODY_BYTES", "512"))


Round = tuple[float, float]  # requests per second, microseconds of the proxy's CPU a request


def main() -> None:
    """Measure and print."""
    print("clients        bare     gateway   ratio of rates   bare µs   gateway µs   ratio of CPU   (to reach: 0.8)")
    for clients, (bare, ours) in asyncio.run(_measure()).items():
        rates = statistics.median(one[0] / other[0] for one, other in zip(ours, bare, strict=True))
        cpu = statistics.median(other[1] / one[1] for one, other in zip(ours, bare, strict=True))
        (bare_rate, bare_us), (our_rate, our_us) = map(_medians, (bare, ours))
        print(
            f"{clients:7} {bare_rate:9.0f}/s {our_rate:9.0f}/s {rates:16.2f} {bare_us:9.0f} {our_us:12.0f} {cpu:14.2f}"
        )


def _medians(rounds: list[Round]) -> Round:
    return statistics.median(rate for rate, _ in rounds), statistics.median(cpu for _, cpu in rounds)


async def _measure() -> dict[int, tuple[list[Round], list[Round]]]:
    """For each number of clients the rounds through the bare proxy, and those through the gateway."""
    with tempfile.TemporaryDirectory() as folder:
        processes: list[subprocess.Popen[str]] = []
        try:
            store = _start(processes, "store", "")
            bare = _start(processes, "bare", store)
            gateway = _start(processes, "gateway", json.dumps({"store": store, "folder": folder}))
            token = (Path(folder) / "token").read_text()
            found = {}
            for clients in CLIENTS:
                pairs = [
                    [
                        await _load(url, token, psutil.Process(process.pid), clients)
                        for url, process in ((bare, processes[1]), (gateway, processes[2]))
                    ]
                    for _ in range(ROUNDS)
                ]
                found[clients] = [one for one, _ in pairs], [other for _, other in pairs]
            return found
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)


def _start(processes: list[subprocess.Popen[str]], role: str, argument: str) -> str:
    process = subprocess.Popen([sys.executable, __file__, role, argument], stdout=subprocess.PIPE, text=True)
    processes.append(process)
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def _load(url: str, token: str, proxy: psutil.Process, clients: int) -> Round:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "10.20.0.5"}
    connector = aiohttp.TCPConnector(limit=clients)
    done, stop_at = 0, time.perf_counter() + ROUND_S

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while time.perf_counter() < stop_at:
            async with session.get(f"{url}/conversations/acme/7", headers=headers) as response:
                assert response.status == 200, response.status
                assert await response.read() == BODY
                done += 1

    async with aiohttp.ClientSession(connector=connector) as session:
        began, cpu = time.perf_counter(), sum(proxy.cpu_times()[:2])
        await asyncio.gather(*(worker(session) for _ in range(clients)))
        return done / (time.perf_counter() - began), (sum(proxy.cpu_times()[:2]) - cpu) / done * 1e6


async def _store() -> None:
    from aiohttp import web

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=BODY)

    await _serve(web.ServerRunner(web.Server(answer, access_log=None)))


async def _bare(store: str) -> None:
    from aiohttp import web

    session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Connection")}
        data = request.content if request.can_read_body else None
        async with session.request(
            request.method, store + request.raw_path, headers=headers, data=data, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    await _serve(web.AppRunner(app, access_log=None))


async def _serve(runner: object) -> None:
    from aiohttp import web

    await runner.setup()  # type: ignore[attr-defined]
    await web.TCPSite(runner, "127.0.0.1", 0).start()  # type: ignore[arg-type]
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # type: ignore[attr-defined]
    await asyncio.Event().wait()


async def _gateway(store: str, folder: Path) -> None:
    from gateway.app import build
    from gateway.clock import SystemClock
    from gateway.demo.stores import Addresses
    from gateway.demo.world import SAM, make_world
    from gateway.settings import LimitSettings

    addresses = Addresses(store, store, store, "ftp://127.0.0.1:1/")
    world = make_world(folder, addresses, clock=SystemClock(), ports=(0, 0))
    (folder / "token").write_text(world.token(SAM))
    limits = LimitSettings(subject_concurrency=max(CLIENTS))  # they are all the same person
    door = world.settings.gateway.model_copy(update={"limits": limits})
    async with build(world.settings.model_copy(update={"gateway": door})) as gateway:
        print(f"http://127.0.0.1:{gateway.door_port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    from gateway import operations

    match sys.argv[1:]:
        case ["store", _]:
            uvloop.run(_store())
        case ["bare", url]:
            uvloop.run(_bare(url))
        case ["gateway", text]:
            given = json.loads(text)
            operations.run(_gateway(given["store"], Path(given["folder"])))
        case _:
            main()
