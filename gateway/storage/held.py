"""The last checkpoint of each ledger, in the state database: another file than the ledger's, so that putting back an
old copy of one of them shows. Beside it, under ``ORIGIN HOLDER``, what each other holder took last: no origin has a
space in it."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from gateway.errors import StateUnavailable
from gateway.ledger.holding import Held
from gateway.ledger.notary import size_of
from gateway.ledger.note import NoteRefused
from gateway.storage.store import StateStore
from gateway.storage.tables import held_checkpoint as _held


class StatePlace:
    """A :class:`gateway.ledger.holding.Place` in a :class:`StateStore`.

    Args:
        store: closed by whoever opened it.
        origin: the ledger's name.
    """

    def __init__(self, store: StateStore, origin: str) -> None:
        self._store = store
        self._origin = origin

    async def read(self) -> Held | None:
        """See :class:`gateway.ledger.holding.Place`."""
        return await asyncio.to_thread(self._read)

    async def swap(self, held: Held | None, note: str) -> bool:
        """See :class:`gateway.ledger.holding.Place`."""
        return await asyncio.to_thread(self._swap, held, note)

    async def close(self) -> None:
        """Nothing: the store is somebody else's."""

    def _read(self) -> Held | None:
        with self._store.connection() as connection:
            note = connection.scalar(select(_held.c.note).where(_held.c.origin == self._origin))
        return None if note is None else Held(note, note)

    def _swap(self, held: Held | None, note: str) -> bool:
        values = {"note": note, "told_us": self._store.clock.now_us()}
        with self._store.connection(writing=True) as connection:
            if held is None:
                first = insert(_held).values(origin=self._origin, **values).on_conflict_do_nothing()
                return connection.execute(first).rowcount == 1
            same = update(_held).where(_held.c.origin == self._origin, _held.c.note == held.tag)
            return connection.execute(same.values(values)).rowcount == 1


class StateMemory:
    """A :class:`gateway.ledger.holding.Memory` in a :class:`StateStore`.

    Args:
        store: closed by whoever opened it.
        origin: the ledger's name.
        holder: the holder's.
    """

    def __init__(self, store: StateStore, origin: str, holder: str) -> None:
        self._store = store
        self._key = f"{origin} {holder}"

    async def told(self) -> int:
        """See :class:`gateway.ledger.holding.Memory`."""
        return await asyncio.to_thread(self._told)

    async def remember(self, note: str) -> None:
        """See :class:`gateway.ledger.holding.Memory`."""
        await asyncio.to_thread(self._remember, note)

    async def forget(self) -> None:
        """See :class:`gateway.ledger.holding.Memory`."""
        await asyncio.to_thread(self._forget)

    def _told(self) -> int:
        with self._store.connection() as connection:
            return self._size(connection)

    def _remember(self, note: str) -> None:
        values = {"note": note, "told_us": self._store.clock.now_us()}
        with self._store.connection(writing=True) as connection:
            if self._size(connection) <= size_of(note):
                put = insert(_held).values(origin=self._key, **values)
                connection.execute(put.on_conflict_do_update(index_elements=[_held.c.origin], set_=values))

    def _forget(self) -> None:
        with self._store.connection(writing=True) as connection:
            connection.execute(delete(_held).where(_held.c.origin == self._key))

    def _size(self, connection: Connection) -> int:
        note = connection.scalar(select(_held.c.note).where(_held.c.origin == self._key))
        try:
            return 0 if note is None else size_of(note)
        except NoteRefused as error:
            raise StateUnavailable(f"what it remembers of {self._key!r} is no checkpoint ({error})") from error
