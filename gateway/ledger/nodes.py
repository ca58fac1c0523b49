"""The upper hashes of the tree: one for each 256 entries, one for each 256 of those, and so on (C2SP ``tlog-tiles``).

They are derived from the leaf hashes alone, so they may lag, and may be lost and made anew: what is missing is worked
out from what is below it. Invariant: each level has its hashes from the first on without a gap, and none that is not
full.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from itertools import count

from gateway.ledger.proof import TILE_WIDTH, perfect_root
from gateway.ledger.sealed import Sealed

MAX_NODES = 64  # that are written at a time
_COUNT_LEAVES = "SELECT coalesce(max(sequence) + 1, 0) FROM entry"
_COUNT = "SELECT coalesce(max(number) + 1, 0) FROM node WHERE level = ?"
_LEAVES = "SELECT sequence, leaf_hash FROM entry WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
_NODES = "SELECT hash FROM node WHERE level = ? AND number >= ? AND number < ? ORDER BY number"


class StoredNodes:
    """A :class:`gateway.ledger.proof.Nodes` over a ledger's file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sealed = Sealed(connection)

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """So many hashes of a level; what is not stored is worked out."""
        if level == 0:
            found = self._leaves(start, start + count)
        else:
            found = [node for [node] in self._connection.execute(_NODES, (level, start, start + count))]
            found += [self.worked_out(level, number) for number in range(start + len(found), start + count)]
        if len(found) != count:
            raise sqlite3.DatabaseError(f"the entries {start + len(found)} to {start + count - 1} are missing")
        return found

    def _leaves(self, start: int, end: int) -> list[bytes]:
        rows = self._connection.execute(_LEAVES, (start, end)).fetchall()
        first = rows[0][0] if rows else end
        sealed = self._sealed.leaves(start, first) if first > start else []
        if b"" in sealed:
            raise sqlite3.DatabaseError(f"the leaf hashes of the entries {start} to {end - 1} were removed")
        return sealed + [leaf for _, leaf in rows]

    def worked_out(self, level: int, number: int) -> bytes:
        """One hash, from those below it."""
        return perfect_root(self.hashes(level - 1, number * TILE_WIDTH, TILE_WIDTH))


def catch_up(connection: sqlite3.Connection, known: Mapping[tuple[int, int], bytes]) -> None:
    """Store hashes that have become full, some at a time; to be called in a transaction.

    Args:
        connection: of whoever may write.
        known: hashes by level and number, where they need not be worked out again.
    """
    nodes = StoredNodes(connection)
    [below] = connection.execute(_COUNT_LEAVES).fetchone()
    for level in count(1):
        full = below // TILE_WIDTH
        if not full:
            return
        [stored] = connection.execute(_COUNT, (level,)).fetchone()
        numbers = range(stored, min(full, stored + MAX_NODES))
        rows = [(level, number, known.get((level, number)) or nodes.worked_out(level, number)) for number in numbers]
        connection.executemany("INSERT INTO node VALUES (?, ?, ?)", rows)
        below = stored + len(rows)
