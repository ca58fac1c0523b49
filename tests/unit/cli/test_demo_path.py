"""The demo's first line: whoever copies what it prints has the command."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.demo import _lines, _path_line


def test_a_shell_without_the_command_finds_it_after_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    [line] = _path_line()
    found = subprocess.run(
        ["/bin/sh", "-c", f"{line}\ncommand -v residency-gateway"], capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_file()


def test_a_shell_that_has_it_needs_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/somewhere/residency-gateway")
    assert _path_line() == ()


def test_what_the_demo_prints_says_how_a_ticket_is_cited() -> None:
    """One line is denied although it cites one, and one is permitted."""
    cited = [line for line in _lines(Path("gateway.toml"), "http://door") if '-H "Access-Ticket: ' in line]
    assert [line.rpartition("# ")[2] for line in cited] == ["its grant was revoked", "two people approved"]
