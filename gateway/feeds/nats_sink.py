"""NATS JetStream: each entry a message, stored once the stream has acknowledged it; its id is ``Nats-Msg-Id``.

The first entry of a batch is acknowledged before the others go out, and they a bounded number at a time: the order is
the ledger's unless the stream itself takes one and refuses the one before. ``nats-py`` is the extra
``residency-gateway[nats]``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.errors import FeedUnavailable
from gateway.feeds.item import Item
from gateway.feeds.tls import tls_context
from gateway.settings import FeedSettings

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

AT_A_TIME = 32
"""Few enough that requests do not wait for them to be written."""


class NatsSink:
    """A :class:`~gateway.feeds.sink.Sink` in a stream."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self._addresses = itertools.cycle(settings.addresses)
        self._client: Client | None = None

    async def send(self, batch: Sequence[Item]) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        from nats.errors import Error, NoServersError
        from nats.js.errors import NoStreamResponseError

        try:
            stream = await self._stream()
            await self._publish(stream, batch[0])
            for start in range(1, len(batch), AT_A_TIME):
                await self._publish_all(stream, batch[start : start + AT_A_TIME])
        except NoStreamResponseError as error:
            told = f"no stream takes {self._settings.subject}; add one there, or name another subject"
            raise FeedUnavailable(told) from error
        except (Error, NoServersError, OSError) as error:
            raise FeedUnavailable(f"the server did not take it ({_named(error)}); check it and addresses") from error

    async def close(self) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        client, self._client = self._client, None
        if client:
            await client.close()

    async def _stream(self) -> JetStreamContext:
        if self._client is None or not self._client.is_connected:
            await self.close()
            self._client = await self._connected()
        return self._client.jetstream(timeout=self._settings.timeout_s)

    async def _connected(self) -> Client:
        from nats.aio.client import Client

        address, client = next(self._addresses), Client()
        options = await self._options(address.rpartition(":")[0].strip("[]"))
        async with asyncio.timeout(self._settings.timeout_s):
            await client.connect(
                f"nats://{address}",
                error_cb=_unheard,
                name="residency-gateway",
                allow_reconnect=False,
                max_reconnect_attempts=1,  # of one address; the next one's turn is at the next attempt
                reconnect_time_wait=0,
                connect_timeout=max(1, round(self._settings.timeout_s)),
                **options,
            )
        return client

    async def _options(self, host: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if not self._settings.unsafe_plaintext:
            options["tls"] = await asyncio.to_thread(tls_context, self._settings)
            options["tls_hostname"] = self._settings.tls_server_name or host
        if credential := self._settings.credential:
            secret = credential.secret.text.get_secret_value()
            if credential.basic:
                options["user"], _, options["password"] = secret.partition(":")
            else:
                options["token"] = secret
        return options

    async def _publish(self, stream: JetStreamContext, item: Item) -> None:
        headers = {"Nats-Msg-Id": item.id, "Residency-Sequence": str(item.sequence)}
        await stream.publish(self._settings.subject, item.body, timeout=self._settings.timeout_s, headers=headers)

    async def _publish_all(self, stream: JetStreamContext, items: Sequence[Item]) -> None:
        """In their order: each is written to the connection before the next one's turn."""
        outcomes = await asyncio.gather(*(self._publish(stream, item) for item in items), return_exceptions=True)
        for outcome in filter(None, outcomes):
            raise outcome


async def _unheard(_error: Exception) -> None:
    """What goes wrong with a connection shows in what is published over it."""


def _named(error: Exception) -> str:
    description = getattr(error, "description", None)  # of JetStream's own errors
    return f"{type(error).__name__}: {description}" if description else type(error).__name__
