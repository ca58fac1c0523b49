"""A Kafka broker as far as a producer sees one, of the client's own structures: one node, one topic, two partitions."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest_v3, ProduceResponse_v3
from aiokafka.protocol.transaction import InitProducerIdResponse_v0
from aiokafka.record.memory_records import MemoryRecords

PRODUCE, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 3, 18, 22
TOPIC = "residency-ledger"
VERSIONS = [(PRODUCE, 3, 3), (METADATA, 1, 1), (API_VERSIONS, 0, 0), (INIT_PRODUCER_ID, 0, 0)]


@dataclass
class Broker:
    """See the module.

    Attributes:
        records: what each partition holds: key, value, headers.
        errors: codes to answer the next produce requests with, of which nothing is kept.
        silent: whether it answers no produce request.
        acks: what producers asked for.
        producers: the ids under which batches came; -1 of a producer that is not idempotent.
    """

    port: int = 0
    records: dict[int, list[tuple[bytes, bytes, dict[str, bytes]]]] = field(default_factory=lambda: {0: [], 1: []})
    errors: list[int] = field(default_factory=list)
    silent: bool = False
    acks: set[int] = field(default_factory=set)
    producers: set[int] = field(default_factory=set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self.port
        finally:
            server.close()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                [size] = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                key, _version, correlation, length = struct.unpack_from(">hhih", request)
                answer = self._answer(key, request[10 + max(0, length) :])
                if answer is not None:
                    body = struct.pack(">i", correlation) + answer.encode()
                    writer.write(struct.pack(">i", len(body)) + body)
        writer.close()

    def _answer(self, key: int, body: bytes) -> Any:
        match key:
            case 18:
                return ApiVersionResponse_v0(0, VERSIONS)
            case 3:
                partitions = [(0, number, 1, [1], [1]) for number in self.records]
                return MetadataResponse_v1([(1, "127.0.0.1", self.port, None)], 1, [(0, TOPIC, False, partitions)])
            case 22:
                return InitProducerIdResponse_v0(0, 0, 4_711, 0)
            case 0 if not self.silent:
                return self._produced(ProduceRequest_v3.decode(body))
        return None

    def _produced(self, request: Any) -> Any:
        self.acks.add(request.required_acks)
        error = self.errors.pop(0) if self.errors else 0
        answers = []
        for topic, partitions in request.topics:
            told = [(number, error, 0 if error else self._keep(number, sent), -1) for number, sent in partitions]
            answers.append((topic, told))
        return ProduceResponse_v3(answers, 0)

    def _keep(self, partition: int, sent: bytes) -> int:
        kept = self.records[partition]
        offset, batches = len(kept), MemoryRecords(sent)
        while batches.has_next():
            batch = batches.next_batch()
            assert batch.validate_crc()
            self.producers.add(batch.producer_id)
            kept += [(record.key, record.value, dict(record.headers)) for record in batch]
        return offset
