"""Acts on upload accounts: who may, what is taken, what stands in the record."""

from __future__ import annotations

import asyncssh
import pytest

from gateway.acts import transfers
from gateway.errors import Contradicted, Forbidden, NotFound, UsageError
from gateway.identity import UploadAccount
from tests.world.office import ADA, BO, ENGINEER, MANAGER, Bureau

KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()


def _hashed(password: str) -> str:
    return f"hash of {len(password)}"


def _added(bureau: Bureau) -> UploadAccount:
    return transfers.add_upload_account(bureau.office, MANAGER, "acme", "nightly", hashed=_hashed)[0]


def test_an_account_is_added_with_a_password_that_nothing_keeps(bureau: Bureau) -> None:
    """The state has its hash, and the record neither."""
    account, password = transfers.add_upload_account(bureau.office, MANAGER, "acme", "nightly", hashed=_hashed)
    assert bureau.state.get(UploadAccount, "acme/nightly") == account
    assert len(password) >= 32
    assert bureau.acts() == [("maria", "customer.upload-add", "acme/nightly")]
    assert password not in str(bureau.entries) + str(account)
    assert account.password not in str(bureau.entries)


@pytest.mark.parametrize("name", ["", "..", "a/b", "%username%/..", "a\0", "A", "x" * 64])
def test_a_name_that_is_none_is_refused(bureau: Bureau, name: str) -> None:
    """Vector sftp-018: no name leads anywhere else."""
    with pytest.raises(UsageError):
        transfers.add_upload_account(bureau.office, MANAGER, "acme", name, hashed=_hashed)


def test_an_account_is_not_added_twice_or_to_nobody(bureau: Bureau) -> None:
    """One that is there keeps its password."""
    _added(bureau)
    with pytest.raises(Contradicted):
        _added(bureau)
    with pytest.raises(NotFound):
        transfers.add_upload_account(bureau.office, MANAGER, "initech", "nightly", hashed=_hashed)


def test_a_customers_user_changes_their_own_accounts_alone(bureau: Bureau) -> None:
    """Whoever may change customers as a customer's own user may not change another's, in any way."""
    _added(bureau)
    transfers.close_upload_account(bureau.office, ADA, "acme/nightly")
    bureau.entries.clear()
    office, id_ = bureau.office, "acme/nightly"
    for act in (
        lambda: transfers.add_upload_account(office, BO, "acme", "mine", hashed=_hashed),
        lambda: transfers.set_upload_password(office, BO, id_, hashed=_hashed),
        lambda: transfers.add_upload_key(office, BO, id_, KEY),
        lambda: transfers.remove_upload_key(office, BO, id_, KEY),
        lambda: transfers.close_upload_account(office, BO, id_),
        lambda: transfers.reopen_upload_account(office, BO, id_),
        lambda: transfers.reopen_upload_account(office, ENGINEER, id_),
    ):
        with pytest.raises(Forbidden):
            act()
    assert bureau.entries == []


def test_keys_are_added_once_and_removed(bureau: Bureau) -> None:
    """A comment is no part of a key."""
    _added(bureau)
    transfers.add_upload_key(bureau.office, MANAGER, "acme/nightly", KEY)
    changed = transfers.add_upload_key(bureau.office, MANAGER, "acme/nightly", f"{KEY.strip()} me@laptop\n")
    assert changed.keys == (" ".join(KEY.split()[:2]),)
    assert transfers.remove_upload_key(bureau.office, MANAGER, "acme/nightly", KEY).keys == ()
    with pytest.raises(UsageError):
        transfers.remove_upload_key(bureau.office, MANAGER, "acme/nightly", KEY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 " + "A" * 68,
        f'command="x" {KEY}',
        asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_public_key().decode(),
        asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode(),
    ],
    ids=["nothing", "a kind alone", "no key of its kind", "options", "weak", "private"],
)
def test_what_is_no_key_or_a_weak_one_is_refused(bureau: Bureau, key: str) -> None:
    """Nothing of an account changes."""
    account = _added(bureau)
    with pytest.raises(UsageError):
        transfers.add_upload_key(bureau.office, MANAGER, "acme/nightly", key)
    assert bureau.state.get(UploadAccount, "acme/nightly") == account


def test_an_account_is_closed_and_reopened_once(bureau: Bureau) -> None:
    """Again changes nothing, and writes nothing down."""
    _added(bureau)
    bureau.entries.clear()
    for act in (transfers.close_upload_account, transfers.reopen_upload_account):
        assert act(bureau.office, MANAGER, "acme/nightly") == act(bureau.office, MANAGER, "acme/nightly")
    assert [act for _, act, _ in bureau.acts()] == ["customer.upload-close", "customer.upload-reopen"]
