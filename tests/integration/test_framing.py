"""Framing over raw sockets: what two parsers could cut in two ways is refused, recorded, and the connection closed."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.ledger.appender import Ledger
from gateway.ledger.reader import LedgerReader
from gateway.settings import Settings
from tests.integration.conftest import Running, running

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "framing.json").read_text("utf-8"))[
    "vectors"
]
PATIENCE_S = 5.0
REFUSED = {"400_and_close", "405", "505_or_400"}
JUDGED = {
    "smug-073": "a trailer that is not finished: nobody waits for the rest of it longer than for a body",
    "smug-091": "a header of 9,000 bytes: within what the door takes",
    "smug-021": "a length with leading zeros: 3, or refused",
    "smug-047": "a trailing dot in Host: the same route",
    "smug-081": "many small chunks: a body like another",
    "smug-085": "Expect: decided before 100 Continue",
    "smug-087": "a body that looks like a request: one request",
    "smug-089": "two requests in one piece: two decisions",
}


@dataclass
class CountingStore:
    """Reads requests by the book, and notes each whole one."""

    whole: list[bytes] = field(default_factory=list)
    begun: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.begun += 1
                body = await self._body(reader, head.lower())
                self.whole.append(head + body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ValueError):
            pass  # it broke off, in the middle of a chunk's size too
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"transfer-encoding: chunked" in head:
            body = b""
            while (size := int((await reader.readline()).strip(), 16)) > 0:
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
            return body
        found = re.search(rb"content-length: (\d+)", head)
        return await reader.readexactly(int(found[1])) if found else b""


@pytest.fixture
async def front(tmp_path: Path, stores: Addresses) -> AsyncIterator[tuple[Running, CountingStore]]:
    store = CountingStore()
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(tmp_path / "world", replace(stores, conversations=url)) as site:
        yield site, store
    server.close()


def raw(site: Running, vector: dict[str, Any]) -> bytes:
    """The vector's bytes, from somebody who may do all that they say, so that nothing but framing can refuse them."""
    data = base64.b64decode(vector["raw_b64"])
    data = data.replace(b"/public/", b"/conversations/acme/").replace(b"/private/", b"/conversations/acme/private/")
    credentials = f"Authorization: Bearer {site.world.token(SAM)}\r\nX-Forwarded-For: {SAM.address}\r\n".encode()
    line, _, rest = data.partition(b"\r\n")
    return line + b"\r\n" + credentials + rest


async def answers(site: Running, *pieces: bytes) -> tuple[list[int], bool]:
    """The statuses of what came back, and whether the gateway closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    got, closed = b"", True
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(1.0):
            while data := await reader.read(65_536):
                got += data
    except ConnectionError:
        pass
    except TimeoutError:
        closed = False
    writer.close()
    return [int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", got)], closed


def decisions(site: Running) -> list[dict[str, Any]]:
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return [entry for entry in reader.after(-1) if entry["kind"] == "decision"]


def refused() -> list[Any]:
    return [
        pytest.param(vector, id=f"{vector['id']} {vector['name']}") for vector in VECTORS if vector["id"] not in JUDGED
    ]


@pytest.mark.parametrize("vector", refused())
async def test_what_two_parsers_could_cut_differently_is_refused(
    front: tuple[Running, CountingStore], vector: dict[str, Any]
) -> None:
    """In one piece: one refusal, on record; the connection is closed; nothing reaches the store."""
    site, store = front
    statuses, closed = await answers(site, raw(site, vector))
    assert len(statuses) == 1, statuses
    assert 400 <= statuses[0] < 500
    assert (statuses[0] == 405) == (vector["expect"] == "405")
    assert closed
    assert store.begun == 0
    [entry] = decisions(site)
    assert entry["effect"] == "deny"


@pytest.mark.parametrize("vector", refused())
async def test_cut_after_its_head_it_is_never_a_whole_request(
    front: tuple[Running, CountingStore], vector: dict[str, Any]
) -> None:
    """The head may be judged before the body is known to be wrong: then the store never sees the end of it."""
    site, store = front
    data = raw(site, vector)
    at = data.find(b"\r\n\r\n") + 4
    statuses, closed = await answers(site, *(part for part in (data[:at], data[at:]) if part))
    assert store.whole == []
    assert len(statuses) <= 1
    assert 200 not in statuses
    assert closed
    assert len(decisions(site)) == 1


@pytest.mark.parametrize("vector", refused())
async def test_body_found_wrong_while_the_decision_is_written_is_none_that_is_whole(
    front: tuple[Running, CountingStore], vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then the end of the body has been read, and it must not look as if there had been none."""
    site, store = front
    append = Ledger.append

    async def slowly(self: Ledger, *given: Any, **named: Any) -> int:
        await asyncio.sleep(0.2)
        return await append(self, *given, **named)

    monkeypatch.setattr(Ledger, "append", slowly)
    data = raw(site, vector)
    at = data.find(b"\r\n\r\n") + 4
    statuses, closed = await answers(site, *(part for part in (data[:at], data[at:]) if part))
    assert store.whole == []
    assert 200 not in statuses
    assert closed


def test_every_vector_is_looked_at() -> None:
    """Those that are no refusals are named, with what is asked of them."""
    others = {vector["id"] for vector in VECTORS if vector["expect"] not in REFUSED}
    assert JUDGED.keys() <= {vector["id"] for vector in VECTORS}
    assert JUDGED.keys() <= others | {"smug-073"}


async def test_what_is_one_request_is_one(front: tuple[Running, CountingStore]) -> None:
    """A body that looks like a request, leading zeros, small chunks, a trailing dot: one decision for each."""
    site, store = front
    for number, key in enumerate(("smug-021", "smug-047", "smug-081", "smug-087", "smug-091"), 1):
        [vector] = [vector for vector in VECTORS if vector["id"] == key]
        statuses, _ = await answers(site, raw(site, vector))
        assert len(statuses) == 1, (key, statuses)
        assert len(decisions(site)) == number
    assert all(body.count(b"HTTP/1.1\r\n") <= 2 for body in store.whole)


async def test_a_body_that_is_not_finished_is_not_waited_for(tmp_path: Path, stores: Addresses) -> None:
    """The store never sees the end of it; the client is let go after the body's deadline."""

    def hurried(settings: Settings) -> Settings:
        limits = settings.gateway.limits.model_copy(update={"body_idle_timeout_s": 0.2})
        return settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"limits": limits})})

    store = CountingStore()
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(tmp_path / "world", replace(stores, conversations=url), change=hurried) as site:
        [vector] = [vector for vector in VECTORS if vector["id"] == "smug-073"]
        statuses, closed = await answers(site, raw(site, vector))
        assert (closed, store.whole, 200 in statuses) == (True, [], False)
        assert len(decisions(site)) == 1
    server.close()


async def test_two_requests_in_one_piece_are_two_decisions(front: tuple[Running, CountingStore]) -> None:
    """Each is judged for itself: the second one has no credentials."""
    site, store = front
    [vector] = [vector for vector in VECTORS if vector["id"] == "smug-089"]
    statuses, _ = await answers(site, raw(site, vector))
    assert statuses == [200, 401]
    assert [entry["effect"] for entry in decisions(site)] == ["permit", "deny"]
    assert len(store.whole) == 1


async def test_the_decision_comes_before_100_continue(front: tuple[Running, CountingStore]) -> None:
    """The body is asked for only once the decision is written."""
    site, store = front
    [vector] = [vector for vector in VECTORS if vector["id"] == "smug-085"]
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    writer.write(raw(site, vector))
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).startswith(b"HTTP/1.1 100 ")
    assert [entry["effect"] for entry in decisions(site)] == ["permit"]
    writer.write(b"0123456789")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).startswith(b"HTTP/1.1 200 ")
    assert store.whole[0].endswith(b"0123456789")
    writer.close()


async def test_an_answer_without_a_date_gets_one(front: tuple[Running, CountingStore]) -> None:
    """RFC 9110 §6.6.1: of when it is passed on, one second and another."""
    site, _ = front
    for _ in range(2):
        before = int(time.time())
        _, headers, _ = await site.ask(SAM, "/conversations/acme/7")
        assert before <= parsedate_to_datetime(headers["Date"]).timestamp() <= time.time()
        await asyncio.sleep(1)


async def test_what_follows_a_refusal_is_not_answered(front: tuple[Running, CountingStore]) -> None:
    """A request behind a refused one, in the same piece or the next, reaches nobody."""
    site, store = front
    head = f"Host: gw.test\r\nAuthorization: Bearer {site.world.token(SAM)}\r\nX-Forwarded-For: {SAM.address}\r\n\r\n"
    good = f"GET /conversations/acme/7 HTTP/1.1\r\n{head}".encode()
    for bad in (f"GET /conversations/acme/%2f HTTP/1.1\r\n{head}", f"GET /x HTTP/1.1\r\nContent-Length: +1\r\n{head}"):
        for pieces in ((bad.encode() + good,), (bad.encode(), good)):
            statuses, closed = await answers(site, *pieces)
            assert statuses == [400]
            assert closed
    assert store.begun == 0


def allow_of(answer: bytes) -> set[str]:
    found = re.search(rb"\r\nAllow: ([^\r]*)\r\n", answer)
    assert found is not None, answer
    return set(found[1].decode().split(", "))


async def first_answer(site: Running, data: bytes) -> bytes:
    """All of what comes back until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    writer.write(data)
    async with asyncio.timeout(PATIENCE_S):
        got = await reader.read()
    writer.close()
    return got


def asked(site: Running, line: str, *more: str) -> bytes:
    """A request of somebody who may, up to its empty line."""
    credentials = (f"Authorization: Bearer {site.world.token(SAM)}", f"X-Forwarded-For: {SAM.address}")
    return "\r\n".join((line, "Host: gw.test", *credentials, *more, "", "")).encode()


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("TRACE /conversations/acme/7 HTTP/1.1", {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}),
        ("PROPFIND /conversations/acme/7 HTTP/1.1", {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}),
        ("TRACE /nowhere HTTP/1.1", {""}),
        ("CONNECT store.test:443 HTTP/1.1", {""}),
    ],
)
async def test_a_method_without_a_meaning_is_405_and_the_others_are_named(
    front: tuple[Running, CountingStore], line: str, allowed: set[str]
) -> None:
    """RFC 9110 §15.5.6: with ``Allow``, which is empty where there is no route; on record, and the connection ends."""
    site, store = front
    got = await first_answer(site, asked(site, line))
    assert got.startswith(b"HTTP/1.1 405 ")
    assert allow_of(got) == allowed
    [entry] = decisions(site)
    assert (entry["effect"], entry["rule"], entry["method"]) == ("deny", "malformed", line.split()[0])
    assert store.begun == 0


async def test_what_cannot_be_read_stays_400_whatever_its_method(front: tuple[Running, CountingStore]) -> None:
    """A method is complained about only where nothing worse is wrong."""
    site, _ = front
    for line in ("TRACE /conversations/acme/%2f HTTP/1.1", "PROPFIND /conversations/acme/%00 HTTP/1.1"):
        assert (await first_answer(site, asked(site, line))).startswith(b"HTTP/1.1 400 ")
    assert (await first_answer(site, asked(site, "TRACE / HTTP/1.1", "Content_Length: 3"))).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("version", ["2.0", "0.9", "1.2", "3.0", "1.10", "9.9"])
async def test_a_version_that_is_not_spoken_is_refused_in_one_that_is(
    front: tuple[Running, CountingStore], version: str
) -> None:
    """The status line names the version of the one who answers (RFC 9112 §2.3), and the connection ends."""
    site, store = front
    got = await first_answer(site, asked(site, f"GET /conversations/acme/7 HTTP/{version}"))
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in got
    assert len(re.findall(rb"HTTP/\d\.\d \d{3} ", got)) == 1
    assert (len(decisions(site)), store.begun) == (1, 0)
