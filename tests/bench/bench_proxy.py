"""Requests per second through the gateway, beside a bare aiohttp pass-through proxy, in one run.

Three programs on this machine: a store and a client that do as little as they can, so that it is left to the proxy
between them, which is under test. Everything is on: token, location, policy, and a ledger that syncs before the first
byte. Rounds alternate, so that a noisy machine is noisy for all; the
figure to read is the ratio, the median over pairs of rounds. It grows with the number of clients at once, because
those who wait at the same time share a sync. How much of the machine was idle tells what limits: processors, or
waiting.

``BENCH_AGAINST`` names another checkout, whose gateway takes part as a third; ``BENCH_CLIENTS`` says how many at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import aiohttp
import psutil
import uvloop

CLIENTS = tuple(int(each) for each in os.environ.get("BENCH_CLIENTS", "32,128,256").split(","))
ROUNDS, ROUND_S = int(os.environ.get("BENCH_ROUNDS", "7")), 1.0
AGAINST = os.environ.get("BENCH_AGAINST", "")
BODY = b"x" * int(os.environ.get("BENCH_BODY_BYTES", "512"))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Round(NamedTuple):
    """Requests a second, microseconds of the proxy's CPU a request, and how much of all processors was idle."""

    rate: float
    cpu_us: float
    idle: float


class Proxy(NamedTuple):
    """One that takes part."""

    name: str
    url: str
    token: str
    process: psutil.Process


def main() -> None:
    """Measure and print."""
    print(
        "clients  proxy          rate   ratio of rates   CPU a request   ratio of CPU   machine idle   (to reach: 0.8)"
    )
    for clients, found in uvloop.run(_measure()).items():
        bare = found["bare"]
        for name, rounds in found.items():
            rates = statistics.median(one.rate / other.rate for one, other in zip(rounds, bare, strict=True))
            cpu = statistics.median(other.cpu_us / one.cpu_us for one, other in zip(rounds, bare, strict=True))
            rate, cpu_us, idle = (statistics.median(each) for each in zip(*rounds, strict=True))
            print(f"{clients:7}  {name:8} {rate:8.0f}/s {rates:16.2f} {cpu_us:12.0f} us {cpu:14.2f} {idle:14.0%}")


async def _measure() -> dict[int, dict[str, list[Round]]]:
    """For each number of clients the rounds through each proxy."""
    here = Path(__file__).parents[2]
    checkouts = {"gateway": here, **({"against": Path(AGAINST)} if AGAINST else {})}
    with contextlib.ExitStack() as stack:
        _, store = _start(stack, "store", "", here)
        process, url = _start(stack, "bare", store, here)
        proxies = [Proxy("bare", url, "none", process)]
        for name, root in checkouts.items():
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            process, url = _start(stack, "gateway", json.dumps({"store": store, "folder": folder}), root)
            proxies.append(Proxy(name, url, (Path(folder) / "token").read_text(), process))
        found = {}
        for clients in CLIENTS:
            rounds: dict[str, list[Round]] = {proxy.name: [] for proxy in proxies}
            for number in range(ROUNDS):
                for proxy in proxies[:: -1 if number % 2 else 1]:
                    rounds[proxy.name].append(await _load(proxy, clients))
            found[clients] = rounds
        return found


def _start(stack: contextlib.ExitStack, role: str, argument: str, root: Path) -> tuple[psutil.Process, str]:
    """A process with the code of a checkout, until the stack is left; and the address that it says."""
    program = [sys.executable, str(root / "tests/bench/bench_proxy.py"), role, argument]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    assert process.stdout is not None
    return psutil.Process(process.pid), process.stdout.readline().strip()


class _Client(asyncio.Protocol):
    """Asks again as soon as it has its answer, and does nothing else, so that it leaves the machine to the proxy."""

    def __init__(self, request: bytes, stop_at: float) -> None:
        self._request = request
        self._stop_at = stop_at
        self._answer = b""
        self.done = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, _, body = self._answer.partition(b"\r\n\r\n")
        if len(body) < len(BODY):
            return
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert body == BODY
        self._answer = b""
        self.done += 1
        if time.perf_counter() < self._stop_at:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


async def _load(proxy: Proxy, clients: int) -> Round:
    loop, url = asyncio.get_running_loop(), urlsplit(proxy.url)
    request = (
        f"GET /conversations/acme/7 HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {proxy.token}\r\n"
        "X-Forwarded-For: 10.20.0.5\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
    ).encode()
    began, cpu_s, machine = time.perf_counter(), _cpu_s(proxy), psutil.cpu_times()
    asking = [
        (await loop.create_connection(lambda: _Client(request, began + ROUND_S), url.hostname, url.port))[1]
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.ended for client in asking))
    took_s, cpu_s, after = time.perf_counter() - began, _cpu_s(proxy) - cpu_s, psutil.cpu_times()
    done = sum(client.done for client in asking)
    idle_s = after.idle + after.iowait - machine.idle - machine.iowait
    return Round(done / took_s, cpu_s / done * 1e6, idle_s / took_s / (psutil.cpu_count() or 1))


def _cpu_s(proxy: Proxy) -> float:
    """Of the process, and of those that it started."""
    return sum(sum(one.cpu_times()[:2]) for one in (proxy.process, *proxy.process.children(recursive=True)))


class _Store(asyncio.Protocol):
    """Answers whatever is asked for, without looking at it: heads alone come here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._request = b""

    def data_received(self, data: bytes) -> None:
        self._request += data
        if self._request.endswith(b"\r\n\r\n"):
            self._request = b""
            self._transport.write(ANSWER)


async def _store() -> None:
    server = await asyncio.get_running_loop().create_server(_Store, "127.0.0.1", 0)
    print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await asyncio.Event().wait()


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
        gc.freeze()  # as serve does
        print(f"http://127.0.0.1:{gateway.door_port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
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
