"""Passes of personnel, from their token to the transfer doors: what they open, and what ends them."""

from __future__ import annotations

import asyncio
import ftplib
import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.clock import SECOND_US
from gateway.demo.stores import Addresses
from gateway.demo.world import DANA, PRIYA, RAJ, SAM
from gateway.identity import Revocation, Revoked, TransferPass
from gateway.ledger.verification import verify
from tests.world.passes import HOME, INDIA, Doors, pass_world
from tests.world.waiting import until

MIB = 1024 * 1024
CUT_WITHIN_S = 5.0
"""The contract says one second; a busy machine may take a little longer."""


@pytest.fixture
async def doors(tmp_path: Path, stores: Addresses) -> AsyncIterator[Doors]:
    async with pass_world(tmp_path, stores) as made:
        (made.root / "calls.csv").write_bytes(b"one,two\n")
        yield made


def fetched(client: ftplib.FTP_TLS, name: str = "calls.csv") -> bytes:
    got = io.BytesIO()
    client.retrbinary(f"RETR {name}", got.write)
    return got.getvalue()


async def test_a_pass_signs_its_holder_in_once_and_its_ticket_and_reason_are_cited(doors: Doors) -> None:
    """With ftplib over TLS; everything is on record under the holder's own name, and no secret is."""
    minted = await doors.mint(ticket="BUG-9", reason="they say that rows are missing")

    def use() -> bytes:
        with doors.ftp(minted["id"], minted["password"]) as client:
            got = fetched(client)
            with pytest.raises(ftplib.error_perm, match="530"):
                doors.ftp(minted["id"], minted["password"])
            return got

    assert await asyncio.to_thread(use) == b"one,two\n"
    [decision] = [entry for entry in doors.entries("decision") if entry["method"] == "RETR"]
    assert (decision["subject"], decision["roles"], decision["door"]) == ("sam", ["support"], "ftp")
    assert (decision["ticket"], decision["reason"]) == ("BUG-9", "they say that rows are missing")
    assert (decision["customer"], decision["path"]) == ("acme", "/uploads/acme/calls.csv")
    assert decision["location"]["country"] == "US"
    acts = doors.entries("administrative")
    assert [entry["act"] for entry in acts][-3:] == ["transfer.pass-mint", "transfer.sign-in", "transfer.refused"]
    assert (acts[-2]["actor"], acts[-2]["object"], acts[-2]["details"]["ticket"]) == ("sam", minted["id"], "BUG-9")
    assert acts[-3]["details"]["client_address"] == SAM.address
    told = str(acts) + str(doors.entries("decision"))
    assert minted["password"] not in told
    assert doors.kept(minted["id"]).secret not in told
    shown = (await doors.api.done(SAM, "GET", f"/passes/{minted['id']}")).body
    assert (shown["state"], shown["used"], "password" in shown) == ("used-up", 1, False)
    assert verify(doors.running.world.settings.ledger.path).verified


async def test_a_pass_signs_in_at_the_sftp_door_for_as_many_sessions_as_it_says(doors: Doors) -> None:
    """Two at once, and no third."""
    minted = await doors.mint(sessions=2)
    async with (
        await doors.sftp(minted["id"], password=minted["password"]) as one,
        await doors.sftp(minted["id"], password=minted["password"]) as two,
    ):
        for connection in (one, two):
            async with connection.start_sftp_client() as client:
                assert await client.listdir(".") == ["calls.csv"]
        with pytest.raises(asyncssh.PermissionDenied):
            await doors.sftp(minted["id"], password=minted["password"])


async def test_a_pass_minted_at_home_gives_nothing_abroad_that_the_policy_denies_there(doors: Doors) -> None:
    """Each act is judged by where it comes from: what personnel at home may store, nobody stores from India."""
    minted = await doors.mint(sessions=2)

    def use(source: str) -> list[str]:
        with doors.ftp(minted["id"], minted["password"], source) as client:
            assert fetched(client) == b"one,two\n"
            try:
                return [client.storbinary(f"STOR from-{source}", io.BytesIO(b"x"))]
            except ftplib.error_perm as error:
                return [str(error)]

    [at_home] = await asyncio.to_thread(use, HOME)
    [abroad] = await asyncio.to_thread(use, INDIA)
    assert at_home.startswith("226")
    assert abroad.startswith("550")
    judged = {(e["method"], e["location"]["country"], e["effect"], e["rule"]) for e in doors.entries("decision")}
    assert ("STOR", "US", "permit", "home-personnel") in judged
    assert ("RETR", "IN", "permit", "ftp-upload") in judged
    assert {effect for method, country, effect, _ in judged if (method, country) == ("STOR", "IN")} == {"deny"}
    assert not (doors.root / f"from-{INDIA}").exists()


async def test_a_pass_has_the_country_of_its_token_for_a_signal(doors: Doors) -> None:
    """Whose token says India is not at home, wherever the connection comes from."""
    abroad = await doors.mint(RAJ)
    kept = doors.kept(abroad["id"])
    assert (kept.subject, kept.roles, kept.country) == ("raj", ("support",), "")
    assert kept.token_id
    assert kept.issued_at_s
    other = replace(kept, id="pass-0000000000aa", country="IN", sessions=1)
    await doors.put(other)
    async with (
        await doors.sftp(other.id, password=abroad["password"]) as connection,
        connection.start_sftp_client() as client,
    ):
        assert await client.listdir(".") == ["calls.csv"]
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await client.mkdir("new")


async def slow_fetch(connection: asyncssh.SSHClientConnection, begun: asyncio.Event) -> None:
    """Read a file a little at a time until it is cut; cancelled where it never is."""
    async with connection.start_sftp_client() as client, client.open("large", "rb") as file:
        while True:
            assert await file.read(1_000)
            begun.set()
            await asyncio.sleep(0.01)


ENDINGS = ["revoked", "over", "subject", "token"]


async def end(doors: Doors, given: TransferPass, how: str) -> None:
    now_us = doors.running.gateway.rooms.clock.now_us()
    if how == "revoked":
        await doors.revoke(given.id)
    elif how == "over":
        await doors.put(replace(doors.kept(given.id), ends_us=now_us))
    elif how == "subject":
        await doors.put(Revocation("r", Revoked.SUBJECT, given.subject, "", now_us))
    else:
        await doors.put(Revocation("r", Revoked.TOKEN, given.token_id, "", now_us))


@pytest.mark.parametrize("how", ENDINGS)
async def test_what_is_under_way_is_cut_and_nobody_signs_in_any_more(doors: Doors, how: str) -> None:
    """When the pass is revoked or over, or its holder or the very token that it came of is believed no more."""
    (doors.root / "large").write_bytes(os.urandom(8 * MIB))
    minted = await doors.mint(sessions=5)
    given = doors.kept(minted["id"])
    async with await doors.sftp(given.id, password=minted["password"]) as connection:
        begun = asyncio.Event()
        fetching = asyncio.ensure_future(slow_fetch(connection, begun))
        await asyncio.wait_for(begun.wait(), 20)
        await end(doors, given, how)
        with pytest.raises((asyncssh.Error, OSError)):
            await asyncio.wait_for(fetching, CUT_WITHIN_S)
        await asyncio.wait_for(connection.wait_closed(), CUT_WITHIN_S)
    await until(lambda: any(entry["outcome"] == "ended" for entry in doors.entries("completion")))
    with pytest.raises(asyncssh.PermissionDenied):
        await doors.sftp(given.id, password=minted["password"])
    with pytest.raises(ftplib.error_perm, match="530"):
        await asyncio.to_thread(doors.ftp, given.id, minted["password"])
    assert doors.entries("administrative")[-1]["act"] == "transfer.refused"


@pytest.mark.parametrize("how", ENDINGS)
async def test_the_next_act_of_a_session_that_goes_on_is_denied(doors: Doors, how: str) -> None:
    """It was signed in, and may do nothing more."""
    minted = await doors.mint()
    given = doors.kept(minted["id"])
    client = await asyncio.to_thread(doors.ftp, given.id, minted["password"])
    assert await asyncio.to_thread(fetched, client) == b"one,two\n"
    await end(doors, given, how)
    with pytest.raises((ftplib.Error, OSError, EOFError)):
        await asyncio.to_thread(fetched, client)
    client.close()


async def test_a_pass_ends_by_itself_in_the_middle_of_a_transfer(doors: Doors) -> None:
    """By the clock alone: nothing is told to the doors."""
    (doors.root / "large").write_bytes(os.urandom(8 * MIB))
    minted = await doors.mint(sessions=2)
    given = doors.kept(minted["id"])
    now_us = doors.running.gateway.rooms.clock.now_us()
    await doors.put(replace(given, ends_us=now_us // SECOND_US * SECOND_US + 4 * SECOND_US))
    async with await doors.sftp(given.id, password=minted["password"]) as connection:
        with pytest.raises((asyncssh.Error, OSError)):
            await asyncio.wait_for(slow_fetch(connection, asyncio.Event()), 4 + CUT_WITHIN_S)
        await asyncio.wait_for(connection.wait_closed(), CUT_WITHIN_S)
    assert doors.running.gateway.rooms.clock.now_us() >= doors.kept(given.id).ends_us
    with pytest.raises(asyncssh.PermissionDenied):
        await doors.sftp(given.id, password=minted["password"])


async def test_ones_own_passes_are_listed_and_everybodys_for_who_may(doors: Doors) -> None:
    """By state, customer and person; somebody else's is not there, to see or to revoke."""
    mine, other = await doors.mint(ticket="CASE-5"), await doors.mint(PRIYA)

    async def listed(who: Any, query: str = "") -> list[str]:
        return [item["id"] for item in (await doors.api.done(who, "GET", f"/passes{query}")).body["items"]]

    assert await listed(SAM) == [mine["id"]]
    assert await listed(PRIYA) == [other["id"]]
    assert await listed(PRIYA, "?subject=sam") == []
    assert await listed(DANA) == [other["id"], mine["id"]]
    assert await listed(DANA, "?subject=sam") == [mine["id"]]
    assert await listed(DANA, "?customer=borealis") == []
    assert await listed(DANA, "?ticket=CASE-5") == [mine["id"]]
    assert (await doors.api(PRIYA, "GET", f"/passes/{mine['id']}")).status == 404
    assert (await doors.api(PRIYA, "POST", f"/passes/{mine['id']}/revoke", {})).status == 404
    assert (await doors.revoke(mine["id"], DANA)).body["state"] == "revoked"
    assert (await doors.api(SAM, "POST", f"/passes/{mine['id']}/revoke", {})).status == 409
    assert await listed(DANA, "?state=revoked") == [mine["id"]]
    assert await listed(DANA, "?state=open") == [other["id"]]


async def test_a_secret_is_told_once_whatever_key_comes(doors: Doors) -> None:
    """The call that makes it takes no idempotency key, and does nothing where one comes."""
    calls = [
        ("/passes", {"customer": "acme"}),
        ("/customers/acme/uploads", {"name": "nightly"}),
        ("/customers/acme/uploads/weekly/password", {}),
    ]
    await doors.api.done(replace(SAM, roles=("admin",)), "POST", "/customers/acme/uploads", {"name": "weekly"})
    for path, body in calls:
        before = len(doors.entries("administrative"))
        answered = await doors.api(replace(SAM, roles=("admin",)), "POST", path, body, Idempotency_Key="k-1")
        assert answered.status == 422
        assert "Idempotency-Key" in answered.body["detail"]
        assert [entry["act"].partition(".")[0] for entry in doors.entries("administrative")[before:]] == ["api"]
    assert list(doors.running.world.state.all(TransferPass)) == []
