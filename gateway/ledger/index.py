"""The index: what searches need of each entry, written behind the entries and never ahead of them.

It is derived from the entries alone, so it may lag, and may be lost and made anew; no entry waits for it. Invariant:
it has a row for every entry up to one, and none for those after it. Readers make up the rows that it lacks by
themselves, in a temporary table of their own connection, so that a search always sees all of the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from gateway.errors import UsageError
from gateway.ledger import schema
from gateway.ledger.entry import COLUMNS, Columns, decode, derive

_COLUMNS = len(COLUMNS) + 1
_LAST = "SELECT coalesce((SELECT max(sequence) FROM lookup), -1)"
_BEHIND = "SELECT sequence, body FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?"
_NEXT = "SELECT sequence FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?"


def catch_up(connection: sqlite3.Connection, known: Mapping[int, Columns]) -> int:
    """Write rows for entries that have none, at most :data:`schema.MAX_ROWS`; to be called in a transaction.

    Args:
        connection: of whoever may write.
        known: the columns of entries by sequence, where they need not be derived again.

    Returns:
        How many rows were written.
    """
    [last] = connection.execute(_LAST).fetchone()
    behind = [sequence for [sequence] in connection.execute(_NEXT, (last, schema.MAX_ROWS))]
    if all(sequence in known for sequence in behind):
        rows = [(sequence, *known[sequence]) for sequence in behind]
    else:
        rows = list(_derived(connection, last, schema.MAX_ROWS))
    if rows:
        connection.execute(schema.insert("lookup", _COLUMNS, len(rows)), list(chain.from_iterable(rows)))
    return len(rows)


def make_whole(connection: sqlite3.Connection) -> None:
    """Offer the index with the rows that it lacks as the view ``found``, in a connection that may only read.

    Each call brings the view up to the entries as they are then.
    """
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS fresh {schema.LOOKUP}")
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS indexed (last INTEGER NOT NULL)")
    connection.execute(
        """CREATE TEMP VIEW IF NOT EXISTS found AS
        SELECT * FROM main.lookup WHERE sequence <= (SELECT last FROM temp.indexed)
        UNION ALL SELECT * FROM temp.fresh"""
    )
    [last] = connection.execute(_LAST).fetchone()
    connection.execute("DELETE FROM temp.fresh")
    connection.execute("DELETE FROM temp.indexed")
    connection.execute("INSERT INTO temp.indexed VALUES (?)", (last,))
    connection.executemany(schema.insert("temp.fresh", _COLUMNS, 1), _derived(connection, last, -1))


def _derived(connection: sqlite3.Connection, last: int, limit: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the entries behind this one. What cannot be read has a row that says nothing; verifying names it."""
    for sequence, body in connection.execute(_BEHIND, (last, limit)):
        try:
            yield (sequence, *derive(decode(body)))
        except UsageError:
            yield (sequence, *derive({}))
