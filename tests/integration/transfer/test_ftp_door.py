"""The FTP doors, over a whole gateway: what is done, what is refused, and what the ledger says of it."""

from __future__ import annotations

import asyncio
import ftplib
import io
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from gateway.errors import LedgerUnavailable
from tests.world.ftp import Ftp, ftp_world
from tests.world.transfer import PASSWORD
from tests.world.waiting import until


@pytest.fixture
async def door(tmp_path: Path, stores: Addresses) -> AsyncIterator[Ftp]:
    """The door, open."""
    async with ftp_world(tmp_path, stores) as world:
        yield world


async def test_a_customer_stores_lists_fetches_renames_and_removes(door: Ftp) -> None:
    """The commands of FTP, over TLS."""

    def use() -> None:
        client = door.client()
        content = bytes(range(256)) * 4_000
        assert client.mkd("in") == "/in"
        client.cwd("in")
        assert client.pwd() == "/in"
        client.storbinary("STOR calls.csv", io.BytesIO(content))
        assert client.size("calls.csv") == len(content)
        assert client.nlst() == ["calls.csv"]
        assert [name for name, _ in client.mlsd(facts=["type", "size"])] == ["calls.csv"]
        lines: list[str] = []
        client.retrlines("LIST -la", lines.append)
        assert lines[0].startswith("-rw-r-----")
        assert lines[0].endswith(" calls.csv")
        got = io.BytesIO()
        client.retrbinary("RETR calls.csv", got.write)
        assert got.getvalue() == content
        tail = io.BytesIO()
        client.retrbinary("RETR calls.csv", tail.write, rest=1_000_000)
        assert tail.getvalue() == content[1_000_000:]
        client.rename("calls.csv", "/calls")
        assert client.sendcmd("MLST /calls").splitlines()[1].endswith(" /calls")
        assert client.sendcmd("MDTM /calls").startswith("213 2")
        assert "calls" in client.sendcmd("STAT /")
        client.storbinary("APPE /calls", io.BytesIO(b"more"))
        assert (door.root / "calls").read_bytes() == content + b"more"
        client.delete("/calls")
        client.cwd("..")
        client.rmd("in")
        assert client.nlst() == []
        client.quit()

    await asyncio.to_thread(use)
    completions = door.entries("completion")
    assert {entry["outcome"] for entry in completions} == {"whole"}


async def test_whoever_is_revoked_in_the_middle_of_an_upload_is_cut(door: Ftp) -> None:
    """ftp-049: both connections end within a second, and nothing of the file is there."""

    def use() -> tuple[str, str]:
        client = door.client()
        data = client.transfercmd("STOR big")
        data.sendall(b"x" * 1_000_000)
        asyncio.run_coroutine_threadsafe(revoke(), loop).result()
        ends = []
        for sock in (data, client.sock):
            sock.settimeout(1)
            try:
                while sock.recv(1_000):
                    pass
                ends.append("end")
            except (ConnectionError, OSError) as error:
                ends.append(type(error).__name__)
            sock.close()
        return ends[0], ends[1]

    async def revoke() -> None:
        door.revoke()

    loop = asyncio.get_running_loop()
    ends = await asyncio.to_thread(use)
    assert "TimeoutError" not in ends
    await asyncio.sleep(0.1)
    assert [entry["outcome"] for entry in door.entries("completion")][-1] == "ended"
    assert not (door.root / "big").exists()


async def test_threads_are_gone_when_the_door_is_closed(tmp_path: Path, stores: Addresses) -> None:
    """Idle sessions are sent away, and a transfer that does not finish in time is cut."""
    async with ftp_world(tmp_path, stores, drain_timeout_s=0.3) as door:
        idle, busy = await asyncio.to_thread(door.client), await asyncio.to_thread(door.client)
        data = await asyncio.to_thread(busy.transfercmd, "STOR slow")
        assert sum(thread.name == "ftp-session" for thread in threading.enumerate()) == 2
    assert not any(thread.name == "ftp-session" for thread in threading.enumerate())
    with pytest.raises(ftplib.all_errors):
        await asyncio.to_thread(idle.voidcmd, "NOOP")
    data.close()
    idle.close()
    busy.close()


@pytest.mark.parametrize("clear", [False, True])
async def test_half_an_upload_is_nobodys_file(tmp_path: Path, stores: Addresses, clear: bool) -> None:
    """Without close_notify, or with a reset, or with the control connection gone, the file does not appear."""

    def use() -> None:
        client = door.client(clear=clear)
        data = client.transfercmd("STOR half")
        data.sendall(b"x" * 100_000)
        end_rudely(data)
        with pytest.raises(ftplib.error_temp, match="426"):
            client.voidresp()
        data = client.transfercmd("STOR gone")
        data.sendall(b"x" * 100_000)
        client.close()
        end_rudely(data)

    def end_rudely(data: socket.socket) -> None:
        if clear:
            data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        data.close()

    async with ftp_world(tmp_path, stores, unsafe_plaintext=clear) as door:
        await asyncio.to_thread(use)
        await until(lambda: not threads())
        assert not [path.name for path in door.root.iterdir() if not path.name.startswith(".partial-")]


async def test_a_transfer_that_waits_is_answered_when_another_way_is_asked_for(door: Ftp) -> None:
    """Nobody came for it, and nobody can any more."""

    def use() -> list[str]:
        client = door.client()
        client.makepasv()
        client.putcmd("STOR never")
        client.putcmd("PASV")
        answers = [client.getmultiline()[:3] for _ in range(3)]
        client.close()
        return answers

    assert await asyncio.to_thread(use) == ["150", "426", "227"]
    assert not (door.root / "never").exists()


async def test_a_data_connection_that_resumes_nothing_is_refused(tmp_path: Path, stores: Addresses) -> None:
    """``session_reuse``: Python's client resumes none."""

    def use() -> None:
        client = door.client()
        with socket.create_connection(client.makepasv()) as plain, suppress(OSError):
            client.context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        with pytest.raises(ftplib.error_perm, match="522"):
            client.voidresp()
        client.close()

    async with ftp_world(tmp_path, stores, session_reuse=True) as door:
        await asyncio.to_thread(use)


async def test_a_session_of_another_control_connection_does_not_count(tmp_path: Path, stores: Addresses) -> None:
    """``session_reuse``: its own resumes, that of somebody else's control connection does not."""

    def use() -> None:
        one, other = door.client(), door.client()
        with socket.create_connection(one.makepasv()) as plain, suppress(OSError):
            one.context.wrap_socket(plain, server_hostname="127.0.0.1", session=other.sock.session).close()
        with pytest.raises(ftplib.error_perm, match="522"):
            one.voidresp()
        address = one.makepasv()
        with socket.create_connection(address) as plain:
            data = one.context.wrap_socket(plain, server_hostname="127.0.0.1", session=one.sock.session)
            assert data.session_reused
            assert one.sendcmd("NLST").startswith("1")
            data.unwrap()
            data.close()
            assert one.getresp().startswith("226")
        one.close()
        other.close()

    async with ftp_world(tmp_path, stores, session_reuse=True) as door:
        await asyncio.to_thread(use)


async def test_too_many_sessions_are_told(tmp_path: Path, stores: Addresses) -> None:
    """421, and a place that was given back is taken again."""

    def greeting() -> bytes:
        with socket.create_connection(("127.0.0.1", door.port), timeout=5) as connection:
            return connection.recv(100)

    async with ftp_world(tmp_path, stores, max_sessions_per_address=1) as door:
        first = await asyncio.to_thread(door.client)
        assert (await asyncio.to_thread(greeting)).startswith(b"421")
        first.close()
        await until(lambda: not threads())
        assert (await asyncio.to_thread(greeting)).startswith(b"220")


@pytest.mark.parametrize("which", ["sign_in_timeout_s", "idle_timeout_s"])
async def test_whoever_does_nothing_is_sent_away(tmp_path: Path, stores: Addresses, which: str) -> None:
    """Before signing in, and after."""

    def use() -> str:
        with ftplib.FTP(timeout=5) as client:
            client.connect("127.0.0.1", door.port)
            if which == "idle_timeout_s":
                client.login("acme", PASSWORD)
            with pytest.raises(ftplib.error_temp) as told:
                client.getresp()
            return str(told.value)

    async with ftp_world(tmp_path, stores, unsafe_plaintext=True, **{which: 0.3}) as door:
        assert (await asyncio.to_thread(use)).startswith("421")


async def test_a_newer_certificate_is_used_and_a_broken_one_is_not(tmp_path: Path, stores: Addresses) -> None:
    """The file is looked at again and again."""

    def serial() -> int:
        client = door.client()
        got = client.sock.getpeercert()["serialNumber"]
        client.close()
        return int(got, 16)

    async with ftp_world(tmp_path, stores) as door:
        before = await asyncio.to_thread(serial)
        door.certificate.write_text("broken")
        await asyncio.sleep(2.3)
        assert await asyncio.to_thread(serial) == before
        door.authority.server()
        await asyncio.sleep(2.3)
        assert await asyncio.to_thread(serial) != before


async def test_passive_ports_come_from_the_range_and_none_else(tmp_path: Path, stores: Addresses) -> None:
    """Where they are taken, the client is told; the address is the one that the settings name."""

    def use() -> None:
        client = door.client(clear=True)
        client.trust_server_pasv_ipv4_address = True
        assert client.makepasv() == ("192.0.2.7", port)
        other = door.client(clear=True)
        with pytest.raises(ftplib.error_temp, match="425"):
            other.makepasv()
        client.close()
        other.close()

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"passive_ports": f"{port}-{port}", "passive_address": "192.0.2.7", "unsafe_plaintext": True}
    async with ftp_world(tmp_path, stores, **settings) as door:
        await asyncio.to_thread(use)


async def test_nothing_is_done_that_cannot_be_recorded(door: Ftp) -> None:
    """451, and nothing is stored."""

    def use() -> None:
        client = door.client()
        for line in ("MKD x", "SIZE x", "DELE x"):
            with pytest.raises(ftplib.error_temp, match="451"):
                client.voidcmd(line)
        client.close()

    class Full:
        async def decide(self, *_: object, **__: object) -> None:
            raise LedgerUnavailable("the disk is full")

    door.gate = replace(door.gate, checkpoint=Full())
    await asyncio.to_thread(use)
    assert not list(door.root.iterdir())


def threads() -> list[threading.Thread]:
    """Those of sessions."""
    return [thread for thread in threading.enumerate() if thread.name == "ftp-session"]
