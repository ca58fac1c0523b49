"""Connections to one store, kept open between exchanges and never more than so many."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from gateway.proxy.connection import StoreConnection
from gateway.proxy.store import StoreUnreachable

IDLE_TIMEOUT_S = 30.0


class ConnectionPool:
    """The connections to one store.

    Args:
        store: for messages.
        host, port: where it is.
        tls: how to speak TLS to it, or None.
        connect_timeout_s: how long to wait for a connection, free or new.
        read_timeout_s: see :class:`StoreConnection`.
        max_connections: how many at once.
    """

    def __init__(
        self,
        store: str,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        connect_timeout_s: float,
        read_timeout_s: float,
        max_connections: int,
    ) -> None:
        self._store = store
        self._host, self._port, self._tls = host, port, tls
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, read_timeout_s
        self._places = asyncio.Semaphore(max_connections)
        self._idle: deque[StoreConnection] = deque()
        self._busy: set[StoreConnection] = set()

    async def take(self, *, new: bool = False) -> tuple[StoreConnection, bool]:
        """A connection for one exchange, and whether it served another before; to be given back.

        Args:
            new: not one that was open before.

        Raises:
            StoreUnreachable: the store cannot be connected to, or every connection is busy for too long.
        """
        await self._place()
        try:
            while self._idle and not new:
                connection = self._idle.pop()
                if connection.usable:
                    self._busy.add(connection)
                    return connection, True
            connection = await self._connect()
        except BaseException:
            self._places.release()
            raise
        self._busy.add(connection)
        return connection, False

    def give_back(self, connection: StoreConnection) -> None:
        """End an exchange: the connection is kept if its answer was read to the end, and else closed."""
        self._busy.discard(connection)
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.abort()
        self._places.release()

    def close(self) -> None:
        """Close every connection, and end what is under way on them."""
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()

    async def _place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            await asyncio.wait_for(self._places.acquire(), self._connect_timeout_s)
        except TimeoutError as error:
            raise StoreUnreachable(503, f"every connection to the store {self._store} is busy") from error

    async def _connect(self) -> StoreConnection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    self._make, self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise StoreUnreachable(504, f"the store {self._store} did not answer in time") from error
        except OSError as error:  # TLS errors are this too
            raise StoreUnreachable(502, f"the store {self._store} cannot be reached") from error
        return connection

    def _make(self) -> StoreConnection:
        return StoreConnection(self._store, read_timeout_s=self._read_timeout_s, idle_timeout_s=IDLE_TIMEOUT_S)
