"""What a command makes where nothing is yet, and which configuration it takes where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import run
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import make_world
from tests.integration.commands.lines import for_people

ADD = 'customers add acme --name "Acme Health"'


def left(config: Path) -> list[str]:
    """The state and the ledger that there are."""
    folder = config.parent / "state"
    return [file.name for file in folder.iterdir()] if folder.exists() else []


@pytest.fixture
def unnamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual place of a configuration, which nothing names."""
    (tmp_path / "config").mkdir()
    url = "http://127.0.0.1:9"
    addresses = Addresses(url, url, url, "ftp://127.0.0.1:9/")
    world = make_world(tmp_path / "config", addresses, clock=SystemClock(), ports=(1, 2))
    world.state.close()
    for file in (tmp_path / "config" / "state").glob("gateway.db*"):
        file.unlink()
    monkeypatch.delenv("RESIDENCY_GATEWAY_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return world.config


READING = (
    ("customers list", 0),
    ("tickets list", 0),
    ("access list --grants", 0),
    ("notifications list", 0),
    ("customers show acme", 1),
    ("check --subject sam --roles support --from 10.20.0.5 --path /crm/acme/cases/5", 0),
    ("doctor", 0),
    ("serve --check-config", 0),
    ("ledger tail", 3),
)


@pytest.mark.parametrize(("line", "status"), READING)
def test_a_command_that_reads_makes_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], line: str, status: int
) -> None:
    """Nothing is there to be read, and nothing is there afterwards."""
    for_people(capsys, line, status)
    assert left(config) == []


def test_a_command_that_acts_makes_nothing_either(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the one with which everything begins."""
    line = "tickets add INC-1 --kind security --all-customers --title x"
    _, told = for_people(capsys, line, 3)
    assert "there is no state at" in told
    assert "customers add" in told
    assert left(config) == []


def test_the_first_customer_begins_state_and_ledger(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a configuration that was named."""
    _, told = for_people(capsys, ADD)
    assert "using" not in told
    assert {"gateway.db", "ledger.db"} <= {*left(config)}


def test_without_a_name_the_usual_file_is_said(unnamed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody takes the example's answer for that of their own."""
    _, told = for_people(capsys, "customers list")
    assert "using config/gateway.toml" in told.splitlines()


def test_without_a_name_nothing_begins(unnamed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No ghost of a state beside the example; with a name it begins."""
    _, told = for_people(capsys, ADD, 2)
    assert "config/gateway.toml has no state yet; name a configuration (--config FILE" in told
    assert left(unnamed) == []
    assert run(["--config", str(unnamed), "customers", "add", "acme", "--name", "Acme"]) == 0
    assert run(["customers", "add", "globex", "--name", "Globex"]) == 0
