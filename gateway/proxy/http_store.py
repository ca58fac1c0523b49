"""A store behind HTTP(S), over pooled connections, with a credential of its own and a circuit breaker.

Invariants: the path is sent byte for byte as it was judged; nothing is followed, decoded, kept or added: no redirect,
no decompression, no cookie, no proxy of the environment, no default header. A request is sent a second time only when
the store closed a kept connection without a byte of an answer, and the method is safe (RFC 9112 §9.3.1). The gateway's
credential takes the place of any header of that name, both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from urllib.parse import SplitResult, urlsplit

import structlog
from multidict import CIMultiDictProxy

from gateway.proxy.addresses import Address
from gateway.proxy.circuit import Circuit
from gateway.proxy.connection import StoreConnection
from gateway.proxy.pool import ConnectionPool
from gateway.proxy.store import ClientCut, Incoming, Outgoing, StoreCut, StoreElsewhere, StoreUnreachable
from gateway.proxy.store_credential import StoreCredential
from gateway.proxy.upstream_tls import UpstreamTls
from gateway.settings import StoreSettings

log = structlog.get_logger(__name__)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class _Stale(StoreUnreachable):
    """The store had closed a kept connection: it broke off before a byte of an answer."""


class HttpStore:
    """One HTTP store.

    Args:
        settings: with an address of http or https.

    Raises:
        ConfigurationError: a file for TLS cannot be used.
    """

    def __init__(self, settings: StoreSettings) -> None:
        url = urlsplit(settings.url.get_secret_value())
        self._store = settings.name
        self._base = url.path.rstrip("/")
        self._host = f"Host: {url.netloc.rpartition('@')[2]}\r\n"
        self._credential = StoreCredential.of(settings.name, settings.credential, url)
        self._constant = self._constant_lines()
        self._circuit = Circuit(settings.name, limit=settings.breaker_failures, open_s=settings.breaker_open_s)
        self._loop = asyncio.get_running_loop()
        self._pool = ConnectionPool(
            settings.name,
            _addresses(settings.addresses, url),
            tls=UpstreamTls(settings, url.hostname or "") if url.scheme == "https" else None,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
            max_connections=settings.max_connections,
        )

    async def close(self) -> None:
        self._pool.close()

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """See :class:`gateway.proxy.store.Store`."""
        circuit = self._circuit
        if circuit.failures >= circuit.limit:
            circuit.enter(self._loop.time())
        if self._credential is not None:
            outgoing = await self._credited(self._credential, outgoing)
        head = self._head(outgoing)
        try:
            return await self._try(head, outgoing)
        except _Stale:
            if outgoing.body is not None or outgoing.method not in _SAFE:
                raise
        return await self._try(head, outgoing, new=True)

    async def _try(self, head: bytes, outgoing: Outgoing, *, new: bool = False) -> Incoming:
        """One exchange, on a connection that may have been kept unless it is to be a new one; failures are counted."""
        try:
            connection, used_before = await self._pool.take(outgoing.owner, new=new)
        except StoreUnreachable as error:
            if error.status != 503:  # every connection is busy: with answers, for all that is known
                self._circuit.failed(self._loop.time())
            raise
        if outgoing.admits is not None and not outgoing.admits(connection.peer):
            self._pool.avoid(connection.address, "it leads out of home")
            connection.abort()
            self._pool.give_back(connection)
            raise StoreElsewhere(self._store)
        try:
            return await self._converse(connection, head, outgoing)
        except StoreUnreachable as error:
            if connection.answered and error.status != 504:  # with what cannot be read, but it is there
                raise
            if used_before and error.status != 504:
                raise _Stale(error.status, str(error)) from error
            self._pool.avoid(connection.address, str(error))
            self._circuit.failed(self._loop.time())
            raise

    async def _credited(self, credential: StoreCredential, outgoing: Outgoing) -> Outgoing:
        """With the credential as it is now, and no header of the client's in its place."""
        if self._loop.time() >= credential.changes.due_s and await credential.renew():
            self._constant = self._constant_lines()
        if credential.name not in outgoing.headers:
            return outgoing
        headers = outgoing.headers.copy()
        headers.popall(credential.name)
        return outgoing._replace(headers=headers)

    def _constant_lines(self) -> tuple[str, ...]:
        """What every request to the store carries."""
        return (self._host, self._credential.line) if self._credential else (self._host,)

    async def _converse(self, connection: StoreConnection, head: bytes, outgoing: Outgoing) -> Incoming:
        """One exchange on a connection, which is given back when it fails, or when the answer is closed."""
        owing = outgoing.body is not None
        connection.begin(head, bodiless=outgoing.method == "HEAD", upgrading=outgoing.upgrading, owing=owing)
        sending = None
        try:
            if outgoing.body is not None:
                chunked = "Content-Length" not in outgoing.headers
                sending = self._loop.create_task(_send(connection, outgoing.body, chunked=chunked))
            await connection.answer()
        except BaseException:
            await self._end(connection, sending)
            _raise_client_cut(sending)
            raise
        if self._circuit.failures:
            self._circuit.answered()
        if self._credential is not None:
            self._hide(self._credential, connection)
            if connection.status == 401 and "Authorization" not in outgoing.headers:
                await self._refuse(connection, sending)
        return Incoming(
            status=connection.status,
            reason=connection.reason,
            headers=CIMultiDictProxy(connection.headers),
            chunks=_chunks(connection),
            close=partial(self._end, connection, sending),
            complete=connection.take() if connection.whole and connection.small else None,
            send=connection.write if connection.status == 101 else None,
            octets=connection.octets,
        )

    def _hide(self, credential: StoreCredential, connection: StoreConnection) -> None:
        """No answer hands the credential on. A store that does not take it may have been given a newer one."""
        connection.headers.popall(credential.name, None)
        connection.headers.popall("WWW-Authenticate", None)  # it is not the client who is asked
        if connection.status == 401:
            credential.changes.hurry()

    async def _refuse(self, connection: StoreConnection, sending: asyncio.Task[None] | None) -> None:
        """End an exchange in which nobody's credential but the gateway's can have been refused.

        Raises:
            StoreUnreachable: always; the client could do nothing about a 401.
        """
        if connection.whole:
            connection.take()
        await self._end(connection, sending)
        log.warning("store_credential_refused", store=self._store)
        raise StoreUnreachable(502, f"the store {self._store} refused the gateway's credential; tell the operator")

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
        if outgoing.body is not None:
            lines.append("Connection: close\r\n")  # so that nothing in it can be read as another request
            if "Content-Length" not in outgoing.headers:
                lines.append("Transfer-Encoding: chunked\r\n")
        elif outgoing.method in _WITH_BODY and "Content-Length" not in outgoing.headers:
            lines.append("Content-Length: 0\r\n")
        head = "".join(lines)
        one_each = head.count("\n") == head.count("\r") == len(lines) and len(lines[0].split()) == 3
        if not one_each or "\0" in head:
            raise StoreUnreachable(502, "the request cannot be put in one way only")
        return f"{head}\r\n".encode("utf-8", "surrogateescape")


def _addresses(addresses: Sequence[str], url: SplitResult) -> list[Address]:
    """Where to connect to."""
    if not addresses:
        return [(url.hostname or "", url.port or _DEFAULT_PORTS[url.scheme])]
    parted = (address.rpartition(":") for address in addresses)
    return [(host.strip("[]"), int(port)) for host, _, port in parted]


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
        connection.sent()
    except StoreCut:
        pass  # whoever waits for the answer is told; an answer that came before it stands
    except BaseException:
        connection.abort()
        raise


async def _chunks(connection: StoreConnection) -> AsyncIterator[bytes]:
    while data := await connection.read():
        yield data
