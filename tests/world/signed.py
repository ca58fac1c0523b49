"""A ledger that is signed: with a key of its own, copies to put back, and a fork."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gateway.ledger.checkpoints import Voucher
from gateway.ledger.entry import administrative
from gateway.ledger.notary import Notary
from gateway.ledger.signing import SigningKey
from gateway.ledger.writer import LedgerWriter
from tests.world.clock import FakeClock

ORIGIN = "gateway.test/ledger"


class Signed:
    """A ledger at a path, whose entries are acts that count up."""

    def __init__(self, path: Path, *, key: Path | None = None) -> None:
        self.path = path
        self.clock = FakeClock()
        self.key = SigningKey(path, ORIGIN, file=key)
        self.cosignatures: list[tuple[int, str, str]] = []

    @contextlib.contextmanager
    def open(self) -> Iterator[Notary]:
        """Somebody who signs for it."""
        with LedgerWriter(self.path) as writer:
            yield Notary(self.path, writer, self.key, clock=self.clock, node="n")

    def add(self, count: int, word: str = "act") -> None:
        """So many entries more; ``word`` tells one fork from another."""
        with LedgerWriter(self.path) as writer:
            for _ in range(count):
                writer.append(
                    administrative(clock=self.clock, node="n", actor="dana", act=word, subject="s", details={})
                )

    def checkpoint(self) -> str:
        """Signed now."""
        with self.open() as notary:
            notary.establish("dana")
            return notary.checkpoint()

    def voucher(self) -> Voucher:
        """What holders may ask of it; cosignatures are noted, and kept as they would be."""

        async def keep(size: int, name: str, line: str) -> None:
            self.cosignatures.append((size, name, line))
            with LedgerWriter(self.path) as writer:
                writer.keep_cosignature(size, name, line)

        return Voucher(Notary(self.path, _NoBook(), self.key, clock=self.clock, node="n"), keep)

    def copy_to(self, directory: Path) -> None:
        """A backup."""
        copy_ledger(self.path, directory / self.path.name)

    def fork(self, directory: Path) -> Signed:
        """The same ledger and key elsewhere, to go another way."""
        directory.mkdir()
        self.copy_to(directory)
        shutil.copy(self.path.with_name(f"{self.path.name}.key"), directory)
        return Signed(directory / self.path.name)


class _NoBook(LedgerWriter):
    def __init__(self) -> None: ...


def copy_ledger(source: Path, target: Path) -> None:
    """Put a whole copy of a ledger in the place of what is there, as a backup program would."""
    for beside in ("-wal", "-shm"):
        target.with_name(target.name + beside).unlink(missing_ok=True)
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")
