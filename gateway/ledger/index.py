"""The index: what searches need of each entry, written behind the entries and never ahead of them.

It is derived from the entries alone, so it may lag, and may be lost and made anew; no entry waits for it. Invariant:
it has a row for every entry up to one, and none for those after it. Readers make up the rows that it lacks by
themselves, in a temporary table of their own connection, so that a search always sees all of the ledger.

A *segment* is so many rows (:data:`schema.SEGMENT`) one after the other. Once it is full, one list is written for each
value in it: the places of the rows that hold it. A search reads one list a segment in place of every row. Lists are
only ever added at the end, which costs who writes a few per cent; an index for each column, written all over, costs a
third. Invariant: each segment up to one has its lists, and none after it; one in which nothing is listed has an empty
one. Lists are written anew where rows were removed, or where they were damaged (:mod:`gateway.ledger.reindexing`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

from gateway.errors import UsageError
from gateway.ledger import schema
from gateway.ledger.entry import COLUMNS, Columns, decode, derive

_COLUMNS = len(COLUMNS) + 1
_LAST = "SELECT coalesce((SELECT max(sequence) FROM lookup), -1)"
_BEHIND = "SELECT sequence, body FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?"
_FIRST_WITHOUT_LISTS = "SELECT coalesce(max(segment) + 1, 0) FROM posting"
LISTED_BEYOND = "SELECT DISTINCT segment FROM posting WHERE segment < 0 OR segment >= ?"
"""Of which segments there are lists that are not there, given how many there are."""
SEVERAL = "customers"
"""The name of lists of acts that are about several customers, with commas between them."""
EMPTY = ("", "", "[]")
"""Name, value and places of the list of a segment that has no other."""

_LIST = """SELECT :segment, '{name}', {column}, json_group_array(sequence - :start) FROM lookup
    WHERE sequence >= :start AND sequence < :end AND {condition} GROUP BY {column}"""
_LISTS = " UNION ALL ".join(
    [
        *(_LIST.format(name=name, column=name, condition=f"{name} <> ''") for name in schema.POSTED),
        _LIST.format(name=SEVERAL, column="customer", condition="kind = 'administrative' AND instr(customer, ',')"),
    ]
)
_TRIGGERS = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND name LIKE tbl_name || '%'"
_NEXT = """SELECT count(*), min(sequence), max(sequence) FROM
    (SELECT sequence FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?)"""
"""One row: for each, SQLite lets go of the interpreter's lock, and waits for it as long as the event loop is busy."""


def catch_up(connection: sqlite3.Connection, known: Mapping[int, Columns]) -> int:
    """Write rows for entries that have none, at most :data:`schema.MAX_ROWS`; to be called in a transaction.

    Args:
        connection: of whoever may write.
        known: the columns of entries by sequence, where they need not be derived again.

    Returns:
        How many rows were written.
    """
    [last] = connection.execute(_LAST).fetchone()
    count, first, newest = connection.execute(_NEXT, (last, schema.MAX_ROWS)).fetchone()
    behind = range(first, newest + 1) if count else range(0)
    if behind.stop - behind.start == count and all(sequence in known for sequence in behind):
        rows = [(sequence, *known[sequence]) for sequence in behind]
    else:
        rows = list(_derived(connection, last, schema.MAX_ROWS))
    if rows:
        connection.execute(schema.insert("lookup", _COLUMNS, len(rows)), list(chain.from_iterable(rows)))
    return len(rows)


def post(connection: sqlite3.Connection) -> None:
    """Write the lists of the next segment, if it is full; to be called in a transaction."""
    segment = count_listed(connection)
    [last] = connection.execute(_LAST).fetchone()
    if last + 1 >= (segment + 1) * schema.SEGMENT:
        _post(connection, segment)


def post_anew(connection: sqlite3.Connection, segments: Iterable[int]) -> None:
    """Write the lists of these segments from the rows that there are now, where these fill them; to be called in a
    transaction."""
    [last] = connection.execute(_LAST).fetchone()
    with thawed(connection, "posting"):
        for segment in segments:
            connection.execute("DELETE FROM posting WHERE segment = ?", (segment,))
            if 0 <= segment < (last + 1) // schema.SEGMENT:
                _post(connection, segment)


def post_over(connection: sqlite3.Connection, first: int, after: int) -> None:
    """Write the lists anew that lead to these sequences, from the rows that are left; to be called in a transaction."""
    listed = min(count_listed(connection), -(-after // schema.SEGMENT))
    post_anew(connection, range(first // schema.SEGMENT, listed))


def count_listed(connection: sqlite3.Connection) -> int:
    """How many segments have their lists."""
    return int(connection.execute(_FIRST_WITHOUT_LISTS).fetchone()[0])


@contextmanager
def thawed(connection: sqlite3.Connection, table: str) -> Iterator[None]:
    """A table of the index without the triggers that keep it from being changed; in a transaction, which has them
    back at its end."""
    kept = connection.execute(_TRIGGERS, (table,)).fetchall()
    for name, _ in kept:
        connection.execute(f"DROP TRIGGER {name}")
    yield
    for _, statement in kept:
        connection.execute(statement)


def _post(connection: sqlite3.Connection, segment: int) -> None:
    start, end = segment * schema.SEGMENT, (segment + 1) * schema.SEGMENT
    written = connection.execute(f"INSERT INTO posting {_LISTS}", {"segment": segment, "start": start, "end": end})
    if written.rowcount == 0:
        connection.execute("INSERT INTO posting VALUES (?, ?, ?, ?)", (segment, *EMPTY))


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
