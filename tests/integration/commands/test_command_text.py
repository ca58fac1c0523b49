"""What others wrote, on the terminal of whoever reads it; and what the command line takes as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import run
from gateway.clock import SystemClock
from gateway.justification import Ticket, TicketKind
from gateway.settings import load
from gateway.storage import StateStore

TITLE = "\\[/x] \x1b[2K\u202e\nBUG-9"
SHOWN = r"\[/x] \x1b[2K\u202e\nBUG-9"


@pytest.fixture
def told(desk: Path) -> None:
    """A ticket that came by another way, with a title that nobody can give one here."""
    store = StateStore(load(desk, {}).state.url.get_secret_value(), SystemClock())
    store.put(Ticket("CASE-7", TicketKind.SUPPORT, ("acme",), TITLE, 1, severity=3))
    store.close()


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("line", [("tickets", "list"), ("tickets", "show", "CASE-7")])
def test_a_title_is_shown_as_it_was_written(capsys: pytest.CaptureFixture[str], line: tuple[str, ...]) -> None:
    """It ends no list, and paints no line that nobody wrote."""
    assert run([*line]) == 0
    out = capsys.readouterr().out
    assert SHOWN in out
    assert "\x1b" not in out


@pytest.mark.usefixtures("told")
def test_a_script_reads_it_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has escapes of its own."""
    assert run(["tickets", "show", "CASE-7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == TITLE


@pytest.mark.usefixtures("told")
def test_the_record_is_shown_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A search and a single entry alike."""
    evil = "\\[/x]\u202e\x9b2K"
    assert run(["tickets", "report", "CASE-7", "--as", "dana"]) == 0
    assert run(["ledger", "search", "--customer", evil]) == 0
    capsys.readouterr()
    for line in (["ledger", "tail"], ["ledger", "show", "0"]):
        assert run(line) == 0
    assert run(["ledger", "tail", "-n", "1", "--json"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert evil in last
    assert run(["ledger", "show", str(json.loads(last)["sequence"])]) == 0
    folded = "".join(capsys.readouterr().out.split())
    assert r"customer=\\[/x]\u202e\x9b2K" in folded


@pytest.mark.parametrize("letter", ["\x1b", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\r"], ids=ascii)
@pytest.mark.parametrize(
    "line",
    [
        ["tickets", "add", "BUG-1", "--kind", "bug", "--customer", "acme", "--title", "Odd{}"],
        ["tickets", "assign", "CASE-5", "--to", "sam{}"],
        ["tickets", "close", "CASE-5", "--as", "sam{}"],
        ["customers", "add", "delta", "--name", "Delta{}"],
        ["access", "revoke", "G-1", "--why", "over{}"],
    ],
    ids=lambda line: " ".join(line[:2]),
)
def test_text_with_controls_is_wrong_use(
    desk: Path, capsys: pytest.CaptureFixture[str], line: list[str], letter: str
) -> None:
    """It is refused, and shown as what it is."""
    assert run([word.replace("{}", letter) for word in line]) == 2
    err = capsys.readouterr().err
    assert "marks of direction" in err
    assert letter not in err


@pytest.mark.parametrize("letter", ["\x1b", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\r", " ", "/", "é"], ids=ascii)
def test_id_of_unusual_letters_is_wrong_use(desk: Path, capsys: pytest.CaptureFixture[str], letter: str) -> None:
    """A new ticket's id is as those of trackers are; what came is shown as what it is."""
    assert run(["tickets", "add", f"BUG-1{letter}", "--kind", "bug", "--customer", "acme", "--title", "Odd"]) == 2
    err = capsys.readouterr().err
    assert "expected an id such as BUG-9: letters, digits" in err
    assert letter in (" ", "/", "é") or letter not in err


def test_a_reason_has_lines_and_a_title_is_one(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Free text is free."""
    line = [
        "access",
        "request",
        "--ticket",
        "BUG-9",
        "--customer",
        "acme",
        "--data-class",
        "conversation",
        "--as",
        "priya",
    ]
    assert run([*line, "--reason", "one\n\ttwo"]) == 0
    assert r"one\n\ttwo" in capsys.readouterr().out
    assert run(["tickets", "add", "BUG-1", "--kind", "bug", "--customer", "acme", "--title", "one\ntwo"]) == 2
