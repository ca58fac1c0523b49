"""An upload account from the command line to a transfer through the gateway's own SFTP door, and what ends it."""

from __future__ import annotations

import asyncio
import ftplib
import hashlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.cli import run as command_line
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import verify
from gateway.settings import DoorsSettings, FtpDoorSettings, Settings, SftpDoorSettings
from tests.integration.conftest import Running, running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "site" / "uploads"
    made.mkdir(parents=True)
    for customer in ("acme", "delta"):
        (made / customer).mkdir()
    (made / "delta" / "secret").write_bytes(b"of delta")
    return made.parent


@pytest.fixture
async def site(tmp_path: Path, stores: Addresses, folder: Path) -> AsyncIterator[Running]:
    key = tmp_path / "host_key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)

    def change(settings: Settings) -> Settings:
        sftp = SftpDoorSettings(listen="127.0.0.1:0", store="uploads", host_keys=(key,))
        ftp = FtpDoorSettings(listen="127.0.0.1:0", store="uploads", unsafe_plaintext=True)
        return settings.model_copy(update={"doors": DoorsSettings(sftp=sftp, ftp=ftp)})

    async with running(tmp_path / "world", replace(stores, uploads=f"file://{folder}"), change=change) as made:
        yield made


Command = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def command(site: Running, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs ``customers uploads …``; what it shows."""

    async def run(*arguments: str) -> dict[str, Any]:
        capfd.readouterr()
        asked = ["--config", str(site.world.config), "customers", "uploads", *arguments, "--json"]
        assert await asyncio.to_thread(command_line, asked) == 0
        await site.gateway.rooms.follower.poll()
        told: dict[str, Any] = json.loads(capfd.readouterr().out)
        return told

    return run


def entries(site: Running, kind: str) -> list[dict[str, Any]]:
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return [entry for entry in reader.after(-1) if entry["kind"] == kind]


async def connected(site: Running, user: str, password: str) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        "127.0.0.1",
        site.gateway.transfer_ports["sftp"],
        username=user,
        password=password,
        known_hosts=None,
        client_keys=None,
        preferred_auth="password",
    )


async def test_customer_puts_fetches_and_sees_its_own_files_alone(
    site: Running, command: Command, folder: Path
) -> None:
    """With an account that the command line made; all of it is on record and verifies."""
    told = await command("add", "acme", "nightly", "--as", "olga")
    assert told["id"] == "acme/nightly"
    async with (
        await connected(site, "acme/nightly", told["password"]) as connection,
        connection.start_sftp_client() as client,
    ):
        async with client.open("calls.csv", "wb") as file:
            await file.write(b"one,two\n")
        async with client.open("calls.csv", "rb") as file:
            assert await file.read() == b"one,two\n"
        assert await client.listdir(".") == ["calls.csv"]
        for name in ("../delta/secret", "/delta/secret", "../../delta/secret"):
            with pytest.raises(asyncssh.SFTPError):
                await client.stat(name)
    assert (folder / "uploads" / "acme" / "calls.csv").read_bytes() == b"one,two\n"
    decisions = entries(site, "decision")
    assert {entry["rule"] for entry in decisions} == {"customer-own-data"}
    assert {(entry["customer"], entry["subject"], entry["door"]) for entry in decisions} == {
        ("acme", "acme/nightly", "sftp")
    }
    stored = next(entry for entry in decisions if entry["method"] == "STOR")
    assert stored["path"] == "/uploads/acme/calls.csv"
    [done] = [entry for entry in entries(site, "completion") if entry["decision"] == stored["id"]]
    assert (done["outcome"], done["bytes_in"]) == ("whole", 8)
    assert done["sha256"] == hashlib.sha256(b"one,two\n").hexdigest()
    acts = [entry["act"] for entry in entries(site, "administrative")]
    assert "transfer.sign-in" in acts
    with LedgerReader(site.world.settings.ledger.path) as reader:
        assert told["password"] not in "".join(map(str, reader.after(-1)))
    assert verify(site.world.settings.ledger.path).verified


async def test_what_is_wrong_is_refused_in_the_same_words_and_on_record(site: Running, command: Command) -> None:
    """Nobody learns from it whether there is such an account."""
    await command("add", "acme", "nightly", "--as", "olga")
    for user in ("acme/nightly", "acme/nobody", "pass-1", "%username%/.."):
        with pytest.raises(asyncssh.PermissionDenied):
            await connected(site, user, "wrong")
    refused = [entry for entry in entries(site, "administrative") if entry["act"] == "transfer.refused"]
    assert [entry["object"] for entry in refused] == ["acme/nightly", "acme/nobody", "pass-1", "%username%/.."]


async def test_account_that_is_closed_ends_what_is_under_way(site: Running, command: Command) -> None:
    """The next act is refused, and so is signing in; opened again, it goes on with the same password."""
    told = await command("add", "acme", "nightly", "--as", "olga")
    async with (
        await connected(site, "acme/nightly", told["password"]) as connection,
        connection.start_sftp_client() as client,
    ):
        assert await client.listdir(".") == []
        await command("close", "acme/nightly", "--as", "olga")
        with pytest.raises(asyncssh.SFTPError):
            await client.listdir(".")
    with pytest.raises(asyncssh.PermissionDenied):
        await connected(site, "acme/nightly", told["password"])
    await command("reopen", "acme/nightly", "--as", "olga")
    async with await connected(site, "acme/nightly", told["password"]):
        pass


async def test_key_of_an_account_signs_it_in(site: Running, command: Command, tmp_path: Path) -> None:
    """Until it is taken away."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_public_key(tmp_path / "key.pub")
    await command("add", "acme", "nightly", "--as", "olga")
    await command("key", "add", "acme/nightly", str(tmp_path / "key.pub"), "--as", "olga")
    asked = {"username": "acme/nightly", "client_keys": [key], "known_hosts": None, "preferred_auth": "publickey"}
    port = site.gateway.transfer_ports["sftp"]
    async with asyncssh.connect("127.0.0.1", port, **asked):
        pass
    await command("key", "remove", "acme/nightly", str(tmp_path / "key.pub"), "--as", "olga")
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect("127.0.0.1", port, **asked)


async def test_the_same_account_and_files_at_the_ftp_door_and_over_http(site: Running, command: Command) -> None:
    """What one door stores another shows, under the same rules and the same paths in the record."""
    told = await command("add", "acme", "nightly", "--as", "olga")

    def transfer() -> bytes:
        got = io.BytesIO()
        with ftplib.FTP() as client:
            client.connect("127.0.0.1", site.gateway.transfer_ports["ftp"], timeout=10)
            client.login("acme/nightly", told["password"])
            client.storbinary("STOR calls.csv", io.BytesIO(b"one,two\n"))
            client.retrbinary("RETR calls.csv", got.write)
            with pytest.raises(ftplib.error_perm):
                client.retrbinary("RETR ../delta/secret", got.write)
        return got.getvalue()

    assert await asyncio.to_thread(transfer) == b"one,two\n"
    status, _, body = await site.ask(SAM, "/uploads/acme/calls.csv")
    assert (status, body) == (200, b"one,two\n")
    status, headers, body = await site.ask(SAM, "/uploads/acme/calls.csv", headers={"Range": "bytes=4-6"})
    assert (status, headers["Content-Range"], body) == (206, "bytes 4-6/8", b"two")
    endless = {"Range": f"bytes=0-{'9' * 5_000}"}  # more digits than a number may have
    assert (await site.ask(SAM, "/uploads/acme/calls.csv", headers=endless))[0] == 200
    status, _, body = await site.ask(SAM, "/uploads/acme", headers={"Accept": "text/html"})
    assert (status, b'href="calls.csv"' in body) == (200, True)
    paths = {entry["path"] for entry in entries(site, "decision") if entry["method"] in ("STOR", "GET")}
    assert paths == {"/uploads/acme/calls.csv", "/uploads/acme"}
