"""Re-reading every entry, and saying what is wrong and where.

What is checked:

1. every sequence from 0 to the head's size is there, and none besides;
2. the bytes are an entry, in canonical form, and their leaf hash is the one stored;
3. the tree over the bytes has the head's root;
4. the index, as far as it goes, says of each entry what the entry says, and holds no row that no entry stands behind;
5. ids are unique; a completion follows the decision that it completes, which no other one does;
6. SQLite finds its own structures sound.

Time going backwards is noted and is no fault: clocks are set, and writers overlap.

**What cannot be seen from here:** whoever can write to the file can cut entries off the end, or write all of it anew,
and set the head to match. Only a checkpoint that somebody else kept shows that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger import index, schema
from gateway.ledger.entry import COLUMNS, decode, derive, encode, seal
from gateway.ledger.file import connect, primary_code
from gateway.ledger.merkle import Frontier, leaf_hash

BUNCH = 1_000
MAX_PROBLEMS = 1_000
TOLERANCE_US = 60_000_000

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, 0})  # 0: not UTF-8
_READ = f"""SELECT e.sequence, e.id, e.leaf_hash, e.body, l.sequence, {", ".join(f"l.{name}" for name in COLUMNS)}
    FROM entry e LEFT JOIN found l ON l.sequence = e.sequence
    WHERE e.sequence >= ? AND e.sequence < ? ORDER BY e.sequence LIMIT ?"""  # noqa: S608  the names are constants
_STRAYS = (
    ("SELECT sequence FROM entry WHERE sequence < 0", "an entry before the first one"),
    (
        "SELECT l.sequence FROM lookup l LEFT JOIN entry e ON e.sequence = l.sequence WHERE e.sequence IS NULL",
        "the index has a row here, and no entry stands behind it",
    ),
    (
        """SELECT max(sequence) FROM entry NOT INDEXED WHERE sequence < :size GROUP BY id HAVING count(*) > 1""",
        "its id stands in an earlier entry too",
    ),
    (
        """SELECT c.sequence FROM found c LEFT JOIN entry e ON e.id = c.decision
            LEFT JOIN found d ON d.sequence = e.sequence AND d.kind = 'decision' AND d.sequence < c.sequence
            WHERE c.kind = 'completion' AND c.sequence < :size AND d.sequence IS NULL""",
        "it completes a decision that no earlier entry holds",
    ),
    (
        """SELECT max(sequence) FROM found WHERE kind = 'completion' AND sequence < :size
            GROUP BY decision HAVING count(*) > 1""",
        "it completes a decision that is completed already",
    ),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at a sequence; -1 where it is the whole that is."""

    sequence: int
    what: str


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        entries: how many the head counts.
        root: of the tree over what was read, hexadecimal.
        problems: what is wrong, at most :data:`MAX_PROBLEMS` of them.
        notes: what is worth a look and is no fault.
    """

    entries: int = 0
    root: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        return not self.problems

    @property
    def full(self) -> bool:
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, sequence: int, what: str) -> None:
        if not self.full:
            self.problems.append(Problem(sequence, what))


def verify(path: Path, *, progress: Callable[[int, int], None] = lambda _done, _of: None) -> Report:
    """Check a ledger, entry by entry; memory is bounded and writers go on meanwhile.

    Args:
        path: the ledger.
        progress: called with the number of entries read and how many there are.

    Raises:
        LedgerUnavailable: it cannot be read at all. Damage is a problem in the report, never an error.
    """
    if not path.exists():
        raise LedgerUnavailable(f"the ledger {path}: there is none; check the path")
    report = Report()
    try:
        connection = connect(path, mode="ro")
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"the ledger {path} cannot be read: {error}") from error
    try:
        _verify(connection, report, progress)
    except sqlite3.Error as error:
        if primary_code(error) not in _DAMAGE:
            raise LedgerUnavailable(f"the ledger {path} cannot be read: {error}") from error
        report.add(-1, f"the file is damaged: {error}")
    finally:
        connection.close()
    return report


def _verify(connection: sqlite3.Connection, report: Report, progress: Callable[[int, int], None]) -> None:
    size, root, hashes, entries = connection.execute(schema.READ_HEAD).fetchone() or _without_head(connection, report)
    report.entries = size
    index.make_whole(connection)
    if size != entries:
        report.add(min(size, entries), f"the head counts {size} entries, and the last one has sequence {entries - 1}")
    tree = _read_entries(connection, size, report, progress)
    report.root = tree.root().hex()
    if tree.root() != root:
        report.add(-1, "the tree over the entries has another root than the head")
    elif tree.to_bytes() != hashes:
        report.add(-1, "the head's frontier is not that of the tree over the entries")
    for statement, what in _STRAYS:
        for [sequence] in connection.execute(statement, {"size": size}):
            report.add(sequence, what)
    for [line] in connection.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            report.add(-1, f"SQLite finds its file damaged: {line}")


def _without_head(connection: sqlite3.Connection, report: Report) -> tuple[int, bytes, bytes, int]:
    report.add(-1, "the head is missing")
    [entries] = connection.execute("SELECT coalesce(max(sequence) + 1, 0) FROM entry").fetchone()
    return entries, b"", b"", entries


def _read_entries(
    connection: sqlite3.Connection, size: int, report: Report, progress: Callable[[int, int], None]
) -> Frontier:
    tree, expected, latest_us = Frontier(), 0, 0
    for row in _rows(connection, size, progress):
        sequence, id_, stored_hash, body, indexed, *columns = row
        if sequence != expected:
            report.add(expected, _missing(expected, sequence))
        expected = sequence + 1
        tree.append(leaf_hash(body))
        for what in _faults(body, id_, stored_hash, None if indexed is None else tuple(columns)):
            report.add(sequence, what)
        latest_us = max(latest_us, time_us := columns[0] or latest_us)
        if time_us < latest_us - TOLERANCE_US and len(report.notes) < MAX_PROBLEMS:
            report.notes.append(Problem(sequence, f"{(latest_us - time_us) / 1e6:.0f} s older than one before it"))
        if report.full:
            return tree
    if expected < size:
        report.add(expected, _missing(expected, size))
    return tree


def _rows(connection: sqlite3.Connection, size: int, progress: Callable[[int, int], None]) -> Iterator[tuple[Any, ...]]:
    """In bunches: no snapshot is held while the rest is checked. What stands below ``size`` never changes."""
    start = 0
    while rows := connection.execute(_READ, (start, size, BUNCH)).fetchall():
        yield from rows
        start = rows[-1][0] + 1
        progress(min(start, size), size)


def _faults(body: bytes, id_: str, stored_hash: bytes, columns: tuple[Any, ...] | None) -> Iterator[str]:
    if leaf_hash(body) != stored_hash:
        yield "its bytes do not have the leaf hash stored beside them"
    try:
        fields = decode(body)
        canonical = encode(fields)
    except UsageError as error:
        yield f"it is no entry: {error}"
        return
    if canonical != body:
        yield "its bytes are not in canonical form"
    try:
        seal(fields)
    except UsageError as error:
        yield f"it is no entry: {error}"
    if fields.get("id") != id_:
        yield "the id beside it is not its own"
    if columns is None:
        yield "the index has no row for it"
    elif wrong := [name for name, told, held in zip(COLUMNS, derive(fields), columns, strict=True) if told != held]:
        yield f"the index says otherwise than the entry in {', '.join(wrong)}"


def _missing(first: int, after: int) -> str:
    return "the entry is missing" if after == first + 1 else f"the entries {first} to {after - 1} are missing"
