"""Exporting: a format, a place, and the entries that go there; of a file, by way of its part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import UsageError
from gateway.ledger import ocsf, parquet
from gateway.ledger.export import FORMATS, Found
from gateway.ledger.part import Part, Stretch
from gateway.ledger.reader import LedgerReader, Query

EXPORTS = (*FORMATS, "ocsf", "parquet")

Counted = Callable[[Found, int | None], Iterator[tuple[int, bytes]]]
"""Passes entries on and shows how far it is; of how many, where that is known."""


class Exported(NamedTuple):
    """What was done.

    Attributes:
        entries: how many were read in this run.
        resumed: whether they came behind those of an earlier one.
    """

    entries: int
    resumed: bool


class Export:
    """One export.

    Args:
        form: one of :data:`EXPORTS`.
        output: a new file; None for stdout.
        asked: what it is of, in the words of who asked.

    Attributes:
        note: what whoever asked should know before it begins, or "".

    Raises:
        UsageError: it cannot be made: the file is there, a package is missing, or the format needs a file.
    """

    def __init__(self, form: str, output: Path | None, asked: Sequence[str]) -> None:
        if form == "parquet":
            parquet.require()
            if output is None:
                raise UsageError("Parquet cannot be written to stdout; name a file with --output")
        self._form = form
        self._part = Part(output, form, asked) if output else None
        self.note = self._part.note if self._part else ""

    def run(self, reader: LedgerReader, query: Query, counted: Counted) -> Exported:
        """Export what a query finds.

        Raises:
            LedgerUnavailable: the ledger cannot be read, or the file not be written.
        """
        stretch = self._part.begin(query) if self._part else Stretch(query, query, resumed=False)
        count = 0

        def entries() -> Iterator[tuple[int, bytes]]:
            nonlocal count
            for entry in counted(reader.find(stretch.rest), _total(stretch.rest)):
                count += 1
                yield entry

        self._write(reader, stretch, entries())
        return Exported(count, stretch.resumed)

    def _write(self, reader: LedgerReader, stretch: Stretch, entries: Found) -> None:
        if self._part is None:
            sys.stdout.writelines(self._lines(reader, stretch.whole, entries))
        elif self._form == "parquet":
            self._part.fill(lambda path: parquet.write(entries, path))
        else:
            self._part.append(self._lines(reader, stretch.whole, entries), resumed=stretch.resumed)

    def _lines(self, reader: LedgerReader, whole: Query, entries: Found) -> Iterable[str]:
        return ocsf.lines(reader, whole, entries) if self._form == "ocsf" else FORMATS[self._form](entries)


def _total(query: Query) -> int | None:
    """How many there are, where that is plain: of a stretch of the record."""
    after = -1 if query.after is None else query.after
    stretch = Query(before=query.before, after=query.after)
    return max(0, query.before - 1 - after) if query == stretch and query.before is not None else None
