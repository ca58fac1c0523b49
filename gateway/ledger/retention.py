"""Removing what is older than it has to be kept, a segment at a time, so that everything else still verifies.

What stays: the tree's hashes over each 256 entries and above; the leaf hashes of those 256 in which a stored checkpoint
ends, so that it can still be compared; and the entries that say who signs and what became of segments. What goes:
the file, every row of the index over it, and what the lists for searches held of these. Invariant: nothing goes that a
legal hold covers, or whose file is not what was sealed.

A hold for a customer covers every entry that may concern it. An entry that names other customers, and only them, does
not; one that names several, all or nobody may. A completion concerns whom its decision does, and if that is gone,
perhaps everybody. Where an entry cannot be read, the segment is held.

What a crash leaves, and what removing again does with it:

================================  ======================================  =========================================
crash                             leaves                                  next time
================================  ======================================  =========================================
before the commit                 the segment in force                    it is removed
committed, the file still there   entries that count as removed, and a    the file is removed, too
                                  file that nothing reads
the file removed                  what was to stay                        it stands
================================  ======================================  =========================================
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.errors import LedgerUnavailable, UsageError
from gateway.files import sync_directory
from gateway.ledger import index, keys
from gateway.ledger.entry import decode
from gateway.ledger.hold import Hold
from gateway.ledger.proof import TILE_WIDTH
from gateway.ledger.sealed import RETAIN, SEAL, Sealed, Segment
from gateway.ledger.sealing import reading
from gateway.ledger.segment import SegmentDamaged
from gateway.ledger.writer import LedgerWriter

EVERYBODY = "*"  # of an act that concerns every customer
KEPT_ACTS = frozenset({keys.ACT, SEAL, RETAIN})
_OF_TIME = """sequence >= :first AND sequence < :after
    AND (time_us = 0 OR (time_us >= :since_us AND (:until_us = 0 OR time_us < :until_us)))"""
_ANY = f"SELECT 1 FROM lookup WHERE {_OF_TIME} LIMIT 1"  # noqa: S608  the condition above
_PERHAPS_OF_CUSTOMER = f"""SELECT 1 FROM lookup WHERE {_OF_TIME} AND kind <> 'administrative'
    AND CASE kind WHEN 'completion' THEN NOT EXISTS (SELECT 1 FROM sealed s JOIN lookup d ON d.sequence = s.sequence
        WHERE s.id = lookup.decision AND d.customer <> '' AND d.customer <> :customer COLLATE NOCASE)
        ELSE customer = '' OR customer = :customer COLLATE NOCASE END LIMIT 1"""  # noqa: S608  the condition above
_ACTS = f"""SELECT sequence, customer FROM lookup WHERE {_OF_TIME} AND kind = 'administrative'
    ORDER BY sequence"""  # noqa: S608  the condition above
_ABOUT = "SELECT sequence FROM lookup WHERE kind = 'administrative' AND sequence >= ? AND sequence < ?"
_ENDS = "SELECT size FROM checkpoint WHERE size > ? AND size < ? AND size % 256"
_OLDEST_LEFT = "SELECT count(*) FROM lookup WHERE sequence >= ? AND time_us < ?"


@dataclass(frozen=True, slots=True)
class Due:
    """A segment that is older than it has to be kept.

    Attributes:
        segment: which.
        holds: the names of the legal holds that cover it.
    """

    segment: Segment
    holds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stays: leaf hashes by the number of their tile, and entries by sequence."""

    tiles: Mapping[int, bytes]
    entries: Mapping[int, bytes]


def over(ledger: Path, *, before_us: int) -> list[Segment]:
    """The segments whose newest entry is older than an instant, in order.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    with reading(ledger) as connection:
        return [one for one in Sealed(connection).all() if not one.removed and one.newest_us < before_us]


def judge(ledger: Path, one: Segment, holds: Sequence[Hold]) -> Due:
    """Which holds cover a segment.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    with reading(ledger) as connection:
        return Due(one, tuple(hold.name for hold in holds if _covers(connection, hold, one)))


def unsealed(ledger: Path, *, before_us: int) -> int:
    """How many entries are older than an instant, and in no segment yet."""
    with reading(ledger) as connection:
        [start] = connection.execute("SELECT coalesce(max(after), 0) FROM segment").fetchone()
        return int(connection.execute(_OLDEST_LEFT, (start, before_us)).fetchone()[0])


def remove(ledger: Path, writer: LedgerWriter, one: Segment, told: Mapping[str, object]) -> int:
    """Remove a segment.

    Args:
        ledger: its path.
        writer: of that ledger.
        one: no hold covers it.
        told: the entry that says so.

    Returns:
        The sequence of that entry.

    Raises:
        LedgerUnavailable: its file is not what was sealed, or the ledger cannot be read or written. It is not
            removed, or, where only its file is left, goes with the next one.
    """
    with reading(ledger) as connection:
        path = Sealed(connection).path(one)
        kept = _what_stays(connection, one)
    sequence = writer.append_with(told, partial(_remove, one, kept))
    _unlink([path])
    return sequence


def sweep(ledger: Path) -> list[Path]:
    """Remove files of segments that count as removed, which a crash left; which those were.

    Raises:
        LedgerUnavailable: they cannot be removed.
    """
    with reading(ledger) as connection:
        sealed = Sealed(connection)
        left = [path for one in sealed.all() if one.removed and (path := sealed.path(one)).exists()]
    _unlink(left)
    return left


def _covers(connection: sqlite3.Connection, hold: Hold, one: Segment) -> bool:
    asked: dict[str, Any] = {"first": one.first, "after": one.after, "customer": hold.customer}
    asked |= {"since_us": hold.since_us, "until_us": hold.until_us}
    if connection.execute(_PERHAPS_OF_CUSTOMER if hold.customer else _ANY, asked).fetchone():
        return True
    if not hold.customer:
        return False
    sealed = Sealed(connection)
    try:
        return any(
            _may_concern(hold.customer, named, sealed.body(sequence))
            for sequence, named in connection.execute(_ACTS, asked)
        )
    except SegmentDamaged:
        return True


def _may_concern(customer: str, named: str, body: bytes | None) -> bool:
    """Whether an act that names these customers may concern one; what stays without a hold does not count."""
    if body is None:
        return True
    if _about_itself(body):
        return False
    return not named or EVERYBODY in named.split(",") or customer.lower() in body.decode(errors="replace").lower()


def _what_stays(connection: sqlite3.Connection, one: Segment) -> _Kept:
    sealed = Sealed(connection)
    if wrong := sealed.problem(one):
        told = f"the segment of the entries {one.first} to {one.last}, {sealed.path(one)}: {wrong}"
        raise LedgerUnavailable(f"{told}; it is not removed; run ledger verify")
    administrative = [sequence for [sequence] in connection.execute(_ABOUT, (one.first, one.after))]
    entries = {at: body for at in administrative if (body := sealed.body(at)) and _about_itself(body)}
    ends = [size for [size] in connection.execute(_ENDS, (one.first, one.after))]
    numbers = {place // TILE_WIDTH for place in (*entries, *ends)}
    return _Kept({number: _leaves(sealed, number) for number in numbers}, entries)


def _about_itself(body: bytes) -> bool:
    try:
        return decode(body).get("act") in KEPT_ACTS
    except UsageError:
        return False


def _leaves(sealed: Sealed, number: int) -> bytes:
    return b"".join(sealed.leaves(number * TILE_WIDTH, (number + 1) * TILE_WIDTH))


def _remove(one: Segment, kept: _Kept, connection: sqlite3.Connection, removed_by: int) -> None:
    connection.executemany("INSERT INTO tile VALUES (?, ?)", kept.tiles.items())
    connection.executemany("INSERT INTO kept VALUES (?, ?)", kept.entries.items())
    marked = "UPDATE segment SET removed_by = ? WHERE first = ? AND removed_by IS NULL"
    if connection.execute(marked, (removed_by, one.first)).rowcount != 1:
        raise LedgerUnavailable(f"another process has removed the entries {one.first} to {one.last} already")
    connection.execute(
        """DELETE FROM lookup WHERE sequence >= ? AND sequence < ? AND sequence NOT IN (SELECT sequence FROM kept)""",
        (one.first, one.after),
    )
    index.post_over(connection, one.first, one.after)


def _unlink(paths: Sequence[Path]) -> None:
    try:
        for path in paths:
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
    except OSError as error:
        told = f"{path} cannot be removed: {error.strerror}"
        raise LedgerUnavailable(f"{told}; check its permissions, and run ledger retain --delete again") from error
