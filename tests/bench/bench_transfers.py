"""Files through the FTP door, over a site in a folder, beside pyftpdlib serving the same folder.

Run ``python -m tests.bench.bench_transfers [MiB]``. Each line: wall seconds, CPU seconds of the serving process, and
the door's rate as a share of pyftpdlib's. curl is the client in both. The machine's other load counts for both alike.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logging.getLogger("pyftpdlib").setLevel(logging.WARNING)
logging.basicConfig(level=logging.WARNING)  # else pyftpdlib sets up a log of its own
warnings.simplefilter("ignore", DeprecationWarning)

from pyftpdlib.authorizers import DummyAuthorizer  # noqa: E402
from pyftpdlib.handlers import TLS_FTPHandler  # noqa: E402
from pyftpdlib.servers import ThreadedFTPServer  # noqa: E402

from gateway.demo.stores import sample_stores  # noqa: E402
from tests.world.ftp import Ftp, ftp_world  # noqa: E402
from tests.world.transfer import PASSWORD  # noqa: E402

MIB = 1024 * 1024
IDLE = 500
AT_A_TIME = 8
REVOKED = 50


@contextmanager
def beside(root: Path, certificate: Path, key: Path) -> Iterator[int]:
    """pyftpdlib's own server on the same folder: its port."""
    authorizer = DummyAuthorizer()
    authorizer.add_user("acme", PASSWORD, str(root), perm="elradfmw")

    class Handler(TLS_FTPHandler):
        certfile, keyfile = str(certificate), str(key)

    Handler.authorizer = authorizer
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False, "timeout": 0.1})
    thread.start()
    try:
        yield server.address[1]
    finally:
        server.close_all()
        thread.join(5)


async def curl(port: int, *args: str) -> tuple[float, float]:
    """One transfer: wall seconds, and CPU seconds of this process, which serves."""
    wall, cpu = time.perf_counter(), time.process_time()
    process = await asyncio.create_subprocess_exec(
        "curl", "-sSk", "-u", f"acme:{PASSWORD}", *(each.replace("PORT", str(port)) for each in args)
    )
    assert await process.wait() == 0
    return time.perf_counter() - wall, time.process_time() - cpu


async def throughput(door: Ftp, other: int, source: Path, size: int) -> None:
    for tls in (("--ssl-reqd",), ()):
        for way in ("up", "down"):
            took = {}
            for name, port in (("door", door.port), ("pyftpdlib", other)):
                url = f"ftp://127.0.0.1:PORT/{name}"
                if way == "up":
                    took[name] = await curl(port, *tls, "-T", str(source), url)
                else:
                    took[name] = await curl(port, *tls, "-o", "/dev/null", url)
            (wall, cpu), (their_wall, their_cpu) = took["door"], took["pyftpdlib"]
            print(
                f"{'TLS' if tls else 'clear':5} {way:4} {size} MiB: {wall:.2f} s wall, {cpu:.2f} s CPU; pyftpdlib "
                f"{their_wall:.2f} s, {their_cpu:.2f} s; rate {their_wall / wall:.2f}, by CPU {their_cpu / cpu:.2f}"
            )


async def memory(door: Ftp, source: Path) -> None:
    before, most = resident(), 0
    url = "ftp://127.0.0.1:PORT/many"
    transfers = [
        asyncio.ensure_future(curl(door.port, "--ssl-reqd", "-T", str(source), f"{url}{each}"))
        for each in range(AT_A_TIME)
    ]
    while not all(each.done() for each in transfers):
        await asyncio.sleep(0.1)
        most = max(most, resident())
    await asyncio.gather(*transfers)
    print(f"{AT_A_TIME} uploads at a time: {(most - before) / MIB:.1f} MiB more memory")
    for path in door.root.glob("many*"):
        path.unlink()


async def revoked(door: Ftp) -> None:
    """From a revocation until the client's data connection is at its end."""
    took = []
    for each in range(REVOKED):
        client = await asyncio.to_thread(door.client)
        data = await asyncio.to_thread(client.transfercmd, f"STOR cut{each}")
        await asyncio.to_thread(data.sendall, b"x" * MIB)
        began = time.perf_counter()
        door.revoke()
        await asyncio.to_thread(ended, data)
        took.append(time.perf_counter() - began)
        door.everybody.gone.clear()
        data.close()
        client.close()
    took.sort()
    print(
        f"revoked until cut: median {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[int(len(took) * 0.99)] * 1e3:.1f} ms"
    )


def ended(data: object) -> None:
    try:
        while data.recv(1_000):  # type: ignore[attr-defined]
            pass
    except OSError:
        pass


async def idle(door: Ftp) -> None:
    before = resident()
    clients = [await asyncio.to_thread(door.client) for _ in range(IDLE)]
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(5)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    for client in clients:
        await asyncio.to_thread(client.voidcmd, "NOOP")
    print(f"{IDLE} idle sessions: {(resident() - before) / MIB:.1f} MiB with their clients, {share:.1%} of a CPU")
    for client in clients:
        client.close()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source = directory / "source"
        with source.open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(MIB))
        async with (
            sample_stores(directory / "sample") as stores,
            ftp_world(
                directory, stores, unsafe_plaintext=True, max_sessions_per_address=600, idle_timeout_s=600.0
            ) as door,
        ):
            with beside(door.root, door.certificate, door.key) as other:
                await throughput(door, other, source, size)
            small = directory / "small"
            small.write_bytes(source.read_bytes()[: 64 * MIB])
            await memory(door, small)
            await revoked(door)
            await idle(door)


if __name__ == "__main__":
    asyncio.run(main())
