"""The lists for searches: whatever is done to them is found and named, and made anew by ``ledger reindex``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable
from gateway.ledger import index, reindexing, schema
from gateway.ledger.entry import administrative, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.lists import wrong_lists
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.verification import verify
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.entries import completion, decision, tampering
from tests.world.clock import FakeClock

SEGMENT = 8
SIZE = 30


@pytest.fixture
def listed(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty entries and three segments of eight with their lists; the third has nothing to list."""
    monkeypatch.setattr(schema, "SEGMENT", SEGMENT)
    permits = [decision(number, customer=f"c{number % 3}", effect="permit") for number in range(12)]
    act = {"clock": FakeClock(), "node": "n", "actor": "dana", "subject": "BUG-9"}
    acts = [
        administrative(**act, act="customer.add", details={"customer": several})  # type: ignore[arg-type]
        for several in ("c1,c2", "c1,c2", "c3", "")
    ]
    rest = [decision(number) for number in range(6)]
    written = [*permits, *acts, *map(completion, permits[:8]), *rest]
    with closing(LedgerFile(path)) as file:
        file.open()
        file.commit([seal(fields) for fields in written])
        for _ in range(3):
            file._index(file._connection)  # type: ignore[arg-type]  # as tidying does, once enough lack a row
    return path


def lists(path: Path) -> list[tuple[int, str, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM posting").fetchall()


def told(one: reindexing.Wrong) -> Mapping[str, object]:
    details = {"first": one.first, "last": one.last}
    return administrative(clock=FakeClock(), node="n", actor="dana", act=reindexing.ACT, subject="i", details=details)


def reindex(path: Path) -> list[reindexing.Wrong]:
    with LedgerWriter(path) as writer:
        return list(reindexing.reindex(path, writer, told=told))


def problems(path: Path) -> list[tuple[int, str]]:
    return [(problem.sequence, problem.what) for problem in verify(path).problems]


def test_lists_of_a_sound_ledger_hold(listed: Path) -> None:
    """Three segments have them, the one in which nothing is listed an empty one; there is nothing to mend."""
    assert [row for row in lists(listed) if row[0] == 2] == [(2, "", "", "[]")]
    assert {(name, value): places for _, name, value, places in lists(listed)}["customers", "c1,c2"] == "[4,5]"
    assert problems(listed) == []
    assert list(reindexing.compare(listed)) == []


C0 = "segment = 0 AND name = 'customer' AND value = 'c0'"  # [0,3,6]
FIRST, SECOND, THIRD = (
    f"the lists for searches over the entries {at} to {at + 7} say otherwise than these in " for at in (0, 8, 16)
)
BEYOND = "lists for searches are stored over entries that are not there"


@pytest.mark.parametrize(
    ("script", "sequence", "what"),
    [
        (f"DELETE FROM posting WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,5]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,6,7]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,3,6]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,3]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,-2]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,6,8]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,6.0]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[false,3,6]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,[6]]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0],[3,6]' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,6' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '[0,3,6],7' WHERE {C0}", 0, FIRST + "customer"),
        ("UPDATE posting SET places = '[2,5],[]' WHERE value = 'c2' AND segment = 0", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '0' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '{{}}' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET places = '' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET value = 'c9' WHERE {C0}", 0, FIRST + "customer"),
        (f"UPDATE posting SET name = 'store' WHERE {C0}", 0, FIRST + "customer, store"),
        ("UPDATE posting SET name = 'else' WHERE name = 'customer' AND segment = 0", 0, FIRST + "customer, else"),
        ("DELETE FROM posting WHERE name = 'subject' AND segment = 1", 8, SECOND + "subject"),
        ("DELETE FROM posting WHERE name = 'customers'", 8, SECOND + "customers"),
        ("UPDATE posting SET places = '[4]' WHERE name = 'customers'", 8, SECOND + "customers"),
        ("UPDATE posting SET places = '[4,5,6]' WHERE name = 'customers'", 8, SECOND + "customers"),
        ("INSERT INTO posting VALUES (2, 'customer', '', '[0]')", 16, THIRD + "customer"),
        (
            """UPDATE posting SET places = '[0,1,2]' WHERE segment = 1 AND name = 'ticket';
            INSERT INTO posting VALUES (1, 'ticket', '', '[7]')""",
            8,
            SECOND + "ticket",
        ),
        ("INSERT INTO posting VALUES (2, 'customer', 'x', '[0]')", 16, THIRD + "customer"),
        ("INSERT INTO posting VALUES (2, '', 'x', '[]')", 16, THIRD),
        ("DELETE FROM posting WHERE segment = 0", 0, FIRST + "country, customer, rule, store, subject, ticket"),
        ("INSERT INTO posting VALUES (3, 'customer', 'acme', '[0]')", -1, BEYOND),
        ("INSERT INTO posting VALUES (99, '', '', '[]')", -1, BEYOND),
        ("INSERT INTO posting VALUES (-1, 'customer', 'acme', '[0]')", -1, BEYOND),
    ],
)  # fmt: skip
def test_tampering_with_lists_is_found_named_and_mended(listed: Path, script: str, sequence: int, what: str) -> None:
    """One line for the segment, and no other; afterwards the lists are as they were, and an entry says so."""
    sound = lists(listed)
    with tampering(listed) as connection:
        connection.executescript(script)
    assert problems(listed) == [(sequence, what)]
    assert len(reindex(listed)) == 1
    assert lists(listed) == sound
    assert problems(listed) == []
    with LedgerReader(listed) as reader:
        assert [entry["act"] for entry in reader.tail(2) if entry["kind"] == "administrative"] == [reindexing.ACT]


def test_texts_that_are_lists_only_together_are_found(listed: Path) -> None:
    """Each list is one by itself: what one of them lacks another cannot have."""
    with tampering(listed) as connection:
        connection.execute(f"UPDATE posting SET places = '[0,3,6],[1' WHERE {C0}")
        connection.execute("UPDATE posting SET places = '4,7]' WHERE segment = 0 AND value = 'c1'")
    assert problems(listed) == [(0, FIRST + "customer")]


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE lookup SET customer = 'x' WHERE sequence = 5",
        "UPDATE lookup SET customer = 'x', time_us = 7 WHERE sequence IN (0, 29)",
        "DELETE FROM lookup WHERE sequence IN (3, 4)",
        "UPDATE lookup SET sequence = 77 WHERE sequence = 29",
        "UPDATE lookup SET sequence = -1 WHERE sequence = 0; DELETE FROM posting",
    ],
)
def test_rows_of_the_index_are_mended(listed: Path, script: str) -> None:
    """Whichever was changed, is gone or too many; and searches find what they found."""
    with LedgerReader(listed) as reader:
        sound = [entry["id"] for entry in reader.search(Query(customer="c2"))]
    with tampering(listed) as connection:
        connection.executescript(script)
    assert problems(listed)
    assert reindex(listed)
    assert problems(listed) == []
    with LedgerReader(listed) as reader:
        assert [entry["id"] for entry in reader.search(Query(customer="c2"))] == sound


@pytest.mark.parametrize("table", ["lookup", "posting"])
def test_what_is_mended_is_kept_from_being_changed_as_before(listed: Path, table: str) -> None:
    """Its triggers are away only within the transaction, and come back as they were."""
    statement = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"
    with closing(sqlite3.connect(listed, isolation_level=None)) as connection:
        before = connection.execute(statement).fetchall()
        connection.execute("BEGIN")
        with index.thawed(connection, table):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("COMMIT")
        assert connection.execute(statement).fetchall() == before


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("DELETE FROM entry WHERE sequence = 9", {9, -1}),
        ("UPDATE entry SET body = x'7b' WHERE sequence = 9", {9, -1}),
    ],
)
def test_entry_that_cannot_be_read_is_not_held_against_the_lists(listed: Path, script: str, named: set[int]) -> None:
    """It is named for itself; only a list that is wrong of others is named too."""
    with tampering(listed) as connection:
        connection.executescript(script)
    assert {sequence for sequence, _ in problems(listed)} == named
    with tampering(listed) as connection:
        connection.execute("UPDATE posting SET places = '[0,1]' WHERE segment = 1 AND value = 'priya'")
    assert {sequence for sequence, _ in problems(listed)} == named | {8}


def test_list_that_names_an_entry_of_another_value_beside_an_unreadable_one_is_wrong(listed: Path) -> None:
    """What is not known is passed over; what is known counts."""
    with closing(sqlite3.connect(listed)) as connection:
        rows = [row[1:] for row in connection.execute("SELECT * FROM lookup WHERE sequence < 8")]
        assert wrong_lists(connection, 0, rows) == []
        assert wrong_lists(connection, 0, [None, *rows[1:]]) == []
        assert wrong_lists(connection, 0, [None, rows[0], *rows[2:]]) == ["customer"]
        assert wrong_lists(connection, 0, [None] * 8) == []


def test_lists_are_looked_at_in_every_stretch(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever they are in, and however entries are read."""
    for module in ("rereading", "verification", "reindexing"):
        monkeypatch.setattr(f"gateway.ledger.{module}.STRETCH", 2 * SEGMENT)
    monkeypatch.setattr("gateway.ledger.rereading.BUNCH", 3)
    assert problems(listed) == []
    with tampering(listed) as connection:
        connection.execute("UPDATE posting SET places = '[7]' WHERE segment < 2 AND name = 'subject'")
        connection.execute("INSERT INTO posting VALUES (2, 'customer', 'x', '[0]')")
    assert problems(listed) == [(0, FIRST + "subject"), (8, SECOND + "subject"), (16, THIRD + "customer")]
    assert [(one.first, one.last, list(one.segments)) for one in reindex(listed)] == [(0, 15, [0, 1]), (16, 29, [2])]
    assert problems(listed) == []


def test_reindexing_goes_on_beside_a_writer(listed: Path) -> None:
    """What is written between two stretches gets its rows as ever."""
    with tampering(listed) as connection:
        connection.execute("UPDATE lookup SET customer = 'x' WHERE sequence = 5")
    with LedgerWriter(listed) as gateway, LedgerWriter(listed) as writer:
        for _ in reindexing.reindex(listed, writer, told=told):
            gateway.append(decision(50))
    assert problems(listed) == []
    with closing(sqlite3.connect(listed)) as connection:
        assert connection.execute("SELECT count(*) FROM lookup").fetchone() == (SIZE + 2,)


def test_reindexing_what_cannot_be_read_is_refused(listed: Path) -> None:
    """In one line that says what to do."""
    with tampering(listed) as connection:
        connection.execute("DROP TABLE posting")
    with pytest.raises(LedgerUnavailable, match="run ledger verify"):
        list(reindexing.compare(listed))


def test_an_entry_without_sense_has_a_row_that_says_nothing(listed: Path) -> None:
    """As when it was written: reindexing mends no evidence."""
    with tampering(listed) as connection:
        connection.execute("UPDATE entry SET body = x'7b' WHERE sequence = 5")
    [one] = list(reindexing.compare(listed))
    assert json.dumps(one.rows[5]) == json.dumps([0, *[""] * 12])
