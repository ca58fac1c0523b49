"""An export on its way to a file: what is written stands in ``FILE.part`` until it is whole.

What an interruption leaves, and what the next run of the same export does with it:

==========================  ==================================  =================================================
interrupted                 leaves                              next time
==========================  ==================================  =================================================
before the first line       ``FILE.part.asked``, perhaps an     it begins
                            empty part
between two lines           a part that ends with a whole line  it goes on behind the last entry
within a line               a part that ends with a torn line   the torn line is cut, and it goes on
within a Parquet file       a part that nobody can read         it begins anew: such a file has its end last
before the part is renamed  a whole part                        nothing is added, and the part is renamed
once it is renamed          FILE, perhaps ``FILE.part.asked``   FILE is refused, for it is there
==========================  ==================================  =================================================

``FILE.part.asked`` holds what was asked and where the record ended when it was: a part is only ever gone on with by
the same export, over the same stretch of the record, so that nothing is left out, doubled or mixed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from io import BufferedRandom
from pathlib import Path
from typing import NamedTuple

from gateway.errors import LedgerUnavailable, UsageError
from gateway.files import sync_directory
from gateway.ledger.reader import Query

_BLOCK = 65_536


class Stretch(NamedTuple):
    """What an export is of.

    Attributes:
        whole: all of it, as it was when it was begun.
        rest: what is still to be written.
        resumed: whether that comes behind what an earlier run wrote.
    """

    whole: Query
    rest: Query
    resumed: bool


class Part:
    """The part of an export.

    Args:
        output: the file that it will be; there must be none yet.
        form: one of the formats; how a line is cut depends on it.
        asked: what the export is of, in the words of who asked.

    Attributes:
        note: what becomes of a part that cannot be gone on with, or "".

    Raises:
        UsageError: the file is there, or the part is of another export.
    """

    def __init__(self, output: Path, form: str, asked: Iterable[str]) -> None:
        if output.exists():
            raise UsageError(f"{output} is there already; name a new file")
        self.output = output
        self.path = output.with_name(f"{output.name}.part")
        self._asked_path = output.with_name(f"{output.name}.part.asked")
        self._form = form
        self._asked = [*asked, f"format={form}"]
        self._begun = self._query_begun() if self.path.exists() else None
        anew = f"{self.path} cannot be gone on with, for a Parquet file has its end last; it begins anew"
        self.note = anew if self._begun and form == "parquet" else ""

    def _query_begun(self) -> Query | None:
        try:
            noted = json.loads(self._asked_path.read_text())
            query = Query(**noted["query"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.path} is there, of an export that is not known; remove it, or name another file"
            ) from None
        if noted["asked"] != self._asked:
            was = " ".join(noted["asked"])
            raise UsageError(f"{self.path} is of another export ({was}); remove it, or name another file")
        return query

    def begin(self, query: Query) -> Stretch:
        """Begin, or go on where the part ends.

        Args:
            query: what is exported.

        Raises:
            LedgerUnavailable: it cannot be written.
        """
        with self._translated():
            try:
                last = self._cut() if self._begun else None
            except ValueError:
                raise UsageError(f"{self.path} ends with what is no export; remove it, or name another file") from None
            if last is not None and self._begun:
                return Stretch(self._begun, dataclasses.replace(self._begun, after=last), resumed=True)
            query = self._begun or query
            self._write_note(query)
            self._private(self.path)
            return Stretch(query, query, resumed=False)

    def _write_note(self, query: Query) -> None:
        self._private(self._asked_path)
        self._asked_path.write_text(json.dumps({"asked": self._asked, "query": dataclasses.asdict(query)}))

    def _private(self, path: Path) -> None:
        """An empty file for its owner only: it holds who did what."""
        path.unlink(missing_ok=True)
        path.touch(mode=0o600, exist_ok=False)

    def _cut(self) -> int | None:
        """Cut a torn line off the part; the sequence of the last entry that is whole."""
        if self._form == "parquet":  # is written from its end, so nothing can be added to it
            return None
        with self.path.open("r+b") as file:
            ends = _ends_of_rows(file) if self._form == "csv" else _ends_of_lines(file)
            last = _last_two(ends)
            file.seek(last[0])
            line = file.read(last[1] - last[0])
            file.truncate(last[1])
            return _sequence(line)

    def append(self, lines: Iterable[str], *, resumed: bool) -> None:
        """Write lines behind what is there, and make the part the file. The header of a table is written once.

        Raises:
            LedgerUnavailable: they cannot be written; the next run goes on.
        """
        with self._translated():
            with self.path.open("a", encoding="utf-8", newline="") as file:
                rest = iter(lines)
                if resumed and self._form == "csv":
                    next(rest, None)
                file.writelines(rest)
            self._finish()

    def fill(self, write: Callable[[Path], None]) -> None:
        """Have the part written as a whole, and make it the file.

        Raises:
            LedgerUnavailable: it cannot be written.
        """
        with self._translated():
            write(self.path)
            self._finish()

    def _finish(self) -> None:
        """Only now is the file there, and durably."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        if self.output.exists():
            raise FileExistsError
        self.path.rename(self.output)
        sync_directory(self.output.parent)
        self._asked_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise UsageError(f"{self.output} is there already; name a new file") from None
        except OSError as error:
            kept = f"; run the same export again to go on with {self.path}" if self.path.exists() else ""
            raise LedgerUnavailable(f"{self.output} cannot be written: {error.strerror}{kept}") from error


def _ends_of_lines(file: BufferedRandom) -> Iterator[int]:
    """Where lines end, from the last two on: a JSON text holds no line feed."""
    size = file.seek(0, os.SEEK_END)
    start, tail = size, b""
    while start and tail.count(b"\n") < 2:
        start = max(0, start - _BLOCK)
        file.seek(start)
        tail = file.read(size - start)
    at = start - 1
    while (found := tail.find(b"\n", at + 1 - start)) >= 0:
        at = start + found
        yield at + 1


def _ends_of_rows(file: BufferedRandom) -> Iterator[int]:
    """Where rows end: at line ends that are not within quotes (RFC 4180)."""
    quoted, at = False, 0
    for line in file:
        at += len(line)
        quoted ^= bool(line.count(b'"') & 1)
        if not quoted and line.endswith(b"\r\n"):
            yield at


def _last_two(ends: Iterator[int]) -> tuple[int, int]:
    before, last = 0, 0
    for end in ends:
        before, last = last, end
    return before, last


def _sequence(line: bytes) -> int | None:
    """The sequence that a line of an export is of; None for a header, and where there is none."""
    number = line.split(b",", 1)[0]
    if number.isdigit():
        return int(number)
    if not line.startswith(b"{"):
        return None
    fields = json.loads(line)
    found = fields.get("sequence", fields.get("metadata", {}).get("sequence"))
    return found if isinstance(found, int) else None
