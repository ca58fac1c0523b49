"""How far each feed of the ledger has come, in the state database.

Invariants: a cursor moves only from where whoever moves it found it, so that a rewinding is never undone by what was
under way; it is there before the first entry behind it is sent. Every method blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, select, update
from sqlalchemy.dialects.sqlite import insert

from gateway.storage.store import StateStore
from gateway.storage.tables import feed_cursor as _cursor

PASSED_OVER = "feed.passed_over"
"""What the record calls it when a feed comes to entries that the ledger does not have any more."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a feed stands.

    Attributes:
        sequence: of the last entry that is done with; -1 before the first.
        moved_us: when that was.
        failing_since_us: since when nothing arrives; 0 while it is well.
        problem: why, or "".
    """

    name: str
    sequence: int
    moved_us: int = 0
    failing_since_us: int = 0
    problem: str = ""


class FeedCursors:
    """The cursors in a :class:`StateStore`, which is closed by whoever opened it."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def find(self, name: str) -> Cursor | None:
        """The cursor of a feed; None of one that never began."""
        with self._store.connection() as connection:
            row = connection.execute(select(_cursor).where(_cursor.c.name == name)).mappings().first()
        return Cursor(**row) if row else None

    def begin(self, name: str, sequence: int) -> Cursor:
        """The cursor of a feed, which begins behind this sequence unless it began before."""
        values = {"name": name, "sequence": sequence, "moved_us": 0, "failing_since_us": 0, "problem": ""}
        with self._store.connection(writing=True) as connection:
            connection.execute(insert(_cursor).values(values).on_conflict_do_nothing())
            row = connection.execute(select(_cursor).where(_cursor.c.name == name)).mappings().one()
        return Cursor(**row)

    def advance(self, name: str, before: int, after: int) -> bool:
        """Move a cursor, which also says that its feed is well; False where it is no longer where it was."""
        moved = update(_cursor).where(_cursor.c.name == name, _cursor.c.sequence == before)
        values = {"sequence": after, "moved_us": self._store.clock.now_us(), "failing_since_us": 0, "problem": ""}
        with self._store.connection(writing=True) as connection:
            return connection.execute(moved.values(values)).rowcount == 1

    def note(self, name: str, problem: str) -> None:
        """Say why a feed fails; or with "" that it is well."""
        since = case((_cursor.c.problem == "", self._store.clock.now_us()), else_=_cursor.c.failing_since_us)
        values = {"problem": problem, "failing_since_us": since if problem else 0}
        with self._store.connection(writing=True) as connection:
            connection.execute(update(_cursor).where(_cursor.c.name == name).values(values))

    def rewind(self, name: str, sequence: int) -> None:
        """Put a cursor somewhere else, so that its feed goes on behind this sequence."""
        values = {"sequence": sequence, "moved_us": self._store.clock.now_us(), "failing_since_us": 0, "problem": ""}
        statement = insert(_cursor).values(name=name, **values)
        with self._store.connection(writing=True) as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
