"""The ledger's tables.

``entry`` is the evidence: the bytes, their id and their leaf hash, which triggers keep from being changed, removed or
written out of order. ``head`` is the tree over all entries. ``append`` is how both are written, by one statement: its
last row carries the head as it is after it, and the root that the head had before, so that nothing is appended to a
tree that has moved on. ``lookup`` holds what searches need, in rows a tenth as long, all of it derived from ``entry``
and written behind it, many rows at a time; see :mod:`gateway.ledger.index`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from gateway.ledger.entry import COLUMNS, Entry
from gateway.ledger.merkle import Frontier

APPLICATION_ID = 0x52474C31  # "RGL1", where `file` and others look for it
SCHEMA_VERSION = 2

LOOKUP = f"""(sequence INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,
    {", ".join(f"{name} TEXT NOT NULL" for name in COLUMNS[1:])}) STRICT"""

CREATE = (
    """CREATE TABLE entry (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, leaf_hash BLOB NOT NULL,
        body BLOB NOT NULL) STRICT""",
    "CREATE UNIQUE INDEX entry_id ON entry (id)",
    """CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
        frontier BLOB NOT NULL) STRICT""",
    """CREATE VIEW append (sequence, id, leaf_hash, body, previous, root, frontier) AS
        SELECT sequence, id, leaf_hash, body, NULL, NULL, NULL FROM entry""",
    """CREATE TRIGGER append_insert INSTEAD OF INSERT ON append WHEN NEW.root IS NULL BEGIN
        INSERT INTO entry VALUES (NEW.sequence, NEW.id, NEW.leaf_hash, NEW.body);
        END""",
    """CREATE TRIGGER append_last INSTEAD OF INSERT ON append WHEN NEW.root IS NOT NULL BEGIN
        SELECT raise(ABORT, 'the tree has moved on') WHERE (SELECT root FROM head) IS NOT NEW.previous;
        INSERT INTO entry VALUES (NEW.sequence, NEW.id, NEW.leaf_hash, NEW.body);
        UPDATE head SET size = NEW.sequence + 1, root = NEW.root, frontier = NEW.frontier;
        END""",
    f"CREATE TABLE lookup {LOOKUP}",
    "CREATE INDEX lookup_time ON lookup (time_us)",
    "CREATE INDEX lookup_decision ON lookup (decision) WHERE decision <> ''",
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
TOUCH_HEAD = "UPDATE head SET size = size"

MAX_ROWS = 512  # a statement


@lru_cache(maxsize=4 * MAX_ROWS)
def insert(table: str, columns: int, rows: int) -> str:
    """A statement that inserts so many rows.

    SQLite lets go of the interpreter's lock once a statement, and each time waits for it as long as the event loop is
    busy: many rows a statement, few statements a batch.
    """
    values = ", ".join([f"({', '.join('?' * columns)})"] * rows)
    return f"INSERT INTO {table} VALUES {values}"  # noqa: S608  the names are the ones above


def append(entries: Sequence[Entry], before: Frontier, after: Frontier) -> tuple[str, list[Any]]:
    """The one statement that adds entries to a tree and sets its head, with its parameters.

    Args:
        entries: at least one and at most :data:`MAX_ROWS`.
        before, after: the tree without and with them.
    """
    rows: list[tuple[Any, ...]] = [
        (sequence, entry.id, entry.leaf_hash, entry.body, None, None, None)
        for sequence, entry in enumerate(entries, before.size)
    ]
    rows[-1] = (*rows[-1][:4], before.root(), after.root(), after.to_bytes())
    return insert("append", 7, len(rows)), list(chain.from_iterable(rows))
