"""Blocks of a file at a site over SFTP, several under way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.transfer.sftp_blocks import AT_A_TIME, BLOCK_BYTES, MOST_AT_A_TIME, BlockReading, BlockWriting
from gateway.transfer.site import SiteUnavailable

DATA = bytes(range(251)) * 5_000


async def asked(asked: Coroutine[Any, Any, Any]) -> Any:
    """As a site asks."""
    try:
        return await asked
    except OSError as error:
        raise SiteUnavailable("it broke off") from error


class File:
    """A file of a server that gives at most ``gives`` bytes at a time, and fails to write at ``fails_at``."""

    def __init__(self, gives: int = 1 << 20, fails_at: int = -1) -> None:
        self.gives, self.fails_at = gives, fails_at
        self.under_way = self.most = 0
        self.written: dict[int, bytes] = {}
        self.length = -1
        self.asked = 0
        self.closed = False

    async def read(self, size: int, offset: int) -> bytes:
        self.asked += 1
        return DATA[offset:][: min(size, self.gives)]

    async def write(self, data: bytes, offset: int) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if offset == self.fails_at:
            raise OSError("full")
        self.written[offset] = data

    async def truncate(self, size: int) -> None:
        self.length = size

    async def fsync(self) -> None: ...

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("gives", [1 << 20, BLOCK_BYTES - 1, 100_000])
@pytest.mark.parametrize("offset", [0, 7, BLOCK_BYTES, len(DATA), len(DATA) + 5])
async def test_every_byte_comes_once_however_much_the_server_gives_at_a_time(gives: int, offset: int) -> None:
    file = File(gives)
    reading = BlockReading(asked, file, offset)
    got = b""
    while data := await reading.read(60_000):
        got += data
    assert got == DATA[offset:]
    assert await reading.read(1) == b""
    await reading.close()
    assert file.closed


async def test_a_server_that_gives_less_is_asked_for_less() -> None:
    """Else most of what it is asked for would be for nothing."""
    file = File(8_192)
    reading = BlockReading(asked, file, 0)
    while await reading.read(1 << 20):
        pass
    assert file.asked < len(DATA) / 8_192 + AT_A_TIME + MOST_AT_A_TIME + 2


async def test_a_server_that_gives_more_than_it_was_asked_for_is_not_believed() -> None:
    file = File()

    async def more(size: int, offset: int) -> bytes:
        return DATA[offset:][: size + 1]

    file.read = more
    reading = BlockReading(asked, file, 0)
    with pytest.raises(SiteUnavailable):
        await reading.read(1)


@pytest.mark.parametrize(("takes", "at_most"), [(BLOCK_BYTES, AT_A_TIME), (65_000, 32), (16_384, MOST_AT_A_TIME)])
async def test_blocks_under_way_are_bounded_and_no_longer_than_the_server_takes(takes: int, at_most: int) -> None:
    file = File()
    writing = BlockWriting(asked, file, 0, takes)
    for _ in range(3):
        await writing.write(bytes(20 * BLOCK_BYTES))
    await writing.finish()
    assert 1 < file.most <= at_most
    assert max(map(len, file.written.values())) == takes
    assert sum(map(len, file.written.values())) == 60 * BLOCK_BYTES
    assert file.closed


async def test_what_stays_of_a_file_ends_where_the_first_byte_is_missing() -> None:
    """Blocks after one that failed may have been written: a part with a hole would be resumed behind it."""
    file = File(fails_at=5 + 2 * BLOCK_BYTES)
    writing = BlockWriting(asked, file, 5)
    with pytest.raises(SiteUnavailable):
        await writing.write(bytes(20 * BLOCK_BYTES))
    await writing.abandon()
    assert file.length == 5 + 2 * BLOCK_BYTES
    assert file.closed
