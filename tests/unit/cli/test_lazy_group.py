"""Commands that are imported when they are called for."""

from __future__ import annotations

import click
import pytest

from gateway.cli import COMMANDS, cli, run


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_found_under_its_name(name: str) -> None:
    """Its module has it, and it says what it does."""
    command = cli.get_command(click.Context(cli), name)
    assert command
    assert (command.name, bool(command.get_short_help_str())) == (name, True)


def test_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Not taken for a module of the package."""
    assert [run([name]) for name in ("context", "output", "nothing")] == [2, 2, 2]
    assert "No such command 'context'" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the alphabet."""
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == sorted(COMMANDS)
