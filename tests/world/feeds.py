"""A ledger that grows, the state that its feeds' cursors are in, and receivers that may fail."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uuid_utils
from aiohttp import web

from gateway.clock import SystemClock, rfc3339
from gateway.feeds import Feeds, Gone, Item, Sink, Surroundings, open_sink
from gateway.ledger.entry import seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.reader import LedgerReader
from gateway.ledger.working_thread import WorkingThread
from gateway.notification import Backoff
from gateway.settings import FeedSettings
from gateway.storage import FeedCursors, StateStore
from tests.world.waiting import until

CLOCK = SystemClock()
OPEN_SINK = partial(open_sink, node="gateway-1", clock=CLOCK)
QUICK = Backoff(base_s=0.02, cap_s=0.05)
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


def feed(**given: Any) -> FeedSettings:
    """A feed's settings: from the start unless they say otherwise."""
    return FeedSettings.model_validate({"name": "out", "from": "start", "timeout_s": 2.0} | given)


def decision(**given: object) -> dict[str, object]:
    """The fields of a decision, as far as feeds look at them."""
    return _head("decision") | {"customer": "acme", "effect": "permit", "rule": "at-home", "subject": "sam"} | given


def completion(of: str) -> dict[str, object]:
    """The fields of a completion."""
    return _head("completion") | {"decision": of, "outcome": "done", "status": 200}


def act(subject: str, **details: object) -> dict[str, object]:
    """The fields of an administrative act."""
    return _head("administrative") | {"actor": "dana", "act": "test", "object": subject, "details": details}


def _head(kind: str) -> dict[str, object]:
    now_us = CLOCK.now_us()
    id_ = str(uuid_utils.uuid7())
    return {"kind": kind, "version": 1, "id": id_, "time": rfc3339(now_us), "time_us": now_us, "node": "gateway-1"}


@dataclass
class Fed:
    """A ledger and its feeds."""

    ledger: LedgerFile
    path: Path
    state: StateStore
    settings: list[FeedSettings] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    gone: list[tuple[str, Gone]] = field(default_factory=list)
    open_sink: Callable[[FeedSettings], Sink] = OPEN_SINK

    @property
    def cursors(self) -> FeedCursors:
        return FeedCursors(self.state)

    def append(self, *entries: dict[str, object]) -> None:
        self.ledger.commit([seal(fields) for fields in entries])

    def grow(self, count: int) -> None:
        """So many more entries."""
        for start in range(0, count, 500):
            self.append(*(decision(path=f"/{start}/{number}") for number in range(min(500, count - start))))

    def lines(self) -> list[bytes]:
        """Each entry as a feed has it."""
        with LedgerReader(self.path) as reader:
            return [b'{"sequence":%d,%b' % (sequence, body[1:]) for sequence, body in reader.bodies()]

    @asynccontextmanager
    async def feeding(self, *settings: FeedSettings) -> AsyncIterator[Feeds]:
        """These feeds at work."""
        self.settings[:] = settings
        thread = WorkingThread(asyncio.get_running_loop(), "feeds")
        around = Surroundings(
            self.path,
            self.cursors,
            thread.call,
            lambda one: self.open_sink(one),
            self.failures.append,
            QUICK,
            passed_over=lambda name, gone: self.gone.append((name, gone)),
        )
        feeds = Feeds(around, settings=lambda: tuple(self.settings), grown=lambda: self.ledger.size)
        task = asyncio.get_running_loop().create_task(feeds.run())
        try:
            yield feeds
        finally:
            task.cancel()
            await asyncio.wait([task])
            thread.stop()

    async def caught_up(self, name: str = "out") -> None:
        """Wait until a feed is done with all there is."""
        await until(lambda: (found := self.cursors.find(name)) and found.sequence == self.ledger.size - 1)


def opened(directory: Path) -> Fed:
    ledger = LedgerFile(directory / "ledger.db")
    ledger.open()
    return Fed(ledger, directory / "ledger.db", StateStore(f"sqlite:///{directory}/gateway.db", CLOCK))


class ListSink:
    """Takes everything, and fails as it is told to: one failure for each batch, then it is well."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.failures: list[Exception] = []
        self.closed = 0

    async def send(self, batch: Sequence[Item]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.items += batch

    async def close(self) -> None:
        self.closed += 1

    def bodies(self) -> list[bytes]:
        return [item.body for item in self.items]


class HttpReceiver:
    """Takes batches, and misbehaves as it is told to: one behaviour for each, then it is well."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.lines: list[bytes] = []
        self.behaviours: list[Behaviour] = []
        self.seen_at_s: list[float] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen_at_s.append(asyncio.get_running_loop().time())
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        if self.behaviours:
            return await self.behaviours.pop(0)(request)
        text = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
        self.lines += text.splitlines()
        return web.Response(status=202)

    @asynccontextmanager
    async def listening(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        app = web.Application(client_max_size=16 * 1024 * 1024, handler_args={"auto_decompress": False})
        app.router.add_post("/in", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True).start()
        try:
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class SyslogMessage:
    """A message, parsed."""

    facility: int
    severity: int
    time: str
    host: str
    app: str
    kind: str
    facts: dict[str, str]
    body: bytes


_HEADER = re.compile(
    rb"<(0|[1-9]\d{0,2})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) \[([!-<>-\\^-~]{1,32}@\d+)"
)
_PARAMETER = re.compile(rb' ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"')


def parsed(said: bytes) -> SyslogMessage:
    """A message as RFC 5424 §6 has it, to the letter."""
    head = _HEADER.match(said)
    assert head, said[:200]
    priority, time, host, app, process, kind, _ = head.groups()
    assert int(priority) <= 191
    assert process == b"-"
    at, facts = head.end(), {}
    while parameter := _PARAMETER.match(said, at):
        name, value = parameter.groups()
        facts[name.decode()] = re.sub(rb'\\(["\\\]])', rb"\1", value).decode()
        at = parameter.end()
    assert said[at : at + 5] == b"] \xef\xbb\xbf", said[at : at + 20]
    facility, severity = divmod(int(priority), 8)
    body = said[at + 5 :]
    json.loads(body)
    return SyslogMessage(facility, severity, time.decode(), host.decode(), app.decode(), kind.decode(), facts, body)


class SyslogReceiver:
    """Takes syslog over TLS as RFC 5425 frames it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.messages: list[SyslogMessage] = []
        self.connections = 0
        self.peers: list[dict[str, Any] | None] = []
        self.deaf = False
        self._context = context
        self._writers: set[asyncio.StreamWriter] = set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.peers.append(writer.get_extra_info("peercert"))
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while not self.deaf:
                length = (await reader.readuntil(b" "))[:-1]
                assert re.fullmatch(rb"[1-9]\d*", length), length
                self.messages.append(parsed(await reader.readexactly(int(length))))
            await asyncio.sleep(60)
        self._writers.discard(writer)
        writer.close()

    def drop(self) -> None:
        """Break every connection off."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._take, "127.0.0.1", port, ssl=self._context)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            self.drop()
            await asyncio.sleep(0)
