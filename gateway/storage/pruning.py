"""What nobody asks for any more, taken out of the state database a little at a time, so that no act waits for long."""

from __future__ import annotations

from sqlalchemy import delete, select

from gateway.storage.replay import KEPT_US
from gateway.storage.store import StateStore
from gateway.storage.tables import replay

MOST_AT_ONCE = 500


def prune_replays(store: StateStore, *, now_us: int) -> int:
    """Forget answers whose keys mean nothing any more; blocking.

    They are looked for without holding up a writer, and each transaction takes few of them.

    Returns:
        How many there were.
    """
    old = select(replay.c.id).where(replay.c.at_us < now_us - KEPT_US).limit(MOST_AT_ONCE)
    count = 0
    while True:
        with store.connection() as connection:
            keys = list(connection.scalars(old))
        if not keys:
            return count
        with store.connection(writing=True) as connection:  # one that was used anew meanwhile stays
            again = replay.c.id.in_(keys) & (replay.c.at_us < now_us - KEPT_US)
            count += connection.execute(delete(replay).where(again)).rowcount
