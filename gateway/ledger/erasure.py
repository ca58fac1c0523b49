"""Erasing a person: how much of the record tells of them, and whether a legal hold covers it.

Nothing in the ledger changes: their key is destroyed (:mod:`gateway.ledger.subject_keys`), and what stands there is a
pseudonym that nothing turns back. An entry that was written without pseudonyms is final, and names them for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.errors import UsageError
from gateway.ledger.entry import COLUMNS, decode, derive, encode
from gateway.ledger.hold import Hold
from gateway.ledger.reader import LedgerReader

_PROGRESS_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry that tells of somebody is about: when, and whose data; nobody: whose is not said."""

    time_us: int
    customers: frozenset[str]


@dataclass(slots=True)
class Mentions:
    """What of the record tells of somebody.

    Attributes:
        by_pseudonym: a word on each entry that has their pseudonym.
        in_clear: how many entries have their name itself.
        size: how many entries were read.
    """

    by_pseudonym: list[Told] = field(default_factory=list)
    in_clear: int = 0
    size: int = 0

    def read(self, reader: LedgerReader, name: str, pseudonym: str, progress: Callable[[int], object]) -> None:
        """Read the entries behind those that were read before; it takes as long as reading all of them does.

        Args:
            pseudonym: theirs, or "".
            progress: called with how many entries were read.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        clear, token = encode({"n": name})[5:-1], pseudonym.encode()
        for sequence, body in reader.bodies(start=self.size):
            self.size = sequence + 1
            if token and token in body:
                self.by_pseudonym.append(_told(body))
            self.in_clear += clear in body
            if not self.size % _PROGRESS_EVERY:
                progress(self.size)

    def held_by(self, holds: Iterable[Hold]) -> list[str]:
        """The names of the legal holds that cover any of these entries, as ``ledger retain`` understands them."""
        return [hold.name for hold in holds if any(_covers(hold, told) for told in self.by_pseudonym)]


def similar(name: str, names: Sequence[str], is_same: Callable[[str, str], bool]) -> list[str]:
    """Other spellings of a name among others: each is somebody of their own to the record."""
    return [other for other in names if other != name and is_same(other, name)]


def _told(body: bytes) -> Told:
    try:
        found = dict(zip(COLUMNS, derive(decode(body)), strict=True))
    except UsageError:
        return Told(0, frozenset())
    time_us = found["time_us"]
    named = frozenset(str(found["customer"]).split(",")) - {""}
    return Told(time_us if isinstance(time_us, int) else 0, named)


def _covers(hold: Hold, told: Told) -> bool:
    """As retention has it: a customer's hold covers what may concern them, so also what names all, or nobody."""
    in_time = told.time_us >= hold.since_us and (not hold.until_us or told.time_us < hold.until_us)
    return in_time and (not hold.customer or not told.customers or bool({hold.customer, "*"} & told.customers))
