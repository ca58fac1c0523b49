"""Accounts and passes in memory: who is known by them, and who is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.clock import SECOND_US
from gateway.errors import Unauthenticated, Unavailable
from gateway.identity.accounts import KeptAccounts, TransferPass, UploadAccount
from tests.world.clock import FakeClock

CLOCK = FakeClock()
ACCOUNT = UploadAccount("acme/nightly", "acme", "", (), made_us=1)
PASS = TransferPass(
    id="sam-1",
    subject="sam",
    issuer="https://id.example",
    roles=("support",),
    country="US",
    token_id="t-1",
    issued_at_s=1,
    customer="acme",
    ticket="",
    reason="",
    secret="",
    made_us=1,
    ends_us=CLOCK.now_us() + 60 * SECOND_US,
)


@pytest.mark.parametrize(("noun", "account"), [(ACCOUNT, "upload:acme/nightly"), (PASS, "pass:sam-1")])
def test_nobody_is_known_while_it_cannot_be_told_whether_they_still_are(
    noun: UploadAccount | TransferPass, account: str
) -> None:
    """Somebody may have closed or revoked it meanwhile."""
    accounts = KeptAccounts(CLOCK)
    accounts.put(noun)
    assert accounts.principal(account)
    accounts.fresh = lambda: False
    with pytest.raises(Unavailable, match="cannot be told"):
        accounts.principal(account)
    accounts.fresh = lambda: True
    assert accounts.principal(account)


@pytest.mark.parametrize("account", ["upload:sam-1", "pass:acme/nightly", "acme/nightly", "upload:", "pass:", ""])
def test_an_account_is_no_pass_and_a_pass_is_no_account(account: str) -> None:
    """Each is found under its own kind alone."""
    accounts = KeptAccounts(CLOCK)
    accounts.put(ACCOUNT)
    accounts.put(PASS)
    with pytest.raises(Unauthenticated):
        accounts.principal(account)


def test_a_pass_that_is_over_is_forgotten() -> None:
    """Whatever many are minted, those in memory are the ones that count."""
    clock = FakeClock()
    accounts = KeptAccounts(clock)
    soon = replace(PASS, ends_us=clock.now_us() + SECOND_US)
    accounts.put(soon)
    accounts.put(replace(soon, used=1))
    assert accounts.principal("pass:sam-1")
    clock.advance(2)
    with pytest.raises(Unauthenticated):
        accounts.principal("pass:sam-1")
    accounts.put(replace(PASS, id="sam-2", ends_us=clock.now_us() + SECOND_US))
    assert set(accounts.passes) == {"sam-2"}
    accounts.put(replace(PASS, id="sam-2", revoked_us=1))
    assert accounts.passes == {}
