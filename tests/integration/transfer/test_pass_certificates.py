"""SSH certificates of passes with the real OpenSSH: what the door takes, and what it does not."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.identity.ssh_certificates import kept_form, serial_of
from tests.integration.transfer.conftest import require
from tests.world.passes import HOME, INDIA, Doors, pass_world, shown_by_ssh_keygen
from tests.world.sftp import OpenSsh
from tests.world.waiting import until


@pytest.fixture
async def doors(tmp_path: Path, stores: Addresses) -> AsyncIterator[Doors]:
    async with pass_world(tmp_path, stores) as made:
        (made.root / "calls.csv").write_bytes(b"one,two\n")
        yield made


class Holder:
    """Somebody with a key of their own, and OpenSSH's programs."""

    def __init__(self, doors: Doors, directory: Path) -> None:
        directory.mkdir()
        self.doors, self.directory = doors, directory
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.identity = directory / "id_ed25519"
        self.key.write_private_key(self.identity)
        self.identity.chmod(0o600)
        self.public_key = self.key.export_public_key().decode().strip()
        self.openssh = OpenSsh(directory, doors.port("sftp"), doors.host_key.export_public_key().decode())

    async def minted(self, **wish: object) -> dict[str, Any]:
        """A pass by certificate, whose certificate lies beside the key."""
        minted = await self.doors.mint(public_key=self.public_key, **wish)
        assert minted["password"] is None
        self.holds(minted["certificate"])
        return minted

    def holds(self, line: str) -> None:
        (self.directory / "id_ed25519-cert.pub").write_text(line + "\n")

    async def sftp(self, user: str, *commands: str, source: str = HOME) -> tuple[int, str]:
        self.openssh.user = user
        options = (f"-oIdentityFile={self.identity}", "-oIdentitiesOnly=yes", "-oPreferredAuthentications=publickey")
        return await self.openssh.sftp(*commands, options=(*options, f"-oBindAddress={source}"))


@pytest.fixture
def holder(doors: Doors, tmp_path: Path) -> Holder:
    require("sftp")
    require("ssh-keygen")
    return Holder(doors, tmp_path / "holder")


async def test_openssh_signs_in_with_a_certificate_as_often_as_it_likes(doors: Doors, holder: Holder) -> None:
    """Until it is revoked; nobody has a password to lose, and each session is on record."""
    minted = await holder.minted(ticket="BUG-9", reason="rows are missing")
    for _ in range(3):
        status, said = await holder.sftp(minted["id"], "get calls.csv")
        assert status == 0, said
    assert (holder.directory / "calls.csv").read_bytes() == b"one,two\n"
    decisions = [entry for entry in doors.entries("decision") if entry["method"] == "RETR"]
    assert {(e["subject"], e["ticket"], e["reason"], e["door"]) for e in decisions} == {
        ("sam", "BUG-9", "rows are missing", "sftp")
    }
    assert (doors.kept(minted["id"]).used, minted["sessions"]) == (3, None)
    signed_in = [entry for entry in doors.entries("administrative") if entry["act"] == "transfer.sign-in"]
    assert [(entry["actor"], entry["object"]) for entry in signed_in] == [("sam", minted["id"])] * 3
    await doors.revoke(minted["id"])
    status, said = await holder.sftp(minted["id"], "ls")
    assert (status, "Permission denied" in said) == (255, True), said


async def test_ssh_keygen_shows_whose_it_is_and_that_it_permits_nothing_else(doors: Doors, holder: Holder) -> None:
    """Type, key id, serial, principal, and neither options nor extensions but an address that was asked for."""
    minted = await holder.minted(source_addresses=["127.0.0.2"], duration_s=600)
    shown = await asyncio.to_thread(shown_by_ssh_keygen, minted["certificate"])
    assert "ssh-ed25519-cert-v01@openssh.com user certificate" in shown
    assert f'Key ID: "{minted["id"]}"' in shown
    assert f"Serial: {serial_of(minted['id'])}" in shown
    assert re.search(rf"Principals:\s+{minted['id']}\s+Critical Options:\s+source-address 127\.0\.0\.2/32\s", shown)
    assert "Extensions: (none)" in shown
    status, said = await holder.sftp(minted["id"], "ls")
    assert status == 0, said
    status, said = await holder.sftp(minted["id"], "ls", source=INDIA)
    assert (status, "Permission denied" in said) == (255, True), said


async def test_a_certificate_is_for_as_many_sessions_as_it_says(doors: Doors, holder: Holder) -> None:
    """Where that was asked for."""
    minted = await holder.minted(sessions=1)
    assert (await holder.sftp(minted["id"], "ls"))[0] == 0
    assert (await holder.sftp(minted["id"], "ls"))[0] == 255
    assert doors.kept(minted["id"]).used == 1


async def test_nothing_but_the_certificate_that_was_given_out_signs_in(doors: Doors, holder: Holder) -> None:
    """Even where the pass is told to keep what somebody forged, which has to be seen by what it says."""
    minted = await holder.minted()
    id_, given = minted["id"], doors.kept(minted["id"])
    fine: dict[str, Any] = {"serial": serial_of(id_), "principals": [id_]}
    permits = ("x11_forwarding", "agent_forwarding", "port_forwarding", "pty", "user_rc")
    bare: dict[str, Any] = {f"permit_{name}": False for name in permits}
    other_ca = asyncssh.generate_private_key("ssh-ed25519")
    forged = {
        "wrong authority": other_ca.generate_user_certificate(holder.key, id_, **fine, **bare),
        "expired": doors.ca.generate_user_certificate(holder.key, id_, **fine, **bare, valid_before="-1m"),
        "host": doors.ca.generate_host_certificate(holder.key, id_, **fine),
        "other principal": doors.ca.generate_user_certificate(
            holder.key, id_, **bare, serial=serial_of(id_), principals=["acme/nightly"]
        ),
        "serial": doors.ca.generate_user_certificate(holder.key, id_, **bare, serial=7, principals=[id_]),
        "signs itself": holder.key.generate_user_certificate(holder.key, id_, **fine, **bare),
    }

    async def still_signs_in(source: str) -> None:
        """What was given out holds all the while, so that nothing is refused for what failed before."""
        await doors.put(given)
        holder.holds(minted["certificate"])
        status, said = await holder.sftp(id_, "ls", source=source)
        assert status == 0, said

    for number, (what, certificate) in enumerate(forged.items()):
        source = f"127.0.1.{number}"  # each from a place of its own: whoever fails too often waits
        line = certificate.export_certificate().decode().strip()
        await doors.put(replace(given, secret=kept_form(line)))
        holder.holds(line)
        status, said = await holder.sftp(id_, "ls", source=source)
        assert (status, "Permission denied" in said) == (255, True), (what, said)
        await still_signs_in(source)
    again = doors.ca.generate_user_certificate(holder.key, id_, **fine, **bare).export_certificate().decode().strip()
    holder.holds(again)
    assert (await holder.sftp(id_, "ls"))[0] == 255, "signed by the authority, and never given out"
    await still_signs_in(HOME)
    assert (await holder.sftp(f"{id_[:-1]}x", "ls"))[0] == 255, "under another name"
    (holder.directory / "id_ed25519-cert.pub").unlink()
    assert (await holder.sftp(id_, "ls"))[0] == 255, "the key alone"
    assert [entry["object"] for entry in doors.entries("administrative") if entry["act"] == "transfer.sign-in"] == [
        id_
    ] * (len(forged) + 1)


async def test_a_certificate_of_whoever_is_revoked_opens_nothing_and_what_is_under_way_is_cut(
    doors: Doors, holder: Holder
) -> None:
    """OpenSSH's client is sent away in the middle of its file."""
    with (doors.root / "large").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    minted = await holder.minted()
    fetching = asyncio.ensure_future(
        holder.openssh.run(
            "sftp", "-F", "/dev/null", f"-oUserKnownHostsFile={holder.openssh.known_hosts}",
            "-oGlobalKnownHostsFile=/dev/null", f"-oIdentityFile={holder.identity}", "-oIdentitiesOnly=yes",
            f"-oBindAddress={HOME}", "-l", "4000", "-P", str(doors.port("sftp")), f"{minted['id']}@127.0.0.1:large",
        )
    )  # fmt: skip
    arriving = holder.directory / "large"
    await until(lambda: arriving.exists() and arriving.stat().st_size > 0)
    await doors.revoke(minted["id"])
    status, _ = await asyncio.wait_for(fetching, 10)
    assert status != 0
    await until(lambda: any(entry["outcome"] == "ended" for entry in doors.entries("completion")))
    assert arriving.stat().st_size < 64 * 1024 * 1024
    assert (await holder.sftp(minted["id"], "ls"))[0] == 255


async def test_no_key_that_is_none_and_no_address_that_is_none_gets_a_certificate(doors: Doors) -> None:
    """In one line."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    for wish in (
        {"public_key": "ssh-ed25519 AAAA"},
        {"public_key": os.urandom(8).hex()},
        {"public_key": key, "source_addresses": ["1.2.3"]},
        {"source_addresses": ["127.0.0.2"]},
    ):
        answered = await doors.api(SAM, "POST", "/passes", {"customer": "acme", **wish})
        assert answered.status == 422, answered.text
        assert len(answered.body["detail"].splitlines()) == 1
