"""Files through the transfer doors before a server of their own protocol, beside the same client straight to it.

A door before vsftpd (clear, explicit and implicit TLS on both sides), sshd, and SeaweedFS by S3; each way so many
rounds, in turns. A line is: MiB a second, and the door's rate as a share of the straight one's (at least 0.5 is
asked); then how much memory so many transfers at a time take (less than 64 MiB are asked). Whoever goes straight is
neither judged nor recorded, its file is neither hashed nor moved to its name when it is whole.
``SIZE_MIB`` (1024) is how large the file is, ``ROUNDS`` (3) how often it goes; arguments name some of what is measured:
``clear``, ``explicit``, ``implicit``, ``sftp``, ``s3``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Set
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import uvloop
from bench_transfers import ROUNDS, SIZE_MIB, Server, Took, at, beginning, compare, curl, memory, random_file, timed

sys.path.insert(0, str(Path(__file__).parents[2]))

from pydantic import SecretStr

from gateway.demo.stores import Addresses, sample_stores
from gateway.settings import StoreSettings
from gateway.transfer.site import Site
from gateway.transfer.sites import site_of
from tests.world import object_store, sshd
from tests.world.certificates import Authority
from tests.world.ftp import ftp_world
from tests.world.sftp import OpenSsh, sftp_world
from tests.world.upstream_ftp import PASSWORD, USER
from tests.world.vsftpd import CannotRun, vsftpd

FOLDER = "uploads/acme"
KINDS = {  # of TLS: the upstream's scheme, the door's settings, and what curl is told
    "clear": ("ftp", {"unsafe_plaintext": True}, ()),
    "explicit": ("ftpes", {}, ("--ssl-reqd",)),
    "implicit": ("ftps", {"tls": "implicit"}, ()),
}


def site_at(url: str, **more: object) -> Site:
    given = {"name": "uploads", "country": "US", "url": SecretStr(url), "connect_timeout_s": 10, "read_timeout_s": 60}
    return site_of(StoreSettings.model_validate(given | more))


def scheme_of(kind: str) -> str:
    return "ftps" if kind == "implicit" else "ftp"


@asynccontextmanager
async def before_vsftpd(kind: str, directory: Path, stores: Addresses) -> AsyncIterator[tuple[Server, Server]]:
    """A door before it; where curl finds the door, and where it finds the server."""
    scheme, settings, _ = KINDS[kind]
    authority = Authority(directory / "upstream")
    tls = None if kind == "clear" else authority.server()
    async with vsftpd(scheme, tls, require_ssl_reuse="NO") as server:
        (server.root / FOLDER).mkdir(parents=True)
        site = site_at(server.url, **({"tls_ca": authority.path} if tls else {}))
        async with ftp_world(directory, stores, site=site, **settings) as door:
            their_folder = f"%2F{server.folder.lstrip('/')}/{FOLDER}"
            yield (
                Server(f"{scheme_of(kind)}://127.0.0.1:{door.port}"),
                Server(f"{scheme_of(kind)}://127.0.0.1:{server.port}/{their_folder}", f"{USER}:{PASSWORD}"),
            )
        await site.close()


async def by_ftp(kind: str, directory: Path, stores: Addresses, source: Path) -> None:
    """Up and down by curl, and then so many at a time."""
    told = KINDS[kind][2]
    async with before_vsftpd(kind, directory, stores) as (door, straight):
        servers = {"door": door, "vsftpd": straight}
        for way, args in (("up", ("-T", str(source))), ("down", ("-o", os.devnull))):
            each = {name: partial(curl, server, *told, *args, f"URL/{name}-file") for name, server in servers.items()}
            await compare(f"FTP {kind} {way}", each)
        await memory(kind, door, told, beginning(source))


async def by_sftp(directory: Path, stores: Addresses, source: Path) -> None:
    """Up and down by OpenSSH."""
    async with sshd.sshd() as server:
        (server.root / FOLDER).mkdir(parents=True)
        (directory / "hosts").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        site = site_at(
            f"sftp://{server.user}@127.0.0.1:{server.port}{server.root}",
            ssh_key=server.key,
            ssh_known_hosts=directory / "hosts",
        )
        async with sftp_world(directory, stores, site=site) as door:
            (directory / "mine").mkdir()
            (directory / "straight").mkdir()
            mine = OpenSsh(directory / "mine", door.port, door.host_key)
            straight = OpenSsh(directory / "straight", server.port, server.host_key, server.user)
            there = f"{server.root}/{FOLDER}"
            for way, what in (("up", f"put {source} AT/file"), ("down", f"get AT/file {os.devnull}")):
                through = partial(by_openssh, mine, what.replace("AT", ""), "-oPubkeyAuthentication=no")
                beside = partial(by_openssh, straight, what.replace("AT", there), f"-oIdentityFile={server.key}")
                await compare(f"SFTP {way}", {"door": through, "sshd": beside})
        await site.close()


async def by_openssh(client: OpenSsh, command: str, option: str) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    status, said = await client.sftp(command, options=(option,))
    assert status == 0, said
    return time.perf_counter() - wall, time.process_time() - cpu


async def by_s3(directory: Path, stores: Addresses, source: Path) -> None:
    """An FTP door before an object store, beside curl, which signs for itself."""
    with ExitStack() as stack:
        port = await asyncio.to_thread(stack.enter_context, object_store.object_store())
        site = site_at(object_store.url_of(port))
        for folder in ("/uploads", f"/{FOLDER}"):
            await site.make_folder(folder)
        signed = ("--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{object_store.KEY}:{object_store.SECRET}")
        plain = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
        where = f"http://127.0.0.1:{port}/{object_store.BUCKET}/straight"
        async with ftp_world(directory, stores, site=site, unsafe_plaintext=True) as door:
            for way, args in (("up", ("-T", str(source))), ("down", ("-o", os.devnull))):
                through = partial(curl, at(door.port), *args, "URL/file")
                beside = partial(timed, "curl", "-sSf", *signed, *plain, *args, where)
                await compare(f"S3 {way}", {"door": through, "SeaweedFS": beside})
            await memory("S3", at(door.port), (), beginning(source))
        await site.close()


async def main(asked: Set[str]) -> None:
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs, {SIZE_MIB} MiB, medians of {ROUNDS}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source = random_file(directory)
        async with AsyncExitStack() as stack:
            stores = await stack.enter_async_context(sample_stores(directory / "sample"))
            for each in (*KINDS, "sftp", "s3"):
                (directory / each).mkdir()
            for kind in (each for each in KINDS if each in asked):
                try:
                    await by_ftp(kind, directory / kind, stores, source)
                except CannotRun as why:
                    print(f"FTP not measured: {why}")
                    break
            if "sftp" in asked and (why := sshd.missing()):
                print(f"SFTP not measured: {why}")
            elif "sftp" in asked:
                await by_sftp(directory / "sftp", stores, source)
            if "s3" in asked:
                await by_s3(directory / "s3", stores, source)


if __name__ == "__main__":
    uvloop.run(main(set(sys.argv[1:]) or {*KINDS, "sftp", "s3"}))
