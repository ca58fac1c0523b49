"""The lists for searches (:mod:`gateway.ledger.index`), held against the entries that they were derived from.

Every list is looked at in place of being made anew, which would cost twice as much: what it names holds its value, and
no other row of its segment does. A place whose entry cannot be read is passed over; whoever reads entries names it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, repeat
from operator import itemgetter

import orjson

from gateway.ledger import schema
from gateway.ledger.entry import COLUMNS, Columns, derive
from gateway.ledger.index import EMPTY, SEVERAL

_STORED = "SELECT name, value, places FROM posting WHERE segment = ?"
_KIND, _CUSTOMER = COLUMNS.index("kind"), COLUMNS.index("customer")
_CELLS = itemgetter(*(COLUMNS.index(name) for name in schema.POSTED))

Row = Columns | None
"""What the index holds of an entry; None where the entry cannot be read."""

REMOVED = derive({})
"""The row of an entry that was removed: no list may hold it."""

_UNREADABLE = (None,) * len(COLUMNS)
_Cells = Sequence[str | None]


class Lists:
    """The lists of one segment after the other, as its entries come by.

    Args:
        connection: to the ledger's file.
        start: the first entry.
        segments: how many segments have their lists.
    """

    def __init__(self, connection: sqlite3.Connection, start: int, segments: int) -> None:
        self._connection = connection
        self._start = start
        self._end = segments * schema.SEGMENT
        self._rows: list[Row] = []

    def wrong(self, rows: Sequence[Row]) -> Iterator[tuple[int, list[str]]]:
        """The segments that these rows complete and whose lists are wrong: the first entry, and what the lists are of.

        Args:
            rows: of the next entries; the first of all is that of the first entry of a segment.
        """
        if self._start >= self._end:
            return
        self._rows += rows
        while len(self._rows) >= schema.SEGMENT and self._start < self._end:
            names = wrong_lists(self._connection, self._start // schema.SEGMENT, self._rows[: schema.SEGMENT])
            if names:
                yield self._start, names
            del self._rows[: schema.SEGMENT]
            self._start += schema.SEGMENT


def wrong_lists(connection: sqlite3.Connection, segment: int, rows: Sequence[Row]) -> list[str]:
    """What the lists of a segment are of that are not those of its rows."""
    cells = _cells(rows)
    stored = [row for row in connection.execute(_STORED, (segment,)) if row != EMPTY]
    lists = {name: list(held) for name, held in groupby(stored, itemgetter(0))}
    return sorted(
        {name for name in lists if name not in cells}
        | {name for name, column in cells.items() if not _right(column, lists.get(name, []))}
    )


def _cells(rows: Sequence[Row]) -> dict[str, _Cells]:
    """What there may be lists of: for each place the value, "" for none, None where it is not known."""
    columns = list(zip(*(_UNREADABLE if row is None else row for row in rows), strict=True))
    cells: dict[str, _Cells] = dict(zip(schema.POSTED, _CELLS(columns), strict=True))
    several: _Cells = ()
    if "administrative" in columns[_KIND]:
        several = tuple(
            customer if kind is None or (kind == "administrative" and "," in customer) else ""
            for kind, customer in zip(columns[_KIND], columns[_CUSTOMER], strict=True)
        )
    return {**cells, SEVERAL: several}


def _right(column: _Cells, lists: Sequence[tuple[str, str, str]]) -> bool:
    """Whether these lists have every place that holds a value, each once and under its value.

    All are parsed as one text: each begins with the only bracket in it, so that none of them reaches into the next.
    """
    texts = [places for _, _, places in lists]
    joined = f"[{','.join(texts)}]"
    if not all(text.startswith("[") for text in texts) or joined.count("[") != len(texts) + 1:
        return False
    try:
        told: list[list[int]] = orjson.loads(joined)
        places = list(chain.from_iterable(told))
        if not set(map(type, places)) <= {int} or min(places, default=0) < 0 or len(set(places)) != len(places):
            return False
        found = list(map(column.__getitem__, places))
    except (orjson.JSONDecodeError, IndexError, TypeError):
        return False
    expected = list(chain.from_iterable(map(repeat, (value for _, value, _ in lists), map(len, told))))
    unknown = found.count(None)
    same = found == expected or (
        unknown and all(one in (None, other) for one, other in zip(found, expected, strict=True))
    )
    return (
        bool(same)
        and "" not in expected
        and len(column) - column.count("") - column.count(None) == len(found) - unknown
    )
