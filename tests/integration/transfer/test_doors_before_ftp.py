"""A door before a site that is an FTP server, and real clients before the door: lftp before FTP, curl before SFTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from gateway.demo.stores import Addresses
from gateway.transfer.ftp_site import FtpSite
from gateway.transfer.uploads import partial_of
from tests.integration.transfer.conftest import require
from tests.integration.transfer.test_ftp_clients import lftp
from tests.integration.transfer.test_ftp_site import running, site_before
from tests.world.certificates import Authority
from tests.world.ftp import ftp_world
from tests.world.sftp import OpenSsh, sftp_world
from tests.world.transfer import PASSWORD
from tests.world.upstream_ftp import UpstreamFtp

SIZE, HALF = 3_000_017, 1_000_003
PATH = "/uploads/acme/a b"


@pytest.fixture(params=["pyftpdlib ftpes", "vsftpd ftps"])
async def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UpstreamFtp]:
    (tmp_path / "upstream").mkdir()
    async with running(request.param, tmp_path / "upstream", Authority(tmp_path / "upstream" / "authority")) as server:
        (server.root / "uploads" / "acme").mkdir(parents=True)
        yield server


@pytest.fixture
async def site(upstream: UpstreamFtp, tmp_path: Path) -> AsyncIterator[FtpSite]:
    ca = next((tmp_path / "upstream" / "authority").glob("sample*.pem"))
    made = site_before(upstream.url, tls_ca=ca)
    yield made
    await made.close()


async def half(site: FtpSite, data: bytes) -> None:
    """What an upload that broke off leaves."""
    writing = await site.write(partial_of(PATH))
    await writing.write(data[:HALF])
    await writing.abandon()


async def test_lftp_stores_resumes_fetches_lists_and_deletes(
    site: FtpSite, upstream: UpstreamFtp, tmp_path: Path, stores: Addresses
) -> None:
    """By FTP with TLS on both sides; half an upload is nobody's file."""
    require("lftp")
    data = os.urandom(SIZE)
    (tmp_path / "a b").write_bytes(data)
    async with ftp_world(tmp_path, stores, site=site) as door:
        door.kind = "explicit"  # type: ignore[attr-defined]
        status, said = await lftp(door, f"put '{tmp_path}/a b' -o first", "ls", "mkdir in", "mv first in/second")
        assert status == 0, said
        assert "first" in said
        await half(site, data)
        status, said = await lftp(door, "ls")
        assert (status, "a b" in said, "partial" in said) == (0, False, False), said
        assert (await lftp(door, f"get 'a b' -o {tmp_path}/half"))[0] != 0
        status, said = await lftp(door, f"put -c '{tmp_path}/a b'", f"get 'a b' -o {tmp_path}/back", "cls -1")
        assert status == 0, said
        assert (upstream.root / "uploads" / "acme" / "a b").read_bytes() == data == (tmp_path / "back").read_bytes()
        stored = [entry for entry in door.entries() if entry["method"] in ("STOR", "APPE")]
        assert [entry["path"] for entry in stored][-1] == "/uploads/acme/a%20b"
        resumed = next(each for each in door.entries("completion") if each.get("offset") == HALF)
        assert resumed["bytes_in"] == SIZE - HALF
        status, said = await lftp(door, "rm 'a b'", "rm in/second", "rmdir in", "cls -1")
        assert (status, said) == (0, "")
    assert not any((upstream.root / "uploads" / "acme").iterdir())


async def test_curl_stores_resumes_fetches_lists_and_deletes_by_sftp(
    site: FtpSite, upstream: UpstreamFtp, tmp_path: Path, stores: Addresses
) -> None:
    """SFTP in front, FTP behind."""
    require("curl")
    data = os.urandom(SIZE)
    (tmp_path / "up").write_bytes(data)
    async with sftp_world(tmp_path, stores, site=site) as door:
        (tmp_path / "client").mkdir()
        known = OpenSsh(tmp_path / "client", door.port, door.host_key)

        async def curl(path: str, *args: str) -> tuple[int, str]:
            given = ["-sS", "-u", f"acme:{PASSWORD}", "--hostpubsha256", fingerprint(door.host_key), *args]
            return await known.run("curl", *given, f"sftp://127.0.0.1:{door.port}{path}")

        if "sftp" not in (await known.run("curl", "--version"))[1]:
            pytest.skip("this curl speaks no SFTP")
        await half(site, data)
        status, said = await curl("/", "--list-only")
        assert (status, [name for name in said.split() if name.strip(".")]) == (0, [])
        assert (await curl("/a%20b", "-o", str(tmp_path / "half")))[0] != 0
        status, said = await curl("/a%20b", "-T", str(tmp_path / "up"))
        assert status == 0, said
        assert (upstream.root / "uploads" / "acme" / "a b").read_bytes() == data
        (tmp_path / "down").write_bytes(data[:HALF])
        status, said = await curl("/a%20b", "-C", str(HALF), "-o", str(tmp_path / "down"))
        assert status == 0, said
        assert (tmp_path / "down").read_bytes() == data
        status, said = await curl("/", "-Q", 'rm "/a b"', "--list-only")
        assert (status, "a b" in said) == (0, False), said
    assert not any((upstream.root / "uploads" / "acme").iterdir())


def fingerprint(key: str) -> str:
    """As curl wants it."""
    return asyncssh.import_public_key(key).get_fingerprint().removeprefix("SHA256:")
