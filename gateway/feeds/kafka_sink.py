"""Kafka: each entry a record, acknowledged by all replicas in sync; an idempotent producer keeps a partition's order.

The key is the customer, so that what concerns one customer stays in order; ``id`` and ``sequence`` are headers.
``aiokafka`` is the extra ``residency-gateway[kafka]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.errors import FeedUnavailable
from gateway.feeds.item import Item
from gateway.feeds.tls import tls_context
from gateway.settings import FeedSettings

MAX_RECORDS_BYTES = 256 * 1024
"""Of a record batch: room for any entry, and well below what brokers take (1 MiB unless told otherwise)."""


class KafkaSink:
    """A :class:`~gateway.feeds.sink.Sink` in a topic."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self._producer: Any = None

    async def send(self, batch: Sequence[Item]) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        from aiokafka.errors import KafkaError

        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._publish(await self._opened(), batch)
        except (KafkaError, OSError) as error:
            told = f"the brokers did not take it ({type(error).__name__})"
            raise FeedUnavailable(f"{told}; check them, addresses and topic") from error

    async def close(self) -> None:
        """See :class:`~gateway.feeds.sink.Sink`. What was not acknowledged is dropped: it comes again."""
        producer, self._producer = self._producer, None
        if producer:
            await producer._sender.close()  # stop() alone would wait for brokers that do not answer
            await producer.client.close()
            producer._closed = True  # else it complains when it is collected

    async def _publish(self, producer: Any, batch: Sequence[Item]) -> None:
        """Each partition by itself, one record batch after the other, so that none overtakes one that fails."""
        from aiokafka.partitioner import DefaultPartitioner

        choose, numbers = DefaultPartitioner(), sorted(await producer.partitions_for(self._settings.topic))
        shares: dict[int, list[Item]] = {}
        for item in batch:
            shares.setdefault(choose(key(item), numbers, numbers), []).append(item)
        sending = (self._publish_share(producer, number, share) for number, share in shares.items())
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        for outcome in filter(None, outcomes):
            raise outcome

    async def _publish_share(self, producer: Any, partition: int, items: Sequence[Item]) -> None:
        packed = producer.create_batch()
        for item in items:
            await asyncio.sleep(0)  # requests first
            if packed.append(**record(item)) is None:  # it is full
                await self._send(producer, partition, packed)
                packed = producer.create_batch()
                packed.append(**record(item))
        await self._send(producer, partition, packed)

    async def _send(self, producer: Any, partition: int, packed: Any) -> None:
        await (await producer.send_batch(packed, self._settings.topic, partition=partition))

    async def _opened(self) -> Any:
        if self._producer is None:
            from aiokafka import AIOKafkaProducer

            self._producer = AIOKafkaProducer(**await self._options())  # type: ignore[no-untyped-call]
            await self._producer.start()
        return self._producer

    async def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap_servers": list(self._settings.addresses),
            "client_id": "residency-gateway",
            "acks": "all",
            "enable_idempotence": True,
            "max_batch_size": MAX_RECORDS_BYTES,
            "request_timeout_ms": round(self._settings.timeout_s * 1_000),
        }
        if self._settings.unsafe_plaintext:
            return options
        options |= {"security_protocol": "SSL", "ssl_context": await asyncio.to_thread(tls_context, self._settings)}
        if credential := self._settings.credential:
            user, _, password = credential.secret.text.get_secret_value().partition(":")
            options |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": user,
                "sasl_plain_password": password,
            }
        return options


def key(item: Item) -> bytes:
    """What decides on an entry's partition."""
    return item.facts.customer.encode()


def record(item: Item) -> dict[str, Any]:
    """What a record batch is given."""
    headers = [("id", item.id.encode()), ("sequence", str(item.sequence).encode())]
    return {"key": key(item), "value": item.body, "headers": headers, "timestamp": None}
