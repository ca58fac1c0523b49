"""Speaks to a holder over HTTP: one exchange, no redirect, no cookie, no proxy of the environment, bounded."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from gateway.errors import ConfigurationError, HolderUnavailable
from gateway.ledger.note import MAX_NOTE_BYTES
from gateway.proxy.outward import outward_session, verifying_tls
from gateway.proxy.store_credential import StoreCredential
from gateway.settings import HolderSettings


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class HolderClient:
    """Speaks to one holder. The deadline is the caller's.

    Args:
        settings: of the holder; its url is https, unless the settings allowed another.

    Raises:
        ConfigurationError: ``tls_ca`` cannot be used.
    """

    def __init__(self, settings: HolderSettings) -> None:
        self._url = settings.url.get_secret_value() if settings.url else ""
        self._tls = _context(settings)
        self._credential = StoreCredential.of(settings.name, settings.credential)
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, method: str, path: str = "", *, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> Answer:
        """Ask, and read the whole answer.

        Args:
            path: what comes behind the url.

        Raises:
            HolderUnavailable: there is none, or it is too long, packed, or a redirect.
        """
        url = URL((self._url.rstrip("/") if path else self._url) + path, encoded=True)
        shown = await self._credential.shown() if self._credential else {}
        sent = shown | dict(headers or {})
        data = None if body is None else body.encode()
        try:
            async with self._open().request(method, url, headers=sent, data=data, allow_redirects=False) as response:
                return await _whole(response)
        except (aiohttp.ClientError, OSError) as error:  # some of them name the address
            raise HolderUnavailable(f"it cannot be reached, or broke off ({type(error).__name__})") from error

    async def close(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = outward_session(connections=1, tls=self._tls)
        return self._session


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    if 300 <= response.status < 400 and response.status != 304:
        raise HolderUnavailable(f"it answered a redirect ({response.status}), which is not followed; check its url")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HolderUnavailable("it answered in a packed form; expected plain text")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_NOTE_BYTES:
            raise HolderUnavailable(f"it answered more than {MAX_NOTE_BYTES} bytes")
    return Answer(response.status, response.headers.copy(), response.content_type, bytes(body))


def _context(settings: HolderSettings) -> ssl.SSLContext:
    try:
        return verifying_tls(settings.tls_ca)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            [f"ledger.holder {settings.name}: tls_ca {settings.tls_ca} cannot be used; expected certificates in PEM"]
        ) from error
