"""What good clients feel while a thousand slow ones are there: p99 under each kind of them, beside the quiet p99.

Four processes on this machine: a store, the gateway with its default limits, the slow clients, and this one, which
plays the good clients. The slow ones send their heads, or their bodies, a byte at a time, or take their answers a byte
at a time; those of the latter two kinds hold a good token of one person. Whoever is answered or cut comes again at
once: with heads that may take a second only, and with requests that nobody is signed in for, that is all there is to
it. Each kind is measured between two quiet stretches; with it, by how much the gateway grew, and what part of a
processor it used before and under attack. The attackers yield the processor to the others, as if they were elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp

SLOW = int(os.environ.get("BENCH_SLOW_CLIENTS", "1000"))
GOOD, STRETCH_S, SETTLE_S, PAUSE_S = 8, 5.0, 3.0, 0.02
PATH = "/conversations/acme/7"
BIG = 1 << 22
MODEST = 19
KINDS = (("heads", {}), ("bodies", {}), ("reads", {}), ("refusals", {}), ("heads", {"header_timeout_s": 1.0}))


class Measured(NamedTuple):
    """How long requests of good clients took, quiet and under attack; how many failed; how many slow clients were cut
    or refused; by how much the gateway grew; and how busy it was, quiet and under attack."""

    quiet_s: list[float]
    under_s: list[float]
    failed: int
    closed: int
    grown_bytes: int
    busy: tuple[float, float]


def main() -> None:
    """Measure and print."""
    title()
    for kind, limits in KINDS:
        row(f"{kind} 1 s" if limits else kind, asyncio.run(_measure(kind, limits)))


def title() -> None:
    """The head of the table."""
    print(
        f"{SLOW} slow      quiet p50     p99    under p50     p99   p99 ratio   failed   closed   gateway grew   busy"
    )


def row(kind: str, found: Measured) -> None:
    """One line of it."""
    (q50, q99), (u50, u99) = _percentiles(found.quiet_s), _percentiles(found.under_s)
    times = f"{kind:12} {q50:9.1f} ms {q99:6.1f} {u50:9.1f} ms {u99:6.1f} {u99 / q99:11.2f}"
    grown, (quiet, under) = found.grown_bytes / 2**20, found.busy
    print(f"{times} {found.failed:8} {found.closed:8} {grown:10.1f} MiB   {quiet:.0%} → {under:.0%}", flush=True)


def _percentiles(times_s: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times_s, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


async def _measure(kind: str, limits: dict[str, float]) -> Measured:
    with running(limits) as (gateway, tokens):

        @contextlib.asynccontextmanager
        async def attack() -> AsyncIterator[Callable[[], int]]:
            with contextlib.ExitStack() as stack:
                argument = {"url": gateway.url, "kind": kind, "token": tokens["slow"]}
                slow = _launch(stack, "slow", json.dumps(argument))
                await asyncio.to_thread(_line, slow)
                yield lambda: (slow.terminate(), int(_line(slow)))[1]

        return await measured(gateway, tokens["sam"], attack())


class Gateway(NamedTuple):
    """Where it is, and its process."""

    url: str
    pid: int

    @property
    def resident_bytes(self) -> int:
        """How much memory it holds."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def used_s(self) -> float:
        """How long it used a processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(limits: dict[str, float]) -> Iterator[tuple[Gateway, dict[str, str]]]:
    """A store and a gateway, and tokens of people."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store = _line(_launch(stack, "store", ""))
        process = _launch(stack, "gateway", json.dumps({"store": store, "folder": folder, "limits": limits}))
        url = _line(process)
        yield Gateway(url, process.pid), json.loads((Path(folder) / "tokens").read_text())


async def measured(
    gateway: Gateway, token: str, attack: contextlib.AbstractAsyncContextManager[Callable[[], int]]
) -> Measured:
    """Good clients before an attack and under it; what the attack yields says at the end how many were closed on it."""
    await _good(gateway.url, token)  # so that everything is warm
    used = [gateway.used_s]
    quiet_s, _ = await _good(gateway.url, token)  # and once more afterwards: the machine may have other things to do
    before = gateway.resident_bytes
    used += [gateway.used_s]
    async with attack as end:
        await asyncio.sleep(SETTLE_S)  # a thousand requests at once are another matter
        used += [gateway.used_s]
        under_s, failed = await _good(gateway.url, token)
        used += [gateway.used_s]
        grown = gateway.resident_bytes - before
        closed = await asyncio.to_thread(end)
    await asyncio.sleep(SETTLE_S)
    quiet_s += (await _good(gateway.url, token))[0]
    busy = (used[1] - used[0]) / STRETCH_S, (used[3] - used[2]) / STRETCH_S
    return Measured(quiet_s, under_s, failed, closed, grown, busy)


async def _good(url: str, token: str) -> tuple[list[float], int]:
    """How long requests of good clients take, each a little after the one before; and how many failed."""
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "10.20.0.5"}
    times_s: list[float] = []
    failed, stop_at = 0, time.perf_counter() + STRETCH_S

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal failed
        while (began := time.perf_counter()) < stop_at:
            async with session.get(url + PATH, headers=headers) as response:
                await response.read()
                failed += response.status != 200
            times_s.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(GOOD)))
    return times_s, failed


async def _slow(url: str, kind: str, token: str) -> None:
    """Keep so many slow connections; at the end say how many were closed on them."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    closed, there = 0, 0
    head = f"Host: gw.test\r\nAuthorization: Bearer {token}\r\nX-Forwarded-For: 10.20.0.7\r\n"
    first = {
        "heads": f"GET {PATH} HTTP/1.1\r\n{head}X-Slow: ",
        "bodies": f"POST {PATH} HTTP/1.1\r\n{head}Content-Length: 100000\r\n\r\n",
        "reads": f"GET {PATH}?big HTTP/1.1\r\n{head}\r\n",
        "refusals": f"GET {PATH} HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: 10.20.0.7\r\n\r\n",
    }[kind].encode()
    loop = asyncio.get_running_loop()

    async def hold(connection: socket.socket) -> None:
        """Until it is answered or cut."""
        while kind in ("heads", "bodies"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(connection, 4_096), 1)
                return
            await loop.sock_sendall(connection, b"x")
        while await loop.sock_recv(connection, 1) and kind == "reads":  # noqa: ASYNC110 - the slowness is the point
            await asyncio.sleep(1)

    async def client() -> None:
        nonlocal closed, there
        begun = False
        while True:
            with socket.socket() as connection, contextlib.suppress(OSError):
                connection.setblocking(False)
                if kind == "reads":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                await loop.sock_connect(connection, (host, int(port)))
                await loop.sock_sendall(connection, first)
                there, begun = there + (not begun), True
                await hold(connection)
            closed += 1

    tasks = [loop.create_task(client()) for _ in range(SLOW)]
    while there < SLOW:  # noqa: ASYNC110 - each adds one
        await asyncio.sleep(0.05)
    print("there", flush=True)
    stopping = asyncio.Event()
    loop.add_signal_handler(15, stopping.set)
    await stopping.wait()
    print(closed, flush=True)
    for task in tasks:
        task.cancel()


async def _store() -> None:
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.Response:
        with contextlib.suppress(OSError):  # cut
            await request.read()
        return web.Response(body=bytes(BIG if request.query_string else 512))

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


async def _gateway(store: str, folder: Path, limits: dict[str, float]) -> None:
    from gateway.app import build
    from gateway.clock import SystemClock
    from gateway.demo.stores import Addresses
    from gateway.demo.world import SAM, make_world

    world = make_world(folder, Addresses(store, store, store, "ftp://127.0.0.1:1/"), clock=SystemClock(), ports=(0, 0))
    tokens = {"sam": world.token(SAM), "slow": world.provider.mint("slow", SAM.roles)}
    (folder / "tokens").write_text(json.dumps(tokens))
    door = world.settings.gateway
    door = door.model_copy(update={"limits": door.limits.model_copy(update=limits)})
    async with build(world.settings.model_copy(update={"gateway": door})) as gateway:
        print(f"http://127.0.0.1:{gateway.door_port}", flush=True)
        await asyncio.Event().wait()


def _launch(stack: contextlib.ExitStack, role: str, argument: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, __file__, role, argument], stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


if __name__ == "__main__":
    import uvloop

    from gateway import operations

    match sys.argv[1:]:
        case ["store", _]:
            uvloop.run(_store())
        case ["slow", text]:
            os.nice(MODEST)
            uvloop.run(_slow(**json.loads(text)))
        case ["gateway", text]:
            given = json.loads(text)
            operations.run(_gateway(given["store"], Path(given["folder"]), given["limits"]))
        case _:
            main()
