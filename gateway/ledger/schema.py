"""The ledger's tables.

``entry`` is the evidence: the bytes and their leaf hash, which triggers keep from being changed, removed or written
out of order. ``lookup`` holds what searches need, in rows a tenth as long, all of it derived from ``entry``. ``head``
is the tree over all entries, written in the transaction that adds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from gateway.ledger.entry import COLUMNS

APPLICATION_ID = 0x52474C31  # "RGL1", where `file` and others look for it
SCHEMA_VERSION = 1

CREATE = (
    "CREATE TABLE entry (sequence INTEGER PRIMARY KEY, leaf_hash BLOB NOT NULL, body BLOB NOT NULL) STRICT",
    f"""CREATE TABLE lookup (sequence INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,
        {", ".join(f"{name} TEXT NOT NULL" for name in COLUMNS[1:])}) STRICT""",
    "CREATE UNIQUE INDEX lookup_id ON lookup (id)",
    "CREATE INDEX lookup_time ON lookup (time_us)",
    "CREATE INDEX lookup_decision ON lookup (decision) WHERE decision <> ''",
    """CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
        frontier BLOB NOT NULL) STRICT""",
    """CREATE TRIGGER entry_insert BEFORE INSERT ON entry
        WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence) + 1, 0) FROM entry)
        BEGIN SELECT raise(ABORT, 'an entry comes after the last one'); END""",
    *(
        f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END"
        for table, verb in (
            ("entry", "UPDATE"),
            ("entry", "DELETE"),
            ("lookup", "UPDATE"),
            ("lookup", "DELETE"),
            ("head", "DELETE"),
        )
    ),
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

READ_MARKS = ("PRAGMA application_id", "PRAGMA user_version")
READ_HEAD = "SELECT size, root, frontier, (SELECT coalesce(max(sequence) + 1, 0) FROM entry) FROM head"
INSERT_HEAD = "INSERT INTO head VALUES (1, 0, ?, x'')"
WRITE_HEAD = "UPDATE head SET size = ?, root = ?, frontier = ?"

_ROWS = (64, 8, 1)


def _insert(table: str, columns: int, rows: int) -> str:
    values = ", ".join([f"({', '.join('?' * columns)})"] * rows)
    return f"INSERT INTO {table} VALUES {values}"  # noqa: S608  the names are the ones above


_INSERT_ENTRIES = {rows: _insert("entry", 3, rows) for rows in _ROWS}
_INSERT_LOOKUPS = {rows: _insert("lookup", len(COLUMNS) + 1, rows) for rows in _ROWS}


def inserts(
    entries: Sequence[tuple[int, bytes, bytes]], lookups: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, list[Any]]]:
    """Statements and parameters that insert these rows, many rows a statement.

    SQLite lets go of the interpreter's lock once a statement; a statement for each row would wait for it as often,
    and each time as long as the event loop is busy.
    """
    yield from _in_chunks(_INSERT_ENTRIES, entries)
    yield from _in_chunks(_INSERT_LOOKUPS, lookups)


def _in_chunks(statements: dict[int, str], rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    start = 0
    for count, statement in statements.items():
        while len(rows) - start >= count:
            yield statement, list(chain.from_iterable(rows[start : start + count]))
            start += count
