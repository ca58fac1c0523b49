"""Tables for people: what others wrote is neither markup nor a way to steer the terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest

from gateway.cli.output import counted, show_many, show_one, tell

EVIL = "\\[/x] [bold]a[/] \x1b[1A\x1b[2K\x9b31m\u202eb\u2066\nR-2  dana\r\u2028:smile:"
SHOWN = r"\[/x] [bold]a[/] \x1b[1A\x1b[2K\x9b31m\u202eb\u2066\nR-2  dana\r\u2028:smile:"


def is_safe(text: str) -> bool:
    return not {unicodedata.category(letter) for letter in text.replace("\n", "")} & {"Cc", "Cf", "Cn", "Zl", "Zp"}


def test_a_cell_is_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    """One row stays one row, whatever its texts hold."""
    rows = [{"id": "CASE-1", "title": EVIL}, {"id": "CASE-2", "title": "\\[/x]"}]
    assert show_many(rows, ("id", "title"), as_json=False, empty="none") == 2
    out = capsys.readouterr().out
    assert is_safe(out)
    assert [line.rstrip().split(maxsplit=1) for line in out.splitlines()[1:]] == [
        ["CASE-1", SHOWN],
        ["CASE-2", r"\[/x]"],
    ]


def test_a_field_and_a_table_below_are_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Lists, too, and the rows of a history."""
    show_one({"title": EVIL, "customers": [EVIL], "history": [{"act": EVIL}]}, as_json=False)
    out = capsys.readouterr().out
    assert is_safe(out)
    assert out.count(SHOWN) == 3


def test_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """A script reads what was written."""
    show_one({"title": EVIL}, as_json=True)
    show_many([{"title": EVIL}], (), as_json=True, empty="none")
    assert [json.loads(line)["title"] for line in capsys.readouterr().out.splitlines()] == [EVIL, EVIL]


def test_what_an_act_did_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With whatever names there are in it."""
    tell(EVIL, as_json=False)
    assert capsys.readouterr().err == SHOWN + "\n"


DECISION = "01a20a8b-2bf8-77b3-a86a-57940c1204fa"
ROW = {"id": DECISION, "title": "word " * 40, "holder": "", "ticket": "BUG-9"}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 60 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")


def test_what_is_piped_has_no_width(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each row, however long, and every column."""
    show_many([ROW | {"title": "x" * 500}], tuple(ROW), as_json=False, empty="")
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "title", "holder", "ticket"]
    assert line.split() == [DECISION, "x" * 500, "–", "BUG-9"]


@pytest.mark.usefixtures("narrow")
def test_a_narrow_terminal_wraps_words_and_no_id(capsys: pytest.CaptureFixture[str]) -> None:
    """And has no room for a column in which there is nothing."""
    show_many([ROW], tuple(ROW), as_json=False, empty="")
    out = capsys.readouterr().out
    assert DECISION in out
    assert "BUG-9" in out
    assert out.count("word") == 40
    assert "holder" not in out


@pytest.mark.usefixtures("narrow")
def test_a_terminal_that_is_wide_enough_has_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty one, too."""
    show_many([ROW | {"title": "x"}], tuple(ROW), as_json=False, empty="")
    assert "holder" in capsys.readouterr().out


def test_what_has_no_number_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A dash for people and null for scripts, where 0 would be taken for a number."""
    bug = {"id": "BUG-9", "severity": 0, "max_bytes": 0, "used_bytes": 0}
    show_many([bug], tuple(bug), as_json=False, empty="")
    assert capsys.readouterr().out.splitlines()[1].split() == ["BUG-9", "–", "–", "0"]
    show_one(bug, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"id": "BUG-9", "severity": None, "max_bytes": None, "used_bytes": 0}


def test_what_is_counted_is_spoken_of_as_one_or_several() -> None:
    """None are several."""
    assert [counted(number, "byte", "bytes") for number in (0, 1, 1_500)] == ["0 bytes", "1 byte", "1,500 bytes"]
