"""``customers uploads``: accounts at the transfer doors."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import asyncssh
import pytest

from gateway.cli.context import Operation
from gateway.identity import UploadAccount
from gateway.identity.passwords import HASHER
from tests.integration.commands.lines import one, said


def _kept(config: Path) -> UploadAccount:
    operation = Operation(config, {})
    try:
        return operation.state.get(UploadAccount, "globex/nightly")
    finally:
        operation.close()


def test_an_account_is_added_changed_closed_and_reopened(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password is shown once, where one is made, and its hash never."""
    added = one(capsys, "customers uploads add globex nightly --json")
    assert HASHER.verify(_kept(desk).password, added["password"])
    [listed] = said(capsys, "customers uploads list globex --json")
    assert (listed["state"], "password" in listed) == ("open", False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("a longer password\n"))
    assert "password" not in one(capsys, "customers uploads password globex/nightly --stdin --json")
    assert HASHER.verify(_kept(desk).password, "a longer password")
    pub = tmp_path / "key.pub"
    pub.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    assert len(one(capsys, f"customers uploads key add globex/nightly {pub} --json")["keys"]) == 1
    assert one(capsys, f"customers uploads key remove globex/nightly {pub} --json")["keys"] == []
    assert one(capsys, "customers uploads close globex/nightly --json")["state"] == "closed"
    assert one(capsys, "customers uploads reopen globex/nightly --json")["state"] == "open"


@pytest.mark.parametrize("typed", ["", "short\n", "x" * 300])
def test_a_password_that_is_too_short_or_too_long_is_refused(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """The account keeps the one that it had."""
    one(capsys, "customers uploads add globex nightly --json")
    before = _kept(desk)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert said(capsys, "customers uploads password globex/nightly --stdin --json", 2) == []
    assert _kept(desk) == before
