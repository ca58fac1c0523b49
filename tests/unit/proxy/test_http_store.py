"""Exchanges with stores that answer as they like, over real sockets: what is whole, what is refused, what is reused."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.proxy.store import ClientCut, Outgoing, StoreCut, StoreUnreachable
from tests.world.raw_store import OK, PATIENCE_S, asking, closing, facing, raw_store, received, trickling


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_a_request_is_sent_as_it_was_judged_and_nothing_is_added() -> None:
    """The path and the query byte for byte; the host; the headers that were given; nothing else."""
    async with raw_store(OK, url="http://127.0.0.1:{port}/base/") as (raw, store):
        incoming = await store.exchange(asking(path="/a%20b/~c", query="q=%2F&r", X_One="1"))
        assert (incoming.status, incoming.reason, await received(incoming)) == (200, "OK", b"ok")
        host = f"Host: 127.0.0.1:{raw.port}\r\n".encode()
        assert raw.requests == [b"GET /base/a%20b/~c?q=%2F&r HTTP/1.1\r\n" + host + b"X-One: 1\r\n\r\n"]


async def test_credentials_of_the_url_go_to_the_store() -> None:
    """As Basic, decoded once."""
    async with raw_store(OK, url="http://us%40er:pa%3Ass@127.0.0.1:{port}") as (raw, store):
        await received(await store.exchange(asking()))
        basic = base64.b64encode(b"us@er:pa:ss").decode()
        assert f"Authorization: Basic {basic}\r\n".encode() in raw.requests[0]
        assert b"@127" not in raw.requests[0]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, b"x" * 200_000),
    ],
    ids=["length", "chunked", "204", "304", "empty", "interim", "large"],
)
async def test_a_whole_answer_is_passed_on_and_its_connection_used_again(answer: bytes, body: bytes) -> None:
    """The next exchange begins on the same connection, and nothing of this one is left on it."""
    async with raw_store(answer, OK) as (raw, store):
        first = await store.exchange(asking())
        assert "Link" not in first.headers
        assert await received(first) == body
        second = await store.exchange(asking())
        assert await received(second) == b"ok"
        assert list(second.headers) == ["Content-Length"]
        assert (raw.connections, len(raw.requests)) == (1, 2)


async def test_head_has_no_body_whatever_it_announces() -> None:
    """And the next answer on the connection is not taken for one."""
    async with raw_store(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", OK) as (raw, store):
        head = await store.exchange(asking("HEAD"))
        assert (head.headers["Content-Length"], await received(head)) == ("5000", b"")
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK + OK,
        OK + b"junk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["two answers", "junk", "trailers", "close", "HTTP/1.0"],
)
async def test_a_connection_on_which_more_came_is_not_used_again(answer: bytes) -> None:
    """The answer itself stands; what came beside it reaches nobody."""
    async with raw_store(answer, OK) as (raw, store):
        assert await received(await store.exchange(asking())) == b"ok"
        second = await store.exchange(asking())
        assert (await received(second), "X-Trailer" in second.headers) == (b"ok", False)
        assert raw.connections == 2


async def test_bytes_on_an_idle_connection_end_it() -> None:
    """An answer that nobody asked for is not the answer to the next request."""

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await asyncio.sleep(0.5)

    async with raw_store(later, OK) as (raw, store):
        assert await received(await store.exchange(asking())) == b"ok"
        await asyncio.sleep(0.15)
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX Space: a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK,
        b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 400_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 40_000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
    ],
    ids=[
        *("two lengths", "length and encoding", "encoding and length", "gzip", "identity", "negative", "list"),
        *("folded", "NUL", "space in a name", "space before the colon", "bare LF", "HTTP/2.0", "four digits"),
        *("101", "interim without end", "endless header", "endless headers", "a request", "TLS"),
    ],
)
async def test_what_cannot_be_read_in_one_way_is_a_bad_gateway(answer: bytes) -> None:
    """Nothing of it reaches a client, and the connection ends."""
    async with raw_store(answer, OK) as (raw, store):
        with pytest.raises(StoreUnreachable) as refused:
            incoming = await store.exchange(asking("POST"))
            await received(incoming)
        assert refused.value.status == 502
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 2


@pytest.mark.parametrize(
    "rest",
    [
        b"2\r\nok\r\nzz\r\n",
        b"2\r\nokk\r\n0\r\n\r\n",
        b"2;" + b"x" * 400_000,
        b"2\r\nok\r\n0\r\nX-Endless: " + b"x" * 400_000,
    ],
    ids=["bad size", "longer than it says", "endless extension", "endless trailer"],
)
async def test_a_body_that_goes_wrong_is_cut(rest: bytes) -> None:
    """The client has part of it by then, and must not take it for the whole."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with raw_store(trickling([head, rest])) as (_, store):
        incoming = await store.exchange(asking())
        with pytest.raises(StoreCut):
            await received(incoming)


async def test_an_answer_until_the_end_of_the_connection_is_whole_when_it_ends_there() -> None:
    """It has no other end (RFC 9112 §6.3)."""
    async with raw_store(closing(b"HTTP/1.1 200 OK\r\n\r\nhello")) as (_, store):
        assert await received(await store.exchange(asking())) == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 500,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ],
)
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "closed"])
async def test_an_answer_that_breaks_off_is_cut(answer: bytes, silent: bool) -> None:
    """It stops in the middle, or its connection ends."""
    script = trickling([answer]) if silent else closing(answer)
    async with raw_store(script) as (_, store):
        incoming = await store.exchange(asking())
        with pytest.raises(StoreCut):
            await received(incoming)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (trickling([]), 504),
        (trickling([b"HTTP/1.1 200 OK\r\n"]), 504),
        (trickling([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"]), 504),
        (closing(b""), 502),
        (closing(b"HTTP/1.1 200 OK\r\n"), 502),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"), 502),
    ],
    ids=["silence", "half a head", "half a small body", "closed", "closed in the head", "closed in a small body"],
)
async def test_a_store_that_does_not_answer_is_told(script: Callable[..., Awaitable[None]], status: int) -> None:
    """Nothing of the answer has gone to the client yet, so it gets a clear one."""
    async with raw_store(script) as (_, store):
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking())
        assert refused.value.status == status


async def test_an_answer_that_keeps_coming_is_not_too_slow() -> None:
    """The time-out is between two reads, not over all of them."""
    parts = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", *[b"x" * 5_000] * 20]
    async with raw_store(trickling(parts, pause_s=0.05)) as (_, store):
        assert len(await received(await store.exchange(asking()))) == 100_000


@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("DELETE", 1)])
async def test_a_kept_connection_that_the_store_closed_is_tried_once_more_where_that_is_safe(
    method: str, tries: int
) -> None:
    """Without a byte of an answer, a safe method is sent again on a new connection, and another is not."""
    async with raw_store(OK, closing(b""), OK) as (raw, store):
        await received(await store.exchange(asking()))
        if tries == 2:
            assert await received(await store.exchange(asking(method))) in (b"ok", b"")
        else:
            with pytest.raises(StoreUnreachable):
                await store.exchange(asking(method))
        assert len(raw.requests) == 1 + tries


async def test_a_new_connection_that_the_store_closes_is_not_tried_again() -> None:
    """It was not an old one that had gone stale."""
    async with raw_store(closing(b""), OK) as (raw, store):
        with pytest.raises(StoreUnreachable):
            await store.exchange(asking())
        assert len(raw.requests) == 1


async def test_a_store_that_is_not_there_is_a_bad_gateway() -> None:
    """The connection is refused."""
    async with raw_store() as (raw, _):
        port = raw.port
    async with facing(f"http://127.0.0.1:{port}") as store:
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking())
    assert refused.value.status == 502


async def test_every_connection_busy_is_told_in_time() -> None:
    """The next one waits as long as for a connection, and no longer; then a place is free again."""
    async with raw_store(trickling([]), OK, connect_timeout_s=0.1, read_timeout_s=0.4, max_connections=1) as (_, store):
        slow = asyncio.ensure_future(store.exchange(asking()))
        await asyncio.sleep(0.05)
        with pytest.raises(StoreUnreachable) as refused:
            await store.exchange(asking())
        assert refused.value.status == 503
        with pytest.raises(StoreUnreachable):
            await slow
        assert await received(await store.exchange(asking())) == b"ok"


async def test_a_cancelled_exchange_gives_its_place_back() -> None:
    """And its connection is closed, for an answer may still come on it."""
    async with raw_store(trickling([OK], 0.2), OK, max_connections=1) as (raw, store):
        exchange = asyncio.ensure_future(store.exchange(asking(body=pieces(b"x", b"y"))))
        await asyncio.sleep(0)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections <= 2


async def test_a_reader_that_is_behind_holds_the_store_back() -> None:
    """What is buffered stays bounded, and all of it arrives once it is read."""
    sent, total = 0, 64 * 1024 * 1024

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()
        await asyncio.sleep(PATIENCE_S)

    async with raw_store(flood) as (_, store):
        incoming = await store.exchange(asking())
        await asyncio.sleep(0.5)  # longer than the read time-out: it is the reader who is slow
        assert sent < 16 * 1024 * 1024
        assert len(await received(incoming)) == total


@pytest.mark.parametrize(
    ("headers", "framed"),
    [
        ({}, b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        ({"Content_Length": "5"}, b"Content-Length: 5\r\nConnection: close\r\n\r\nabcde"),
    ],
)
async def test_a_body_goes_as_it_comes(headers: dict[str, str], framed: bytes) -> None:
    """In chunks, or under the length that the client announced; an empty piece does not end it."""
    got = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(got) < len(framed.partition(b"\r\n\r\n")[2]):
            got.extend(await reader.read(100))
        writer.write(OK)

    async with raw_store(take) as (raw, store):
        incoming = await store.exchange(asking("POST", body=pieces(b"abc", b"", b"de"), **headers))
        assert await received(incoming) == b"ok"
        assert (raw.requests[0] + bytes(got)).endswith(framed)


@pytest.mark.parametrize(("method", "length"), [("POST", 1), ("PUT", 1), ("GET", 0), ("DELETE", 0)])
async def test_a_request_without_a_body_says_so_where_one_is_expected(method: str, length: int) -> None:
    """RFC 9110 §8.6."""
    async with raw_store(OK) as (raw, store):
        await received(await store.exchange(asking(method)))
        assert raw.requests[0].count(b"Content-Length: 0\r\n") == length


async def test_an_answer_before_the_whole_request_came_is_passed_on() -> None:
    """A store may refuse an upload early; the rest is not sent, and the connection is not used again."""
    endless = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await endless.wait()
        yield b"never"

    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    async with raw_store(trickling([early]), OK) as (raw, store):
        incoming = await store.exchange(asking("POST", body=body()))
        assert (incoming.status, await received(incoming)) == (413, b"no")
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 2


async def test_a_client_that_breaks_off_is_not_the_stores_fault() -> None:
    """The store never sees the end of the body, and so never takes half of it for the whole."""
    seen = bytearray()
    over = asyncio.Event()

    async def take(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                seen.extend(data)
        over.set()

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise ClientCut("it broke off")

    async with raw_store(take) as (_, store):
        with pytest.raises(ClientCut):
            await store.exchange(asking("POST", body=body()))
        await over.wait()
        assert b"0\r\n\r\n" not in seen


@pytest.mark.parametrize(
    "outgoing",
    [
        asking(X_One="1\r\nX-Two: 2"),
        asking(X_One="1\nX-Two: 2"),
        asking(X_One="1\0"),
        asking(path="/x HTTP/1.1\r\nX: "),
        asking(path="/x HTTP/1.1"),
        asking(path="/x\tHTTP/1.1"),
        asking(path=""),
        asking("GET /y"),
        asking("GET / HTTP/1.1\r\n"),
        asking(query="a\r\nb"),
    ],
)
async def test_no_part_of_a_request_can_begin_another(outgoing: Outgoing) -> None:
    """Whatever let it come so far: it is not sent."""
    async with raw_store(OK) as (raw, store):
        with pytest.raises(StoreUnreachable):
            await store.exchange(outgoing)
        assert raw.requests == []


async def test_closing_ends_what_is_under_way() -> None:
    """Nobody waits for an answer from a store that was let go."""
    async with raw_store(trickling([]), read_timeout_s=60.0) as (_, store):
        exchange = asyncio.ensure_future(store.exchange(asking()))
        await asyncio.sleep(0.1)
        await store.close()
        with pytest.raises(StoreUnreachable):
            await exchange
