"""Connections to one store, kept open between exchanges and never more than so many.

A connection is made to one of the store's addresses: where that fails, no byte of a request has gone out, so the next
address is tried, for any method.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Sequence
from functools import partial

import structlog

from gateway.proxy.addresses import Address, Addresses
from gateway.proxy.connection import StoreConnection
from gateway.proxy.shares import Shares
from gateway.proxy.store import StoreUnreachable
from gateway.proxy.upstream_tls import UpstreamTls

log = structlog.get_logger(__name__)
IDLE_TIMEOUT_S = 30.0


class ConnectionPool:
    """The connections to one store.

    Args:
        store: for messages.
        addresses: where it is.
        tls: how to speak TLS to it, or None.
        connect_timeout_s: how long to wait for a connection, free or new; all addresses share it.
        read_timeout_s: see :class:`StoreConnection`.
        max_connections: how many at once.
    """

    def __init__(
        self,
        store: str,
        addresses: Sequence[Address],
        *,
        tls: UpstreamTls | None,
        connect_timeout_s: float,
        read_timeout_s: float,
        max_connections: int,
    ) -> None:
        self._store = store
        self._addresses, self._tls = Addresses(addresses), tls
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, read_timeout_s
        self._shares = Shares(max_connections)
        self._idle: deque[StoreConnection] = deque()
        self._busy: dict[StoreConnection, Hashable] = {}  # with whose exchange it is

    async def take(self, owner: Hashable = "", *, new: bool = False) -> tuple[StoreConnection, bool]:
        """A connection for one exchange, and whether it served another before; to be given back.

        Args:
            owner: whose exchange it is; see :class:`Shares`.
            new: not one that was open before.

        Raises:
            StoreUnreachable: the store cannot be connected to, or every connection is busy for too long.
        """
        await self._place(owner)
        try:
            kept = None if new else await self._kept()
            connection = kept or await self._connect()
        except BaseException:
            self._shares.give_back(owner)
            raise
        self._busy[connection] = owner
        return connection, kept is not None

    async def _kept(self) -> StoreConnection | None:
        """A connection that was open before, and on which nothing came that nobody asked for."""
        while self._idle:
            connection = self._idle.pop()
            try:
                if connection.resumed:  # what was held back comes before anything else
                    await asyncio.sleep(0)
                usable = connection.usable and connection.is_quiet()
            except BaseException:
                connection.abort()
                raise
            if usable:
                return connection
            connection.abort()
        return None

    def give_back(self, connection: StoreConnection) -> None:
        """End an exchange: the connection is kept if its answer was read to the end, and else closed."""
        owner = self._busy.pop(connection)
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.abort()
        self._shares.give_back(owner)

    def avoid(self, address: Address, problem: str) -> None:
        """Leave an address for last for a while: it does not do what it should."""
        if self._addresses.failed(address, asyncio.get_running_loop().time()):
            log.warning("store_address_failed", store=self._store, address=address, problem=problem)

    def close(self) -> None:
        """Close every connection, and end what is under way on them."""
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()

    async def _place(self, owner: Hashable) -> None:
        if self._shares.take_now(owner):
            return
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._shares.take(owner)
        except TimeoutError as error:
            problem = f"every connection to the store {self._store} is busy, or is left for others"
            raise StoreUnreachable(503, problem) from error

    async def _connect(self) -> StoreConnection:
        """A new connection, to the first address that takes it.

        An address may use its share of the time that is left, so that one that is silent leaves some for the others.
        """
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._connect_timeout_s
        addresses = self._addresses.in_order(loop.time())
        cause: Exception
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                return await self._connect_to(address, (due_s - loop.time()) / left)
            except TimeoutError as error:
                failure, cause = StoreUnreachable(504, f"the store {self._store} did not answer in time"), error
            except (OSError, UnicodeError) as error:  # TLS errors are the former, names that cannot be the latter
                failure, cause = StoreUnreachable(502, f"the store {self._store} cannot be reached"), error
            self.avoid(address, str(cause) or "it did not answer in time")
        raise failure from cause

    async def _connect_to(self, address: Address, timeout_s: float) -> StoreConnection:
        make = partial(
            StoreConnection,
            self._store,
            address=address,
            read_timeout_s=self._read_timeout_s,
            idle_timeout_s=IDLE_TIMEOUT_S,
        )
        async with asyncio.timeout(timeout_s):
            loop = asyncio.get_running_loop()
            if self._tls is None:
                _, connection = await loop.create_connection(make, *address)
            else:
                await self._tls.renew_if_due()
                context, name = self._tls.context, self._tls.server_name
                _, connection = await loop.create_connection(make, *address, ssl=context, server_hostname=name)
        return connection
