"""Signing in: what lets somebody in, what does not, and what is written down before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import argon2
import asyncssh
import pytest

from gateway.clock import SECOND_US
from gateway.errors import Unavailable
from gateway.identity import KeptAccounts, TransferPass, UploadAccount
from gateway.identity.ssh_certificates import UserCa, kept_form
from gateway.storage import StateStore
from gateway.transfer import sign_in
from gateway.transfer.sign_in import RECORDED_A_MINUTE, SignIn
from gateway.transfer.signing_in import NotSignedIn, SignedIn
from tests.world.clock import FakeClock
from tests.world.office import make_bureau

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PEER, ELSEWHERE = "192.0.2.7", "198.51.100.9"
SECRET = "s3cret"
KEY = "ssh-ed25519 AAAA"


class Hall:
    """A place to sign in, with one account and one pass."""

    def __init__(self, state: StateStore, clock: FakeClock) -> None:
        self.clock, self.state = clock, state
        self.entries: list[Mapping[str, Any]] = []
        self.breaks = False
        self.accounts = KeptAccounts(clock)
        self.account = UploadAccount("acme/nightly", "acme", CHEAP.hash("right"), (KEY,), 1)
        self.accounts.put(self.account)
        self.desk = self.another()

    def another(self, user_ca: UserCa | None = None) -> SignIn:
        return SignIn(
            self.accounts,
            self.state,
            principal=self.accounts.principal,
            record=self.record,
            clock=self.clock,
            node="n1",
            user_ca=user_ca,
        )

    async def record(self, entry: Mapping[str, object]) -> None:
        if self.breaks:
            raise OSError("no disk")
        self.entries.append(entry)

    def give_pass(self, **changes: Any) -> TransferPass:
        given = TransferPass(
            "pass-1", "priya", "https://idp", ("engineer",), "US", "jti", 1, "acme", "BUG-9", "why",
            "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0", self.clock.now_us(),
            self.clock.now_us() + 60 * SECOND_US,
        )  # fmt: skip
        given = replace(given, **changes)
        with self.state.transaction(exclusive=True) as transaction:
            transaction.put(given)
        self.accounts.put(given)
        return given

    async def try_in(self, password: str, user: str = "acme/nightly", peer: str = PEER) -> SignedIn | None:
        try:
            return await self.desk.by_password("sftp", user, password, peer)
        except NotSignedIn:
            return None


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hall]:
    monkeypatch.setattr(sign_in, "HASHER", CHEAP)
    monkeypatch.setattr(sign_in, "_NOBODYS", CHEAP.hash("nobody"))
    bureau = make_bureau(tmp_path)
    yield Hall(bureau.state, bureau.clock)
    bureau.state.close()


async def test_the_right_password_signs_in_and_stands_in_the_record(hall: Hall) -> None:
    """With the door, the address and the customer; without the password."""
    assert await hall.try_in("right") == SignedIn("upload:acme/nightly", "acme")
    [entry] = hall.entries
    assert (entry["act"], entry["object"]) == ("transfer.sign-in", "acme/nightly")
    assert "right" not in str(entry)


@pytest.mark.parametrize("user", ["acme/nobody", "%username%/..", "acme/nightly\0", "", "acme/nightly/", "pass-none"])
async def test_an_unknown_name_is_nobody(hall: Hall, user: str) -> None:
    """Vector sftp-018; what was typed is printable in the record, and clipped."""
    assert await hall.try_in("right", user) is None
    assert hall.entries[0]["act"] == "transfer.refused"
    assert str(hall.entries[0]["object"]).isprintable()


async def test_an_account_of_a_customer_that_is_called_like_a_pass_signs_in(hall: Hall) -> None:
    """By its password and by its key."""
    id_ = "pass-through/nightly"
    hall.accounts.put(replace(hall.account, id=id_, customer="pass-through"))
    assert await hall.try_in("right", id_) == SignedIn(f"upload:{id_}", "pass-through")
    assert await hall.desk.by_key("sftp", id_, KEY, PEER) == SignedIn(f"upload:{id_}", "pass-through")


async def test_a_closed_account_signs_nobody_in(hall: Hall) -> None:
    """Neither its password nor its key."""
    hall.accounts.put(replace(hall.account, closed_us=5))
    assert await hall.try_in("right") is None
    with pytest.raises(NotSignedIn):
        await hall.desk.by_key("sftp", "acme/nightly", KEY, PEER)


async def test_a_key_signs_in_and_a_certificate_or_another_does_not(hall: Hall) -> None:
    """Of an upload account."""
    assert await hall.desk.by_key("sftp", "acme/nightly", KEY, PEER) == SignedIn("upload:acme/nightly", "acme")
    for key in ("ssh-ed25519 AAAB", "ssh-ed25519-cert-v01@openssh.com AAAA", ""):
        with pytest.raises(NotSignedIn):
            await hall.desk.by_key("sftp", "acme/nightly", key, PEER)


async def test_a_certificate_signs_in_whoever_has_its_pass(hall: Hall) -> None:
    """As often as the pass says; under its name alone, and nowhere without the authority; no password is it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    ca = UserCa(key)
    id_ = "pass-0123456789ab"
    line = ca.sign(hall.give_pass(id=id_), key.export_public_key().decode())
    hall.give_pass(id=id_, secret=kept_form(line), sessions=2)
    desk = hall.another(user_ca=ca)
    assert await desk.by_key("sftp", id_, line, PEER) == SignedIn(f"pass:{id_}", "acme", "BUG-9", "why")
    for user, one in (("acme/nightly", desk), ("pass-0123456789ac", desk), (id_, hall.desk)):
        with pytest.raises(NotSignedIn):
            await one.by_key("sftp", user, line, PEER)
    for password in (line, kept_form(line), ""):
        with pytest.raises(NotSignedIn):
            await desk.by_password("sftp", id_, password, PEER)
    assert await desk.by_key("sftp", id_, line, PEER)
    with pytest.raises(NotSignedIn):
        await desk.by_key("sftp", id_, line, PEER)
    assert hall.state.get(TransferPass, id_).used == 2


@pytest.mark.parametrize("changes", [{"ends_us": 1}, {"revoked_us": 1}, {"used": 1, "sessions": 1}])
async def test_a_certificate_ends_with_its_pass(hall: Hall, changes: dict[str, int]) -> None:
    """However long the certificate itself would hold."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    ca = UserCa(key)
    line = ca.sign(hall.give_pass(id="pass-0123456789ab"), key.export_public_key().decode())
    hall.give_pass(id="pass-0123456789ab", secret=kept_form(line), **{"sessions": 0} | changes)
    with pytest.raises(NotSignedIn):
        await hall.another(user_ca=ca).by_key("sftp", "pass-0123456789ab", line, PEER)


async def test_a_pass_that_is_not_current_in_the_state_signs_nobody_in(hall: Hall) -> None:
    """It was revoked a moment ago, and the doors have not heard of it."""
    given = hall.give_pass()
    with hall.state.transaction(exclusive=True) as transaction:
        transaction.put(replace(given, revoked_us=1))
    assert await hall.try_in(SECRET, "pass-1") is None


async def test_without_a_record_nobody_is_signed_in(hall: Hall) -> None:
    """Whatever breaks there."""
    hall.breaks = True
    with pytest.raises(Unavailable):
        await hall.try_in("right")


async def test_the_right_password_waits_after_failures_and_works_again_later(hall: Hall) -> None:
    """From where the failures came; not from elsewhere, and not for ever."""
    for _ in range(10):
        assert await hall.try_in("wrong") is None
    assert await hall.try_in("right") is None
    assert await hall.try_in("right", peer=ELSEWHERE)
    hall.clock.advance(3600)
    assert await hall.try_in("right")


async def test_one_failure_costs_nothing_later(hall: Hall) -> None:
    """A pause that is over is none, however long ago it was."""
    assert await hall.try_in("wrong") is None
    hall.clock.advance(1)
    assert await hall.try_in("right")


async def test_a_burst_is_not_judged_beyond_the_limit(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries that wait for their turn together count one another's failures."""
    judged: list[str] = []
    monkeypatch.setattr(sign_in, "_is_right", lambda _kept, password: judged.append(password))
    await asyncio.gather(*(hall.try_in(f"guess {number}") for number in range(60)))
    assert len(judged) <= 10 + sign_in.HASHED_AT_ONCE


async def test_refusals_in_the_record_are_few_a_minute(hall: Hall) -> None:
    """And the next one tells how many were left out."""
    for _ in range(50):
        await hall.try_in("wrong")
    assert len(hall.entries) == RECORDED_A_MINUTE
    hall.clock.advance(61)
    await hall.try_in("wrong")
    assert hall.entries[-1]["details"]["count"] == 50 - RECORDED_A_MINUTE


async def test_a_pass_is_used_once_at_two_doors(hall: Hall) -> None:
    """Both ask at once, and the state lets one in."""
    hall.give_pass()
    tries = (hall.desk, hall.another())
    found = await asyncio.gather(
        *(one.by_password("ftp", "pass-1", SECRET, PEER) for one in tries), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in found) == ["NotSignedIn", "SignedIn"]
    assert hall.state.get(TransferPass, "pass-1").used == 1


@pytest.mark.parametrize("changes", [{"ends_us": 1}, {"revoked_us": 1}, {"used": 1}])
async def test_a_pass_that_is_over_signs_nobody_in(hall: Hall, changes: dict[str, int]) -> None:
    """Ended, revoked, or used."""
    hall.give_pass(**changes)
    assert await hall.try_in(SECRET, "pass-1") is None
