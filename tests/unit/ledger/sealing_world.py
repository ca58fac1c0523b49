"""A signed ledger, and moving what it has into segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.clock import SECOND_US
from gateway.ledger import sealing
from gateway.ledger.entry import Entry, administrative
from gateway.ledger.sealed import RETAIN, SEAL, Segment
from gateway.ledger.sealing import Written
from gateway.ledger.writer import LedgerWriter
from tests.unit.ledger.signed import build, entries
from tests.world.clock import NOW_S, FakeClock

LATER_US = (NOW_S + 10_000) * SECOND_US


class Stopped(BaseException):
    """What a crash is here: nothing runs after it."""


def sealed_entry(one: Written) -> Mapping[str, object]:
    """The entry that tells of a segment."""
    return _entry(SEAL, one, {})


def removed_entry(one: Segment) -> Mapping[str, object]:
    """The entry that tells of its removal."""
    return _entry(RETAIN, one, {"kept_until": "2026-01-01T00:00:00Z"})


def _entry(act: str, one: Written | Segment, more: Mapping[str, str]) -> Mapping[str, object]:
    details = {"first": one.first, "last": one.last, "sha256": one.sha256.hex(), "file": one.file, **more}
    clock = FakeClock(NOW_S + 20_000)
    return administrative(clock=clock, node="n", actor="dana", act=act, subject="ledger-segment", details=details)


def seal_all(path: Path, directory: Path | None = None, *, before_us: int = LATER_US) -> list[Written]:
    """Move all that can be moved."""
    with LedgerWriter(path) as writer:
        where = directory or sealing.segments_directory(path)
        return list(sealing.seal(path, where, writer, before_us=before_us, told=sealed_entry))


def built(path: Path, written: Sequence[Entry] | None = None) -> list[Entry]:
    """The signed ledger, 600 entries."""
    found = list(written or entries())
    path.parent.mkdir(parents=True, exist_ok=True)
    build(path, found)
    return found
