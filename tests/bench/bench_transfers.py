"""Files through the transfer doors over a site in a folder, beside pyftpdlib, vsftpd and sshd straight to that folder.

FTP by curl, clear and with TLS, SFTP by OpenSSH's client; each way so many rounds, the servers taking turns, and the
medians. A line is: MiB a second, and the door's rate as a share of the other's (at least 0.5 is asked). CPU seconds
are those of this process, which serves as door and as pyftpdlib. The machine's other load counts for all alike.
``SIZE_MIB`` (1024) is how large the file is, ``ROUNDS`` (3) how often it goes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

logging.getLogger("pyftpdlib").setLevel(logging.WARNING)
logging.basicConfig(level=logging.WARNING)  # else pyftpdlib sets up a log of its own
warnings.simplefilter("ignore", DeprecationWarning)

import uvloop  # noqa: E402
from pyftpdlib.authorizers import DummyAuthorizer  # noqa: E402
from pyftpdlib.handlers import TLS_FTPHandler  # noqa: E402
from pyftpdlib.servers import ThreadedFTPServer  # noqa: E402

from gateway.demo.stores import Addresses, sample_stores  # noqa: E402
from tests.world import sshd  # noqa: E402
from tests.world.ftp import Ftp, ftp_world  # noqa: E402
from tests.world.sftp import OpenSsh, sftp_world  # noqa: E402
from tests.world.transfer import PASSWORD  # noqa: E402
from tests.world.upstream_ftp import PASSWORD as THEIRS  # noqa: E402
from tests.world.upstream_ftp import USER  # noqa: E402
from tests.world.vsftpd import CannotRun, vsftpd  # noqa: E402

MIB = 1024 * 1024
SIZE_MIB = int(os.environ.get("SIZE_MIB", "1024"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
IDLE = 500
AT_A_TIME = 8
REVOKED = 50
Took = tuple[float, float]
"""Wall seconds, and CPU seconds of this process."""


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


class Server(NamedTuple):
    """Where curl goes: ``where`` is the folder's URL."""

    where: str
    account: str = f"acme:{PASSWORD}"


def at(port: int) -> Server:
    """The door, or pyftpdlib."""
    return Server(f"ftp://127.0.0.1:{port}")


async def curl(server: Server, *args: str) -> Took:
    """One transfer by FTP; a part ``URL`` stands for the folder."""
    named = (each.replace("URL", server.where) for each in args)
    return await timed("curl", "-sSk", "-u", server.account, *named)


async def timed(*command: str) -> Took:
    """How long a program takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command
    return time.perf_counter() - wall, time.process_time() - cpu


async def compare(what: str, ways: dict[str, Callable[[], Awaitable[Took]]]) -> None:
    """So many rounds of each way, in turns; the first is the door's."""
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            took[name].append(await way())
    walls = {name: statistics.median(wall for wall, _ in each) for name, each in took.items()}
    cpu = {name: statistics.median(used for _, used in each) for name, each in took.items()}
    mine, *others = ways
    beside = "; ".join(
        f"{name} {SIZE_MIB / walls[name]:.0f} MiB/s, ratio {walls[name] / walls[mine]:.2f}" for name in others
    )
    print(f"{what:15} door {SIZE_MIB / walls[mine]:5.0f} MiB/s ({cpu[mine]:.2f} s of CPU); {beside}", flush=True)


async def by_ftp(door: Ftp, source: Path) -> None:
    """Up and down by curl, each server with a file of its own."""
    with beside(door.root, door.certificate, door.key) as other:
        for tls in ((), ("--ssl-reqd",)):
            servers = {"door": at(door.port), "pyftpdlib": at(other)}
            async with AsyncExitStack() as stack:
                try:
                    their_tls = (door.certificate, door.key) if tls else None
                    there = await stack.enter_async_context(vsftpd(tls=their_tls, require_ssl_reuse="NO"))
                    servers["vsftpd"] = Server(
                        f"ftp://127.0.0.1:{there.port}/%2F{there.folder.lstrip('/')}", f"{USER}:{THEIRS}"
                    )
                except CannotRun as why:
                    print(f"vsftpd not measured: {why}")
                for way in ("up", "down"):
                    asked = ways(servers, (*tls, "-T", str(source)) if way == "up" else (*tls, "-o", os.devnull))
                    await compare(f"FTP {'TLS' if tls else 'clear'} {way}", asked)


def ways(servers: dict[str, Server], args: tuple[str, ...]) -> dict[str, Callable[[], Awaitable[Took]]]:
    """The same transfer at each server."""
    return {name: partial(curl, server, *args, f"URL/{name}-file") for name, server in servers.items()}


async def by_sftp(directory: Path, stores: Addresses, source: Path) -> None:
    """Up and down by OpenSSH."""
    async with sftp_world(directory, stores) as door, sshd.sshd() as server:
        clients = []
        for name, port, key, user in (
            ("door", door.port, door.host_key, "acme"),
            ("sshd", server.port, server.host_key, server.user),
        ):
            (directory / name).mkdir()
            clients.append(OpenSsh(directory / name, port, key, user))
        mine, straight = clients

        async def ask(client: OpenSsh, command: str, option: str) -> Took:
            wall, cpu = time.perf_counter(), time.process_time()
            status, said = await client.sftp(command, options=(option,))
            assert status == 0, said
            return time.perf_counter() - wall, time.process_time() - cpu

        for way, what in (("up", f"put {source} FOLDER/file"), ("down", f"get FOLDER/file {os.devnull}")):
            through = partial(ask, mine, what.replace("FOLDER", ""), "-oPubkeyAuthentication=no")
            beside_it = partial(ask, straight, what.replace("FOLDER", str(server.root)), f"-oIdentityFile={server.key}")
            await compare(f"SFTP {way}", {"door": through, "sshd": beside_it})


async def memory(what: str, door: Server, told: tuple[str, ...], source: Path) -> None:
    """What so many uploads and then downloads at a time take (less than 64 MiB are asked)."""
    for way in ("up", "down"):
        before, most = resident(), 0
        urls = [f"URL/many{each}" for each in range(AT_A_TIME)]
        args = [("-T", str(source), url) if way == "up" else ("-o", os.devnull, url) for url in urls]
        transfers = [asyncio.ensure_future(curl(door, *told, *each)) for each in args]
        while not all(each.done() for each in transfers):
            await asyncio.sleep(0.02)
            most = max(most, resident())
        await asyncio.gather(*transfers)
        print(f"{AT_A_TIME} {what} {way} at a time: {(most - before) / MIB:.1f} MiB more memory", flush=True)


def beginning(source: Path) -> Path:
    """A file of its first 64 MiB."""
    small = source.with_name("small")
    with source.open("rb") as file:
        small.write_bytes(file.read(min(64, SIZE_MIB) * MIB))
    return small


def random_file(directory: Path) -> Path:
    """What goes through."""
    source = directory / "source"
    with source.open("wb") as file:
        for _ in range(SIZE_MIB):
            file.write(os.urandom(MIB))
    return source


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
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs, {SIZE_MIB} MiB, medians of {ROUNDS}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source = random_file(directory)
        async with sample_stores(directory / "sample") as stores:
            (directory / "ftp").mkdir()
            async with ftp_world(
                directory / "ftp", stores, unsafe_plaintext=True, max_sessions_per_address=600, idle_timeout_s=600.0
            ) as door:
                await by_ftp(door, source)
                shutil.rmtree(door.root)
                door.root.mkdir()
                for what, told in (("clear", ()), ("TLS", ("--ssl-reqd",))):
                    await memory(what, at(door.port), told, beginning(source))
                await revoked(door)
                await idle(door)
            if why := sshd.missing():
                print(f"SFTP not measured: {why}")
            else:
                (directory / "sftp").mkdir()
                await by_sftp(directory / "sftp", stores, source)


if __name__ == "__main__":
    uvloop.run(main())
