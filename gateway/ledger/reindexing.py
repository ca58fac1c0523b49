"""Making the index anew where it does not say what the entries say: its rows, and the lists for searches.

Both are derived, so no evidence changes. A stretch of entries is read and compared first, while writers go on; what is
wrong in it is then mended in one transaction, together with the entry that says so.

What a crash leaves: stretches that were mended, each with its entry, and the rest as it was; the next run goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger import index, schema
from gateway.ledger.entry import COLUMNS, Columns, decode, derive
from gateway.ledger.file import connect
from gateway.ledger.lists import REMOVED, wrong_lists
from gateway.ledger.rereading import STRETCH
from gateway.ledger.sealed import Sealed, entries
from gateway.ledger.writer import LedgerWriter

ACT = "ledger.reindex"

_INDEX = "SELECT * FROM lookup WHERE sequence >= ? AND sequence < ?"
_SIZE = "SELECT coalesce(max(sequence) + 1, 0) FROM entry"
_INDEXED = "SELECT coalesce(max(sequence) + 1, 0) FROM lookup WHERE sequence < ?"
_STRAYS = "SELECT sequence FROM lookup WHERE sequence < 0 OR sequence >= ?"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong in a stretch, or beyond the entries.

    Attributes:
        first, last: its sequences.
        rows: those that the index ought to have, by sequence; None where it ought to have none.
        segments: whose lists are not those of their rows.
    """

    first: int
    last: int
    rows: Mapping[int, Columns | None]
    segments: Sequence[int]


def reindex(
    ledger: Path,
    writer: LedgerWriter,
    *,
    told: Callable[[Wrong], Mapping[str, object]],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Iterator[Wrong]:
    """Mend the index; each part of it is mended when it comes out.

    Args:
        ledger: its path.
        writer: of that ledger.
        told: the entry that says so.
        progress: called with the number of entries read and how many there are.

    Raises:
        LedgerUnavailable: it cannot be read or written; the rest stands as it stood.
    """
    for wrong in compare(ledger, progress):
        writer.append_with(told(wrong), partial(_mend, wrong))
        yield wrong


def compare(ledger: Path, progress: Callable[[int, int], None] = lambda _done, _of: None) -> Iterator[Wrong]:
    """What is wrong with the index as far as it goes, a stretch at a time.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    try:
        with closing(connect(ledger, mode="ro")) as connection:
            [size] = connection.execute(_SIZE).fetchone()
            [indexed] = connection.execute(_INDEXED, (size,)).fetchone()
            listed = index.count_listed(connection)
            yield from _beyond(connection, size)
            for start in range(0, indexed, STRETCH):
                end = min(start + STRETCH, indexed)
                yield from _stretch(connection, start, end, listed)
                progress(end, indexed)
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"the ledger {ledger} cannot be read: {error}; run ledger verify") from error


def _beyond(connection: sqlite3.Connection, size: int) -> Iterator[Wrong]:
    """Rows and lists over entries that are not there."""
    rows: dict[int, Columns | None] = {sequence: None for [sequence] in connection.execute(_STRAYS, (size,))}
    segments = [segment for [segment] in connection.execute(index.LISTED_BEYOND, (size // schema.SEGMENT,))]
    if rows or segments:
        yield Wrong(size, size, rows, segments)


def _stretch(connection: sqlite3.Connection, start: int, end: int, listed: int) -> Iterator[Wrong]:
    expected = dict(_expected(connection, start, end))
    there = {sequence: columns for sequence, *columns in connection.execute(_INDEX, (start, end))}
    rows = {
        sequence: expected.get(sequence)
        for sequence in sorted(expected.keys() | there.keys())
        if list(expected.get(sequence, ())) != there.get(sequence, [])
    }
    segments = [
        segment
        for segment in range(start // schema.SEGMENT, min(listed, end // schema.SEGMENT))
        if wrong_lists(connection, segment, _rows_of(segment, expected))
    ]
    if rows or segments:
        yield Wrong(start, end - 1, rows, segments)


def _rows_of(segment: int, expected: Mapping[int, Columns]) -> list[Columns]:
    return [expected.get(segment * schema.SEGMENT + place, REMOVED) for place in range(schema.SEGMENT)]


def _expected(connection: sqlite3.Connection, start: int, end: int) -> Iterator[tuple[int, Columns]]:
    """The row of each entry; one that cannot be read has a row that says nothing."""
    for sequence, _, body in entries(connection, Sealed(connection), start, end):
        try:
            yield sequence, derive(decode(body))
        except UsageError:
            yield sequence, derive({})


def _mend(wrong: Wrong, connection: sqlite3.Connection, _sequence: int) -> None:
    if wrong.rows:
        insert = schema.insert("lookup", len(COLUMNS) + 1, 1)
        with index.thawed(connection, "lookup"):
            for sequence, columns in wrong.rows.items():
                connection.execute("DELETE FROM lookup WHERE sequence = ?", (sequence,))
                if columns is not None:
                    connection.execute(insert, (sequence, *columns))
    index.post_anew(connection, wrong.segments)
