"""Searching, and what a search gives back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND_US
from gateway.errors import LedgerUnavailable, NotFound
from gateway.ledger import reader as module
from gateway.ledger.entry import administrative
from gateway.ledger.reader import LedgerReader, Query
from tests.unit.ledger.entries import decision, tampering, write
from tests.world.clock import NOW_S, FakeClock


@pytest.fixture
def reader(written: Path) -> Iterator[LedgerReader]:
    with LedgerReader(written) as opened:
        yield opened


def sequences(reader: LedgerReader, **asked: Any) -> list[int]:
    return [found["sequence"] for found in reader.search(Query(**asked))]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"newest_first": True}, [4, 3, 2, 1, 0]),
        ({"limit": 2}, [0, 1]),
        ({"newest_first": True, "limit": 1}, [4]),
        ({"before": 2}, [0, 1]),
        ({"before": 0}, []),
        ({"since_us": (NOW_S + 3) * SECOND_US}, [3, 4]),
        ({"until_us": (NOW_S + 3) * SECOND_US}, [0, 1, 2]),
        ({"since_us": 0, "until_us": 0}, []),
        ({"kind": "decision"}, [0, 3, 4]),
        ({"kind": "completion"}, [1]),
        ({"customer": "acme"}, [0, 2, 4]),
        ({"customer": "globex"}, [3]),
        ({"subject": "sam"}, [4]),
        ({"subject": "dana"}, [2]),
        ({"country": "IN"}, [0, 3, 4]),
        ({"rule": "code-level-bug"}, [0]),
        ({"effect": "deny"}, [3, 4]),
        ({"store": "crm"}, [0, 3, 4]),
        ({"ticket": "BUG-9"}, [0, 3, 4]),
        ({"grant": "G-1"}, [0, 2]),
        ({"customer": "acme", "effect": "deny"}, [4]),
        ({"customer": "nobody"}, []),
        ({"customer": "' OR 1=1 --"}, []),
    ],
    ids=str,
)
def test_a_query_finds_what_fits(reader: LedgerReader, asked: dict[str, Any], found: list[int]) -> None:
    """Every field that is set must hold."""
    assert sequences(reader, **asked) == found


def test_a_decision_is_found_with_its_completion(reader: LedgerReader) -> None:
    """By the decision's id, its sequence, or by its completion."""
    [permit, done] = reader.show("0")
    assert (permit["kind"], done["kind"], done["decision"]) == ("decision", "completion", permit["id"])
    assert reader.show(permit["id"]) == reader.show("1") == reader.show(done["id"]) == [permit, done]
    assert sequences(reader, decision=permit["id"]) == [0, 1]


@pytest.mark.parametrize("key", ["5", "nobody", "", "9" * 40, "-1", "²"])
def test_what_is_not_there_is_not_found(reader: LedgerReader, key: str) -> None:
    """An unknown id or sequence."""
    with pytest.raises(NotFound):
        reader.show(key)


def test_the_tail_is_the_newest_last(reader: LedgerReader) -> None:
    """The last entries, in the order of the record."""
    assert [entry["sequence"] for entry in reader.tail(2)] == [3, 4]
    assert [entry["sequence"] for entry in reader.tail(50)] == [0, 1, 2, 3, 4]
    assert reader.tail(0) == []
    assert [entry["sequence"] for entry in reader.after(2)] == [3, 4]
    assert reader.size() == 5


def test_bodies_are_read_in_bunches(reader: LedgerReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or doubled between two bunches, and an end may lie within one."""
    monkeypatch.setattr(module, "_BUNCH", 2)
    assert [sequence for sequence, _ in reader.bodies()] == [0, 1, 2, 3, 4]
    assert [sequence for sequence, _ in reader.bodies(start=1, before=4)] == [1, 2, 3]


def test_an_entry_keeps_its_fields(path: Path) -> None:
    """A projection is the entry with its sequence."""
    fields = decision(0)
    write(path, fields)
    with LedgerReader(path) as reader:
        assert reader.tail(1) == [{"sequence": 0, **fields}]


def test_a_reader_sees_what_is_written_while_it_is_open(reader: LedgerReader, written: Path) -> None:
    """No snapshot is held."""
    write(written, decision(9))
    assert reader.size() == 6


def test_a_reader_cannot_write(reader: LedgerReader) -> None:
    """Its connection is read-only."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("UPDATE head SET size = 0")


def test_a_ledger_that_is_not_there_is_told_and_not_made(path: Path) -> None:
    """Reading begins nothing."""
    with pytest.raises(LedgerUnavailable, match="there is none"):
        LedgerReader(path)
    assert not path.exists()


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Neither text nor another database is read."""
    path = tmp_path / "other.db"
    path.write_text("text" * 1_000)
    with pytest.raises(LedgerUnavailable, match="cannot be read"):
        LedgerReader(path)
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE mine (x)").connection.close()
    with pytest.raises(LedgerUnavailable, match="another database"):
        LedgerReader(path)


def test_damage_met_while_reading_is_told(written: Path) -> None:
    """A table that is gone is an error of ours."""
    with tampering(written) as connection:
        connection.execute("DROP TABLE lookup")
    with LedgerReader(written) as reader, pytest.raises(LedgerUnavailable, match="run ledger verify"):
        sequences(reader, customer="acme")


@pytest.mark.parametrize(
    ("customer", "found"),
    [("acme", [0]), ("globex", [0]), ("glob", []), ("acme,globex", [0]), ("*", [1]), ("a", [])],
)
def test_each_of_several_customers_is_found(tmp_path: Path, customer: str, found: list[int]) -> None:
    """An act that names two is an act about each of them; what a request's path says is not split."""
    path = tmp_path / "several.db"
    write(path, widened("acme,globex"), widened("*"), decision(2, customer="a,b"))
    with LedgerReader(path) as reader:
        assert sequences(reader, customer=customer) == found


def widened(customer: str) -> dict[str, Any]:
    details = {"customer": customer, "ticket": "INC-7"}
    return administrative(
        clock=FakeClock(), node="n", actor="liam", act="ticket.widen", subject="INC-7", details=details
    )
