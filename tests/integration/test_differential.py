"""Twenty thousand generated targets: the path judged, the path recorded and the bytes that the store got are one.

A gateway runs in a thread of its own in front of a store that speaks raw sockets, and Hypothesis writes the request
lines. Some routes opt in to what others refuse. Whatever comes: either the store saw nothing and a denial is on record,
or the store saw exactly the path that was judged and recorded.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.demo.stores import sample_stores
from gateway.demo.world import SAM
from gateway.ledger.reader import LedgerReader
from gateway.settings import RouteSettings, Settings
from tests.integration.conftest import Running, running

TARGETS, BATCH, CONNECTIONS = 20_000, 200, 8
PATIENCE_S = 60.0

PLAIN = ["acme", "a", "B", "7", "x.y", "~u", "a b", "é", "a'b", "(", "@", ":", "conversations", "open", "private"]
SPECIAL = [".", "..", "...", "", "%2e", "%2E%2e", ".%2e", "%252e%252e", "..;", ";", ";a=b", "..;/", "%3b", "%3B.."]
SEPARATORS = [
    "%2f",
    "%2F",
    "..%2f",
    "%2f..",
    "%5c",
    "\\",
    "%5C..",
    "%252f",
    "%25",
    "%00",
    "%0d%0a",
    "%23",
    "%3f",
    "%09",
]
BROKEN = ["%", "%g1", "%2", "%c0%af", "%e0%80%af", "%ff", "\xff", "\x01", "#x", "|", "^", '"', "<", "{", "%u002f", "\t"]
SEGMENT = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(SPECIAL),
    st.sampled_from(SEPARATORS),
    st.sampled_from(BROKEN),
    st.tuples(st.sampled_from(PLAIN), st.sampled_from(SEPARATORS + SPECIAL + BROKEN)).map("".join),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), min_size=1, max_size=4),
)
PREFIX = st.sampled_from(
    ["/conversations/acme", "/open/acme", "/conversations/acme/..", "//conversations/acme", "/crm", ""]
)
QUERY = st.sampled_from(
    ["", "", "", "?", "?q=1", "?q=/../x", "?a?b", "?q=%2F&r=%zz", "?x=#y", "?/conversations/borealis/7"]
)
TARGET = st.builds(
    lambda prefix, segments, query: f"{prefix}/{'/'.join(segments)}{query}".replace(" ", "%20"),
    PREFIX,
    st.lists(SEGMENT, max_size=4),
    QUERY,
)
OPEN = RouteSettings.model_validate(
    {
        "path": "/open/{customer}/{rest...}",
        "store": "conversations",
        "data_class": "conversation",
        "allow": [";", "%2F", "%25"],
    }
)


@dataclass
class Bench:
    """A gateway and a raw store in a thread of their own, and what the store saw."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    seen: dict[str, list[bytes]] = field(default_factory=dict)
    unknown: list[bytes] = field(default_factory=list)
    site: Running | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    read: int = 0
    permits: int = 0
    tried: int = 0

    async def serve(self, directory: Path) -> None:
        def with_open(given: Settings) -> Settings:
            return given.model_copy(update={"route": (*given.route, OPEN)})

        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with sample_stores(directory / "ftp") as stores:
            there = replace(stores, conversations=url, crm=url, archive=url)
            async with running(directory / "world", there, change=with_open) as self.site:
                self.ready.set()
                await self.over.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *headers = head.split(b"\r\n")
                named = dict(header.split(b": ", 1) for header in headers if header)
                self.seen.setdefault(named.get(b"Residency-Decision", b"?").decode(), []).append(line)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def send(self, targets: list[str]) -> dict[str, str]:
        """Each target on one of a few connections; the targets by their decisions."""
        assert self.site is not None
        left, answered = list(targets), {}
        port = self.site.gateway.door_port
        head = (
            f" HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {self.site.world.token(SAM)}\r\n"
            f"X-Forwarded-For: {SAM.address}\r\n\r\n"
        ).encode()

        async def client() -> None:
            while left:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    while left:
                        target = left.pop()
                        writer.write(b"GET " + target.encode("latin-1") + head)
                        try:
                            answer = await reader.readuntil(b"\r\n\r\n")
                        except asyncio.IncompleteReadError as error:
                            raise AssertionError(f"no answer to {target!r}, only {error.partial!r}") from error
                        named = {
                            name.lower(): value
                            for name, _, value in (line.partition(b": ") for line in answer.split(b"\r\n")[1:])
                        }
                        await reader.readexactly(int(named.get(b"content-length", b"0")))
                        assert b"residency-decision" in named, (target, answer)
                        answered[named[b"residency-decision"].decode()] = target
                        if answer.startswith(b"HTTP/1.0") or named.get(b"connection", b"").lower() == b"close":
                            break
                finally:
                    writer.close()

        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
        return answered

    def entries(self) -> dict[str, dict[str, Any]]:
        """The decisions that came since the last call."""
        assert self.site is not None
        found = {}
        with LedgerReader(self.site.world.settings.ledger.path) as reader:
            for entry in reader.after(self.read - 1):
                self.read = entry["sequence"] + 1
                if entry["kind"] == "decision":
                    found[entry["id"]] = entry
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench()
    directory = tmp_path_factory.mktemp("differential")
    thread = threading.Thread(target=made.loop.run_until_complete, args=(made.serve(directory),))
    thread.start()
    assert made.ready.wait(PATIENCE_S)
    yield made
    made.loop.call_soon_threadsafe(made.over.set)
    thread.join(PATIENCE_S)
    made.loop.close()
    assert made.permits > made.tried // 20, "a generator of nothing but refusals shows nothing"


@settings(
    max_examples=TARGETS // BATCH,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(TARGET, min_size=BATCH, max_size=BATCH))
def test_what_is_judged_is_recorded_and_forwarded(bench: Bench, targets: list[str]) -> None:
    """See the module; each batch is checked as a whole."""
    answered = asyncio.run_coroutine_threadsafe(bench.send(targets), bench.loop).result(PATIENCE_S)
    entries = bench.entries()
    assert len(answered) == len(targets)
    for decision, target in answered.items():
        entry, lines = entries[decision], bench.seen.pop(decision, [])
        if entry["effect"] == "deny":
            assert lines == [], (target, lines)
            continue
        bench.permits += 1
        [line] = lines
        query = f"?{target.partition('?')[2]}" if target.partition("?")[2] else ""
        assert line == f"GET {entry['path']}{query} HTTP/1.1".encode(), (target, entry["path"])
        assert ".." not in entry["path"].replace("%2F", "/").replace(";", "/").split("/"), target
    assert bench.seen == {}, "the store got what no decision stands for"
    bench.tried += len(targets)
