"""What good clients feel while a thousand slow ones are there: p99 under each kind of them, beside the quiet p99.

Four processes on this machine: a store, the gateway with its default limits, the slow clients, and this one, which
plays the good clients. The slow ones send their heads, or their bodies, a byte at a time, or take their answers a byte
at a time; those of the latter two kinds hold a good token of one person. Each kind is measured right after a quiet
stretch of the same length, and again with heads that may take a second only, so that they are cut and come again.
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
from pathlib import Path

import aiohttp

SLOW = int(os.environ.get("BENCH_SLOW_CLIENTS", "1000"))
GOOD, STRETCH_S, SETTLE_S, PAUSE_S = 8, 6.0, 3.0, 0.02
PATH = "/conversations/acme/7"
BIG = 1 << 22
KINDS = ("heads", "bodies", "reads")


def main() -> None:
    """Measure and print."""
    print(f"{SLOW} slow      quiet p50     p99    under p50     p99   p99 ratio   failed   closed on them")
    for kind, (quiet, under, failed, closed) in asyncio.run(_measure()).items():
        (q50, q99), (u50, u99) = _percentiles(quiet), _percentiles(under)
        print(f"{kind:12} {q50:9.1f} ms {q99:6.1f} {u50:9.1f} ms {u99:6.1f} {u99 / q99:11.2f} {failed:8} {closed:8}")


def _percentiles(times_s: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times_s, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


async def _measure() -> dict[str, tuple[list[float], list[float], int, int]]:
    found = {}
    for limits, kinds in (({}, KINDS), ({"header_timeout_s": 1.0}, ("heads",))):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            store = _start(stack, "store", "")
            gateway = _start(stack, "gateway", json.dumps({"store": store, "folder": folder, "limits": limits}))
            tokens = json.loads((Path(folder) / "tokens").read_text())
            await _good(gateway, tokens["sam"])  # so that everything is warm
            for kind in kinds:
                quiet, _ = await _good(gateway, tokens["sam"])
                with contextlib.ExitStack() as attack:
                    slow = _launch(attack, "slow", json.dumps({"url": gateway, "kind": kind, "token": tokens["slow"]}))
                    await asyncio.to_thread(_line, slow)
                    await asyncio.sleep(SETTLE_S)  # a thousand requests at once are another matter
                    under, failed = await _good(gateway, tokens["sam"])
                    slow.terminate()
                    closed = int(_line(slow))
                found[f"{kind}{' 1 s' if limits else ''}"] = quiet, under, failed, closed
                await asyncio.sleep(1)
    return found


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
    }[kind].encode()
    loop = asyncio.get_running_loop()

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
                while kind == "reads":
                    if not await loop.sock_recv(connection, 1):
                        break
                    await asyncio.sleep(1)
                while kind != "reads":
                    await asyncio.sleep(1)
                    await loop.sock_sendall(connection, b"x")
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


def _start(stack: contextlib.ExitStack, role: str, argument: str) -> str:
    return _line(_launch(stack, role, argument))


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
            uvloop.run(_slow(**json.loads(text)))
        case ["gateway", text]:
            given = json.loads(text)
            operations.run(_gateway(given["store"], Path(given["folder"]), given["limits"]))
        case _:
            main()
