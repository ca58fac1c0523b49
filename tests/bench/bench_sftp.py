"""SFTP through the door, beside the same client straight to OpenSSH's sshd; over a site in a folder.

One file up and down by OpenSSH's ``sftp``, in turns; then several at a time, sessions that do nothing, and how long
after a revocation the last byte comes. CPU time is that of the server alone: this process, or sshd and its children.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import asyncssh
import psutil

from gateway.demo.stores import sample_stores
from tests.world import sshd
from tests.world.sftp import OpenSsh, Sftp, sftp_world

MIB = 1024 * 1024
SIZE_MIB = int(os.environ.get("SIZE_MIB", "1024"))
ROUNDS = 3
AT_A_TIME = 8
IDLE = 500
CUTS = 50


def _cpu_s(server: int = 0) -> float:
    """CPU time used so far by this process, or by another and those that it started (what they left included)."""
    if not server:
        return time.process_time()
    process = psutil.Process(server)
    used = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


async def _timed(client: OpenSsh, command: str, server: int, *options: str) -> tuple[float, float]:
    """Seconds on the clock, and of the server's CPU."""
    began, used = time.perf_counter(), _cpu_s(server)
    status, said = await client.sftp(command, options=options)
    assert status == 0, said
    return time.perf_counter() - began, _cpu_s(server) - used


async def _ratio(world: Sftp, directory: Path) -> None:
    async with sshd.sshd() as server:
        clients = []
        for name, port, key, user in (
            ("door", world.port, world.host_key, "acme"),
            ("sshd", server.port, server.host_key, server.user),
        ):
            folder = directory / name
            folder.mkdir()
            clients.append(OpenSsh(folder, port, key, user))
            with (folder / "file").open("wb") as file:
                for _ in range(SIZE_MIB):
                    file.write(os.urandom(MIB))
        door, direct = clients
        identity = f"-oIdentityFile={server.key}"
        for what, through, straight in (
            ("up", "put file /file", f"put file {server.root}/file"),
            ("down", "get /file back", f"get {server.root}/file back"),
        ):
            found = []
            for _ in range(ROUNDS):
                b = await _timed(direct, straight, server.pid, identity)
                a = await _timed(door, through, 0, "-oPubkeyAuthentication=no")
                found.append((a, b))
            a, b = (min(pair[side] for pair in found) for side in (0, 1))
            rates = [SIZE_MIB / seconds[0] for seconds in (a, b)]
            cpu = [seconds[1] * 1024 / SIZE_MIB for seconds in (a, b)]
            print(
                f"{what:5} {SIZE_MIB} MiB: door {rates[0]:6.0f} MiB/s, sshd {rates[1]:6.0f} MiB/s,"
                f" ratio {rates[0] / rates[1]:.2f} (at least 0.5 is asked);"
                f" CPU s per GiB: door {cpu[0]:.2f}, sshd {cpu[1]:.2f}"
            )


async def _memory(world: Sftp, directory: Path) -> None:
    folder = directory / "door"
    process = psutil.Process()
    client = OpenSsh(folder, world.port, world.host_key)
    options = ("-oPubkeyAuthentication=no",)
    await asyncio.gather(*(client.sftp(f"put askpass /warm{n}", options=options) for n in range(AT_A_TIME)))
    before = process.memory_info().rss
    peak = before
    for what in ("put file /many{n}", "get /file many{n}"):
        tasks = [
            asyncio.ensure_future(client.sftp(what.format(n=number), options=options)) for number in range(AT_A_TIME)
        ]
        while not all(task.done() for task in tasks):
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.02)
        assert all(task.result()[0] == 0 for task in tasks), [task.result() for task in tasks]
    print(f"memory: {AT_A_TIME} up, then {AT_A_TIME} down at a time: +{(peak - before) / MIB:.1f} MiB (< 64 are asked)")


async def _idle(world: Sftp) -> None:
    """Sessions from a process of their own, so that theirs is not the memory that is looked at."""
    process = psutil.Process()
    before = process.memory_info().rss
    script = f"""
import asyncio, asyncssh, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.world.transfer import PASSWORD
async def main():
    held = []
    for _ in range({IDLE} // 10):
        held += await asyncio.gather(*(asyncssh.connect("127.0.0.1", {world.port}, username="acme", password=PASSWORD,
            known_hosts=None, client_keys=None, agent_path=None, config=[]) for _ in range(10)))
    clients = [await connection.start_sftp_client() for connection in held]
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for client in clients:
        assert await client.realpath(".") == "/"
    print("alive", flush=True)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin
    assert child.stdout
    began, used = time.perf_counter(), time.process_time()
    said = await child.stdout.readline()
    assert said == b"held\n", said
    opened_s, opening_cpu_s = time.perf_counter() - began, time.process_time() - used
    grown = process.memory_info().rss - before
    used = time.process_time()
    await asyncio.sleep(3)
    idle_cpu = (time.process_time() - used) / 3
    child.stdin.write(b"\n")
    said = await child.stdout.readline()
    assert said == b"alive\n", said
    await child.wait()
    print(
        f"idle: {IDLE} sessions held, +{grown / MIB:.0f} MiB ({grown / IDLE / 1024:.0f} KiB each),"
        f" opened in {opened_s:.1f} s ({opening_cpu_s:.1f} s of CPU), {idle_cpu:.1%} of a CPU while idle"
    )


async def _cuts(world: Sftp) -> None:
    """From the revocation to the last byte, and to the end of the connection."""
    last, closed = [], []
    for _ in range(CUTS):
        async with await world.connect() as connection, connection.start_sftp_client() as client:
            file = await client.open("/file", "rb", block_size=0)
            at = 0
            began = 0.0
            try:
                while True:
                    data = await file.read(32 * 1024, at % (SIZE_MIB * MIB - 32 * 1024))
                    at += len(data)
                    ended = time.perf_counter()
                    if not began and at > MIB:
                        began = time.perf_counter()
                        world.revoke()
            except (asyncssh.Error, OSError):
                last.append(max(0.0, ended - began))
            await connection.wait_closed()
            closed.append(time.perf_counter() - began)
        world.everybody.gone.clear()
    for what, seconds in (("last byte", last), ("connection closed", closed)):
        cuts = statistics.quantiles(seconds, n=100)
        print(
            f"revoked to {what}: p50 {cuts[49] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms, of {CUTS} (< 1 s is asked)"
        )


async def _main() -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs, {files} files, asyncssh {asyncssh.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        async with (
            sample_stores(directory / "ftp-site") as stores,
            sftp_world(directory, stores, max_sessions_per_address=1_000) as world,
        ):
            await _idle(world)
            await _ratio(world, directory)
            await _memory(world, directory)
            await _cuts(world)


if __name__ == "__main__":
    if why := sshd.missing():
        print(f"not measured: {why}")
    else:
        import uvloop

        uvloop.run(_main())
