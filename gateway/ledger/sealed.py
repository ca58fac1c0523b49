"""Entries that stand in segments and no longer in the ledger's own file: which there are, and reading them.

Invariants: segments are over the first entries of the ledger, one behind the other; an entry stands in the file or in a
segment, never in both and never, until it is removed, in neither. So whoever finds the first entries of a stretch
missing in the file finds them here, also if they were moved in between.

Of a removed segment stay the tree's hashes from level 1 up, the leaf hashes of each 256 entries in which a checkpoint
or an entry that is kept lies, and the entries that say who signs and what became of segments
(:data:`gateway.ledger.retention.KEPT_ACTS`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gateway.ledger.merkle import HASH_BYTES
from gateway.ledger.proof import TILE_WIDTH
from gateway.ledger.segment import SegmentFile, problem

SEAL, RETAIN = "ledger.seal", "ledger.retain"

_ALL = "SELECT first, after, newest_us, length, sha256, file, sealed_by, removed_by FROM segment"
_OVER = f"{_ALL} WHERE first < :end AND after > :start ORDER BY first"
_LEDGER = "SELECT hash FROM node WHERE level = 1 AND number = 0"
_TILE = "SELECT leaves FROM tile WHERE number = ?"
_KEPT = "SELECT sequence, body FROM kept WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
_PLACE = "SELECT file FROM pragma_database_list WHERE name = 'main'"
_OPEN_FILES = 4

_REMOVED = """SELECT first, after - 1, removed_by, newest_us,
    coalesce((SELECT max(newest_us) FROM segment before WHERE before.first < segment.first), 0),
    after - first - (SELECT count(*) FROM kept WHERE sequence >= first AND sequence < after)
    FROM segment WHERE removed_by IS NOT NULL ORDER BY first"""
CLOCKS_US = 60_000_000  # that entries may be out of order: by clocks of several nodes

Row = tuple[int, bytes, bytes]
"""Sequence, leaf hash, bytes."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as the ledger knows it.

    Attributes:
        first, after: its sequences, from and before.
        newest_us: the time of its newest entry.
        length, sha256: of the file, and the hash that it ends with.
        file: its path, from the ledger's directory.
        sealed_by, removed_by: the entries that say so; ``removed_by`` is None as long as it is kept.
    """

    first: int
    after: int
    newest_us: int
    length: int
    sha256: bytes
    file: str
    sealed_by: int
    removed_by: int | None

    @property
    def last(self) -> int:
        return self.after - 1

    @property
    def removed(self) -> bool:
        return self.removed_by is not None

    def overlap(self, start: int, end: int) -> tuple[int, int]:
        """Which of these sequences it has."""
        return max(start, self.first), min(end, self.after)


class Removed(NamedTuple):
    """A stretch of the record that was removed when its time was over.

    Attributes:
        first, last: its sequences.
        removed_by: the entry that says so.
        newest_us: the time of its newest entry.
        before_us: none of its entries is older than this, give or take :data:`CLOCKS_US`.
        entries: how many were removed; the others were kept.
    """

    first: int
    last: int
    removed_by: int
    newest_us: int
    before_us: int
    entries: int

    def in_period(self, since_us: int | None, until_us: int | None) -> bool:
        """Whether any of its entries may be of a period, from and before."""
        begins = until_us is None or self.before_us - CLOCKS_US < until_us
        return begins and (since_us is None or self.newest_us >= since_us)


class Sealed:
    """The segments of a ledger.

    Args:
        connection: to the ledger's file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._open = lru_cache(_OPEN_FILES)(SegmentFile)
        self._bunch = lru_cache(_OPEN_FILES)(self._read_bunch)

    def all(self) -> list[Segment]:
        """Every segment, in order; removed ones too."""
        return [Segment(*row) for row in self._connection.execute(f"{_ALL} ORDER BY first")]

    def gone(self) -> list[Removed]:
        """What was removed, in order."""
        return [Removed(*row) for row in self._connection.execute(_REMOVED)]

    def over(self, start: int, end: int) -> list[Segment]:
        """The segments that have any of these sequences."""
        return [Segment(*row) for row in self._connection.execute(_OVER, {"start": start, "end": end})]

    def path(self, segment: Segment) -> Path:
        """Where its file is: where it was put or, if the directory was moved, in one of its name beside the ledger."""
        directory = Path(str(self._connection.execute(_PLACE).fetchone()[0])).parent
        put = directory / segment.file
        moved = directory / put.parent.name / put.name
        return put if put.exists() or not moved.exists() else moved

    def problem(self, segment: Segment) -> str:
        """What is wrong with its file; "" where nothing is."""
        ledger = self._connection.execute(_LEDGER).fetchone()
        return problem(
            self.path(segment),
            ledger=(ledger[0] if ledger else b"").hex(),
            first=segment.first,
            last=segment.last,
            sha256=segment.sha256,
            length=segment.length,
        )

    def rows(self, start: int, end: int) -> list[Row]:
        """Those of these entries that stand in segments, or are kept of removed ones.

        Raises:
            SegmentDamaged: a file cannot be read.
        """
        return [row for segment in self.over(start, end) for row in self._rows(segment, *segment.overlap(start, end))]

    def body(self, sequence: int) -> bytes | None:
        """The bytes of an entry; None where it was removed, or is in no segment.

        Raises:
            SegmentDamaged: a file cannot be read.
        """
        return next((body for _, _, body in self.rows(sequence, sequence + 1)), None)

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaf hashes of those of these entries that segments have; b"" for one that is not known any more."""
        return [leaf for segment in self.over(start, end) for leaf in self._leaves(segment, start, end)]

    def filled(self, rows: Iterable[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes]]:
        """Rows with the bytes of those that stand in segments; without those that were removed."""
        for sequence, body in rows:
            found = self.body(sequence) if body is None else body
            if found is not None:
                yield sequence, found

    def _rows(self, segment: Segment, start: int, end: int) -> Iterator[Row]:
        if segment.removed:
            kept = self._connection.execute(_KEPT, (start, end)).fetchall()
            yield from ((sequence, *self._leaves(segment, sequence, sequence + 1), body) for sequence, body in kept)
            return
        leaves = self._leaves(segment, start, end)
        path = self.path(segment)
        for sequence, leaf in enumerate(leaves, start):
            yield sequence, leaf, self._bunch(path, sequence - sequence % TILE_WIDTH)[sequence % TILE_WIDTH]

    def _leaves(self, segment: Segment, start: int, end: int) -> list[bytes]:
        start, end = segment.overlap(start, end)
        if not segment.removed:
            return self._open(self.path(segment)).leaves(start, end)
        found: list[bytes] = []
        for number in range(start // TILE_WIDTH, (end - 1) // TILE_WIDTH + 1):
            found += self._tile(number)
        first = start % TILE_WIDTH
        return found[first : first + end - start]

    def _tile(self, number: int) -> list[bytes]:
        told = self._connection.execute(_TILE, (number,)).fetchone()
        if told is None:
            return [b""] * TILE_WIDTH
        return [told[0][at : at + HASH_BYTES] for at in range(0, TILE_WIDTH * HASH_BYTES, HASH_BYTES)]

    def _read_bunch(self, path: Path, first: int) -> list[bytes]:
        return self._open(path).bunch(first)


def entries(connection: sqlite3.Connection, sealed: Sealed, start: int, end: int) -> list[Row]:
    """Those of these entries that there are, from wherever they stand, in their order.

    Raises:
        SegmentDamaged: a segment's file cannot be read.
    """
    statement = "SELECT sequence, leaf_hash, body FROM entry WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
    rows: list[Row] = connection.execute(statement, (start, end)).fetchall()
    first = rows[0][0] if rows else end
    return (sealed.rows(start, first) if first > start else []) + rows
