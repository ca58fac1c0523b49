"""The SFTP door, asked by a raw client for what no honest one asks, and cut while it answers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import FXP_EXTENDED, MSG_CHANNEL_OPEN, MSG_USERAUTH_SUCCESS
from asyncssh.packet import String, UInt32, UInt64

from gateway.demo.stores import Addresses
from gateway.proxy.pace import Pace
from gateway.transfer import sftp_channel, sftp_door
from gateway.transfer.folder_site import FolderSite
from gateway.transfer.site import Admits, Reading, SiteUnavailable, Writing
from tests.integration.transfer.conftest import require
from tests.world.sftp import OpenSsh, Sftp, sftp_world
from tests.world.transfer import PASSWORD
from tests.world.waiting import until

MIB = 1024 * 1024
REFUSALS = (asyncssh.Error, OSError)


@asynccontextmanager
async def signed_in(door: Sftp, user: str = "acme") -> AsyncIterator[asyncssh.SFTPClient]:
    async with await door.connect(user) as connection, connection.start_sftp_client() as client:
        yield client


@asynccontextmanager
async def subsystem(door: Sftp, **options: Any) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
    """Octets to and from the subsystem, as they are."""
    async with await door.connect() as connection:
        yield await connection.create_process(subsystem="sftp", encoding=None, **options)


def packet(kind: int, *parts: bytes) -> bytes:
    return String(bytes([kind]) + b"".join(parts))


def connections() -> list[Any]:
    """The door's side of those that are open."""
    return [each for each in gc.get_objects() if type(each) is sftp_door._Connection and each in each._door.connections]


# Before anybody signed in.


class Early(asyncssh.SSHClient):
    """Sends something of its own when it is asked for a password."""

    def __init__(self, kind: int, *parts: bytes) -> None:
        self.sent = kind, parts

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn

    async def password_auth_requested(self) -> str | None:
        self.connection._auth_complete = True  # else its own side holds it back
        self.connection.send_packet(self.sent[0], *self.sent[1])
        self.connection._auth_complete = False
        await asyncio.sleep(0.2)
        return PASSWORD


@pytest.mark.parametrize(
    "sent",
    [(MSG_USERAUTH_SUCCESS,), (MSG_CHANNEL_OPEN, String("session"), UInt32(0), UInt32(MIB), UInt32(32_768))],
    ids=["success said by the client", "a channel"],
)
async def test_nothing_goes_before_the_sign_in(door: Sftp, sent: tuple[Any, ...]) -> None:
    """sftp-002, CVE-2018-7749: the connection ends, and nobody was asked about."""
    with pytest.raises(asyncssh.DisconnectError):
        async with await door.connect(password=None, client_factory=lambda: Early(*sent)):
            pass
    assert door.everybody.tries == []


async def _lines(reader: asyncio.StreamReader) -> Sequence[Sequence[str]]:
    """The names in the KEXINIT of a server, list by list."""
    await reader.readline()
    size, padding = struct.unpack(">IB", await reader.readexactly(5))
    payload = (await reader.readexactly(size - 1))[: size - 1 - padding]
    lists, at = [], 17
    for _ in range(8):
        (length,) = struct.unpack_from(">I", payload, at)
        lists.append(payload[at + 4 : at + 4 + length].decode().split(","))
        at += 4 + length
    return lists


def _plain(payload: bytes) -> bytes:
    """A packet before there is a key."""
    padding = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack(">IB", len(payload) + 1 + padding, padding) + payload + bytes(padding)


async def test_nothing_weak_is_offered_and_the_exchange_is_strict(door: Sftp) -> None:
    """sftp-004 (CVE-2023-48795): an ignored message between the first ones of the exchange ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"SSH-2.0-test\r\n")
    exchanges, host_keys, *others = await _lines(reader)
    ciphers, macs, compressions = set(others[0] + others[1]), set(others[2] + others[3]), set(others[4] + others[5])
    assert "kex-strict-s-v00@openssh.com" in exchanges
    assert host_keys == ["ssh-ed25519"]
    assert not [name for name in (*exchanges, *macs) if "sha1" in name or "group-exchange" in name or "group1-" in name]
    assert all("gcm" in name or "ctr" in name for name in ciphers)
    assert compressions == {"none"}
    said = [["curve25519-sha256", "kex-strict-c-v00@openssh.com"], host_keys, *others, [""], [""]]
    lists = b"".join(String(",".join(names)) for names in said)
    writer.write(_plain(bytes([20]) + os.urandom(16) + lists + bytes(5)) + _plain(bytes([2]) + String(b"")))
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000):
                pass
    writer.close()
    assert door.everybody.tries == []


@pytest.mark.parametrize("user", ["%username%/..", "../acme", "$acme", "a" * 900])
async def test_a_user_is_a_name_and_nothing_else(door: Sftp, user: str) -> None:
    """sftp-018: nothing is put in the place of a placeholder, and no name is a path."""
    with pytest.raises(asyncssh.PermissionDenied):
        await door.connect(user)
    assert [tried[2] for tried in door.everybody.tries] == [user]


async def test_tries_are_counted(door: Sftp) -> None:
    """By connection, whatever is tried."""

    class Guessing(asyncssh.SSHClient):
        async def password_auth_requested(self) -> str | None:
            return "wrong"

    with pytest.raises(asyncssh.DisconnectError):
        await door.connect(password=None, client_factory=Guessing)
    assert len(door.everybody.tries) == sftp_door.MAX_TRIES


async def test_a_key_is_asked_about_only_when_it_was_proved(door: Sftp) -> None:
    """Whoever shows a public key that is somebody else's learns nothing, and causes nothing."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    door.everybody.keys["acme"] = " ".join(key.export_public_key().decode().split()[:2])

    [borrowed] = asyncssh.load_keypairs([asyncssh.generate_private_key("ssh-ed25519")])
    borrowed.public_data = key.public_data

    class Pretending(asyncssh.SSHClient):
        shown = 0

        def public_key_auth_requested(self) -> Any:
            self.shown += 1
            return borrowed if self.shown == 1 else None

    with pytest.raises(asyncssh.PermissionDenied):
        await door.connect(password=None, client_factory=Pretending, preferred_auth="publickey")
    assert door.everybody.tries == []


async def test_when_nobody_can_be_asked_nobody_signs_in(door: Sftp) -> None:
    door.everybody.unavailable = True
    with pytest.raises(asyncssh.DisconnectError, match="nobody can sign in now"):
        await door.connect()


async def test_who_does_not_sign_in_in_time_is_sent_away(tmp_path: Path, stores: Addresses) -> None:
    async with sftp_world(tmp_path, stores, sign_in_timeout_s=0.3) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        async with asyncio.timeout(3):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1_000):
                    pass
        writer.close()


# Sessions.


async def test_who_does_nothing_is_sent_away(tmp_path: Path, stores: Addresses) -> None:
    async with sftp_world(tmp_path, stores, idle_timeout_s=0.4) as door, await door.connect() as connection:
        client = await connection.start_sftp_client()
        for _ in range(4):
            await asyncio.sleep(0.2)
            assert await client.realpath(".") == "/"
        async with asyncio.timeout(3):
            await connection.wait_closed()


@pytest.mark.parametrize("limit", ["max_sessions", "max_sessions_per_address"])
async def test_sessions_are_bounded_and_places_are_given_back(tmp_path: Path, stores: Addresses, limit: str) -> None:
    async with sftp_world(tmp_path, stores, **{limit: 2}) as door:
        held = [await door.connect() for _ in range(2)]
        with pytest.raises(REFUSALS):
            await door.connect()
        held[0].abort()
        await until(lambda: len(connections()) < 2)
        async with signed_in(door) as client:
            assert await client.realpath(".") == "/"
        held[1].close()
        await held[1].wait_closed()


async def test_there_is_nothing_but_the_sftp_subsystem(door: Sftp) -> None:
    """sftp-008: no shell, no command, no other subsystem, nothing forwarded, no variable, no terminal."""
    async with await door.connect() as connection:
        for asked in ({"command": "id"}, {}, {"subsystem": "netconf"}, {"term_type": "xterm", "subsystem": "sftp"}):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(**asked)
        for open_ in (
            lambda: connection.open_connection("127.0.0.1", door.port),
            lambda: connection.open_unix_connection("/tmp/x"),
            lambda: connection.start_server(lambda *_: None, "127.0.0.1", 0),
        ):
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ChannelListenError)):
                await open_()
        process = await connection.create_process(subsystem="sftp", encoding=None, env={"LD_PRELOAD": "/tmp/x"})
        [served] = connections()
        [handler] = served.handlers
        assert dict(handler._requests.env) == {}
        process.close()


async def test_channels_are_bounded(door: Sftp) -> None:
    async with await door.connect() as connection:
        clients = [await connection.start_sftp_client() for _ in range(sftp_door.MAX_CHANNELS)]
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()
        clients[0].exit()
        await clients[0].wait_closed()
        await connection.start_sftp_client()


# Names.


async def test_no_other_tree_is_seen(door: Sftp) -> None:
    """sftp-010: neither one whose name begins alike nor one beside it, whatever the way."""
    beside = door.root.parent / "acme2"
    beside.mkdir()
    (beside / "secret").write_bytes(b"of somebody else")
    (door.root / "own").write_bytes(b"x")
    async with signed_in(door) as client:
        for path in (
            "/../acme2/secret",
            "../acme2/secret",
            "/../../uploads/acme2/secret",
            "2/secret",
            "//acme2/secret",
        ):
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await client.stat(path)
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await client.open(path, "rb")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await client.rename("own", "../acme2/got")
        assert await client.realpath("/../../..") == "/"
        assert [name for name in await client.listdir("..") if name not in (".", "..")] == ["own"]
    assert [path.name for path in beside.iterdir()] == ["secret"]


@pytest.mark.parametrize(("name", "shown"), [(b"a\0b", "%00"), (b"a\rb", "%0D"), (b"a\xffb", "%FF"), (b"a\nb", "%0A")])
async def test_a_name_that_is_none_is_refused_and_recorded(door: Sftp, name: bytes, shown: str) -> None:
    """sftp-014: whatever is asked; the record shows the octets in a form that breaks no line."""
    (door.root / "own").write_bytes(b"x")
    async with signed_in(door) as client:
        asked = (
            lambda: client.open(name, "rb"),
            lambda: client.open(name, "wb"),
            lambda: client.open(name, "ab"),
            lambda: client.stat(name),
            lambda: client.lstat(name),
            lambda: client.realpath(name),
            lambda: client.chmod(name, 0o600),
            lambda: client.listdir(name),
            lambda: client.mkdir(name),
            lambda: client.rmdir(name),
            lambda: client.remove(name),
            lambda: client.rename(name, b"x"),
            lambda: client.posix_rename(b"own", name),
        )
        for number, act in enumerate(asked, 1):
            with pytest.raises(asyncssh.SFTPPermissionDenied, match=r"\(decision "):
                await act()
            denied = [entry for entry in door.entries() if entry["effect"] == "deny"]
            assert len(denied) == number
            assert shown in json.dumps(denied[-1])
    assert [path.name for path in door.root.iterdir()] == ["own"]


async def test_both_names_of_a_rename_are_judged(door: Sftp) -> None:
    """sftp-012: whatever says that it moves; links and copies, which name a file twice, are not known."""
    for name in ("a", "b"):
        (door.root / name).write_bytes(name.encode())
    async with signed_in(door) as client:
        with pytest.raises(asyncssh.SFTPFailure, match="something of this name is there"):
            await client.rename("a", "b")
        await client.posix_rename("a", "b")
        await client.rename("b", "c")
        for act in (
            lambda: client.symlink("c", "l"),
            lambda: client.link("c", "l"),
            lambda: client.readlink("c"),
            lambda: client.statvfs("/"),
            lambda: client.truncate("c", 0),
            lambda: client.chown("c", 0, 0),
        ):
            with pytest.raises((asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied)):
                await act()
    judged = [(entry["method"], entry["path"].rpartition("/")[2]) for entry in door.entries()]
    assert judged == [
        (verb, name) for pair in ("ab", "ab", "bc") for verb, name in zip(("RNFR", "RNTO"), pair, strict=True)
    ]
    assert (door.root / "c").read_bytes() == b"a"


@pytest.mark.parametrize(
    "asked",
    [
        (b"hardlink@openssh.com", String(b"c"), String(b"l")),
        (b"copy-data", String(b"\0\0\0\0"), UInt64(0), UInt64(0), String(b"\0\0\0\1"), UInt64(0)),
        (b"fsync@openssh.com", String(b"\0\0\0\0")),
        (b"users-groups-by-id@openssh.com", String(b""), String(b"")),
        (b"ranges@asyncssh.com", String(b"\0\0\0\0"), UInt64(0), UInt64(1)),
    ],
    ids=lambda asked: asked[0].decode(),
)
async def test_extensions_are_not_known_even_to_who_does_not_look(door: Sftp, asked: tuple[bytes, ...]) -> None:
    async with subsystem(door) as process:
        process.stdin.write(packet(1, UInt32(3)) + packet(FXP_EXTENDED, UInt32(7), String(asked[0]), *asked[1:]))
        hello = await process.stdout.readexactly(int.from_bytes(await process.stdout.readexactly(4), "big"))
        assert hello == b"\2" + UInt32(3) + b"".join(
            map(String, (b"posix-rename@openssh.com", b"1", b"limits@openssh.com", b"1"))
        )
        answer = await process.stdout.readexactly(int.from_bytes(await process.stdout.readexactly(4), "big"))
        assert answer[:9] == bytes([101]) + UInt32(7) + UInt32(8)
        process.close()


# Bounds.


async def test_handles_are_bounded(door: Sftp) -> None:
    """sftp-016: of files and of folders together; one that is closed makes room for one."""
    (door.root / "file").write_bytes(b"x")
    async with signed_in(door) as client:
        assert client.limits.max_read_len == 255 * 1024
        files = [await client.open("file", "rb") for _ in range(60)]
        for _ in range(4):
            await client._handler.opendir(b"/")
        for _ in range(100):
            with pytest.raises(asyncssh.SFTPFailure, match="64 handles are open"):
                await client.open("file", "rb")
            with pytest.raises(asyncssh.SFTPFailure, match="64 handles are open"):
                await client._handler.opendir(b"/")
        await files[0].close()
        await client.open("file", "rb")
    await until(lambda: len(door.running.gateway.checkpoint.admissions) == 0)


@pytest.mark.parametrize("size", [1 << 30, 256 * 1024 + 1, 0xFFFFFFFF])
async def test_a_packet_too_long_ends_the_session(door: Sftp, size: int) -> None:
    """sftp-016: before any of it is kept."""
    async with subsystem(door) as process:
        process.stdin.write(packet(1, UInt32(3)) + UInt32(size) + bytes(1_000))
        async with asyncio.timeout(5):
            await process.wait_closed()


class Stuck(FolderSite):
    """A site that takes no byte until it is told to, and may fail at the end."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.free = asyncio.Event()
        self.fails = False
        self.taken = lambda: None

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        return _Waiting(await super().write(path, offset=offset, admits=admits), self)


class _Waiting:
    def __init__(self, writing: Writing, site: Stuck) -> None:
        self._writing, self._site = writing, site
        self.abandon = writing.abandon

    async def write(self, data: bytes) -> None:
        await self._site.free.wait()
        self._site.taken()
        await self._writing.write(data)

    async def finish(self) -> None:
        if self._site.fails:
            raise SiteUnavailable("the disk is full")
        await self._writing.finish()


async def test_what_is_sent_ahead_of_a_slow_site_is_bounded(tmp_path: Path, stores: Addresses) -> None:
    """A client may have sent no more than a window of what nobody has read yet."""
    (tmp_path / "stuck" / "uploads" / "acme").mkdir(parents=True)
    stuck = Stuck(tmp_path / "stuck")
    async with sftp_world(tmp_path, stores, site=stuck) as door, signed_in(door) as client:
        file = await client.open("/a", "wb", block_size=32 * 1024, max_requests=1_000)
        data = os.urandom(16 * MIB)
        writing = asyncio.ensure_future(file.write(data))
        await asyncio.sleep(0.5)
        [connection] = connections()
        [handler] = connection.handlers
        waiting = handler._reader._session
        seen = [waiting._recv_buf_len]
        assert waiting._chan._recv_buf == []
        stuck.taken = lambda: seen.append(waiting._recv_buf_len + waiting._chan._recv_window)
        stuck.free.set()
        await writing
        await file.close()
        assert 0 < max(seen) <= sftp_channel.WINDOW_BYTES
        assert (tmp_path / "stuck" / "uploads" / "acme" / "a").read_bytes() == data
    await stuck.close()


async def test_a_write_that_fails_behind_its_answer_shows_at_the_next_or_at_the_close(
    tmp_path: Path, stores: Addresses
) -> None:
    """What was answered may still be on its way; where the site does not take it, the file never appears."""
    root = tmp_path / "stuck" / "uploads" / "acme"
    root.mkdir(parents=True)
    stuck = Stuck(tmp_path / "stuck")

    def fail() -> None:
        raise SiteUnavailable("the disk is full")

    stuck.taken = fail
    async with sftp_world(tmp_path, stores, site=stuck) as door, signed_in(door) as client:
        for writes, name in ((1, "/a"), (2, "/b")):
            stuck.free.clear()
            file = await client.open(name, "wb")
            await file.write(b"x")
            stuck.free.set()
            if writes == 2:
                await asyncio.sleep(0.05)
                with pytest.raises(asyncssh.SFTPFailure, match="the disk is full"):
                    await file.write(b"y")
            with pytest.raises(asyncssh.SFTPFailure, match="the disk is full"):
                await file.close()
        assert [path for path in root.iterdir() if not path.name.startswith(".partial-")] == []
    await stuck.close()


async def test_what_a_client_does_not_take_is_bounded(door: Sftp) -> None:
    """Whatever window it gives: what it asks for is answered when it has taken most of what it asked for before."""
    (door.root / "file").write_bytes(os.urandom(8 * MIB))
    async with subsystem(door, window=1 << 30) as process:
        process.stdin.write(packet(1, UInt32(3)) + packet(3, UInt32(0), String(b"/file"), UInt32(1), UInt32(0)))
        await asyncio.sleep(0.2)
        process.channel.get_connection()._transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(1_000):
            where = UInt64(number % 32 * 256 * 1024)
            process.stdin.write(packet(5, UInt32(number), String(bytes(4)), where, UInt32(255 * 1024)))
        await asyncio.sleep(0.5)
        [connection] = connections()
        assert sftp_door.MAX_UNSENT_BYTES < connection._wire.get_write_buffer_size() < 2 * MIB
        process.channel.get_connection().abort()
    await until(lambda: len(door.running.gateway.checkpoint.admissions) == 0)


# Whole or not at all.


async def test_a_close_is_answered_when_the_file_is_there(tmp_path: Path, stores: Addresses) -> None:
    """And refused where the site did not take it."""
    (tmp_path / "stuck" / "uploads" / "acme").mkdir(parents=True)
    stuck = Stuck(tmp_path / "stuck")
    stuck.free.set()
    async with sftp_world(tmp_path, stores, site=stuck) as door, signed_in(door) as client:
        for name, fails in (("good", False), ("bad", True)):
            stuck.fails = fails
            file = await client.open(name, "wb")
            await file.write(b"x")
            if fails:
                with pytest.raises(asyncssh.SFTPFailure, match="the disk is full"):
                    await file.close()
            else:
                await file.close()
            assert (tmp_path / "stuck" / "uploads" / "acme" / name).exists() != fails
    await stuck.close()


@pytest.mark.parametrize("how", ["abort", "close", "eof"])
async def test_an_upload_that_nobody_closed_is_not_there(door: Sftp, how: str) -> None:
    """Whether the connection breaks, takes its leave, or only says that nothing more comes."""
    async with await door.connect() as connection:
        client = await connection.start_sftp_client()
        file = await client.open("/a", "wb")
        await file.write(b"x" * 1_000)
        if how == "eof":
            client.exit()
        else:
            getattr(connection, how)()
        await until(lambda: [entry for entry in door.entries("completion") if entry["bytes_in"]])
    [entry] = [entry for entry in door.entries("completion") if entry["bytes_in"]]
    assert (entry["outcome"], entry["bytes_in"]) == ("cut", 1_000)
    assert not (door.root / "a").exists()


async def test_a_file_that_is_there_is_not_made_anew_where_its_client_forbids_it(door: Sftp) -> None:
    (door.root / "a").write_bytes(b"old")
    async with signed_in(door) as client:
        with pytest.raises(asyncssh.SFTPFailure, match="something of this name is there"):
            await client.open("a", "xb")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await client.open("b", asyncssh.FXF_WRITE)
        with pytest.raises(asyncssh.SFTPOpUnsupported, match="for reading or for writing"):
            await client.open("a", "r+b")
        async with client.open("c", "xb") as file:
            await file.write(b"new")
        async with client.open("a", "ab") as file:
            await file.write(b"er")
    assert {path.name: path.read_bytes() for path in door.root.iterdir()} == {"a": b"older", "c": b"new"}


# What allowed it holds no longer.


@pytest.mark.parametrize("direction", ["down", "up", "idle"])
async def test_a_transfer_is_cut_when_its_client_is_revoked(door: Sftp, direction: str) -> None:
    """Within a second, and the connection with it; what it was is in the record."""
    (door.root / "file").write_bytes(os.urandom(MIB))
    loop = asyncio.get_running_loop()
    async with await door.connect() as connection:
        client = await connection.start_sftp_client()
        file = await client.open("/up" if direction == "up" else "/file", "wb" if direction == "up" else "rb")
        await (file.write(b"x") if direction == "up" else file.read(1, 0))
        door.revoke()
        began = loop.time()
        if direction != "idle":
            with pytest.raises(REFUSALS):
                while loop.time() < began + 3:
                    await (file.write(b"x") if direction == "up" else file.read(1_000, 1))
                    await asyncio.sleep(0.005)
        await connection.wait_closed()
        assert loop.time() - began < 1
    await until(lambda: len(door.running.gateway.checkpoint.admissions) == 0)
    await until(lambda: [entry for entry in door.entries("completion") if entry["outcome"] == "ended"])
    assert [path.name for path in door.root.iterdir() if not path.name.startswith(".partial-")] == ["file"]
    with pytest.raises(REFUSALS):
        await door.connect()


async def test_who_was_revoked_may_do_nothing_more(door: Sftp) -> None:
    """In a session that was begun before, too."""
    async with signed_in(door) as client:
        assert await client.listdir("/") == []
        door.revoke()
        for act in (lambda: client.stat("/"), lambda: client.open("/a", "wb"), lambda: client.listdir("/")):
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await act()


async def test_what_cannot_be_written_down_is_not_done(door: Sftp, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.transfer import session

    async def undecided(deciding: Any, _metrics: Any) -> None:
        deciding.close()

    monkeypatch.setattr(session, "decided", undecided)
    async with signed_in(door) as client:
        for act in (lambda: client.stat("/"), lambda: client.open("/a", "wb"), lambda: client.listdir("/")):
            with pytest.raises(asyncssh.SFTPFailure, match="cannot be written down now"):
                await act()


async def test_the_next_request_is_judged_by_what_a_reload_put_there(door: Sftp) -> None:
    """In the same session."""
    (door.root.parents[1] / "other" / "acme").mkdir(parents=True)
    async with signed_in(door) as client:
        await client.mkdir("/one")
        door.gate = dataclasses.replace(door.gate, site=FolderSite(door.root.parents[1] / "other"), prefix="/uploads")
        (door.root.parents[1] / "other" / "uploads" / "acme").mkdir(parents=True)
        assert await client.listdir("/") == []
        await door.gate.site.close()


# The end.


async def test_at_the_end_transfers_may_finish_and_nothing_begins(tmp_path: Path, stores: Addresses) -> None:
    async with contextlib.AsyncExitStack() as stack:
        opened = contextlib.AsyncExitStack()
        door = await opened.enter_async_context(sftp_world(tmp_path, stores, drain_timeout_s=5.0))
        idle = await stack.enter_async_context(await door.connect())
        busy = await stack.enter_async_context(await door.connect())
        await idle.start_sftp_client()
        client = await busy.start_sftp_client()
        file = await client.open("/a", "wb")
        await file.write(b"half")
        ending = asyncio.ensure_future(opened.aclose())
        await asyncio.wait_for(idle.wait_closed(), 2)
        with pytest.raises(REFUSALS):
            await door.connect()
        with pytest.raises(asyncssh.SFTPFailure, match="the gateway is stopping"):
            await client.open("/b", "wb")
        await file.write(b" and half")
        await file.close()
        await asyncio.wait_for(busy.wait_closed(), 2)
        await ending
    assert (door.root / "a").read_bytes() == b"half and half"


async def test_at_the_end_what_takes_too_long_is_cut(tmp_path: Path, stores: Addresses) -> None:
    async with contextlib.AsyncExitStack() as stack:
        opened = contextlib.AsyncExitStack()
        door = await opened.enter_async_context(sftp_world(tmp_path, stores, drain_timeout_s=0.3))
        busy = await stack.enter_async_context(await door.connect())
        client = await busy.start_sftp_client()
        file = await client.open("/a", "wb")
        await file.write(b"half")
        await asyncio.wait_for(opened.aclose(), 3)
        await asyncio.wait_for(busy.wait_closed(), 1)
    assert not (door.root / "a").exists()


class Dripping(FolderSite):
    """A site that gives little at a time, so that a client has read all there is whenever it is cut."""

    async def read(self, path: str, offset: int = 0) -> Reading:
        return _Dripping(await super().read(path, offset))


class _Dripping:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.close = reading.close

    async def read(self, size: int) -> bytes:
        await asyncio.sleep(0.02)
        return await self._reading.read(min(size, 4_096))


async def test_openssh_hears_why_it_was_cut(tmp_path: Path, stores: Addresses) -> None:
    """By a real client, while it fetches."""
    require("sftp")
    (tmp_path / "dripping" / "uploads" / "acme").mkdir(parents=True)
    async with sftp_world(tmp_path, stores, site=Dripping(tmp_path / "dripping")) as door:
        with (tmp_path / "dripping" / "uploads" / "acme" / "long").open("wb") as file:
            file.truncate(64 * MIB)
        openssh = OpenSsh(tmp_path, door.port, door.host_key)
        fetching = asyncio.ensure_future(openssh.sftp("get long"))
        await until(lambda: len(door.running.gateway.checkpoint.admissions), timeout_s=10)
        await asyncio.sleep(0.3)
        door.revoke()
        began = asyncio.get_running_loop().time()
        status, said = await fetching
        assert asyncio.get_running_loop().time() - began < 2
        assert status
        assert "holds no longer" in said or "ermission denied" in said


async def test_whoever_is_refused_again_and_again_is_answered_more_slowly(door: Sftp) -> None:
    """As over HTTP; nobody else waits for it."""
    limits = door.running.world.settings.gateway.limits.model_copy(
        update={"refusal_rate_per_s": 0.1, "refusal_wait_s": 0.4}
    )
    door.gate = dataclasses.replace(door.gate, pace=Pace(limits, time.monotonic))
    async with signed_in(door, "raj") as raj, signed_in(door, "sam") as sam:
        took_s = []
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(asyncssh.SFTPError):
                await raj.remove("/nothing")
            took_s.append(time.monotonic() - began)
        waiting = asyncio.ensure_future(raj.remove("/nothing"))
        await until(lambda: len(door.gate.pace))
        assert await sam.stat("/")
        assert len(door.gate.pace)
        with pytest.raises(asyncssh.SFTPError):
            await waiting
    assert took_s[1] > 0.4
