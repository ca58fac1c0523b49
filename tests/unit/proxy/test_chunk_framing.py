"""Chunked bodies: a long extension is refused however it is cut, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from gateway.proxy.chunk_framing import MAX_EXCESS_BYTES
from tests.world.door import Door, door_in

LONG = b"x" * (4 * MAX_EXCESS_BYTES)
END = b"0\r\n\r\n"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with door_in(tmp_path) as door:
        yield door


def head(door: Door, *more: bytes) -> bytes:
    """Of a chunked request of somebody who may."""
    line = b"PUT /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n"
    return line + door.credentials + b"".join(more) + b"\r\n"


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


EXTENDED = {
    "one chunk": b"1;" + LONG + b"\r\nZ\r\n" + END,
    "quoted": b'1;a="' + LONG + b'"\r\nZ\r\n' + END,
    "the last chunk": b"1\r\nZ\r\n0;" + LONG + b"\r\n\r\n",
    "a little on each": b"1;a=bcdefgh\r\nZ\r\n" * 200 + END,
    "behind much body": b"8000\r\n" + b"Z" * 0x8000 + b"\r\n1;" + LONG + b"\r\nZ\r\n" + END,
    "much body behind": b"1;" + LONG + b"\r\nZ\r\n8000\r\n" + b"Z" * 0x8000 + b"\r\n" + END,
}


@pytest.mark.parametrize("body", EXTENDED.values(), ids=EXTENDED)
@pytest.mark.parametrize("size", [10**9, 5_000, 701, 60, 1])
async def test_long_extensions_are_refused_however_they_are_cut(
    door: Door, body: bytes, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """400, on record, the connection closed; the store never has all of it, and the log has no traceback."""
    if size < 60 and len(body) > 20_000:
        body = body.replace(b"Z" * 0x8000, b"Z" * 0x80).replace(b"8000", b"80")
    answer, closed = await door.say(*cut(head(door) + body, size))
    assert (statuses(answer), closed, door.store.bodies) == ([400], True, [])
    assert len(door.ledger.decisions) == 1
    assert door.failures == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_one_that_came_whole_is_never_decided_on(door: Door) -> None:
    """Its refusal is what is on record, and nobody asked the store."""
    answer, _ = await door.say(head(door) + EXTENDED["one chunk"])
    [entry] = door.ledger.decisions
    assert (statuses(answer), entry["rule"], door.store.begun) == ([400], "malformed", 0)


async def test_what_comes_behind_a_refused_one_reaches_nobody(door: Door) -> None:
    """In the same read or the next."""
    good = b"GET /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\n" + door.credentials + b"\r\n"
    bad = head(door) + EXTENDED["one chunk"]
    for pieces in ((bad + good,), (bad, good), (good + bad + good,)):
        answer, closed = await door.say(*pieces)
        assert (statuses(answer)[-1], closed) == (400, True)
    assert door.store.begun == 1


PLAIN = {
    "what looks like one": b"2000\r\n" + (b"1;" + LONG)[:0x1002].ljust(0x2000, b"\n") + b"\r\n" + END,
    "chunks in a chunk": b"2800\r\n" + (b"1;a\r\nZ\r\n" * 2_000)[:0x2800] + b"\r\n" + END,
    "empty lines": b"1000\r\n" + b"\r\n\r\n" * 0x400 + b"\r\n" + END,
    "small chunks": b"1\r\nZ\r\n" * 5_000 + END,
    "a little": b"3;a=b\r\nabc\r\n" + END,
    "zeros": b"0003\r\nabc\r\n" + END,
    "none": END,
}


@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("size", [10**9, 5_000, 701, 60, 1])
async def test_what_only_looks_like_extensions_is_passed_on(door: Door, body: bytes, size: int) -> None:
    """Bodies may hold anything, and chunks may be small."""
    if size == 1:
        body = body if len(body) < 12_000 else b"1\r\nZ\r\n" * 300 + END
    answer, closed = await door.say(*cut(head(door) + body, size))
    assert (statuses(answer), closed, len(door.store.bodies)) == ([200], False, 1)


async def test_behind_a_declined_upgrade_nothing_is_read(door: Door) -> None:
    """aiohttp would parse what it kept by itself, without any account; and what follows may be the other protocol."""
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    key = b"dGhlIHNhbXBsZSBub25jZQ==\r\n"
    asked = b"GET /nowhere HTTP/1.1\r\nHost: gw.test\r\n" + upgrade + key + door.credentials + b"\r\n"
    answer, closed = await door.say(asked + head(door) + EXTENDED["one chunk"])
    assert (statuses(answer), closed) == ([403], True)
    assert len(door.ledger.decisions) == 1


async def test_a_large_head_behind_a_chunked_body_is_none(door: Door) -> None:
    """Pipelined, and whole only in the next read."""
    behind = b"GET /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\n" + door.credentials + b"X: " + LONG + b"\r\n\r\n"
    first = head(door) + b"1\r\nZ\r\n" + END
    for at in (0, 1, 30, 2_000, len(behind) - 1):
        answer, closed = await door.say(first + behind[:at], behind[at:])
        assert (statuses(answer), closed) == ([200, 200], False), at


@pytest.mark.parametrize("seed", range(30))
async def test_any_plain_chunks_in_any_reads_are_passed_on(door: Door, seed: int) -> None:
    """Several requests on a connection, bodies of up to a megabyte, cut anywhere: as much arrives as was sent."""
    random = Random(seed)
    stream, sizes = b"", []
    for _ in range(random.randint(1, 4)):
        chunks = [random.randbytes(random.choice((1, 15, 16, 255, 4_096, 70_000))) for _ in range(random.randint(0, 9))]
        stream += head(door) + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + END
        sizes.append(sum(map(len, chunks)))
    pieces = list(cut(stream, random.choice((100, 1_000, 4_096, 65_536, 262_144)) + random.randint(0, 9)))
    answer, _ = await door.say(*pieces)
    assert statuses(answer) == [200] * len(sizes)
    assert [len(body) for body in door.store.bodies] == sizes
    assert door.failures == []


async def test_a_connection_without_chunked_bodies_keeps_no_account(door: Door) -> None:
    """It costs nothing there."""
    connection, _ = door.connect()
    connection.data_received(b"PUT /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\n\r\na")
    assert connection._framing is None
    connection.transport.close()  # type: ignore[union-attr]
