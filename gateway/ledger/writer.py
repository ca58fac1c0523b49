"""Appending without an event loop, for commands: the same file, the same order, one entry at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from gateway.errors import LedgerUnavailable
from gateway.ledger.entry import seal
from gateway.ledger.file import LedgerFile


class LedgerWriter:
    """A ledger opened by a command, beside a gateway that may be appending to it.

    Args:
        path: the ledger; begun when there is none.

    Raises:
        LedgerUnavailable: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = LedgerFile(path)
        self._file.open()

    def append(self, entry: Mapping[str, object]) -> int:
        """Write an entry.

        Returns:
            Its sequence; it is durable.

        Raises:
            UsageError: these are no fields of an entry.
            LedgerUnavailable: it is not known to be durable.
        """
        [outcome] = self._file.commit([seal(entry)])
        if isinstance(outcome, LedgerUnavailable):
            raise outcome
        return outcome

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
