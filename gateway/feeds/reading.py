"""What a feed has to send next, out of the ledger: a bounded number of entries, less those that it does not want."""

from __future__ import annotations

from typing import NamedTuple

from gateway.errors import FeedUnavailable
from gateway.feeds.item import Facts, Item, Items
from gateway.feeds.yielding import yielding
from gateway.justification import EVERY_CUSTOMER
from gateway.ledger.reader import LedgerReader
from gateway.settings import FeedSettings

MAX_BATCH_BYTES = 1024 * 1024
MAX_LOOKED_AT = 2_000


class Gone(NamedTuple):
    """Entries that the ledger does not have any more, and a feed therefore cannot send.

    Attributes:
        first, last: the first and the last of them; others may stand between.
        entries: how many.
    """

    first: int
    last: int
    entries: int

    def and_(self, first: int, last: int) -> Gone:
        """These, and those of another gap behind them."""
        return Gone(self.first, last, self.entries + last - first + 1)


class Bunch(NamedTuple):
    """What comes behind a cursor.

    Attributes:
        before: the cursor.
        after: where it stands once this is sent; the same where there is nothing.
        items: what is to be sent; none where nothing of it is wanted.
        gone: what is passed over; None where nothing is.
    """

    before: int
    after: int
    items: list[Item]
    gone: Gone | None = None


class Reading:
    """Reads for one feed. Blocking."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self._items = Items()

    def after(self, reader: LedgerReader, cursor: int) -> Bunch:
        """What comes behind this sequence.

        Raises:
            FeedUnavailable: the ledger does not reach so far.
            LedgerUnavailable: it cannot be read.
        """
        _require_reached(reader, cursor)
        found: list[Item] = []
        gone: Gone | None = None
        after, size = cursor, 0
        for looked_at, (sequence, body) in enumerate(yielding(reader.bodies(start=cursor + 1)), 1):
            if sequence > after + 1:
                gap = (after + 1, sequence - 1)
                gone = gone.and_(*gap) if gone else Gone(*gap, sequence - after - 1)
            after = sequence
            item = self._items.item(reader, sequence, body)
            if wanted(self._settings, item.facts):
                found.append(item)
                size += len(body)
            if len(found) >= self._settings.batch_entries or size >= MAX_BATCH_BYTES or looked_at >= MAX_LOOKED_AT:
                break
        return Bunch(cursor, after, found, gone)


def wanted(settings: FeedSettings, facts: Facts) -> bool:
    """Whether a feed is to have an entry: what it does not name holds for all."""
    return (
        (not settings.kinds or facts.kind in settings.kinds)
        and (not settings.effects or facts.effect in settings.effects)
        and (not settings.customers or _concerns(settings.customers, facts))
    )


def _concerns(customers: tuple[str, ...], facts: Facts) -> bool:
    """As a search by customer finds it: its data, an act that names it, or one that was done to it."""
    named = {*facts.customer.split(","), facts.object}
    return facts.customer == EVERY_CUSTOMER or not named.isdisjoint(customers)


def _require_reached(reader: LedgerReader, cursor: int) -> None:
    size = reader.size()
    if cursor >= size:
        told = f"it is at entry {cursor}, and the ledger has {size}: another ledger, or an older copy"
        raise FeedUnavailable(f"{told}; put the right one back, or say where to go on with `feeds rewind`")
