"""Signed batches over HTTP: JSON lines in a POST, signed as Standard Webhooks says.

``webhook-id`` is the same for the same entries; ``Residency-First-Sequence`` and ``Residency-Last-Sequence`` say which
they are. 2xx is an acknowledgement, anything else is none. No redirect is followed, no cookie kept, no proxy of the
environment used, and no more of an answer read than its status needs.
"""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Sequence
from typing import NoReturn

import aiohttp
from yarl import URL

from gateway.clock import SECOND_US, Clock
from gateway.errors import FeedUnavailable
from gateway.feeds.item import Item, lines
from gateway.feeds.tls import tls_context
from gateway.notification.retry import retry_after_s
from gateway.notification.signature import signature
from gateway.proxy.outward import outward_session
from gateway.proxy.store_credential import StoreCredential
from gateway.settings import FeedSettings

CONTENT_TYPE = "application/x-ndjson"
MAX_ANSWER_BYTES = 16_384
_MENDS = {
    401: "; check its credential",
    403: "; check its credential and what that may do",
    413: "; lower batch_entries",
}


class HttpSink:
    """A :class:`~gateway.feeds.sink.Sink` at an address."""

    def __init__(self, settings: FeedSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._url = settings.url.get_secret_value() if settings.url else ""
        self._credential = StoreCredential.of(settings.name, settings.credential)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, batch: Sequence[Item]) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._post(batch)
        except TimeoutError as error:
            raise FeedUnavailable(f"no answer within {self._settings.timeout_s:g} seconds") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise FeedUnavailable("its certificate is refused; check tls_ca and tls_server_name") from error
        except aiohttp.ClientOSError as error:
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            raise FeedUnavailable(f"it cannot be reached, or broke off ({why}); check url and the receiver") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # some of them name the address
            raise FeedUnavailable(f"it did not answer in HTTP ({type(error).__name__})") from error

    async def close(self) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        if self._session:
            await self._session.close()
            self._session = None

    async def _post(self, batch: Sequence[Item]) -> None:
        if self._session is None:
            tls = await asyncio.to_thread(tls_context, self._settings)
            self._session = outward_session(connections=1, tls=tls)
        body = await asyncio.to_thread(self._packed, batch)
        shown = await self._credential.shown() if self._credential else {}
        headers = self._headers(batch, body) | shown
        async with self._session.post(
            URL(self._url, encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
            server_hostname=self._settings.tls_server_name,
        ) as response:
            await response.content.read(MAX_ANSWER_BYTES)
            if not response.content.at_eof():
                response.close()  # more than anybody needs to say: the connection is not used again
            if not 200 <= response.status < 300:
                self._refuse(response)

    def _packed(self, batch: Sequence[Item]) -> bytes:
        text = lines([item.body for item in batch])
        return gzip.compress(text, 1, mtime=0) if self._settings.gzip else text

    def _headers(self, batch: Sequence[Item], body: bytes) -> dict[str, str]:
        first, last, timestamp_s = batch[0], batch[-1], self._clock.now_us() // SECOND_US
        key = f"{first.sequence}-{last.sequence}-{first.id}"
        told = {
            "Content-Type": CONTENT_TYPE,
            "Residency-Feed": self._settings.name,
            "Residency-First-Sequence": str(first.sequence),
            "Residency-Last-Sequence": str(last.sequence),
            "Residency-Entries": str(len(batch)),
            "webhook-id": key,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(self._settings.key, message_id=key, timestamp_s=timestamp_s, body=body),
        }
        return told | ({"Content-Encoding": "gzip"} if self._settings.gzip else {})

    def _refuse(self, response: aiohttp.ClientResponse) -> NoReturn:
        asked_s = retry_after_s(response.headers.get("Retry-After", ""), now_us=self._clock.now_us())
        told = f"the receiver answered {response.status}{_MENDS.get(response.status, '')}; expected 200 to 299"
        raise FeedUnavailable(told, retry_after_s=asked_s)
