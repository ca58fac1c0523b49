"""The index follows the entries: searches see all of the ledger however far behind it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.ledger import LedgerFile, LedgerReader, Query, schema, seal, verify
from tests.unit.ledger.entries import completion, decision, tampering, write


def indexed(path: Path) -> int:
    """How many entries have a row."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM lookup").fetchone()[0])


def customers(path: Path, **query: object) -> list[str]:
    with LedgerReader(path) as reader:
        return [entry["customer"] for entry in reader.search(Query(**query))]  # type: ignore[arg-type]


@pytest.fixture
def file(path: Path) -> Iterator[LedgerFile]:
    with closing(LedgerFile(path)) as file:
        file.open()
        yield file


def test_entries_without_a_row_are_found_shown_and_verified(path: Path, file: LedgerFile) -> None:
    """Nothing has been indexed yet, and nobody can tell."""
    asked, other = decision(0, customer="acme"), decision(1, customer="globex")
    done = completion(asked)
    file.commit([seal(fields) for fields in (asked, other, done)])
    assert indexed(path) == 0
    assert customers(path, customer="globex") == ["globex"]
    with LedgerReader(path) as reader:
        for key in (str(asked["id"]), str(done["id"]), "0", "2"):
            assert [entry["id"] for entry in reader.show(key)] == [asked["id"], done["id"]]
        assert [entry["id"] for entry in reader.search(Query(decision=str(asked["id"])))] == [asked["id"], done["id"]]
    assert verify(path).verified


def test_rows_and_entries_that_lack_one_are_found_together_and_once(path: Path, file: LedgerFile) -> None:
    """Half of the entries have a row: each is found once, in order, from either end."""
    file.commit([seal(decision(number, customer=f"c{number}")) for number in range(3)])
    file.close()
    file.open()
    file.commit([seal(decision(number, customer=f"c{number}")) for number in range(3, 6)])
    assert indexed(path) == 3
    assert customers(path) == [f"c{number}" for number in range(6)]
    assert customers(path, newest_first=True, limit=4) == ["c5", "c4", "c3", "c2"]
    with LedgerReader(path) as reader:
        first = len(list(reader.search(Query())))
        file.commit([seal(decision(6))])
        assert (first, len(list(reader.search(Query())))) == (6, 7)


def test_the_index_catches_up_once_enough_lack_a_row(path: Path, file: LedgerFile) -> None:
    """Not before: many rows at once are a fraction of the work."""
    entries = [seal(decision(number)) for number in range(schema.MAX_ROWS)]
    file.commit(entries[:-1])
    file.tidy()
    assert indexed(path) == 0
    file.commit(entries[-1:])
    file.tidy()
    assert indexed(path) == schema.MAX_ROWS
    assert verify(path).verified


def test_what_others_appended_gets_its_rows_too(path: Path, file: LedgerFile) -> None:
    """A command appends between two batches of the gateway: there is no hole."""
    file.commit([seal(decision(0))])
    write(path, decision(1))
    file.commit([seal(decision(2))])
    file.close()
    assert indexed(path) == 3
    assert verify(path).verified


def test_what_a_crash_left_without_a_row_gets_one_at_the_next_start(path: Path, tmp_path: Path) -> None:
    """The entries are durable, their rows were not written: more of them than one statement takes."""
    with closing(LedgerFile(path)) as file:
        file.open()
        file.commit([seal(decision(number)) for number in range(2 * schema.MAX_ROWS + 3)])
        crashed = tmp_path / "crashed.db"
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            crashed.with_name(crashed.name + suffix).write_bytes(source.read_bytes())
    assert indexed(crashed) == 0
    with closing(LedgerFile(crashed)) as again:
        again.open()
    assert indexed(crashed) == 2 * schema.MAX_ROWS + 3


def test_an_index_that_was_lost_is_made_anew(path: Path, written: Path) -> None:
    """It is derived: whoever removed its rows removed nothing."""
    with tampering(written) as connection:
        connection.execute("DELETE FROM lookup")
    assert verify(written).verified
    with closing(LedgerFile(written)) as file:
        file.open()
    assert indexed(written) == 5


def test_an_entry_that_cannot_be_read_does_not_keep_others_from_being_found(path: Path, written: Path) -> None:
    """Its row says nothing; verifying says what is wrong with it."""
    with tampering(written) as connection:
        connection.execute("DELETE FROM lookup WHERE sequence >= 3")
        connection.execute("UPDATE entry SET body = x'7b' WHERE sequence = 3")
    with LedgerReader(written) as reader:
        assert [entry["sequence"] for entry in reader.search(Query(kind="decision"))]
    assert {problem.sequence for problem in verify(written).problems} == {-1, 3}
