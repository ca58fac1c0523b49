"""How much of a read is a head's: what ends a body beside it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.proxy.server import MAX_HEAD_BYTES
from tests.world.door import Door, door_in


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with door_in(tmp_path) as door:
        yield door


def upload(door: Door, body: bytes) -> bytes:
    head = b"PUT /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\nContent-Length: %d\r\n" % len(body)
    return head + door.credentials + b"\r\n" + body


@pytest.mark.parametrize("longer", [-1, 0, 1, 100_000])
async def test_request_behind_a_body_whose_end_came_in_one_long_read_is_served(door: Door, longer: int) -> None:
    """Of whatever length that read is: it was the body's."""
    put = upload(door, b"x" * (MAX_HEAD_BYTES + longer + 10))
    get = b"GET /conversations/acme/7 HTTP/1.1\r\nHost: gw.test\r\n" + door.credentials + b"\r\n"
    cut = len(put) - MAX_HEAD_BYTES - longer
    said, closed = await door.say(put[:cut], put[cut:], get)
    assert said.count(b"HTTP/1.1 200 OK") == 2, said
    assert not closed


async def test_head_that_comes_in_pieces_behind_a_body_is_not_read_without_end(door: Door) -> None:
    """What counts is what came since the body ended."""
    put, piece = upload(door, b"x" * 10), b"X-Y: %s\r\n" % (b"z" * 10_000)
    said, closed = await door.say(put, b"GET / HTTP/1.1\r\n", *[piece] * (MAX_HEAD_BYTES // len(piece) + 1))
    assert b"HTTP/1.1 400" in said
    assert closed
