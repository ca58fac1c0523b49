"""A site behind OpenSSH's sshd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from gateway.demo.stores import Addresses
from gateway.errors import ConfigurationError
from gateway.settings import StoreSettings
from gateway.transfer.sftp_blocks import BLOCK_BYTES
from gateway.transfer.sftp_site import SftpSite
from gateway.transfer.site import NameTaken, NoSuchName, SiteElsewhere, SiteSlow, SiteUnavailable
from gateway.transfer.uploads import Uploads, partial_of
from tests.world import sshd
from tests.world.sftp import sftp_world
from tests.world.sites import content, store
from tests.world.sshd import Sshd

pytestmark = pytest.mark.skipif(bool(sshd.missing()), reason=sshd.missing() or "there")
SIZE = 20 * BLOCK_BYTES + 17


@pytest.fixture
async def server() -> AsyncIterator[Sshd]:
    async with sshd.sshd() as running:
        yield running


def settings(server: Sshd, directory: Path, host_key: str = "", **more: object) -> StoreSettings:
    known = directory / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {host_key or server.host_key}")
    given = {"ssh_key": server.key, "ssh_known_hosts": known, "country": "US", "name": "uploads", **more}
    given.setdefault("url", f"sftp://{server.user}@127.0.0.1:{server.port}{server.root}")
    return StoreSettings.model_validate(given)


@pytest.fixture
async def site(server: Sshd, tmp_path: Path) -> AsyncIterator[SftpSite]:
    (server.root / "acme").mkdir()
    made = SftpSite(settings(server, tmp_path))
    yield made
    await made.close()


async def test_a_file_is_stored_described_listed_read_moved_and_removed(site: SftpSite, server: Sshd) -> None:
    data = os.urandom(SIZE)
    await site.make_folder("/acme/in")
    await store(site, "/acme/in/é", data)
    about = await site.about("/acme/in/é")
    assert about is not None
    assert about[:3] == ("é", False, SIZE)
    assert about.modified_s > 0
    assert [found[:3] for found in await site.list("/acme/in")] == [("é", False, SIZE)]
    assert await content(site, "/acme/in/é") == data
    assert await content(site, "/acme/in/é", SIZE - 5) == data[-5:]
    assert await content(site, "/acme/in/é", SIZE) == b""
    await store(site, "/acme/b", b"older")
    await site.move("/acme/in/é", "/acme/b")
    assert (server.root / "acme" / "b").read_bytes() == data
    with pytest.raises(NameTaken):
        await site.remove_folder("/acme")
    with pytest.raises(NameTaken):
        await site.make_folder("/acme/in")
    await site.remove("/acme/b")
    await site.remove_folder("/acme/in")
    assert await site.list("/acme") == []
    assert await site.about("/") is not None


async def test_a_transfer_that_broke_off_goes_on(site: SftpSite, server: Sshd) -> None:
    data = os.urandom(3 * BLOCK_BYTES)
    upload = await Uploads().begin(site, "/acme/a")
    await upload.write(data[: BLOCK_BYTES + 7])
    await upload.abandon()
    about = await site.about(partial_of("/acme/a"))
    assert about is not None
    assert about.size <= BLOCK_BYTES + 7, "what stays has no holes"
    await store(site, "/acme/a", data[about.size :], offset=about.size)
    assert (server.root / "acme" / "a").read_bytes() == data


@pytest.mark.parametrize("to", ["outside", "outside/secret", "/etc/passwd"])
async def test_no_link_is_followed(site: SftpSite, server: Sshd, to: str) -> None:
    """Neither the last part of a path nor one on the way."""
    outside = server.root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"of somebody else")
    (server.root / "acme" / "link").symlink_to(server.root.parent / to)
    for path in ("/acme/link", "/acme/link/secret", "/acme/link/new"):
        assert await site.about(path) is None
        for act in (site.read, site.write, site.list, site.remove, site.make_folder, site.remove_folder):
            with pytest.raises((NoSuchName, NameTaken, SiteUnavailable)):
                await act(path)
        with pytest.raises(NoSuchName):
            await site.move(path, "/acme/got")
    with pytest.raises(NoSuchName):
        await site.write("/acme/link", offset=3)
    await store(site, "/acme/own", b"x")
    with pytest.raises(NoSuchName):
        await site.move("/acme/own", "/acme/link/own")
    assert [about.name for about in await site.list("/acme")] == ["own"]
    assert (outside / "secret").read_bytes() == b"of somebody else"
    assert [path.name for path in outside.iterdir()] == ["secret"]


async def test_what_is_neither_file_nor_folder_does_not_exist(site: SftpSite, server: Sshd) -> None:
    os.mkfifo(server.root / "acme" / "pipe")
    assert await site.about("/acme/pipe") is None
    assert await site.list("/acme") == []
    with pytest.raises(NoSuchName):
        await site.read("/acme/pipe")


async def test_nothing_is_written_to_a_peer_that_is_not_admitted(site: SftpSite, server: Sshd) -> None:
    """Rule storage-home: the address of the connection's other end is asked about each time."""
    asked: list[str] = []

    def admits(peer: str) -> bool:
        asked.append(peer)
        return False

    await store(site, "/acme/a", b"x")
    for act in (lambda: site.write("/acme/new", admits=admits), lambda: site.make_folder("/acme/new", admits=admits)):
        with pytest.raises(SiteElsewhere):
            await act()
    with pytest.raises(SiteElsewhere):
        await site.move("/acme/a", "/acme/new", admits=admits)
    assert asked == ["127.0.0.1"] * 3
    assert [path.name for path in (server.root / "acme").iterdir()] == ["a"]


async def test_another_host_key_is_not_spoken_to(server: Sshd, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    site = SftpSite(settings(server, tmp_path, other))
    with pytest.raises(SiteUnavailable, match="cannot be reached, or refused"):
        await site.about("/acme")
    await site.close()


async def test_a_server_that_no_known_host_names_stops_the_start(server: Sshd, tmp_path: Path) -> None:
    found = settings(server, tmp_path)
    assert found.ssh_known_hosts is not None
    found.ssh_known_hosts.write_text(f"other.example {server.host_key}")
    with pytest.raises(ConfigurationError, match="it has none for this server"):
        SftpSite(found)


@pytest.mark.parametrize("key", ["ssh_key", "ssh_known_hosts"])
async def test_a_file_that_is_not_there_stops_the_start(server: Sshd, tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"store uploads: {key} cannot be used"):
        SftpSite(settings(server, tmp_path, **{key: tmp_path / "none"}))


async def test_a_connection_that_broke_is_made_again(site: SftpSite) -> None:
    await store(site, "/acme/a", b"x")
    assert site._connection is not None
    site._connection.abort()
    await site._connection.wait_closed()
    assert await content(site, "/acme/a") == b"x"


async def test_a_server_that_says_nothing_is_slow(tmp_path: Path) -> None:
    """Within the time-out for connections, and the next one is tried anew."""

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    port = server.sockets[0].getsockname()[1]
    mute = Sshd(port, "nobody", tmp_path, tmp_path / "key", key.export_public_key().decode(), 0)
    site = SftpSite(settings(mute, tmp_path, connect_timeout_s=0.2))
    with pytest.raises(SiteSlow):
        await site.about("/acme")
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def test_a_reading_keeps_a_bounded_part_in_memory(site: SftpSite, server: Sshd) -> None:
    """A client that takes nothing lets a few blocks pile up, however long the file is."""
    (server.root / "acme" / "long").write_bytes(bytes(100 * BLOCK_BYTES))
    reading = await site.read("/acme/long")
    assert await reading.read(1) == b"\0"
    await asyncio.sleep(0.2)
    assert reading._next <= 9 * BLOCK_BYTES  # type: ignore[attr-defined]
    await reading.close()


async def test_behind_the_door_a_file_goes_up_and_down(server: Sshd, tmp_path: Path, stores: Addresses) -> None:
    """Both at once: a client of the door, and the gateway as a client of the site."""
    (server.root / "uploads" / "acme").mkdir(parents=True)
    data = os.urandom(SIZE)
    site = SftpSite(settings(server, tmp_path))
    async with (
        sftp_world(tmp_path, stores, site=site) as door,
        await door.connect() as connection,
        connection.start_sftp_client() as client,
    ):
        async with client.open("/a", "wb") as file:
            await file.write(data)
        assert (server.root / "uploads" / "acme" / "a").read_bytes() == data
        async with client.open("/a", "rb") as file:
            assert await file.read() == data
        await client.mkdir("/in")
        await client.rename("/a", "/in/b")
        with pytest.raises(asyncssh.SFTPFailure, match="not empty"):
            await client.rmdir("/in")
        await client.remove("/in/b")
        await client.rmdir("/in")
        assert await client.listdir("/") == []
    await site.close()
