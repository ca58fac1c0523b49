"""How far a verification came, so that one that was interrupted goes on.

A file of JSON lines: which ledger, then each whole stretch as it was read. A line that was torn by an interruption, and
whatever does not fit what is asked now, is read again. The file is believed: keep it where the ledger's writers cannot
write, or do without. It is removed once a verification is through.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.errors import LedgerUnavailable, UsageError
from gateway.ledger.rereading import Stretch, Task, as_json, from_json


class Progress:
    """What was read earlier, and what is read now.

    Args:
        path: the file; None to keep nothing.
        ledger: which is verified.

    Attributes:
        earlier: how many entries were taken from the file.
        since: when their verification began.

    Raises:
        UsageError: the file is of another ledger, or no such file.
        LedgerUnavailable: it cannot be read or written.
    """

    def __init__(self, path: Path | None, ledger: Path) -> None:
        self._path: Path | None = None
        self._stretches: dict[int, Stretch] = {}
        self.earlier = 0
        self.since = ""
        if path is None:
            return
        head = {"ledger": str(ledger.resolve()), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            path.touch(mode=0o600)
            lines = list(_lines(path))
        except OSError as error:
            raise LedgerUnavailable(f"{path} cannot be read or written: {error.strerror}") from error
        lines = lines or [head]
        try:
            found = [from_json(line) for line in lines[1:]]
            told, self.since = lines[0]["ledger"], str(lines[0]["since"])
        except (LookupError, TypeError, ValueError, AttributeError):
            told = ""
        if told != head["ledger"]:
            raise UsageError(f"{path} is not of a verification of this ledger; name another file")
        self._stretches = {stretch.start: stretch for stretch in found}
        self._path = path
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))  # without a line that was torn

    def take(self, task: Task) -> Stretch | None:
        """A stretch as it was read earlier, if it tells all that is asked now."""
        found = self._stretches.get(task.start)
        if found is None or found.end != task.end or not set(task.sizes) <= set(found.trees):
            return None
        self.earlier = found.end
        return found

    def keep(self, stretch: Stretch) -> None:
        """Write down a stretch, if nothing will be added to it."""
        if self._path and stretch.whole:
            with self._path.open("a") as file:
                file.write(json.dumps(as_json(stretch)) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        """The verification is through."""
        if self._path:
            self._path.unlink(missing_ok=True)


def _lines(path: Path) -> Iterator[Any]:
    """What the lines hold, up to one that was torn; a first line that is none of ours holds nothing that is."""
    for number, line in enumerate(path.read_bytes().splitlines()):
        try:
            yield json.loads(line)
        except ValueError:
            if number == 0:
                yield None
            return
