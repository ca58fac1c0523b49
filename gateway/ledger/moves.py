"""What became of segments, as the ledger's rows have it, as its entries tell it, and as the files are.

Every segment has an entry ``ledger.seal``, and one that was removed an entry ``ledger.retain``, which name the same
sequences and the same hash. Invariant: entries that are not there are a problem, unless an entry says who removed them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.clock import SECOND_US, rfc3339
from gateway.ledger.proof import TILE_WIDTH
from gateway.ledger.sealed import RETAIN, SEAL, Sealed, Segment
from gateway.ledger.sealing import Written

OBJECT = "ledger-segment"
"""What entries about segments say that was acted upon."""

Finding = tuple[int, str]


def described(one: Written | Segment) -> dict[str, str | int]:
    """What the entry of a segment says of it."""
    names = {"first": one.first, "last": one.last, "length": one.length}
    return {**names, "file": one.file, "sha256": one.sha256.hex(), "newest": rfc3339(one.newest_us)}


def kept_until(one: Segment, keep_s: int) -> dict[str, str]:
    """What the entry of a removed one says beside that."""
    return {"kept_until": rfc3339(one.newest_us + keep_s * SECOND_US)}


class Moves:
    """The segments of a ledger at one instant, to be held against its entries.

    Args:
        connection: to the ledger's file.

    Attributes:
        told: the entries that say that a segment was sealed or removed, with their sequences.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.told: list[tuple[int, dict[str, Any]]] = []
        self._sealed = Sealed(connection)
        self._segments: list[Segment] = []

    def read(self) -> None:
        """Take the segments as they are now."""
        self._segments = self._sealed.all()

    def sealed(self, sequence: int) -> bool:
        """Whether a segment is over this entry."""
        return bool(self._segments) and sequence < self._segments[-1].after

    def wrong_files(self) -> Iterator[Finding]:
        """What is wrong with the files."""
        for one in self._segments:
            path = self._sealed.path(one)
            if not one.removed and (what := self._sealed.problem(one)):
                yield one.first, f"the segment of the entries {one.first} to {one.last}, {path}: {what}"

    def problems(self) -> Iterator[Finding]:
        """Where rows and entries say otherwise."""
        after, told = 0, dict(self.told)
        for one in self._segments:
            if one.first != after or one.after <= one.first or one.first % TILE_WIDTH or one.after % TILE_WIDTH:
                yield one.first, f"the segment of the entries {one.first} to {one.last} has no place here"
            after = one.after
            if _entry(told, one.sealed_by, SEAL, one) is None:
                yield one.first, f"a segment is over the entries {one.first} to {one.last}, and no entry says so"
            if one.removed and _entry(told, one.removed_by, RETAIN, one) is None:
                yield one.first, f"the entries {one.first} to {one.last} were removed, and no entry says so"
        known = {one.sealed_by for one in self._segments} | {one.removed_by for one in self._segments}
        for sequence, fields in self.told:
            if sequence not in known:
                yield (
                    sequence,
                    f"it says that a segment was {_done(fields)}, and the ledger has none of which that holds",
                )

    def notes(self) -> Iterator[Finding]:
        """Who removed what, and until when it was to be kept."""
        told = dict(self.told)
        for one in self._segments:
            found = _entry(told, one.removed_by, RETAIN, one) if one.removed else None
            if found is None:
                continue
            kept = found["details"].get("kept_until", "")
            who = f"on {str(found.get('time', ''))[:10]} by {found.get('actor', '')} (kept until {kept})"
            yield one.first, f"the entries {one.first} to {one.last} were removed {who}"
            if self._sealed.path(one).exists():
                yield one.first, f"their file is there still: {self._sealed.path(one)}; run ledger retain --delete"


def _entry(told: Mapping[int, Mapping[str, Any]], at: int | None, act: str, one: Segment) -> Mapping[str, Any] | None:
    """The entry at a sequence, if it tells that of a segment."""
    expected = {"first": one.first, "last": one.last, "sha256": one.sha256.hex()}
    fields = told.get(-1 if at is None else at, {})
    details = fields.get("details")
    if fields.get("act") != act or not isinstance(details, Mapping):
        return None
    return fields if expected.items() <= details.items() else None


def _done(fields: Mapping[str, Any]) -> str:
    return "sealed" if fields.get("act") == SEAL else "removed"
