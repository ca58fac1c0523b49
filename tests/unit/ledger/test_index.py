"""The index follows the entries: searches see all of the ledger however far behind it is."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger import schema
from gateway.ledger.entry import administrative, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify
from tests.unit.ledger.entries import completion, decision, tampering, write
from tests.world.clock import FakeClock


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


VALUES = {
    "customer": ("acme", "globex", ""),
    "subject": ("priya", "sam"),
    "rule": ("outside-home", "role"),
    "ticket": ("BUG-9", "acme", ""),
}


@pytest.fixture
def segmented(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Thirty entries, of which six segments of four have their lists and the rest have none yet."""
    monkeypatch.setattr(schema, "SEGMENT", 4)
    chance = random.Random(1)
    with closing(LedgerFile(path)) as file:
        file.open()
        for number in range(30):
            fields = decision(number, **{name: chance.choice(values) for name, values in VALUES.items()})
            if number % 5 == 4:
                act, thing = chance.choice(["ticket.open", "customer.add"]), chance.choice(["acme", "globex", "BUG-9"])
                details = {"customer": chance.choice(["acme", "acme,globex", ""])}
                fields = administrative(
                    clock=FakeClock(), node="n", actor="sam", act=act, subject=thing, details=details
                )
            file.commit([seal(fields)])
            if number < 26:
                file._index(file._connection)  # type: ignore[arg-type]  # as tidying does, once enough lack a row
        yield path


def naive(path: Path, query: Query) -> list[int]:
    """What fits, from the words of :class:`Query` alone."""
    with LedgerReader(path) as reader:
        entries = list(reader.after(-1))

    def fits(entry: dict[str, Any]) -> bool:
        named = entry["details"] if entry["kind"] == "administrative" else entry
        acting = entry["kind"] == "administrative"
        either = all(
            value in (named.get(name, ""), entry.get("object", ""))
            or (name == "customer" and acting and value in named.get(name, "").split(","))
            for name in ("customer", "ticket")
            if (value := getattr(query, name))
        )
        return (
            either
            and query.subject in ("", entry.get("subject", entry.get("actor")))
            and query.rule in ("", named.get("rule"))
            and (query.before is None or entry["sequence"] < query.before)
            and (query.after is None or entry["sequence"] > query.after)
        )

    found = [entry["sequence"] for entry in entries if fits(entry)]
    return (found[::-1] if query.newest_first else found)[: query.limit]


QUERIES = st.builds(
    Query,
    **{name: st.sampled_from(["", "nobody", *filter(None, values)]) for name, values in VALUES.items()},
    before=st.none() | st.integers(0, 40),
    after=st.none() | st.integers(0, 40),
    limit=st.none() | st.integers(1, 5),
    newest_first=st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(QUERIES)
def test_a_search_by_lists_finds_what_reading_everything_finds(segmented: Path, query: Query) -> None:
    """From either end, within bounds, whether or not a segment has its lists."""
    with LedgerReader(segmented) as reader:
        assert [entry["sequence"] for entry in reader.search(query)] == naive(segmented, query)


def test_segments_get_their_lists_once_they_are_full(segmented: Path) -> None:
    """Six of them; nothing is listed of the seventh."""
    with closing(sqlite3.connect(segmented)) as connection:
        assert connection.execute("SELECT count(DISTINCT segment), max(segment) FROM posting").fetchone() == (6, 5)


def test_lists_that_were_lost_are_made_anew(segmented: Path) -> None:
    """A ledger of the version before has none: every search finds all, and writing goes on with a segment at a time."""
    with tampering(segmented) as connection:
        for table in ("posting", "segment", "sealed", "tile", "kept"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 3")
    with closing(LedgerFile(segmented)) as file:
        file.open()
        query = Query(customer="acme")
        with LedgerReader(segmented) as reader:
            assert [entry["sequence"] for entry in reader.search(query)] == naive(segmented, query)
        for _ in range(6):
            file._index(file._connection)  # type: ignore[arg-type]
    with closing(sqlite3.connect(segmented)) as connection:
        assert connection.execute("SELECT count(DISTINCT segment) FROM posting").fetchone() == (7,)
