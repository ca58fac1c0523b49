"""Appending without an event loop, for commands: the same file, the same order, one entry at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from gateway.errors import LedgerUnavailable
from gateway.ledger.entry import Entry, seal
from gateway.ledger.file import LedgerFile


class Pseudonymising(Protocol):
    """See :class:`gateway.ledger.pseudonyms.Pseudonyms`."""

    def act(self, fields: Mapping[str, Any]) -> dict[str, Any]: ...


class LedgerWriter:
    """A ledger opened by a command, beside a gateway that may be appending to it.

    Args:
        path: the ledger; begun when there is none.
        pseudonyms: take the place of names in what is written.

    Raises:
        LedgerUnavailable: it cannot be opened.
    """

    def __init__(self, path: Path, pseudonyms: Pseudonymising | None = None) -> None:
        self._pseudonyms = pseudonyms
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
        [outcome] = self._file.commit([self._sealed(entry)])
        self._file.require_in_place()
        if isinstance(outcome, LedgerUnavailable):
            raise outcome
        return outcome

    def append_with(self, entry: Mapping[str, object], work: Callable[[sqlite3.Connection, int], None]) -> int:
        """See :meth:`LedgerFile.commit_with`."""
        sequence = self._file.commit_with(self._sealed(entry), work)
        self._file.tidy()
        return sequence

    def head(self) -> tuple[int, bytes]:
        """See :meth:`LedgerFile.head`."""
        return self._file.head()

    def keep_checkpoint(self, size: int, note: str) -> None:
        """See :meth:`LedgerFile.keep_checkpoint`."""
        self._file.keep_checkpoint(size, note)

    def keep_cosignature(self, size: int, name: str, line: str) -> None:
        """See :meth:`LedgerFile.keep_cosignature`."""
        self._file.keep_cosignature(size, name, line)

    def _sealed(self, fields: Mapping[str, object]) -> Entry:
        if self._pseudonyms and fields.get("kind") == "administrative":
            fields = self._pseudonyms.act(fields)
        return seal(fields)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
