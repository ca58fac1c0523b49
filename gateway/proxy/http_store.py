"""A store behind HTTP(S), through one pooled aiohttp session.

Invariants: the path is sent byte for byte as it was judged (``encoded=True``); nothing is followed, decoded, kept or
added: no redirect, no decompression, no cookie jar, no proxy of the environment, no default header.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
from yarl import URL

from gateway.proxy.store import Incoming, Outgoing, StoreCut, StoreUnreachable

SMALL_BODY_BYTES = 64 * 1024
_SILENT = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


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
        self._name = name
        self._base = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=30.0, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s),
            auto_decompress=False,
            skip_auto_headers=_SILENT,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._session.close()

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """See :class:`gateway.proxy.store.Store`."""
        target = f"{self._base}{outgoing.path}?{outgoing.query}" if outgoing.query else self._base + outgoing.path
        try:
            response = await self._session.request(
                outgoing.method,
                URL(target, encoded=True),
                headers=outgoing.headers,
                data=outgoing.body,
                allow_redirects=False,
            )
        except TimeoutError as error:  # aiohttp's own time-outs are this too
            raise StoreUnreachable(504, f"the store {self._name} did not answer in time") from error
        except aiohttp.ClientError as error:
            raise StoreUnreachable(502, f"the store {self._name} cannot be reached or broke off") from error
        try:
            complete = await self._small(response)
        except BaseException:
            response.close()
            raise
        return Incoming(
            status=response.status,
            reason=response.reason or "",
            headers=response.headers,
            chunks=self._chunks(response),
            close=partial(_close, response),
            complete=complete,
        )

    async def _small(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The body, when the store announced that it is small: then one write serves head and body."""
        length = response.content_length
        if length is None or length > SMALL_BODY_BYTES or response.method == "HEAD":
            return None
        try:
            return await response.content.read() if length else b""
        except TimeoutError as error:
            raise StoreUnreachable(504, f"the store {self._name} stopped in the middle of its answer") from error
        except aiohttp.ClientError as error:
            raise StoreUnreachable(502, f"the store {self._name} broke off in the middle of its answer") from error

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise StoreCut(f"the store {self._name} broke off") from error


async def _close(response: aiohttp.ClientResponse) -> None:
    """Give the connection back, or end it when the answer was not read to its end."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()
