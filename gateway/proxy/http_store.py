"""A store behind HTTP(S), over pooled connections.

Invariants: the path is sent byte for byte as it was judged; nothing is followed, decoded, kept or added: no redirect,
no decompression, no cookie, no proxy of the environment, no default header. A request is sent a second time only when
the store closed a kept connection without a byte of an answer, and the method is safe (RFC 9112 §9.3.1).
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import SplitResult, unquote, urlsplit

from multidict import CIMultiDictProxy

from gateway.proxy.connection import StoreConnection
from gateway.proxy.pool import ConnectionPool
from gateway.proxy.store import ClientCut, Incoming, Outgoing, StoreCut, StoreUnreachable

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class HttpStore:
    """One HTTP store.

    Args:
        name: for messages.
        base_url: scheme, host and port; a path is put before the request's.
        connect_timeout_s, read_timeout_s: how long to wait for a connection, and between two reads.
        max_connections: how many at once.
    """

    def __init__(
        self, name: str, base_url: str, *, connect_timeout_s: float, read_timeout_s: float, max_connections: int
    ) -> None:
        parts = urlsplit(base_url)
        self._base = parts.path.rstrip("/")
        self._constant = _constant_headers(parts)
        self._pool = ConnectionPool(
            name,
            parts.hostname or "",
            parts.port or _DEFAULT_PORTS[parts.scheme],
            tls=ssl.create_default_context() if parts.scheme == "https" else None,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            max_connections=max_connections,
        )

    async def close(self) -> None:
        self._pool.close()

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """See :class:`gateway.proxy.store.Store`."""
        head = self._head(outgoing)
        connection, used_before = await self._pool.take()
        try:
            return await self._converse(connection, head, outgoing)
        except StoreUnreachable as error:
            stale = used_before and not connection.answered and error.status == 502
            if not stale or outgoing.body is not None or outgoing.method not in _SAFE:
                raise
        connection, _ = await self._pool.take(new=True)
        return await self._converse(connection, head, outgoing)

    async def _converse(self, connection: StoreConnection, head: bytes, outgoing: Outgoing) -> Incoming:
        """One exchange on a connection, which is given back when it fails, or when the answer is closed."""
        connection.begin(head, bodiless=outgoing.method == "HEAD", upgrading=outgoing.upgrading)
        sending = None
        try:
            if outgoing.body is not None:
                chunked = "Content-Length" not in outgoing.headers
                sending = asyncio.get_running_loop().create_task(_send(connection, outgoing.body, chunked=chunked))
            await connection.answer()
        except BaseException:
            await self._end(connection, sending)
            _raise_client_cut(sending)
            raise
        return Incoming(
            status=connection.status,
            reason=connection.reason,
            headers=CIMultiDictProxy(connection.headers),
            chunks=_chunks(connection),
            close=partial(self._end, connection, sending),
            complete=connection.take() if connection.whole and connection.small else None,
            send=connection.write if connection.status == 101 else None,
        )

    async def _end(self, connection: StoreConnection, sending: asyncio.Task[None] | None) -> None:
        if sending is not None:
            if not sending.done():  # the store answered before it had all of the request
                connection.abort()
                sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        self._pool.give_back(connection)

    def _head(self, outgoing: Outgoing) -> bytes:
        """The request up to its body.

        Raises:
            StoreUnreachable: it would not be one request; no client can bring this about.
        """
        target = f"{outgoing.path}?{outgoing.query}" if outgoing.query else outgoing.path
        lines = [f"{outgoing.method} {self._base}{target} HTTP/1.1\r\n", *self._constant]
        lines += [f"{name}: {value}\r\n" for name, value in outgoing.headers.items()]
        if outgoing.body is not None and "Content-Length" not in outgoing.headers:
            lines.append("Transfer-Encoding: chunked\r\n")
        elif outgoing.method in _WITH_BODY and "Content-Length" not in outgoing.headers:
            lines.append("Content-Length: 0\r\n")
        head = "".join(lines)
        if head.count("\n") != len(lines) or head.count("\r") != len(lines) or "\0" in head:
            raise StoreUnreachable(502, "the request cannot be put in one way only")
        return f"{head}\r\n".encode("utf-8", "surrogateescape")


def _constant_headers(parts: SplitResult) -> tuple[str, ...]:
    """What every request to the store carries."""
    credentials, _, host = parts.netloc.rpartition("@")
    if not credentials:
        return (f"Host: {host}\r\n",)
    basic = base64.b64encode(unquote(credentials).encode()).decode()
    return f"Host: {host}\r\n", f"Authorization: Basic {basic}\r\n"


def _raise_client_cut(sending: asyncio.Task[None] | None) -> None:
    """Where it was the client that broke off, the store is not to blame."""
    error = sending.exception() if sending and sending.done() and not sending.cancelled() else None
    if isinstance(error, ClientCut):
        raise error


async def _send(connection: StoreConnection, body: AsyncIterator[bytes], *, chunked: bool) -> None:
    """The body of a request, as it comes; one that breaks off takes the connection with it."""
    try:
        async for data in body:
            if data:
                await connection.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        if chunked:
            await connection.write(b"0\r\n\r\n")
    except StoreCut:
        pass  # whoever waits for the answer is told; an answer that came before it stands
    except BaseException:
        connection.abort()
        raise


async def _chunks(connection: StoreConnection) -> AsyncIterator[bytes]:
    while data := await connection.read():
        yield data
