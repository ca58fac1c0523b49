"""An embedded state that begins empty, and one with the customers and tickets of the interface's lines."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gateway.cli import run
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import make_world
from tests.integration.commands.lines import LINES


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration over an empty state."""
    url = "http://127.0.0.1:9"
    world = make_world(tmp_path, Addresses(url, url, url, "ftp://127.0.0.1:9/"), clock=SystemClock(), ports=(1, 2))
    world.state.close()
    for file in (tmp_path / "state").glob("gateway.db*"):
        file.unlink()
    monkeypatch.setenv("RESIDENCY_GATEWAY_CONFIG", str(world.config))
    return world.config


@pytest.fixture
def desk(config: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Customers and tickets, as the interface's lines make them."""
    for line in LINES.splitlines():
        assert run(shlex.split(line)) == 0
    capsys.readouterr()
    return config
