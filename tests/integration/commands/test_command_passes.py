"""``customers uploads pass``: from somebody's token, and from nothing else."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from gateway.cli.context import Operation
from gateway.clock import SystemClock
from gateway.demo.identity_provider import SampleIdentityProvider
from gateway.identity import Revocation, Revoked, TransferPass
from gateway.ledger.reader import LedgerReader
from tests.integration.commands.lines import for_people, one, said

Mint = Callable[..., str]


@pytest.fixture
def token(desk: Path) -> Mint:
    """A token of the identity provider that the configuration believes."""
    return SampleIdentityProvider(desk.parent / "sample-identity-provider", clock=SystemClock()).mint


@pytest.fixture
def in_file(tmp_path: Path, token: Mint) -> str:
    """An hour's token of Sam's, in a file."""
    path = tmp_path / "token"
    path.write_text(token("sam", ["support"]) + "\n")
    return str(path)


def kept(config: Path) -> list[TransferPass]:
    operation = Operation(config, {})
    try:
        return list(operation.state.all(TransferPass))
    finally:
        operation.close()


def test_a_pass_is_minted_from_a_token_listed_and_revoked(
    desk: Path, in_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its password is shown once; what is recorded names whose token it was, and whose account at the keyboard."""
    minted = one(
        capsys,
        f"customers uploads pass mint acme --token-file {in_file} --ticket BUG-9 --reason 'rows are missing' "
        "--for 10m --sessions 2 --json",
    )
    [given] = kept(desk)
    assert hashlib.sha256(minted["password"].encode()).hexdigest() == given.secret
    assert (given.id, given.subject, given.roles, given.sessions) == (minted["id"], "sam", ("support",), 2)
    assert (given.ticket, given.reason) == ("BUG-9", "rows are missing")
    assert given.ends_us - given.made_us <= 600 * 1_000_000
    [listed] = said(capsys, "customers uploads pass list acme --state open --subject sam --json")
    assert (listed["id"], listed["state"], "password" in listed) == (given.id, "open", False)
    assert said(capsys, "customers uploads pass list globex --json") == []
    revoked = one(capsys, f"customers uploads pass revoke {given.id} --as dana --why 'found it' --json")
    assert revoked["state"] == "revoked"
    assert said(capsys, f"customers uploads pass revoke {given.id} --json", 2) == []
    with LedgerReader(desk.parent / "state" / "ledger.db") as reader:
        entries = [entry for entry in reader.after(-1) if str(entry.get("act")).startswith("transfer.")]
    assert [(entry["act"], entry["actor"]) for entry in entries] == [
        ("transfer.pass-mint", "sam"),
        ("transfer.pass-revoke", "dana"),
    ]
    assert entries[0]["details"]["via"].startswith("cli:")
    told = str(entries)
    assert not any(secret in told for secret in (minted["password"], given.secret, Path(in_file).read_text().strip()))


def test_people_are_told_what_to_sign_in_with(
    desk: Path, token: Mint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token comes on standard input unless a file is named."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(token("sam", ["support"])))
    out, err = for_people(capsys, "customers uploads pass mint acme")
    [given] = kept(desk)
    assert "password" in out
    assert f"sign in as {given.id}" in out + err
    out, _ = for_people(capsys, "customers uploads pass list")
    assert given.id in out
    assert "open" in out


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [
        ("nothing", 2, "no token came"),
        ("no token", 1, "the token cannot be read"),
        ("expired", 1, "expired"),
        ("revoked", 1, "revoked"),
        ("customer", 1, "may not transfer.pass-mint"),
        ("service", 1, "personnel"),
        ("auditor", 1, "may not transfer.pass-mint"),
        ("acted", 1, "may not act for others"),
    ],
)
def test_without_a_token_that_counts_nothing_is_minted(
    desk: Path, token: Mint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    kind: str, status: int, why: str,
) -> None:  # fmt: skip
    """Verified as at the doors; in one line, without the token."""
    given = {
        "nothing": lambda: "\n",
        "no token": lambda: "sam",
        "expired": lambda: token("sam", ["support"], expires_in_s=-3_600),
        "revoked": lambda: token("sam", ["support"]),
        "customer": lambda: token("ada", [], customer="acme"),
        "service": lambda: token("etl", ["service", "support"]),
        "auditor": lambda: token("otto", ["auditor"]),
        "acted": lambda: token("sam", ["support"], act={"sub": "some-tool"}),
    }[kind]()
    if kind == "revoked":
        operation = Operation(desk, {})
        operation.state.put(Revocation("r", Revoked.SUBJECT, "sam", "", 1))
        operation.close()
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    _, err = for_people(capsys, "customers uploads pass mint acme --json", status)
    assert why in err
    assert len(err.splitlines()) == 1
    assert not given.strip() or len(given) < 10 or given not in err
    assert kept(desk) == []


def test_with_a_public_key_it_is_a_certificate(
    desk: Path, tmp_path: Path, in_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the configuration has an authority that signs it."""
    pub = tmp_path / "id.pub"
    pub.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    line = f"customers uploads pass mint acme --token-file {in_file} --key {pub} --source-address 198.51.100.0/24"
    assert "user_ca" in for_people(capsys, line, 2)[1]
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "ca")
    desk.write_text(
        desk.read_text() + '\n[doors.sftp]\nlisten = "127.0.0.1:0"\nstore = "uploads"\nhost_keys = ["host"]\n'
        f'user_ca = {{ file = "{tmp_path / "ca"}" }}\n'
    )
    minted = one(capsys, f"{line} --json")
    assert "password" not in minted
    assert (minted["by"], minted["sessions"]) == ("certificate", None)
    assert asyncssh.import_certificate(minted["certificate"]).principals == [minted["id"]]
    (tmp_path / "ca").write_text("no key\n")
    assert "doors.sftp.user_ca" in for_people(capsys, line, 2)[1]
