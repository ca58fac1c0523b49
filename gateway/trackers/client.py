"""Asks a tracker for JSON, or has it write: one exchange, no redirect, cookie or proxy of the environment, bounded."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from gateway.errors import ConfigurationError, TrackerUnavailable
from gateway.justification.tracking import AT_ONCE
from gateway.proxy.outward import outward_session, verifying_tls
from gateway.proxy.store_credential import StoreCredential
from gateway.settings import TrackerSettings

MAX_ANSWER_BYTES = 256 * 1024
_WAIT = frozenset({429, 503})


class TrackerClient:
    """Speaks to one tracker. The deadline is the caller's.

    Args:
        settings: of the tracker; its url is https, unless the settings allowed another.

    Raises:
        ConfigurationError: ``tls_ca`` cannot be used.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self.name = settings.name
        self._url = settings.url.get_secret_value().rstrip("/") if settings.url else ""
        self._tls = _context(settings)
        self._credential = StoreCredential.of(settings.name, settings.credential)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The JSON object that stands there; None where the tracker says, in JSON, that there is none (404).

        Args:
            path: as it goes over the line, encoded.
            query: not encoded.

        Raises:
            TrackerUnavailable: anything else.
        """
        return await self._ask("GET", path, query)

    async def write(self, method: str, path: str, query: Mapping[str, str], said: Mapping[str, object]) -> None:
        """Have it write; it is written once this returns, and may be where it raises.

        Args:
            method: one that may be repeated without harm.
            path, query: see :meth:`get`.
            said: what is to be written, as JSON.

        Raises:
            TrackerUnavailable: it is not known to be written.
        """
        found = await self._ask(method, path, query, json.dumps(said).encode())
        if found is None or "error" in found:
            raise self._unusable("404: it shows no such ticket" if found is None else "with an error")

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], said: bytes | None = None
    ) -> dict[str, Any] | None:
        url = URL(f"{self._url}{path}?{urlencode(query)}", encoded=True)
        headers = await self._headers() | ({} if said is None else {"Content-Type": "application/json"})
        try:
            async with self._open().request(method, url, headers=headers, data=said, allow_redirects=False) as response:
                return {} if said is not None and response.status == 204 else await self._read(response)
        except (aiohttp.ClientError, OSError) as error:
            raise TrackerUnavailable(
                f"the tracker {self.name} cannot be reached or broke off ({type(error).__name__})"
            ) from error

    async def close(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = outward_session(connections=AT_ONCE, tls=self._tls)
        return self._session

    async def _headers(self) -> dict[str, str]:
        shown = await self._credential.shown() if self._credential else {}
        return {"Accept": "application/json"} | shown

    async def _read(self, response: aiohttp.ClientResponse) -> dict[str, Any] | None:
        if response.status not in (200, 404):
            raise self._refusal(response)
        if (
            response.content_type != "application/json"
            or response.headers.get("Content-Encoding", "identity") != "identity"
        ):
            raise self._unusable(f"{response.status} that is not plain JSON: a page to sign in, or a wrong url?")
        if response.status == 404 and "FAILED" in response.headers.get("X-Seraph-LoginReason", ""):
            raise self._unusable("404, after it did not take the credential")  # Jira goes on as with nobody
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise self._unusable(f"more than {MAX_ANSWER_BYTES} bytes")
        return None if response.status == 404 else self._parsed(bytes(body))

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._unusable("what is no JSON") from error
        if not isinstance(found, dict):
            raise self._unusable("JSON that is no object")
        return found

    def _refusal(self, response: aiohttp.ClientResponse) -> TrackerUnavailable:
        status = response.status
        if status in (401, 403):
            return self._unusable(f"{status}; check its credential and what that may read{_also(response)}")
        if 300 <= status < 400:
            return self._unusable(f"a redirect ({status}), which is not followed; check its url")
        if status == 400 and response.method != "GET":
            return self._unusable("400; check handoff.fields, and that its tickets have such fields")
        after = response.headers.get("Retry-After", "")
        wait_s = float(after) if status in _WAIT and after.isascii() and after.isdigit() and len(after) < 9 else 0.0
        return self._unusable(str(status), retry_after_s=wait_s)

    def _unusable(self, what: str, *, retry_after_s: float = 0.0) -> TrackerUnavailable:
        return TrackerUnavailable(f"the tracker {self.name} answered {what}", retry_after_s=retry_after_s)


def _also(response: aiohttp.ClientResponse) -> str:
    return "" if response.method == "GET" else " and change"


def _context(settings: TrackerSettings) -> ssl.SSLContext:
    try:
        return verifying_tls(settings.tls_ca)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            [f"tracker {settings.name}: tls_ca {settings.tls_ca} cannot be used ({type(error).__name__}); expected PEM"]
        ) from error
