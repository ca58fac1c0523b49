"""The command: what it prints, its exit status, and that readers are recorded."""

from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gateway.cli.ledger import ledger
from gateway.errors import LedgerUnavailable, NotFound, UsageError
from gateway.ledger.entry import administrative
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import Report
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.entries import decision, tampering, write
from tests.world.clock import FakeClock


class Operation:
    """What commands get of the command line: settings, a clock, and a way to record."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.settings = SimpleNamespace(ledger=SimpleNamespace(path=path, holder=()))
        self.clock = clock
        self.pseudonyms = None

    def record(self, act: str, subject: str, *, actor: str, **details: Any) -> None:
        with LedgerWriter(self.settings.ledger.path) as writer:
            fields = {"clock": self.clock, "node": "n", "actor": actor, "act": act, "subject": subject}
            writer.append(administrative(**fields, details=details))


@pytest.fixture
def operation(written: Path, clock: FakeClock) -> Operation:
    return Operation(written, clock)


def run(operation: Operation, *arguments: str) -> Result:
    """The result as the program's own main would take it: our errors come out as they are."""
    return CliRunner().invoke(ledger, arguments, obj=operation, standalone_mode=False)


def lines(operation: Operation, *arguments: str) -> list[dict[str, Any]]:
    result = run(operation, *arguments, "--json")
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def last(path: Path) -> dict[str, Any]:
    with LedgerReader(path) as reader:
        return reader.tail(1)[0]


def size(path: Path) -> int:
    with LedgerReader(path) as reader:
        return reader.size()


def test_search_prints_one_object_a_line(operation: Operation) -> None:
    """The newest first, each with its sequence."""
    found = lines(operation, "search", "--customer", "acme", "--effect", "deny")
    assert [entry["sequence"] for entry in found] == [4]
    assert found[0]["reason"] == "naïve “reason” 😀"
    assert [entry["sequence"] for entry in lines(operation, "search", "--kind", "decision")] == [4, 3, 0]
    oldest = lines(operation, "search", "--kind", "decision", "--oldest-first", "--limit", "2")
    assert [entry["sequence"] for entry in oldest] == [0, 3]


@pytest.mark.parametrize("order", [(), ("--oldest-first",)])
def test_pages_hold_every_entry_once(operation: Operation, order: tuple[str, ...]) -> None:
    """The cursor of a page begins the next one, although each search is itself recorded."""
    pages: list[list[int]] = []
    after: tuple[str, ...] = ()
    for _ in range(9):
        page = lines(operation, "search", "--kind", "decision", "--limit", "2", *order, *after)
        pages.append([entry["sequence"] for entry in page])
        assert all("cursor" not in entry for entry in page[:-1])
        if "cursor" not in page[-1]:
            break
        after = ("--after", str(page[-1]["cursor"]))
    assert pages == ([[0, 3], [4]] if order else [[4, 3], [0]])


def test_a_page_that_leaves_some_out_says_how_to_go_on(operation: Operation) -> None:
    """On stderr, behind the table."""
    assert run(operation, "search", "--limit", "2").stderr == "there is more: --after 3\n"
    assert run(operation, "search", "--kind", "decision", "--limit", "3").stderr == ""
    assert last(operation.settings.ledger.path)["details"] == {"asked": ["kind=decision", "limit=3"]}


def test_a_search_is_recorded_once_and_does_not_find_itself(operation: Operation, written: Path) -> None:
    """Who read the record, and what they asked for."""
    assert len(lines(operation, "search")) == 5
    record = last(written)
    assert (record["sequence"], record["act"], record["object"]) == (5, "ledger.search", "ledger")
    run(operation, "search", "--customer", "acme", "--since", "1h")
    assert size(written) == 7
    assert last(written)["details"] == {"asked": ["customer=acme", "since=1h"]}


def test_a_search_that_cannot_be_recorded_shows_nothing(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads without a record."""

    def fail(*_arguments: object, **_named: object) -> None:
        raise LedgerUnavailable("injected")

    monkeypatch.setattr(operation, "record", fail)
    for name in ("search", "export"):
        result = run(operation, name)
        assert isinstance(result.exception, LedgerUnavailable)
        assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--since", "2s"), [3, 4]),
        (("--until", "5s"), []),
        (("--until", "4s"), [0, 2]),
        (("--since", "1h"), [0, 1, 2, 3, 4]),
        (("--since", "2027-01-15T08:00:03Z", "--until", "2027-01-15T08:00:04Z"), [3]),
    ],
)
def test_a_time_is_a_span_before_now_or_an_instant(
    operation: Operation, clock: FakeClock, arguments: tuple[str, ...], found: list[int]
) -> None:
    """From a time on, and before a time."""
    clock.advance(5)
    assert [entry["sequence"] for entry in lines(operation, "search", "--oldest-first", *arguments)] == found


@pytest.mark.parametrize("when", ["yesterday", "2027-01-15T08:00:03", "1", "T", "5y"])
def test_a_time_that_is_none_is_wrong_use(operation: Operation, written: Path, when: str) -> None:
    """It says what was expected, and nothing is recorded of a search that was not made."""
    result = run(operation, "search", "--since", when)
    assert isinstance(result.exception, UsageError)
    assert "--since" in str(result.exception)
    assert size(written) == 5


def test_tables_are_readable(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    """People get columns; an empty answer says so on stderr."""
    monkeypatch.setenv("COLUMNS", "220")
    shown = run(operation, "tail").stdout
    for text in (
        "sequence",
        "outside-home",
        "whole 12 bytes",
        "access.approve G-1",
        "GET /crm/acme/accounts/7",
        "dana",
    ):
        assert text in shown
    nothing = run(operation, "search", "--customer", "nobody")
    assert (nothing.stdout, nothing.stderr) == ("", "no entry fits\n")


def test_tail_shows_the_last_and_is_not_recorded(operation: Operation, written: Path) -> None:
    """Looking is not reading out."""
    assert [entry["sequence"] for entry in lines(operation, "tail", "-n", "2")] == [3, 4]
    assert size(written) == 5


@pytest.mark.parametrize("count", ["1", "0"])
def test_tail_follows_until_interrupted(
    operation: Operation, written: Path, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    """Each new entry is shown once, and following writes nothing."""
    turns = iter([lambda: write(written, decision(8)), lambda: None, lambda: write(written, decision(9))])

    def sleep(_seconds: float) -> None:
        turn = next(turns, None)
        if turn is None:
            raise KeyboardInterrupt
        turn()

    monkeypatch.setattr(time, "sleep", sleep)
    result = run(operation, "tail", "-n", count, "--follow", "--json")
    assert isinstance(result.exception, click.Abort)
    shown = [json.loads(line)["sequence"] for line in result.stdout.splitlines()]
    assert shown == [*([4] if count == "1" else []), 5, 6]
    assert size(written) == 7


def test_tail_with_filters_shows_what_fits_and_is_recorded_once(
    operation: Operation, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To choose is to search; following says no more about it."""
    turns = iter([lambda: write(written, decision(8), decision(9, customer="globex")), lambda: None])

    def sleep(_seconds: float) -> None:
        turn = next(turns, None)
        if turn is None:
            raise KeyboardInterrupt
        turn()

    monkeypatch.setattr(time, "sleep", sleep)
    result = run(operation, "tail", "-n", "1", "--follow", "--json", "--customer", "globex")
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(entry["sequence"], entry["customer"]) for entry in shown] == [(3, "globex"), (7, "globex")]
    assert size(written) == 8
    with LedgerReader(written) as reader:
        [record] = [entry for entry in reader.after(4) if entry["kind"] == "administrative"]
    assert record["details"] == {"asked": ["customer=globex"]}


def test_show_gives_a_decision_with_its_completion(operation: Operation) -> None:
    """By sequence or id, for people and for scripts."""
    permit, done = lines(operation, "show", "0")
    assert (permit["effect"], done["outcome"]) == ("permit", "whole")
    text = run(operation, "show", permit["id"]).stdout
    for part in ("code-level-bug", "whole", '{"assured": false, "country": "IN", "signals": []}'):
        assert part in text


def test_show_of_what_is_not_there_is_not_found(operation: Operation) -> None:
    """Exit status 1."""
    assert isinstance(run(operation, "show", "99").exception, NotFound)


def test_verify_says_what_holds(operation: Operation, written: Path) -> None:
    """Exit status 0, the count and the root; nothing is recorded."""
    result = run(operation, "verify", "--json")
    report = json.loads(result.stdout)
    assert (result.return_value, report["verified"], report["entries"], report["problems"]) == (0, True, 5, [])
    assert len(report["root"]) == 64
    first, second = run(operation, "verify").stdout.splitlines()
    assert (first, second) == (f"verified: 5 entries, root {report['root']}", "signed: nothing; run ledger checkpoint")
    assert size(written) == 5


def test_verify_reads_with_as_many_processes_as_are_asked_for(
    operation: Operation, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least one; as many as there are processors unless it is said."""
    asked: list[int | None] = []

    def verify(_path: Path, *, processes: int | None, **_named: object) -> Report:
        asked.append(processes)
        return Report()

    monkeypatch.setattr("gateway.cli.ledger.verify_ledger", verify)
    for arguments in ((), ("--jobs", "3")):
        run(operation, "verify", *arguments)
    assert asked == [None, 3]
    assert isinstance(run(operation, "verify", "--jobs", "0").exception, click.UsageError)


def test_verify_says_what_does_not_hold(operation: Operation, written: Path) -> None:
    """Exit status 1, and one line for each problem."""
    with tampering(written) as connection:
        connection.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE sequence = 2")
        connection.execute("UPDATE head SET root = zeroblob(32)")
    result = run(operation, "verify", "--json")
    report = json.loads(result.stdout)
    assert (result.return_value, report["verified"]) == (1, False)
    assert [problem["sequence"] for problem in report["problems"]] == [2, -1]
    first, second, verdict, _ = run(operation, "verify").stdout.splitlines()
    assert first.startswith("entry 2: its bytes")
    assert second.startswith("the ledger: the tree")
    assert verdict.startswith("not verified: 5 entries")


def test_verify_shows_notes(operation: Operation, written: Path) -> None:
    """What is worth a look."""
    write(written, decision(-500))
    assert "entry 5: note: 504 s older" in run(operation, "verify").stdout


def test_an_export_holds_everything_and_is_recorded(operation: Operation, written: Path) -> None:
    """Every entry up to the record of the export itself."""
    exported = run(operation, "export")
    assert [json.loads(line)["sequence"] for line in exported.stdout.splitlines()] == [0, 1, 2, 3, 4]
    assert last(written)["act"] == "ledger.export"
    assert last(written)["details"] == {"asked": ["format=jsonl"]}
    assert size(written) == 6


def test_an_export_may_be_of_a_stretch(operation: Operation, written: Path) -> None:
    """From one sequence to another, both of them in it."""
    assert [entry["sequence"] for entry in stretch(operation, "--from", "1", "--to", "3")] == [1, 2, 3]
    assert [entry["sequence"] for entry in stretch(operation, "--to", "0")] == [0]
    assert [entry["sequence"] for entry in stretch(operation, "--from", "3", "--customer", "acme")] == [4]
    assert last(written)["details"] == {"asked": ["customer=acme", "format=jsonl", "from=3"]}
    assert stretch(operation, "--from", "99") == []


def stretch(operation: Operation, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(operation, "export", *arguments).stdout.splitlines()]


def test_an_interrupted_export_is_gone_on_with(
    operation: Operation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again finishes the file, and says what it added; each run is recorded."""
    arguments = ("export", "-o", str(tmp_path / "out"))
    module = sys.modules["gateway.cli.handing_out"]
    counted = module.counted

    def stop(entries: Any, total: int | None) -> Any:
        for count, entry in enumerate(counted(entries, total)):
            if count == 2:
                raise KeyboardInterrupt
            yield entry

    monkeypatch.setattr(module, "counted", stop)
    assert isinstance(run(operation, *arguments).exception, click.Abort)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(module, "counted", counted)
    assert run(operation, *arguments).stdout == f"{tmp_path}/out: 3 entries more than the part had\n"
    assert [json.loads(line)["sequence"] for line in (tmp_path / "out").read_text().splitlines()] == [0, 1, 2, 3, 4]
    assert size(operation.settings.ledger.path) == 7


def report(operation: Operation, *arguments: str) -> Result:
    operation.clock.advance(60)
    return run(operation, "report", "--customer", "acme", "--since", "1h", *arguments)


def test_a_report_goes_to_stdout_or_to_a_new_file_of_its_owner(operation: Operation, tmp_path: Path) -> None:
    """As a page, unless said otherwise; what is not proven is said on stderr as well."""
    result = report(operation)
    assert result.exception is None, result.exception
    assert result.stdout.startswith("<!doctype html>")
    assert "run ledger checkpoint" in result.stderr
    output = tmp_path / "report.json"
    told = report(operation, "--format", "json", "-o", str(output)).stdout
    assert told == f"{output}: 1 accesses\n"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert json.loads(output.read_text())["totals"]["accesses"] == 1
    assert isinstance(report(operation, "-o", str(output)).exception, UsageError)
    assert isinstance(report(operation, "-o", str(tmp_path / "no" / "file")).exception, LedgerUnavailable)


def test_a_report_is_recorded_before_it_is_made(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own name; where that cannot be, nothing is shown."""
    report(operation, "--pseudonyms")
    record = last(operation.settings.ledger.path)
    asked = ["customer=acme", "format=html", "pseudonyms", "since=1h"]
    assert (record["act"], record["details"]) == ("ledger.report", {"asked": asked})

    def fail(*_arguments: object, **_named: object) -> None:
        raise LedgerUnavailable("injected")

    monkeypatch.setattr(operation, "record", fail)
    assert report(operation).stdout == ""


def test_a_report_of_no_time_is_wrong_use(operation: Operation) -> None:
    """The end is not behind the beginning."""
    assert isinstance(report(operation, "--until", "2h").exception, UsageError)


def test_an_export_goes_to_a_new_file_of_its_owner(operation: Operation, tmp_path: Path) -> None:
    """What was asked for, in CSV; an existing file is left alone."""
    output = tmp_path / "out.csv"
    arguments = ("export", "--format", "csv", "--customer", "globex", "--output", str(output))
    assert run(operation, *arguments).stdout == f"{output}: 1 entries\n"
    assert len(output.read_text().splitlines()) == 2
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert isinstance(run(operation, *arguments).exception, UsageError)
    assert lines(operation, "export", "-o", str(tmp_path / "b"))[0]["output"] == str(tmp_path / "b")


def test_an_export_that_cannot_be_written_is_told(operation: Operation, tmp_path: Path) -> None:
    """A directory that is not there."""
    result = run(operation, "export", "-o", str(tmp_path / "no" / "file"))
    assert isinstance(result.exception, LedgerUnavailable)


def test_json_of_an_export_needs_a_file(operation: Operation, written: Path) -> None:
    """Two kinds of lines on one stdout would be neither."""
    assert isinstance(run(operation, "export", "--json").exception, UsageError)
    assert size(written) == 5


def test_progress_counts_what_was_exported(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar moves now and then, and the output is the same."""
    monkeypatch.setattr(sys.modules["gateway.cli.ledger_choices"], "_PROGRESS_EVERY", 2)
    assert len(run(operation, "export").stdout.splitlines()) == 5


def test_a_ledger_that_is_not_there_is_out_of_reach(tmp_path: Path, clock: FakeClock) -> None:
    """Exit status 3, and reading does not begin one."""
    missing = Operation(tmp_path / "none.db", clock)
    for arguments in (["tail"], ["search"], ["show", "1"], ["verify"], ["export"]):
        assert isinstance(run(missing, *arguments).exception, LedgerUnavailable)
    assert not (tmp_path / "none.db").exists()
