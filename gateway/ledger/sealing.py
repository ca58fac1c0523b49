"""Moving old entries into segments: files that are small, whole in themselves and never change again.

Invariants: what is moved is signed (a checkpoint is over it), indexed, and whole tiles of 256; a segment is on the
disk, was read back and has the hashes that the tree has before a row leaves the ledger's file; the entry
``ledger.seal``, the row that names the segment and the removal of the rows are one transaction. A segment holds at most
:data:`LARGEST` entries, so that the lock for writing is held for a tenth of a second at a time, and never of two of
the stretches that verifying reads at a time.

What a crash leaves, and what sealing again does with it:

================================  ======================================  =========================================
crash                             leaves                                  next time
================================  ======================================  =========================================
while the file is written         ``.NAME.new``, and all rows             it is overwritten
written, not yet renamed          the same                                the same
renamed, not yet recorded         a segment that nothing names, all rows  the same bytes take its place
within the commit                 that, or the segment in force           either is whole
recorded, rows removed            the segment in force                    it stands
================================  ======================================  =========================================
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.errors import LedgerUnavailable
from gateway.files import locked, sync_directory
from gateway.ledger import segment
from gateway.ledger.file import connect
from gateway.ledger.nodes import StoredNodes
from gateway.ledger.proof import TILE_WIDTH
from gateway.ledger.segment import SegmentDamaged, SegmentFile
from gateway.ledger.writer import LedgerWriter

LARGEST = 32 * TILE_WIDTH
Told = Callable[["Written"], Mapping[str, object]]


class SealingElsewhere(LedgerUnavailable):
    """Another process is sealing."""


_SEALED = "SELECT coalesce(max(after), 0) FROM segment"
_LIMITS = """SELECT (SELECT coalesce(max(size), 0) FROM checkpoint), (SELECT max(sequence) FROM entry),
    (SELECT coalesce(max(sequence) + 1, 0) FROM lookup),
    256 * (SELECT coalesce(max(number) + 1, 0) FROM node WHERE level = 1)"""
_YOUNG = "SELECT sequence FROM lookup WHERE sequence >= ? AND time_us >= ? ORDER BY sequence LIMIT 1"
_BODIES = "SELECT body FROM entry WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
_NEWEST = "SELECT max(time_us) FROM lookup WHERE sequence >= ? AND sequence < ?"
_MOVE = (
    "INSERT INTO sealed SELECT id, sequence FROM entry WHERE sequence >= :first AND sequence < :after",
    "DELETE FROM entry WHERE sequence >= :first AND sequence < :after",
)


@dataclass(frozen=True, slots=True)
class Written:
    """A segment's file.

    Attributes:
        first, last: its sequences.
        newest_us: the time of its newest entry.
        length, sha256: of the file, and the hash that it ends with.
        file: its path, from the ledger's directory or, where it is not below that, from the root.
    """

    first: int
    last: int
    newest_us: int
    length: int
    sha256: bytes
    file: str


def segments_directory(ledger: Path) -> Path:
    """Where segments are put unless a setting says otherwise."""
    return ledger.with_name(f"{ledger.name}.segments")


def ripe(ledger: Path, *, before_us: int) -> list[tuple[int, int]]:
    """What can be sealed, as sequences from and before: the oldest entries, up to the first that is younger.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    with reading(ledger) as connection:
        [start] = connection.execute(_SEALED).fetchone()
        limits = [limit or 0 for limit in connection.execute(_LIMITS).fetchone()]
        young = connection.execute(_YOUNG, (start, before_us)).fetchone()
    end = min(*limits, *(young or ()))
    return list(_ranges(start, end - end % TILE_WIDTH))


def seal(
    ledger: Path,
    directory: Path,
    writer: LedgerWriter,
    *,
    before_us: int,
    told: Told,
    pace: Callable[[], object] = lambda: None,
) -> Iterator[Written]:
    """Move what is older into segments; each is in force when it comes out.

    Args:
        ledger: its path.
        directory: for segments; made when it is not there.
        writer: of that ledger.
        before_us: what is older than this instant is moved.
        told: the entry that says so.
        pace: called before each 256 entries; what it raises ends sealing, and harms nothing.

    Raises:
        SealingElsewhere: another process does.
        LedgerUnavailable: it cannot be read or written, or is not what its tree says; the rest stands where it stood.
    """
    try:
        _make(directory)
        with locked(directory / ".lock"):
            for first, after in ripe(ledger, before_us=before_us):
                written = write(ledger, directory, first, after, pace)
                writer.append_with(told(written), partial(_move, written))
                yield written
    except TimeoutError as error:
        raise SealingElsewhere(f"another process is sealing in {directory}; wait for it") from error
    except OSError as error:
        why = f"segments cannot be written in {directory}: {error.strerror}"
        raise LedgerUnavailable(f"{why}; make room, or check its permissions") from error


def write(ledger: Path, directory: Path, first: int, after: int, pace: Callable[[], object] = lambda: None) -> Written:
    """Write the segment of these entries and make sure that it is what the tree says; nothing else changes.

    Raises:
        OSError: it cannot be written.
        LedgerUnavailable: the entries cannot be read, or are not what the tree says.
    """
    path = directory / f"{first:012}-{after - 1:012}.segment"
    with reading(ledger) as connection:
        nodes = StoredNodes(connection)
        bunches = _bunches(connection, first, after, pace)
        segment.write(path, ledger=nodes.hashes(1, 0, 1)[0], first=first, bunches=bunches)
        expected = nodes.hashes(1, first // TILE_WIDTH, (after - first) // TILE_WIDTH)
        [newest_us] = connection.execute(_NEWEST, (first, after)).fetchone()
    if [root.hex() for root in expected] != list(SegmentFile(path).header.roots):
        told = f"the entries {first} to {after - 1} do not have the hashes that the tree has of them"
        raise SegmentDamaged(f"{told}; run ledger verify")
    found, _, length = segment.digest(path)
    relative = path.resolve().is_relative_to(ledger.parent.resolve())
    file = os.path.relpath(path.resolve(), ledger.parent.resolve()) if relative else str(path.resolve())
    return Written(first, after - 1, newest_us, length, found, file)


def _move(written: Written, connection: sqlite3.Connection, sealed_by: int) -> None:
    first, after = written.first, written.last + 1
    row = (first, after, written.newest_us, written.length, written.sha256, written.file, sealed_by)
    connection.execute("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", row)
    moved = [connection.execute(statement, {"first": first, "after": after}).rowcount for statement in _MOVE]
    if moved != [after - first] * 2:
        raise LedgerUnavailable(f"the ledger has not all of the entries {first} to {after - 1}; run ledger verify")


def _make(directory: Path) -> None:
    """A directory that lasts: whoever removes rows relies on the way to the file as much as on the file."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        sync_directory(each.parent)


def _ranges(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        after = min(end, start - start % LARGEST + LARGEST)
        yield start, after
        start = after


def _bunches(
    connection: sqlite3.Connection, first: int, after: int, pace: Callable[[], object]
) -> Iterator[Sequence[bytes]]:
    for start in range(first, after, TILE_WIDTH):
        pace()
        bodies = [body for [body] in connection.execute(_BODIES, (start, start + TILE_WIDTH))]
        if len(bodies) != TILE_WIDTH:
            raise LedgerUnavailable(f"the ledger has not all of the 256 entries from {start} on; run ledger verify")
        yield bodies


@contextmanager
def reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    """A connection that may only read.

    Raises:
        LedgerUnavailable: there is no ledger, or it cannot be read.
    """
    try:
        with closing(connect(ledger, mode="ro")) as connection:
            yield connection
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"the ledger {ledger} cannot be read: {error}; run ledger verify") from error
