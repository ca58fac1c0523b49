"""One stretch of a ledger, read again: what each entry says against its bytes, its hash and its row in the index.

A stretch is as many entries as one hash of the second level of tiles covers, so that the tree over the whole is a tree
over the roots of stretches: each can be read by a process of its own, and once read need not be again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from gateway.errors import UsageError
from gateway.ledger import keys, schema
from gateway.ledger.entry import COLUMNS, Columns, decode, derive, encode, require_head
from gateway.ledger.file import connect
from gateway.ledger.lists import REMOVED, Lists
from gateway.ledger.merkle import leaf_hash
from gateway.ledger.proof import TILE_WIDTH, LeavesInMemory, frontier, perfect_root
from gateway.ledger.sealed import RETAIN, SEAL, Sealed
from gateway.ledger.segment import SegmentDamaged

STRETCH = TILE_WIDTH**2
BUNCH = 1_000
MAX_FINDINGS = 1_000
TOLERANCE_US = 60_000_000

_ENTRIES = "SELECT sequence, id, leaf_hash, body FROM entry WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
_INDEX = "SELECT * FROM lookup WHERE sequence >= ? AND sequence < ?"
_NODES = "SELECT number, hash FROM node WHERE level = 1 AND number >= ? AND number < ?"
_NO_LEAF = leaf_hash(b"")

Finding = tuple[int, str]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Which entries to read.

    Attributes:
        path: the ledger.
        start, end: from and before; ``start`` is a multiple of :data:`STRETCH`.
        indexed: the last entry that has a row in the index.
        listed: how many segments of the index have lists for searches.
        sizes: of the trees whose roots are asked for, above ``start`` and up to ``end``, the last of them ``end``.
    """

    path: Path
    start: int
    end: int
    indexed: int
    listed: int
    sizes: tuple[int, ...]


@dataclass(slots=True)
class Stretch:
    """What was read.

    Attributes:
        start, end: as in the task.
        trees: the frontier of the stretch up to each size that was asked for.
        keys: the entries that name keys, with their sequences.
        moves: the entries that say that a segment was sealed or removed.
        problems, notes: what is wrong, and what is worth a look, at a sequence.
    """

    start: int
    end: int
    trees: dict[int, bytes] = field(default_factory=dict)
    keys: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    moves: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return self.end - self.start == STRETCH


def read(task: Task) -> Stretch:
    """Read a stretch, from a connection of its own.

    Raises:
        sqlite3.Error: the file cannot be read, or is damaged.
    """
    found = Stretch(task.start, task.end)
    with closing(connect(task.path, mode="ro")) as connection:
        entries = _Entries(connection, task, found)
        tree = LeavesInMemory(entries.leaves(), entries.told)
        found.trees = dict(_trees(tree, task))
        found.problems += _wrong_nodes(connection, tree, task)
    del found.problems[MAX_FINDINGS:]
    return found


def _trees(tree: LeavesInMemory, task: Task) -> Iterator[tuple[int, bytes]]:
    """The frontier at each size, where the hashes that it needs were not removed."""
    for size in task.sizes:
        with contextlib.suppress(LookupError):
            yield size, frontier(tree, size - task.start).to_bytes()


class _Entries:
    """Attributes:
    told: hashes of level 1 within the stretch, by number, over entries that were removed.
    """

    def __init__(self, connection: sqlite3.Connection, task: Task, found: Stretch) -> None:
        self.told: dict[int, bytes] = {}
        self._connection = connection
        self._sealed = Sealed(connection)
        self._task = task
        self._found = found
        self._latest_us = self._time_before()
        self._lists = Lists(connection, task.start, task.listed)
        self._columns: list[Columns | None] = []  # whose lists were not looked at yet

    def leaves(self) -> list[bytes]:
        """Every leaf hash, worked out from the bytes; a missing entry has one that no entry has."""
        leaves: list[bytes] = []
        for rows, indexed in self._bunches():
            for row in rows:
                self._missing(leaves, row[0])
                leaves.append(self._checked(row, indexed.get(row[0])))
            self._check_lists()
        self._missing(leaves, self._task.end)
        self._check_lists()
        return leaves

    def _bunches(self) -> Iterator[tuple[list[Row], dict[int, Row]]]:
        """No snapshot is held while the rest is checked: what was written never changes."""
        for start in range(self._task.start, self._task.end, BUNCH):
            ends = (start, min(start + BUNCH, self._task.end))
            rows = self._connection.execute(_INDEX, ends).fetchall()
            yield self._entries(*ends), dict(zip(map(itemgetter(0), rows), rows, strict=True))

    def _entries(self, start: int, end: int) -> list[Row]:
        """The file's rows behind those of segments, which have no id beside them."""
        rows = self._connection.execute(_ENTRIES, (start, end)).fetchall()
        first = rows[0][0] if rows else end
        return [*self._from_segments(start, first), *rows] if first > start else rows

    def _from_segments(self, start: int, end: int) -> list[Row]:
        try:
            return [(sequence, None, leaf, body) for sequence, leaf, body in self._sealed.rows(start, end)]
        except SegmentDamaged:  # named by whoever looks at the files; here the entries are missing
            return []

    def _checked(self, row: Row, indexed: Row | None) -> bytes:
        sequence, id_, stored_hash, body = row
        leaf = leaf_hash(body)
        if leaf != stored_hash:
            self._wrong(sequence, "its bytes do not have the leaf hash stored beside them")
        try:
            fields = decode(body)
            canonical = encode(fields)
            require_head(fields)
        except UsageError as error:
            self._wrong(sequence, f"it is no entry: {error}")
            fields, canonical = {}, body
        columns = derive(fields)
        self._columns.append(columns if fields else None)
        if fields:
            self._note_time(sequence, columns[0])
            if canonical != body:
                self._wrong(sequence, "its bytes are not in canonical form")
            if id_ is not None and columns[2] != id_:
                self._wrong(sequence, "the id beside it is not its own")
            if (sequence, *columns) != indexed:
                self._wrong_index(sequence, columns, indexed)
            if fields.get("act") == keys.ACT:
                self._found.keys.append((sequence, fields))
            elif fields.get("act") in (SEAL, RETAIN):
                self._found.moves.append((sequence, fields))
        return leaf

    def _wrong_index(self, sequence: int, columns: Sequence[object], indexed: Row | None) -> None:
        if indexed is not None:
            wrong = [name for name, told, held in zip(COLUMNS, columns, indexed[1:], strict=True) if told != held]
            self._wrong(sequence, f"the index says otherwise than the entry in {', '.join(wrong)}")
        elif sequence <= self._task.indexed:
            self._wrong(sequence, "the index has no row for it")

    def _check_lists(self) -> None:
        for first, names in self._lists.wrong(self._columns):
            last = first + schema.SEGMENT - 1
            told = f"the lists for searches over the entries {first} to {last} say otherwise than these"
            self._wrong(first, f"{told} in {', '.join(names)}")
        self._columns.clear()

    def _note_time(self, sequence: int, time_us: int) -> None:
        if time_us >= self._latest_us:
            self._latest_us = time_us
        elif time_us < self._latest_us - TOLERANCE_US and len(self._found.notes) < MAX_FINDINGS:
            behind_s = (self._latest_us - time_us) / 1e6
            self._found.notes.append((sequence, f"{behind_s:.0f} s older than one before it"))

    def _time_before(self) -> int:
        for _, _, _, body in self._entries(max(0, self._task.start - 1), self._task.start):
            try:
                return derive(decode(body))[0]
            except UsageError:
                break
        return 0

    def _missing(self, leaves: list[bytes], until: int) -> None:
        first = self._task.start + len(leaves)
        for segment in self._sealed.over(first, until) if first < until else ():
            if segment.removed:
                self._gap(leaves, segment.first)
                leaves += self._removed(*segment.overlap(self._task.start + len(leaves), until))
        self._gap(leaves, until)

    def _gap(self, leaves: list[bytes], until: int) -> None:
        first = self._task.start + len(leaves)
        if first < until:
            self._wrong(first, missing(first, until))
            leaves += [_NO_LEAF] * (until - first)
            self._columns += [None] * (until - first)

    def _removed(self, start: int, end: int) -> list[bytes]:
        """What is still known of the leaf hashes of entries that were removed; that of all 256 is the tree's word."""
        first = self._task.start // TILE_WIDTH
        numbers = (start // TILE_WIDTH, (end - 1) // TILE_WIDTH + 1)
        self.told |= {number - first: held for number, held in self._connection.execute(_NODES, numbers)}
        self._columns += [REMOVED] * (end - start)
        return self._sealed.leaves(start, end)

    def _wrong(self, sequence: int, what: str) -> None:
        if len(self._found.problems) < MAX_FINDINGS:
            self._found.problems.append((sequence, what))


def _wrong_nodes(connection: sqlite3.Connection, tree: LeavesInMemory, task: Task) -> Iterator[Finding]:
    first, after = task.start // TILE_WIDTH, task.end // TILE_WIDTH
    for number, held in connection.execute(_NODES, (first, after)):
        if held != _worked_out(tree, number - first):
            yield wrong_node(1, number)


def _worked_out(tree: LeavesInMemory, number: int) -> bytes:
    """A hash of level 1, from the leaf hashes if they are known."""
    with contextlib.suppress(LookupError):
        return perfect_root(tree.hashes(0, number * TILE_WIDTH, TILE_WIDTH))
    return tree.hashes(1, number, 1)[0]


def wrong_node(level: int, number: int) -> Finding:
    """What is said of a stored hash that is not the tree's."""
    width = TILE_WIDTH**level
    first = number * width
    return first, f"the stored hash over the entries {first} to {first + width - 1} is not that of the tree"


def missing(first: int, after: int) -> str:
    """What is said of entries that are not there."""
    return "the entry is missing" if after == first + 1 else f"the entries {first} to {after - 1} are missing"


def as_json(found: Stretch) -> Mapping[str, object]:
    """A stretch as JSON has it."""
    trees = {str(size): hashes.hex() for size, hashes in found.trees.items()}
    names = ("start", "end", "keys", "moves", "problems", "notes")
    return {"trees": trees, **{name: getattr(found, name) for name in names}}


def from_json(told: Mapping[str, Any]) -> Stretch:
    """What :func:`as_json` wrote."""
    trees = {int(size): bytes.fromhex(hashes) for size, hashes in told["trees"].items()}
    lists = {name: [(int(at), what) for at, what in told[name]] for name in ("keys", "moves", "problems", "notes")}
    return Stretch(int(told["start"]), int(told["end"]), trees, **lists)
