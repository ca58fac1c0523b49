"""A file that keeps the last checkpoint: on another disk, or a mount of another machine.

Invariants: nobody ever reads half of one; whoever else writes there by the same rules waits for its turn (a lock beside
the file, ``NAME.lock``); its directory is never made, since one that is missing is a disk that is not mounted. A file
system that hangs holds up nothing but this holder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.errors import HolderUnavailable
from gateway.files import locked, replace_file
from gateway.ledger.holding import Held
from gateway.ledger.note import MAX_NOTE_BYTES
from gateway.ledger.own_thread import OwnThread

LOCK_TIMEOUT_S = 2.0
Answer = TypeVar("Answer")


class FilePlace:
    """A :class:`gateway.ledger.holding.Place` at a path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = OwnThread("holder", HolderUnavailable)

    async def read(self) -> Held | None:
        """See :class:`gateway.ledger.holding.Place`."""
        return await self._thread.do(lambda: self._told(self._read))

    async def swap(self, held: Held | None, note: str) -> bool:
        """See :class:`gateway.ledger.holding.Place`."""
        return await self._thread.do(lambda: self._told(lambda: self._swap(held, note)))

    async def close(self) -> None:
        """Let go of the thread."""
        self._thread.stop()

    def _told(self, job: Callable[[], Answer]) -> Answer:
        try:
            return job()
        except OSError as error:
            raise HolderUnavailable(
                f"{self._path}: {error.strerror}; check the path, its mount and permissions"
            ) from error

    def _read(self) -> Held | None:
        self._path.parent.stat()
        try:
            with self._path.open("rb") as file:
                found = file.read(MAX_NOTE_BYTES + 1)
        except FileNotFoundError:
            return None
        text = found.decode("utf-8", "replace")
        return Held(text, text)

    def _swap(self, held: Held | None, note: str) -> bool:
        with locked(self._path.with_name(f"{self._path.name}.lock"), timeout_s=LOCK_TIMEOUT_S):
            if self._read() != held:
                return False
            replace_file(self._path, note)
            return True
