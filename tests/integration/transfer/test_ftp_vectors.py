"""The FTP vectors: attacks on FTP servers, each against the door."""

from __future__ import annotations

import asyncio
import ftplib
import io
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from gateway.transfer.names import PARTIAL
from tests.world.ftp import FAILED_DELAY_S, Ftp, ftp_world
from tests.world.transfer import PASSWORD

DATA = Path(__file__).parents[2] / "data" / "ftp.json"
VECTORS = {each["id"]: each for each in json.loads(DATA.read_text())["vectors"] if each["proto"] == "ftp"}
STORED = [name for name, each in VECTORS.items() if each["input"].startswith("STOR ")]


@pytest.fixture
async def door(tmp_path: Path, stores: Addresses) -> AsyncIterator[Ftp]:
    async with ftp_world(tmp_path, stores) as world:
        yield world


@pytest.fixture
async def clear(tmp_path: Path, stores: Addresses) -> AsyncIterator[Ftp]:
    async with ftp_world(below(tmp_path), stores, unsafe_plaintext=True, active=True) as world:
        yield world


def below(directory: Path) -> Path:
    """A folder of its own for a second world."""
    (directory / "clear").mkdir()
    return directory / "clear"


def say(client: ftplib.FTP, line: str) -> str:
    """Send a line as it is; the answer, also one that refuses."""
    client.sock.sendall(line.encode("utf-8", "surrogateescape") + b"\r\n")
    try:
        return client.getresp()
    except ftplib.Error as error:
        return str(error)


@pytest.mark.parametrize("vector", STORED)
async def test_a_name_stays_inside_and_is_recorded_as_it_is_stored(door: Ftp, vector: str) -> None:
    """ftp-001 to ftp-023: what is stored lies in the tree, under the name that the ledger holds."""

    def use() -> str:
        client = door.client()
        host, port = client.makepasv()
        first, *more = VECTORS[vector]["input"].split("\r\n")
        answer = say(client, first)
        if answer.startswith("150"):
            with client.context.wrap_socket(socket.create_connection((host, port)), server_hostname=host) as data:
                data.sendall(b"content")
                data.unwrap()
            answer = client.getresp()
        for line in more:
            assert say(client, line).startswith("550")
        client.close()
        return answer

    answer = await asyncio.to_thread(use)
    assert re.match("226|550|553|501", answer), answer
    site = door.root.parent.parent
    stored = [path for path in site.rglob("*") if path.is_file() and not path.name.startswith(".partial-")]
    assert all(path.is_relative_to(door.root) for path in stored)
    judged = [entry for entry in door.entries() if entry["method"] == "STOR"]
    if stored:
        assert answer.startswith("226")
        assert [entry["effect"] for entry in judged] == ["permit"]
    elif answer.startswith("55"):
        assert len(judged) == 1


@pytest.mark.parametrize("vector", ["ftp-025", "ftp-027", "ftp-029", "ftp-031"])
async def test_nobody_else_is_connected_to(clear: Ftp, door: Ftp, vector: str) -> None:
    """``PORT`` and ``EPRT`` lead to the peer's own address or nowhere, whether active mode is on or off."""
    line = VECTORS[vector]["input"].replace("<other host>", "127,0,0,2")
    for world, without_tls in ((clear, True), (door, False)):
        client = await asyncio.to_thread(world.client, clear=without_tls)
        assert re.match("50[014]|522", await asyncio.to_thread(say, client, line))
        client.close()


async def test_active_mode_reaches_the_peer_and_no_privileged_port(clear: Ftp) -> None:
    """Where it is on, it works; CVE-2007-6741."""

    def use() -> None:
        client = clear.client(clear=True)
        assert say(client, "PORT 127,0,0,1,0,22").startswith("501")
        client.set_pasv(False)
        client.storbinary("STOR active", io.BytesIO(b"content"))
        client.close()

    await asyncio.to_thread(use)
    assert (clear.root / "active").read_bytes() == b"content"


async def test_a_third_address_gets_no_data_and_is_recorded(clear: Ftp) -> None:
    """ftp-033: the peer still gets its data connection."""

    def use() -> bytes:
        client = clear.client(clear=True)
        host, port = client.makepasv()
        with socket.create_connection((host, port), source_address=("127.0.0.2", 0)) as stranger:
            stranger.settimeout(5)
            assert stranger.recv(1) == b""
        with socket.create_connection((host, port)) as data:
            assert say(client, "NLST").startswith("1")
            got = data.recv(1_000)
        assert client.getresp().startswith("226")
        client.close()
        return got

    (clear.root / "mine").write_bytes(b"")
    assert await asyncio.to_thread(use) == b"mine\r\n"
    strange = [entry for entry in clear.entries() if entry["method"] == "PASV"]
    assert [entry["effect"] for entry in strange] == ["deny"]
    assert "127.0.0.2" in json.dumps(strange)


async def test_what_came_in_clear_behind_auth_is_forgotten(door: Ftp) -> None:
    """ftp-035: the user's name of before, and the line that came with AUTH."""

    def use() -> str:
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain:
            assert plain.recv(1_000).startswith(b"220")
            plain.sendall(b"AUTH TLS\r\nUSER acme\r\n")
            assert plain.recv(1_000) == b"234 Begin the handshake.\r\n"
            with door.tls().wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"PASS " + PASSWORD.encode() + b"\r\n")
                return tls.recv(1_000).decode()

    assert (await asyncio.to_thread(use)).startswith("503")
    assert door.everybody.tries == []


async def test_nothing_goes_in_clear(door: Ftp) -> None:
    """ftp-037: neither a name, nor data before ``PROT P``."""

    def use() -> None:
        with ftplib.FTP(timeout=10) as plain:
            plain.connect("127.0.0.1", door.port)
            assert say(plain, "USER acme").startswith("534")
            assert say(plain, f"PASS {PASSWORD}").startswith("503")
        with ftplib.FTP_TLS(context=door.tls(), timeout=10) as client:
            client.connect("127.0.0.1", door.port)
            client.login("acme", PASSWORD)
            for line in ("PASV", "EPSV", "STOR x", "RETR x", "LIST"):
                assert say(client, line).startswith("521")
            say(client, "PBSZ 0")
            assert say(client, "PROT C").startswith("534")

    await asyncio.to_thread(use)


async def test_what_may_not_be_listed_is_not_told_of(door: Ftp) -> None:
    """ftp-039: neither by MLST nor by STAT or SIZE; each refusal has a record."""
    (door.root / "calls").write_bytes(b"content")

    def use() -> None:
        client = door.client()
        door.everybody.gone.add("acme")
        for line in ("MLST calls", "STAT calls", "SIZE calls", "MDTM calls", "CWD /", "DELE calls"):
            answer = say(client, line)
            assert answer.startswith("550"), answer
            assert "decision" in answer
        client.close()

    await asyncio.to_thread(use)
    assert [entry["effect"] for entry in door.entries()] == ["deny"] * 6


async def test_commands_that_are_off_do_not_exist(door: Ftp) -> None:
    """ftp-041, and SITE, MFMT, REIN and whatever else pyftpdlib has."""

    def use() -> None:
        client = door.client()
        for line in ("STOU x", "SITE CHMOD 777 x", "SITE HELP", "MFMT 20200101000000 x", "REIN", "XMKD x", "SITE"):
            assert say(client, line).startswith("500"), line
        client.close()

    await asyncio.to_thread(use)


async def test_who_goes_in_the_middle_leaves_nothing_behind(clear: Ftp) -> None:
    """ftp-043, a hundred times: no thread, no descriptor, no admission, and no file."""

    def use() -> None:
        for number in range(100):
            client = clear.client(clear=True)
            data = client.transfercmd(f"STOR gone{number}")
            data.sendall(b"x" * 100)
            client.sock.sendall(b"QUIT\r\n")
            client.close()
            data.close()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    await asyncio.to_thread(use)
    for _ in range(200):
        if not any(thread.name == "ftp-session" for thread in threading.enumerate()):
            break
        await asyncio.sleep(0.02)
    assert not any(thread.name == "ftp-session" for thread in threading.enumerate())
    assert len(clear.running.gateway.checkpoint.admissions) == 0
    assert not clear.gate.uploads._busy
    assert not [path for path in clear.root.iterdir() if not path.name.startswith(PARTIAL)]
    assert descriptors() <= before


async def test_bad_sign_ins_are_counted_delayed_and_sent_away(door: Ftp) -> None:
    """ftp-045, 51 times: an unknown user is answered as a known one, no sooner; the third try is the last."""

    def use() -> list[str]:
        with ftplib.FTP_TLS(context=door.tls(), timeout=10) as client:
            client.connect("127.0.0.1", door.port)
            client.auth()
            answers = []
            for user in ("acme", "nobody", "acme"):
                assert say(client, f"USER {user}").startswith("331")
                began = time.perf_counter()
                answers.append(say(client, "PASS wrong"))
                assert time.perf_counter() - began >= FAILED_DELAY_S
            with pytest.raises(ftplib.all_errors):
                client.voidcmd("NOOP")
            return answers

    with ThreadPoolExecutor(17) as pool:
        loop = asyncio.get_running_loop()
        said = await asyncio.gather(*(loop.run_in_executor(pool, use) for _ in range(17)))
    answers = [answer for each in said for answer in each]
    assert len(answers) == len(door.everybody.tries) == 51
    assert len(set(answers)) == 1
    assert answers[0].startswith("530")


async def test_an_offset_beyond_the_file_leaves_no_hole(door: Ftp) -> None:
    """ftp-047: storing and fetching begin within what is there; the record tells where."""
    (door.root / "calls").write_bytes(b"0123456789")

    def use() -> None:
        client = door.client()
        for command in ("STOR calls", "RETR calls"):
            client.makepasv()
            assert say(client, "REST 11").startswith("350")
            assert re.match("55[0-4]", say(client, command))
        client.storbinary("STOR calls", io.BytesIO(b"ab"), rest=4)
        client.close()

    await asyncio.to_thread(use)
    assert (door.root / "calls").read_bytes() == b"0123ab"
    for _ in range(100):
        offsets = {entry.get("offset") for entry in door.entries("completion")}
        if 4 in offsets:
            break
        await asyncio.sleep(0.02)
    assert 4 in offsets


def test_every_vector_is_here() -> None:
    """Each vector of FTP has a test that names it, or is in a list of names."""
    text = Path(__file__).read_text() + Path(__file__).with_name("test_ftp_door.py").read_text()
    assert [name for name in VECTORS if name not in text and name not in STORED] == []
