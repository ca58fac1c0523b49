"""The upper hashes of the tree: stored behind the entries, worked out where they are not, and the same either way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable
from gateway.ledger import proof, schema
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.nodes import StoredNodes
from gateway.ledger.proof import LeavesInMemory
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import verify
from tests.unit.ledger.entries import decision, tampering

SIZE = 1_300


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return [seal(decision(number)) for number in range(SIZE)]


@pytest.fixture
def filled(path: Path, entries: list[Entry]) -> Path:
    """A ledger with more entries than go into five tiles."""
    file = LedgerFile(path)
    file.open()
    file.commit(entries)
    file.tidy()
    file.close()
    return path


@pytest.mark.parametrize("lost", ["", "number >= 3", "1"])
def test_stored_tree_is_the_tree_of_its_leaves(filled: Path, entries: list[Entry], lost: str) -> None:
    """Whatever is stored of it."""
    if lost:
        with tampering(filled) as connection:
            connection.execute(f"DELETE FROM node WHERE {lost}")
    memory = LeavesInMemory([entry.leaf_hash for entry in entries])
    with closing(sqlite3.connect(filled)) as connection:
        stored = StoredNodes(connection)
        assert stored.hashes(1, 0, 5) == memory.hashes(1, 0, 5)
        for size in (1, 256, 257, 1_024, SIZE):
            assert proof.root(stored, size) == proof.root(memory, size)
            assert proof.inclusion(stored, size - 1, size) == proof.inclusion(memory, size - 1, size)
            assert proof.consistency(stored, size // 2, size) == proof.consistency(memory, size // 2, size)


def test_full_tiles_are_stored_and_lost_ones_are_made_anew(filled: Path) -> None:
    """Each in its place, when the ledger is opened for writing."""
    count = "SELECT count(*), min(number), max(number) FROM node WHERE level = 1"
    with closing(sqlite3.connect(filled)) as connection:
        assert connection.execute(count).fetchone() == (5, 0, 4)
    with tampering(filled) as connection:
        connection.execute("DELETE FROM node WHERE number > 1")
    file = LedgerFile(filled)
    file.open()
    file.close()
    with closing(sqlite3.connect(filled)) as connection:
        assert connection.execute(count).fetchone() == (5, 0, 4)


def test_tiles_that_fill_up_while_appending_are_stored_as_they_came(
    path: Path, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their leaves are neither read nor hashed a second time; one that another process filled is worked out."""
    file = LedgerFile(path)
    file.open()
    with monkeypatch.context() as patch:
        patch.setattr(StoredNodes, "worked_out", lambda *_: pytest.fail("worked out"))
        for start in range(0, 1_024, 128):
            file.commit(entries[start : start + 128])
            file.tidy()
    other = LedgerFile(path)
    other.open()
    other.commit(entries[1_024:1_100])
    file.commit(entries[1_100:])
    file.close()
    other.close()
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT hash FROM node WHERE level = 1 ORDER BY number").fetchall()
    assert [node for [node] in found] == LeavesInMemory([entry.leaf_hash for entry in entries]).hashes(1, 0, 5)


def test_entries_that_are_not_there_have_no_hashes(filled: Path) -> None:
    """None is made up."""
    with closing(sqlite3.connect(filled)) as connection, pytest.raises(sqlite3.DatabaseError, match="missing"):
        StoredNodes(connection).hashes(0, SIZE - 1, 2)


@pytest.mark.parametrize(
    ("version", "later"), [(2, ("cosignature", "checkpoint", "node", "posting")), (3, ("posting",)), (4, ())]
)
def test_ledger_of_a_version_before_becomes_one_of_this(
    filled: Path, entries: list[Entry], version: int, later: tuple[str, ...]
) -> None:
    """By whoever opens it for writing; readers say what to do until then."""
    with tampering(filled) as connection:
        for table in (*later, "segment", "sealed", "tile", "kept"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(LedgerUnavailable, match="start the gateway"):
        LedgerReader(filled)
    file = LedgerFile(filled)
    file.open()
    file.keep_checkpoint(SIZE, "note")
    assert file.commit([seal(decision(SIZE))]) == [SIZE]
    file.close()
    with closing(sqlite3.connect(filled)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
        assert connection.execute("SELECT count(*) FROM node WHERE level = 1").fetchone() == (5,)
    assert [problem for problem in verify(filled).problems if problem.sequence >= 0] == []


def test_checkpoint_that_is_kept_stays_as_it_is(filled: Path) -> None:
    """The first of a size counts, and nobody changes it."""
    file = LedgerFile(filled)
    file.open()
    file.keep_checkpoint(SIZE, "first\n")
    file.keep_checkpoint(SIZE, "second\n")
    file.keep_cosignature(SIZE, "witness", "line\n")
    file.keep_cosignature(SIZE, "witness", "other\n")
    file.close()
    with closing(sqlite3.connect(filled)) as connection:
        assert connection.execute("SELECT * FROM checkpoint").fetchall() == [(SIZE, "first\n")]
        assert connection.execute("SELECT * FROM cosignature").fetchall() == [(SIZE, "witness", "line\n")]
        for statement in ("UPDATE checkpoint SET note = ''", "DELETE FROM node", "DELETE FROM cosignature"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
