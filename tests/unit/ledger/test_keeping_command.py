"""``ledger seal``, ``ledger retain`` and ``ledger hold``: what they print, record and refuse."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from gateway.cli import context, keeping
from gateway.cli.keeping import hold, retain, seal
from gateway.clock import SECOND_US
from gateway.errors import LedgerUnavailable, NotFound, StateUnavailable, UsageError
from gateway.ledger import retention
from gateway.ledger.hold import Hold
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from gateway.storage import StateStore
from tests.unit.ledger.sealing_world import built, seal_all
from tests.world.clock import NOW_S, FakeClock
from tests.world.office import make_bureau

DAY_S = 86_400


class Operation(context.Operation):
    """A run of the command line, ten days after the last entry."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.with_name("gateway.toml"), {})
        self.clock = FakeClock(NOW_S + 10 * DAY_S)
        ledger = SimpleNamespace(path=path, segments_directory=None, segment_after_s=DAY_S, keep_s=2 * DAY_S, keep="2d")
        bureau = make_bureau(path.parent)
        state = SimpleNamespace(url=SecretStr(f"sqlite:///{path.parent}/gateway.db"))
        self.settings = SimpleNamespace(ledger=ledger, gateway=SimpleNamespace(node="n"), state=state)  # type: ignore[assignment]  # as far as keeping looks
        self.state: StateStore = bureau.state
        self.ledger: LedgerWriter = LedgerWriter(path)
        self.office = replace(bureau.office, record=self.ledger.append, clock=self.clock, node="n")


VIA = {"actor_kind": "operator", "via": f"cli:{context.account()}@n"}


@pytest.fixture
def operation(path: Path) -> Any:
    built(path)
    found = Operation(path)
    yield found
    found.ledger.close()
    found.state.close()


def run(operation: Operation, command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, obj=operation, standalone_mode=False)


def lines(operation: Operation, command: Any, *arguments: str) -> list[dict[str, Any]]:
    result = run(operation, command, *arguments, "--json")
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def last(path: Path) -> dict[str, Any]:
    with LedgerReader(path) as reader:
        return reader.tail(1)[0]


def test_seal_moves_what_is_old_and_records_it(operation: Operation, path: Path) -> None:
    """Sequences, file and hash stand in an entry under whoever acts; a second run finds nothing."""
    assert lines(operation, seal, "--dry-run") == [{"first": 0, "last": 511}]
    [told] = lines(operation, seal, "--as", "dana")
    entry = last(path)
    assert (entry["act"], entry["actor"], entry["details"]) == ("ledger.seal", "dana", told | VIA)
    assert told["file"] == "ledger.db.segments/000000000000-000000000511.segment"
    assert "nothing is old enough" in run(operation, seal).stderr
    assert "nothing is old enough" in run(operation, seal, "--dry-run").stderr


def test_seal_needs_to_be_told_what_is_old(operation: Operation) -> None:
    """By the setting, or by an option."""
    operation.settings.ledger.segment_after_s = None
    assert "ledger.segment_after" in str(run(operation, seal).exception)
    assert "expected a span" in str(run(operation, seal, "--older-than", "soon").exception)
    assert "the entries 0 to 511" in run(operation, seal, "--older-than", "1d").stdout


def test_retain_says_what_could_go_and_removes_it_only_when_told(operation: Operation, path: Path) -> None:
    """What is not sealed is counted; the removal is an entry, and verifies."""
    assert "512 entries are as old" not in run(operation, retain).stderr
    assert "600 entries are as old, and not sealed" in run(operation, retain).stderr
    run(operation, seal)
    file = path.parent / "ledger.db.segments/000000000000-000000000511.segment"
    for arguments in ((), ("--dry-run",), ("--dry-run", "--delete")):
        assert run(operation, retain, *arguments).stdout.endswith("can go\n")
        assert file.exists()
    [told] = lines(operation, retain, "--delete", "--as", "dana")
    assert (told["removed"], told["first"], told["last"], file.exists()) == (True, 0, 511, False)
    entry = last(path)
    assert (entry["act"], entry["actor"], entry["details"]["last"]) == ("ledger.retain", "dana", 511)
    assert entry["details"].items() >= VIA.items()
    report = verify(path, processes=1)
    assert (report.verified, len(report.notes)) == (True, 1)
    assert "by dana (kept until" in report.notes[0].what
    assert "no sealed file is older than 2d" in run(operation, retain, "--delete").stderr


def test_retain_leaves_what_is_young(operation: Operation) -> None:
    """By the age that the setting asks for."""
    run(operation, seal)
    operation.settings.ledger.keep_s = 20 * DAY_S
    assert lines(operation, retain, "--delete") == []


def test_retain_brings_an_interrupted_removal_to_its_end(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which file it found."""
    run(operation, seal)
    with monkeypatch.context() as patch:
        patch.setattr("gateway.ledger.retention._unlink", lambda _paths: None)
        run(operation, retain, "--delete")
    assert "left by an earlier run, and removed" in run(operation, retain, "--delete").stderr


def test_hold_keeps_what_it_covers_until_it_is_ended(operation: Operation, path: Path) -> None:
    """Named by what it kept; exit status 1; both its beginning and its end are entries."""
    run(operation, seal)
    run(operation, hold, "add", "--name", "case-1", "--customer", "acme", "--reason", "Acme v. Us", "--as", "dana")
    entry = last(path)
    assert (entry["act"], entry["object"], entry["actor"]) == ("ledger.hold", "case-1", "dana")
    assert entry["details"] == {"customer": "acme", "reason": "Acme v. Us"} | VIA
    result = run(operation, retain, "--delete")
    assert (result.return_value, "for the hold case-1 covers it" in result.stdout) == (1, True)
    assert [each["name"] for each in lines(operation, hold, "list")] == ["case-1"]
    run(operation, hold, "end", "case-1", "--reason", "settled", "--as", "sam")
    assert last(path)["act"] == "ledger.hold_end"
    assert lines(operation, hold, "list") == []
    [ended] = lines(operation, hold, "list", "--all")
    assert (ended["ended_by"], ended["ended_us"]) == ("sam", operation.clock.now_us())
    assert run(operation, retain, "--delete").return_value == 0


def test_hold_is_refused_where_it_means_nothing(operation: Operation) -> None:
    """A name that was used, times that leave nothing between them, the end of none."""
    assert lines(operation, hold, "add", "--name", "a", "--reason", "r", "--since", "2026-03-01T09:00:00Z")
    again = run(operation, hold, "add", "--name", "a", "--reason", "r").exception
    assert isinstance(again, UsageError)
    times = ("--since", "2026-03-01T09:00:00Z", "--until", "2026-03-01T09:00:00Z")
    assert isinstance(run(operation, hold, "add", "--name", "b", "--reason", "r", *times).exception, UsageError)
    assert isinstance(run(operation, hold, "end", "b", "--reason", "r").exception, NotFound)


def test_hold_that_cannot_be_recorded_is_neither_placed_nor_ended(operation: Operation) -> None:
    """What cannot be written down does not happen."""

    def refuse(*_arguments: object, **_named: object) -> None:
        raise UsageError("no")

    office = operation.office
    operation.office = replace(office, record=refuse)
    assert isinstance(run(operation, hold, "add", "--name", "a", "--reason", "r").exception, UsageError)
    assert lines(operation, hold, "list") == []
    operation.office = office
    lines(operation, hold, "add", "--name", "a", "--reason", "r")
    operation.office = replace(office, record=refuse)
    assert isinstance(run(operation, hold, "end", "a", "--reason", "r").exception, UsageError)
    assert [each["name"] for each in lines(operation, hold, "list")] == ["a"]


@pytest.mark.parametrize("act", ["ledger.hold", "ledger.hold_end"])
def test_hold_whose_state_is_not_written_has_an_entry_that_says_so(operation: Operation, path: Path, act: str) -> None:
    """As any other act: it names the entry that did not come true."""

    def broken(*_: object) -> None:
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    arguments = ("end", "a", "--reason", "r")
    if act == "ledger.hold":
        arguments = ("add", "--name", "b", "--reason", "r")
    lines(operation, hold, "add", "--name", "a", "--reason", "r")
    event.listen(operation.state._engine, "commit", broken)
    assert isinstance(run(operation, hold, *arguments).exception, StateUnavailable)
    event.remove(operation.state._engine, "commit", broken)
    assert [each["name"] for each in lines(operation, hold, "list")] == ["a"]
    with LedgerReader(path) as reader:
        done, undone = reader.tail(2)
    assert (done["act"], undone["act"], undone["details"]["undone"]) == (act, f"{act}.undone", done["id"])


def in_two_segments(path: Path) -> None:
    """Of 256 entries each."""
    with LedgerReader(path) as reader:
        first = reader.show("300")[0]["time_us"]
    seal_all(path, before_us=first)
    seal_all(path)


def test_others_write_the_state_between_two_removals(
    operation: Operation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held for one segment; a hold that is placed meanwhile counts for the next."""
    in_two_segments(path)
    removed: list[int] = []
    beside = StateStore(operation.settings.state.url.get_secret_value(), operation.clock)

    def place(_pause_s: float) -> None:
        removed.append(len(removed))
        if len(removed) == 1:
            beside.put(Hold("late", "", 0, 0, "r", "dana", 1))

    monkeypatch.setattr(keeping, "time", SimpleNamespace(sleep=place))
    result = run(operation, retain, "--delete")
    beside.close()
    assert result.exception is None, result.exception
    assert result.return_value == 1
    first, second = result.stdout.splitlines()
    assert (first.endswith("256 to 511: removed"), "0 to 255: kept, for the hold late" in second) == (True, True)


def test_no_hold_is_placed_while_a_segment_is_removed(
    operation: Operation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever tries waits, or is told that the state is in use."""
    run(operation, seal)
    remove, said = retention.remove, []
    monkeypatch.setattr("gateway.storage.store.BUSY_TIMEOUT_S", 0.1)
    beside = StateStore(operation.settings.state.url.get_secret_value(), operation.clock)

    def removing(*arguments: Any) -> int:
        with pytest.raises(StateUnavailable, match="locked") as refused:
            beside.put(Hold("late", "", 0, 0, "r", "dana", 1))
        said.append(refused)
        return remove(*arguments)

    monkeypatch.setattr(retention, "remove", removing)
    assert run(operation, retain, "--delete").return_value == 0
    beside.close()
    assert len(said) == 1


def test_nothing_is_removed_where_the_holds_cannot_be_read(operation: Operation, path: Path) -> None:
    """A state database that is not there holds no hold, and might have."""
    run(operation, seal)
    state = operation.state
    del operation.__dict__["office"], operation.__dict__["state"]
    state.close()
    path.with_name("gateway.db").unlink()
    result = run(operation, retain, "--delete")
    operation.state = state
    assert isinstance(result.exception, StateUnavailable)
    assert (path.parent / "ledger.db.segments/000000000000-000000000511.segment").exists()


def test_segment_that_cannot_be_removed_stays(
    operation: Operation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holds are free again."""
    run(operation, seal)

    def fail(*_arguments: object) -> None:
        raise LedgerUnavailable("no")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "remove", fail)
        assert isinstance(run(operation, retain, "--delete").exception, LedgerUnavailable)
    assert lines(operation, hold, "add", "--name", "a", "--reason", "r")


def test_hold_without_times_covers_all_times(operation: Operation) -> None:
    """An instant of 0 is none."""
    [placed] = lines(operation, hold, "add", "--name", "a", "--reason", "r")
    assert (placed["since_us"], placed["until_us"], placed["placed_us"] % SECOND_US) == (0, 0, 0)
