"""Fetches key sets: from files, and over https with no redirect, no proxy and no inward address."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from gateway.identity import MAX_DOCUMENT_BYTES, FileFetcher, is_fetchable

TIMEOUT_S = 3.0


class KeyFetcher:
    """A :class:`gateway.identity.Fetcher`; use it as an asynchronous context."""

    def __init__(self) -> None:
        self._files = FileFetcher()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> KeyFetcher:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_OutwardResolver()),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._session:
            await self._session.close()

    async def fetch(self, location: str) -> bytes:
        """See :class:`gateway.identity.Fetcher`.

        Raises:
            OSError: the document cannot be had; aiohttp's own errors count as such.
        """
        if not location.startswith("https://"):
            return await self._files.fetch(location)
        assert self._session is not None  # noqa: S101 - entered before use
        _refuse_inward_literal(location)
        async with self._session.get(location, allow_redirects=False) as response:
            if response.status != 200:
                raise OSError(f"the key set's address answered {response.status}; expected 200")
            return await _whole(response.content)


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """A document, however many pieces it comes in; of one that is too long, enough to tell that it is."""
    document = b""
    async for piece in content.iter_any():
        document += piece
        if len(document) > MAX_DOCUMENT_BYTES:
            break
    return document


def _refuse_inward_literal(location: str) -> None:
    """An address written out is not resolved, so the resolver below would not see it."""
    host = URL(location).host or ""
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not is_fetchable(address):
        raise OSError(
            f"the key set's address {host} is the machine's own or a metadata service's; expected an issuer's"
        )


class _OutwardResolver(AbstractResolver):
    """The default resolver, less what no issuer lives at."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        fit = [result for result in found if is_fetchable(ip_address(_bare(result)))]
        if not fit:
            raise OSError(f"{host} resolves only to addresses that no issuer lives at")
        return fit

    async def close(self) -> None:
        await self._resolver.close()


def _bare(result: Any) -> str:
    return str(result["host"]).partition("%")[0]
