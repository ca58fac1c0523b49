"""What lists leave out, what shells offer, and where ``--config`` may stand."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gateway.cli import cli, run
from gateway.cli.completion import channels, data_classes, ids
from gateway.justification import Ticket
from tests.integration.commands.lines import REQUEST, for_people, one, said

RECORD = "authorizations record --customer acme --given-by Ada --received letter --data-class case --json --until 30d"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", 2),
        ("--mine --as priya", 2),
        ("--mine --as raj", 0),
        ("--ticket BUG-9", 2),
        ("--ticket BUG-1", 0),
        ("--customer globex", 0),
        ("--state denied", 0),
        ("--limit 1", 1),
        ("--grants", 0),
        ("--grants --state active", 0),
    ],
)
def test_requests_are_listed_by_what_is_asked_for(
    desk: Path, capsys: pytest.CaptureFixture[str], options: str, found: int
) -> None:
    """Whose, for what, where they stand; of many the newest."""
    one(capsys, REQUEST)
    second = one(capsys, REQUEST.replace("--action read", "--action write"))["id"]
    rows = said(capsys, f"access list --json {options}")
    assert len(rows) == found
    assert not rows or rows[-1]["id"] == second


def test_a_state_of_something_else_is_refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A grant is never denied."""
    assert "expected one of active" in for_people(capsys, "access list --grants --state denied", 2)[1]


@pytest.mark.parametrize(
    ("options", "found"),
    [("", 1), ("--mine --as maria", 1), ("--mine --as raj", 0), ("--ticket CASE-5", 0), ("--state expired", 0)],
)
def test_authorizations_are_listed_by_what_is_asked_for(
    desk: Path, capsys: pytest.CaptureFixture[str], options: str, found: int
) -> None:
    """As requests are; one's own are those that one recorded."""
    one(capsys, f"{RECORD} --as maria")
    assert len(said(capsys, f"authorizations list --json {options}")) == found


@pytest.mark.parametrize("line", ["customers list {} --json", "customers {} list --json", "{} customers list --json"])
def test_the_configuration_may_be_named_anywhere(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Before the command, after it, and in between."""
    monkeypatch.delenv("RESIDENCY_GATEWAY_CONFIG")
    capsys.readouterr()
    assert [row["id"] for row in said(capsys, line.format(f"--config {desk}"))] == ["acme", "globex"]
    assert run(["customers", "list", "--config", "nowhere.toml"]) == 2


def test_a_shell_is_offered_what_fits(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Open bugs where a bug is asked for, the data classes of routes, and no channel where there is none."""
    one(capsys, "tickets add BUG-8 --kind bug --customer acme --title x --json")
    one(capsys, "tickets close BUG-8 --json")
    context = click.Context(cli)
    context.params = {"config": desk}

    def offered(completer: object, begun: str) -> list[str]:
        return [item.value for item in completer(context, None, begun)]  # type: ignore[operator]

    assert offered(ids(Ticket, kind="bug", closed_us=0), "") == ["BUG-9"]
    assert offered(data_classes(), "c") == ["case", "conversation", "crm_account"]
    assert offered(channels(), "") == []
