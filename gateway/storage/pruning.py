"""What nobody asks for any more, taken out of the state database a little at a time, so that no act waits for long."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Table, delete, select

from gateway.clock import SECOND_US
from gateway.storage.replay import KEPT_US
from gateway.storage.store import StateStore
from gateway.storage.tables import replay, transfer_pass

MOST_AT_ONCE = 500
PASSES_KEPT_US = 30 * 86_400 * SECOND_US
"""For how long a pass that is over is listed; what was done with it stands in the ledger."""


def prune(store: StateStore, *, now_us: int) -> int:
    """Forget answers whose keys mean nothing any more, and passes that have long been over; blocking.

    Returns:
        How many there were.
    """
    return prune_replays(store, now_us=now_us) + prune_passes(store, now_us=now_us)


def prune_passes(store: StateStore, *, now_us: int) -> int:
    """Forget passes that have long been over; see :func:`prune_replays`."""
    return _prune(store, transfer_pass, transfer_pass.c.ends_us < now_us - PASSES_KEPT_US)


def prune_replays(store: StateStore, *, now_us: int) -> int:
    """Forget answers whose keys mean nothing any more; blocking.

    They are looked for without holding up a writer, and each transaction takes few of them.

    Returns:
        How many there were.
    """
    return _prune(store, replay, replay.c.at_us < now_us - KEPT_US)


def _prune(store: StateStore, table: Table, is_old: ColumnElement[bool]) -> int:
    old = select(table.c.id).where(is_old).limit(MOST_AT_ONCE)
    count = 0
    while True:
        with store.connection() as connection:
            keys = list(connection.scalars(old))
        if not keys:
            return count
        with store.connection(writing=True) as connection:  # one that was used anew meanwhile stays
            again = table.c.id.in_(keys) & is_old
            count += connection.execute(delete(table).where(again)).rowcount
