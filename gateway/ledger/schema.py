"""The ledger's tables.

``entry`` is the evidence: the bytes, their id and their leaf hash, which triggers keep from being changed, removed or
written out of order. ``head`` is the tree over all entries. ``append`` is how both are written, by one statement: its
last row carries the head as it is after it, and the root that the head had before, so that nothing is appended to a
tree that has moved on. ``lookup`` holds what searches need, in rows a tenth as long, all of it derived from ``entry``
and written behind it, many rows at a time, and ``posting``, derived from that, in which rows of each segment a value
is; see :mod:`gateway.ledger.index`. ``node`` holds, likewise derived, the upper
hashes of the tree; see :mod:`gateway.ledger.nodes`. ``checkpoint`` holds what was signed, and ``cosignature`` what
witnesses signed of it.

``segment`` names the files into which the oldest entries were moved (:mod:`gateway.ledger.sealing`): only what such a
row is over may be taken out of ``entry``, and only what a removed one was over out of ``lookup`` and ``posting``. The
rows of ``lookup`` stay as long as the segment does, so that a search over all years is one query on indexed columns;
``sealed`` leads from an id to its sequence as the index on ``entry`` does for the others, and outlives the segment, so
that whoever asks for an entry that was removed is told so. ``tile`` and ``kept`` hold what stays of a removed one
(:mod:`gateway.ledger.retention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from gateway.ledger.entry import COLUMNS, Entry
from gateway.ledger.merkle import Frontier

APPLICATION_ID = 0x52474C31  # "RGL1", where `file` and others look for it
SCHEMA_VERSION = 6

LOOKUP = f"""(sequence INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,
    {", ".join(f"{name} TEXT NOT NULL" for name in COLUMNS[1:])}) STRICT"""

_EVIDENCE = (
    """CREATE TABLE node (level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (level, number)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS lookup_administrative ON lookup (object) WHERE kind = 'administrative'",
    """CREATE TABLE cosignature (size INTEGER NOT NULL REFERENCES checkpoint, name TEXT NOT NULL, line TEXT NOT NULL,
        PRIMARY KEY (size, name)) STRICT, WITHOUT ROWID""",
)

SEGMENT = 4_096  # rows of the index; a search looks once into each
POSTED = ("customer", "subject", "country", "rule", "store", "ticket", "grant_id", "object")
"""Columns by which a search finds the rows that hold a value without passing by all others."""

_POSTING = """CREATE TABLE posting (segment INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    places TEXT NOT NULL, PRIMARY KEY (segment, name, value)) STRICT, WITHOUT ROWID"""


_SEGMENTS = (
    """CREATE TABLE segment (first INTEGER PRIMARY KEY, after INTEGER NOT NULL, newest_us INTEGER NOT NULL,
        length INTEGER NOT NULL, sha256 BLOB NOT NULL, file TEXT NOT NULL, sealed_by INTEGER NOT NULL,
        removed_by INTEGER) STRICT""",
    """CREATE TABLE sealed (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE TABLE tile (number INTEGER PRIMARY KEY, leaves BLOB NOT NULL) STRICT",
    "CREATE TABLE kept (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
    """CREATE TRIGGER entry_delete BEFORE DELETE ON entry WHEN OLD.sequence >= coalesce(
        (SELECT after FROM segment WHERE first <= OLD.sequence ORDER BY first DESC LIMIT 1), 0)
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER lookup_delete BEFORE DELETE ON lookup WHEN OLD.sequence >= coalesce(
        (SELECT after FROM segment WHERE first <= OLD.sequence AND removed_by IS NOT NULL
            ORDER BY first DESC LIMIT 1), 0)
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER segment_insert BEFORE INSERT ON segment
        WHEN NEW.first IS NOT (SELECT coalesce(max(after), 0) FROM segment) OR NEW.after <= NEW.first
            OR NEW.first % 256 OR NEW.after % 256 OR NEW.after >= (SELECT size FROM head)
            OR length(NEW.sha256) <> 32 OR NEW.removed_by IS NOT NULL
        BEGIN SELECT raise(ABORT, 'a segment comes behind the last one, and before the end of the ledger'); END""",
    """CREATE TRIGGER segment_update BEFORE UPDATE ON segment
        WHEN OLD.removed_by IS NOT NULL OR NEW.removed_by IS NULL
            OR (OLD.first, OLD.after, OLD.newest_us, OLD.length, OLD.sha256, OLD.file, OLD.sealed_by)
            IS NOT (NEW.first, NEW.after, NEW.newest_us, NEW.length, NEW.sha256, NEW.file, NEW.sealed_by)
        BEGIN SELECT raise(ABORT, 'a segment changes once, when it is removed'); END""",
)


def _frozen(*frozen: tuple[str, str]) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END"
        for table, verb in frozen
    )


_POSTING_DELETE = f"""CREATE TRIGGER posting_delete BEFORE DELETE ON posting WHEN NOT EXISTS (SELECT 1 FROM segment
    WHERE removed_by IS NOT NULL AND first < (OLD.segment + 1) * {SEGMENT} AND after > OLD.segment * {SEGMENT})
    BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END"""  # noqa: S608  a number of ours
_POSTING_FROZEN = (*_frozen(("posting", "UPDATE")), _POSTING_DELETE)
_EVIDENCE_FROZEN = _frozen(
    *((table, verb) for table in ("node", "checkpoint", "cosignature") for verb in ("UPDATE", "DELETE"))
)

_SEGMENTS_FROZEN = _frozen(
    ("segment", "DELETE"), *((table, verb) for table in ("sealed", "tile", "kept") for verb in ("UPDATE", "DELETE"))
)

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
    _POSTING,
    """CREATE TRIGGER entry_insert BEFORE INSERT ON entry
        WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence) + 1, 0) FROM entry)
        BEGIN SELECT raise(ABORT, 'an entry comes after the last one'); END""",
    *_EVIDENCE,
    *_frozen(
        ("entry", "UPDATE"),
        ("lookup", "UPDATE"),
        ("head", "DELETE"),
    ),
    *_EVIDENCE_FROZEN,
    *_POSTING_FROZEN,
    *_SEGMENTS,
    *_SEGMENTS_FROZEN,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_MARK = f"PRAGMA user_version = {SCHEMA_VERSION}"
_TO_LISTS_THAT_GO = ("DROP TRIGGER IF EXISTS posting_delete", _POSTING_DELETE, _MARK)
_TO_SEGMENTS = (
    "DROP TRIGGER IF EXISTS entry_delete",
    "DROP TRIGGER IF EXISTS lookup_delete",
    *_SEGMENTS,
    *_SEGMENTS_FROZEN,
    *_TO_LISTS_THAT_GO,
)
UPGRADES = {
    2: (*_EVIDENCE, *_EVIDENCE_FROZEN, _POSTING, *_POSTING_FROZEN, *_TO_SEGMENTS),
    3: (_POSTING, *_POSTING_FROZEN, *_TO_SEGMENTS),
    4: _TO_SEGMENTS,
    5: _TO_LISTS_THAT_GO,
}
"""What makes a ledger of an earlier version one of this; nothing that was written changes."""

READ_MARKS = ("PRAGMA application_id", "PRAGMA user_version")
READ_HEAD = "SELECT size, root, frontier, (SELECT coalesce(max(sequence) + 1, 0) FROM entry) FROM head"
INSERT_HEAD = "INSERT INTO head VALUES (1, 0, ?, x'')"
TOUCH = _MARK
"""Writes a page, so that there is something to sync; to set a row to what it is would write nothing."""

KEEP_CHECKPOINT = "INSERT INTO checkpoint VALUES (?, ?) ON CONFLICT DO NOTHING"
KEEP_COSIGNATURE = "INSERT INTO cosignature VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

MAX_ROWS = 512  # a statement


@lru_cache(maxsize=4 * MAX_ROWS)
def insert(table: str, columns: int, rows: int) -> str:
    """A statement that inserts so many rows.

    SQLite lets go of the interpreter's lock once a statement, and each time waits for it as long as the event loop is
    busy: many rows a statement, few statements a batch.
    """
    values = ", ".join([f"({', '.join('?' * columns)})"] * rows)
    return f"INSERT INTO {table} VALUES {values}"  # noqa: S608  the names are the ones above


def append(
    entries: Sequence[Entry], leaves: Sequence[bytes], before: Frontier, after: Frontier
) -> tuple[str, list[Any]]:
    """The one statement that adds entries to a tree and sets its head, with its parameters.

    Args:
        entries: at least one and at most :data:`MAX_ROWS`.
        leaves: their leaf hashes.
        before, after: the tree without and with them.
    """
    values: list[Any] = []
    for sequence, (body, columns), leaf in zip(count(before.size), entries, leaves, strict=False):
        values += sequence, columns[2], leaf, body
    values += before.root(), after.root(), after.to_bytes()
    return _append(len(entries)), values


@lru_cache(maxsize=MAX_ROWS)
def _append(rows: int) -> str:
    each = "(?, ?, ?, ?, NULL, NULL, NULL), " * (rows - 1)
    return f"INSERT INTO append VALUES {each}(?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  no name or value is put in
