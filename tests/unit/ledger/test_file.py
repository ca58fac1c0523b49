"""The file: what is durable, what a failing step leaves, and what is noticed."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.errors import LedgerUnavailable
from gateway.ledger import file as module
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.reader import LedgerReader
from gateway.ledger.schema import MAX_ROWS, TOUCH
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.entries import decision, tampering, write


class Faults:
    """Makes connections of which one statement fails, once: before it is done, or after it was done."""

    def __init__(self) -> None:
        self.statement = ""
        self.code = 0
        self.persisted = False

    def arm(self, statement: str, code: int, *, persisted: bool) -> None:
        self.statement, self.code, self.persisted = statement, code, persisted

    def connect(self, path: Path, *, mode: str, timeout_s: float) -> sqlite3.Connection:
        faults = self

        class Faulty(sqlite3.Connection):
            def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:  # type: ignore[override]
                failing = bool(faults.statement) and statement.startswith(faults.statement)
                if failing:
                    faults.statement = ""
                if not failing or faults.persisted:
                    cursor = super().execute(statement, *parameters)
                if failing:
                    error = sqlite3.OperationalError("injected")
                    error.sqlite_errorcode = faults.code
                    raise error
                return cursor

        uri = f"file:{quote(str(path))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout_s, factory=Faulty)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def file(path: Path, faults: Faults) -> LedgerFile:
    """An open ledger with one entry."""
    opened = LedgerFile(path, busy_timeout_s=0.05, connect=faults.connect)
    opened.open()
    opened.commit([seal(decision(0))])
    return opened


APPEND = "INSERT INTO append"  # a transaction of its own
STEPS = (APPEND, "BEGIN", "SELECT size", "SELECT sequence", TOUCH, "COMMIT")


def batch_through(step: str) -> list[Entry]:
    """Two entries; one of them twice, where the step is of the longer way."""
    batch = [seal(decision(1)), seal(decision(2))]
    return batch if step == APPEND else [*batch, batch[0]]


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, 1])
def test_a_step_that_fails_leaves_all_or_nothing(
    path: Path, file: LedgerFile, faults: Faults, step: str, code: int, persisted: bool
) -> None:
    """The failure is told; handing the same entries in again makes neither a duplicate nor a gap."""
    batch = batch_through(step)
    faults.arm(step, code, persisted=persisted)
    with pytest.raises(LedgerUnavailable):
        file.commit(batch)
    landed = step in (APPEND, "COMMIT") and persisted
    with LedgerReader(path) as reader:
        assert reader.size() == (3 if landed else 1)
    assert file.commit([*batch[:2], seal(decision(3))]) == [1, 2, 3]
    assert verify(path).verified
    assert file.failure == ""


@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CORRUPT])
def test_a_disk_that_fails_ends_the_ledger_until_a_restart(
    path: Path, file: LedgerFile, faults: Faults, step: str, code: int, persisted: bool
) -> None:
    """After a failed sync nothing is tried again on the same file, and others are not locked out."""
    faults.arm(step, code, persisted=persisted)
    with pytest.raises(LedgerUnavailable):
        file.commit(batch_through(step))
    with pytest.raises(LedgerUnavailable, match="restart"):
        file.commit([seal(decision(3))])
    assert file.failure
    file.tidy()
    file.close()
    landed = step in (APPEND, "COMMIT") and persisted
    assert write(path, decision(4)) == [3 if landed else 1]
    assert verify(path).verified


def test_the_log_is_moved_by_the_ledger_and_a_failure_of_that_is_final(
    path: Path, file: LedgerFile, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would keep to itself that the sync of a checkpoint failed."""
    file.tidy()
    monkeypatch.setattr(module, "TIDY_PAGES", 0)
    before = path.stat().st_size
    file.tidy()
    assert path.stat().st_size > before
    faults.arm("PRAGMA wal_checkpoint", sqlite3.SQLITE_IOERR_FSYNC, persisted=False)
    file.tidy()
    with pytest.raises(LedgerUnavailable, match="disk failed"):
        file.commit([])


def test_a_batch_gets_sequences_in_its_order(path: Path) -> None:
    """Several statements' worth of rows keep their order and have no gap."""
    with closing(LedgerFile(path)) as file:
        file.open()
        batch = [seal(decision(number)) for number in range(1_300)]
        assert file.commit(batch) == list(range(1_300))
    with LedgerReader(path) as reader:
        assert list(reader.bodies()) == [(number, entry.body) for number, entry in enumerate(batch)]


def test_an_entry_twice_in_a_batch_is_written_once(path: Path, file: LedgerFile) -> None:
    """The same id with the same bytes is the same entry."""
    entry, other = seal(decision(1)), seal(decision(2))
    assert file.commit([entry, other, entry]) == [1, 2, 1]
    assert verify(path).entries == 3


def test_an_id_that_is_taken_is_refused_alone(path: Path, file: LedgerFile) -> None:
    """Another content under a known id gets an error; the others of its batch are written."""
    taken = decision(1)
    file.commit([seal(taken)])
    refused, written = file.commit([seal(taken | {"reason": "another"}), seal(decision(2))])
    assert isinstance(refused, LedgerUnavailable)
    assert written == 2
    assert verify(path).verified


def test_settings_that_make_commits_durable_are_in_force(path: Path, file: LedgerFile) -> None:
    """Write-ahead log, full sync, no checkpoint by SQLite on its own, no file but those in the ledger's directory."""
    connection = file._connection
    assert connection is not None
    for name, value in (("journal_mode", "wal"), ("synchronous", 2), ("wal_autocheckpoint", 0), ("temp_store", 2)):
        assert connection.execute(f"PRAGMA {name}").fetchone() == (value,)


def test_a_synchronous_setting_that_does_not_hold_is_refused(path: Path) -> None:
    """What was set is read back."""

    class Lax(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:  # type: ignore[override]
            return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *parameters)

    def connect(path: Path, *, mode: str, timeout_s: float) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, factory=Lax)

    with pytest.raises(LedgerUnavailable, match=r"synchronous 0"):
        LedgerFile(path, connect=connect).open()


def test_only_what_is_derived_is_written_without_a_sync_of_its_own(path: Path) -> None:
    """The index follows under NORMAL; every entry before and after it, and all else, is written under FULL."""
    seen: list[tuple[str, int]] = []

    class Watched(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:  # type: ignore[override]
            if statement.startswith("INSERT"):
                [synchronous] = super().execute("PRAGMA synchronous").fetchone()
                seen.append((statement.split()[2], synchronous))
            return super().execute(statement, *parameters)

    def connect(path: Path, *, mode: str, timeout_s: float) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, timeout=timeout_s, factory=Watched)

    with closing(LedgerFile(path, connect=connect)) as file:
        file.open()
        for start in range(0, 3 * MAX_ROWS, MAX_ROWS // 2):
            file.commit([seal(decision(number)) for number in range(start, start + MAX_ROWS // 2)])
            file.tidy()
        file.keep_checkpoint(1, "note")
    assert {table for table, _ in seen} == {"head", "append", "lookup", "checkpoint"}
    assert all(synchronous == (1 if table == "lookup" else 2) for table, synchronous in seen)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("injected"), RuntimeError("injected")])
def test_an_index_that_cannot_be_written_leaves_commits_synced(
    path: Path, file: LedgerFile, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever went wrong, the next entry is written on a connection that syncs in full."""

    def fail(*_: object) -> int:
        raise error

    file.commit([seal(decision(number)) for number in range(1, MAX_ROWS)])
    with monkeypatch.context() as patch, contextlib.suppress(RuntimeError):
        patch.setattr("gateway.ledger.index.catch_up", fail)
        file.tidy()
    file.commit([seal(decision(MAX_ROWS))])
    assert file._connection is not None
    assert file._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    file.tidy()
    assert verify(path).verified


def test_a_new_ledger_is_for_its_owner_only(path: Path, file: LedgerFile) -> None:
    """It holds who did what: nobody else on the machine reads it, nor its log."""
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("ledger.db-wal").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("statement", ["UPDATE entry SET body = x''", "DELETE FROM entry", "DELETE FROM head",
    "UPDATE lookup SET customer = ''", "DELETE FROM lookup", "INSERT INTO entry VALUES (7, '7', x'', x'')",
    "INSERT OR REPLACE INTO entry VALUES (0, '0', x'', x'')"])  # fmt: skip
def test_triggers_refuse_all_but_appending(written: Path, statement: str) -> None:
    """Changing, removing, replacing and leaving a gap are refused by the database itself."""
    with closing(sqlite3.connect(written)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


def _unlink(path: Path, suffix: str) -> None:
    path.with_name(path.name + suffix).unlink()


def _replace(path: Path, suffix: str) -> None:
    victim = path.with_name(path.name + suffix)
    shutil.copy(victim, victim.with_name("copy"))
    victim.with_name("copy").replace(victim)


@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["database", "log"])
@pytest.mark.parametrize("damage", [_unlink, _replace])
def test_a_file_unlinked_or_replaced_while_running_is_noticed(
    path: Path, file: LedgerFile, damage: Callable[[Path, str], None], suffix: str
) -> None:
    """Entries that nobody would find again are not confirmed, and no new ledger is begun in the old one's place."""
    damage(path, suffix)
    with pytest.raises(LedgerUnavailable, match="unlinked or replaced"):
        file.commit([seal(decision(1))])
        file.require_in_place()
    with pytest.raises(LedgerUnavailable, match="unlinked or replaced"):
        file.commit([seal(decision(2))])


def test_a_file_unlinked_between_a_failure_and_the_next_commit_is_not_begun_anew(
    path: Path, file: LedgerFile, faults: Faults
) -> None:
    """Opening again never makes a file."""
    faults.arm("BEGIN", sqlite3.SQLITE_FULL, persisted=False)
    with pytest.raises(LedgerUnavailable):
        file.commit([])
    path.unlink()
    with pytest.raises(LedgerUnavailable, match="unlinked"):
        file.commit([])
    assert not path.exists()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE head SET root = zeroblob(32)", "damaged"),
        ("UPDATE head SET frontier = x'00'", "damaged"),
        ("UPDATE head SET size = 4", "damaged"),
        ("DELETE FROM entry WHERE sequence = 4", "damaged"),
        ("DELETE FROM head", "damaged"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_at_opening(written: Path, statement: str, told: str) -> None:
    """Nothing is appended to a ledger whose head and entries disagree."""
    with tampering(written) as connection:
        connection.execute(statement)
    with pytest.raises(LedgerUnavailable, match=told):
        LedgerFile(written).open()


def test_a_ledger_that_went_back_while_running_is_refused(path: Path, file: LedgerFile) -> None:
    """Head and entries cut together do not fool whoever saw more of them."""
    file.commit([seal(decision(1))])
    fresh = path.with_name("other.db")
    write(fresh, decision(0))
    with tampering(path) as connection:
        connection.execute("ATTACH ? AS fresh", (str(fresh),))
        for table in ("entry", "lookup", "head"):
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM fresh.{table}")
    with pytest.raises(LedgerUnavailable, match="went back from 2 entries to 1"):
        file.commit([seal(decision(2))])


def test_another_process_that_holds_the_lock_is_waited_for_only_so_long(path: Path, file: LedgerFile) -> None:
    """A lock held too long fails the commit; once it is gone the next one succeeds."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="another process"):
            file.commit([seal(decision(1))])
        other.execute("ROLLBACK")
    assert file.commit([seal(decision(1))]) == [1]


def test_a_full_disk_is_told_and_got_over(path: Path, file: LedgerFile) -> None:
    """SQLite's own refusal, not an injected one: no page may be added, and later it may."""
    assert file._connection is not None
    file._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(LedgerUnavailable, match="disk is full"):
        file.commit([seal(decision(1, reason="x" * 30_000))])
    assert file.commit([seal(decision(2))]) == [1]


def test_a_ledger_that_may_not_be_written_is_told(path: Path, file: LedgerFile) -> None:
    """A read-only file gives its reason."""
    assert file._connection is not None
    file._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        file.commit([seal(decision(1))])


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A path that names something else is a mistake, and not a place for a ledger."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = other.read_bytes()
    with pytest.raises(LedgerUnavailable, match="another database"):
        LedgerFile(other).open()
    assert other.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Text in its place is refused."""
    path, content = tmp_path / "ledger.db", b"not a database" * 100
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable):
        LedgerFile(path).open()
    assert path.read_bytes() == content


def test_a_place_that_cannot_hold_a_file_is_told(tmp_path: Path) -> None:
    """A directory below a file cannot be made."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnavailable, match="check the path"):
        LedgerFile(tmp_path / "file" / "ledger.db").open()


def test_a_torn_tail_is_passed_over(path: Path, tmp_path: Path) -> None:
    """However much of the last transaction a crash left, the ledger holds it whole or not at all."""
    with closing(LedgerFile(path)) as file:
        file.open()
        file.commit([seal(decision(0))])
        log = path.with_name(path.name + "-wal")
        whole_before = log.stat().st_size
        file.commit([seal(decision(1))])
        database, frames = path.read_bytes(), log.read_bytes()
    found = set()
    for cut in sorted({*range(whole_before, len(frames), 331), len(frames) - 1, len(frames)}):
        torn = tmp_path / f"torn-{cut}.db"
        torn.write_bytes(database)
        torn.with_name(torn.name + "-wal").write_bytes(frames[:cut])
        with closing(LedgerFile(torn)) as again:
            again.open()
            found.add((again._tree.size, cut == len(frames)))
            again.commit([seal(decision(2))])
        assert verify(torn).verified
    assert found == {(1, False), (2, True)}


def _append(path: Path, name: str, count: int) -> None:
    with LedgerWriter(path) as writer:
        for number in range(count):
            writer.append(decision(number, subject=name))


def test_several_processes_append_to_one_order(path: Path) -> None:
    """Two processes at once leave one sequence without a gap, and one tree."""
    write(path, decision(0))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append, args=(path, name, 40)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    report = verify(path)
    assert report.verified
    assert report.entries == 81


def test_a_connection_with_an_entry_written_elsewhere_goes_on_from_there(path: Path, file: LedgerFile) -> None:
    """The tail is read in the transaction that builds upon it."""
    assert write(path, decision(1)) == [1]
    assert file.commit([seal(decision(2))]) == [2]
    assert verify(path).verified


def test_a_writer_tells_what_became_of_its_entry(path: Path) -> None:
    """The command line's writer gives a sequence or raises."""
    taken = decision(0)
    with LedgerWriter(path) as writer:
        assert writer.append(taken) == 0
        assert writer.append(taken) == 0
        with pytest.raises(LedgerUnavailable, match="another content"):
            writer.append(taken | {"reason": "another"})
    assert not path.with_name("ledger.db-wal").exists()


def test_a_batch_larger_than_a_statement_gets_its_rows_and_hashes_as_any_other(path: Path, file: LedgerFile) -> None:
    """Between two batches, and not all at once when nobody can wait for it."""
    file.commit([seal(decision(number)) for number in range(1, MAX_ROWS + 100)])
    file.tidy()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM lookup").fetchone() == (MAX_ROWS + 100,)
        assert other.execute("SELECT count(*) FROM node").fetchone() == ((MAX_ROWS + 100) // 256,)


def test_what_a_failed_sync_may_have_left_in_memory_alone_is_written_once_more(
    path: Path, file: LedgerFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the log that a process left, as it was, before anything is told upon it."""
    log = path.with_name(path.name + "-wal")
    left = log.read_bytes()
    wrote: list[bytes] = []
    synced: list[int] = []
    pwrite, fsync = module.os.pwrite, module.os.fsync
    monkeypatch.setattr(module.os, "pwrite", lambda *given: wrote.append(bytes(given[1])) or pwrite(*given))
    monkeypatch.setattr(module.os, "fsync", lambda *given: synced.append(len(wrote)) or fsync(*given))
    LedgerFile(path).open()
    assert b"".join(wrote) == left != b""
    assert synced[0] == len(wrote)
    assert log.read_bytes().startswith(left)


def test_a_disk_that_fails_as_the_index_is_written_at_the_end_is_believed(file: LedgerFile, faults: Faults) -> None:
    """The log stays where it is."""
    faults.arm("INSERT INTO lookup", sqlite3.SQLITE_IOERR, persisted=False)
    file.close()
    assert "the disk failed" in file.failure
    assert file._wal.stat().st_size


def test_directories_that_are_made_for_a_ledger_are_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by the one that it is in."""
    synced: list[Path] = []
    monkeypatch.setattr(module, "sync_directory", synced.append)
    LedgerFile(tmp_path / "a" / "b" / "ledger.db").open()
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b"} <= set(synced)
