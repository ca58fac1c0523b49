"""The demo, as a newcomer runs it: what it leaves behind is a configuration that can be served."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import run
from gateway.ledger.reader import LedgerReader, Query


def test_what_the_demo_wrote_passes_its_own_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the tour no plan forbids a store, and nothing was reloaded meanwhile."""
    world = tmp_path / "world"
    assert run(["demo", "--once", "--directory", str(world)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["✓", "200", "sam", "Indianapolis", "GET", "/conversations/acme/7", "home-personnel"] in lines
    assert ["✓", "acme/nightly", "by", "SFTP", "STOR", "/uploads/acme/nightly.csv", "customer-own-data"] in lines
    assert any(line[:4] == ["45", "of", "45", "requests"] for line in lines)
    monkeypatch.setenv("RESIDENCY_GATEWAY_CONFIG", str(world / "gateway.toml"))
    assert run(["doctor"]) == 0, capsys.readouterr().out
    assert run(["serve", "--check-config"]) == 0, capsys.readouterr().err
    with LedgerReader(world / "state" / "ledger.db") as reader:
        acts = {entry["act"] for entry in reader.search(Query(kind="administrative"))}
    assert "plan.end" in acts
    assert "reload" not in acts
