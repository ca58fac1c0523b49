"""Blocks that are read ahead of a client, and written behind one."""

from __future__ import annotations

import asyncio

import pytest

from gateway.transfer.ahead import BLOCK_BYTES, ReadAhead, WriteBehind
from gateway.transfer.site import Block, SiteUnavailable


class Reading:
    """Blocks that a site has; ``None``: there it breaks off."""

    def __init__(self, *blocks: bytes | None) -> None:
        self.blocks = list(blocks)
        self.asked = 0
        self.closed = False

    async def read(self, size: int) -> bytes:
        assert not self.closed, "it is closed"
        self.asked += 1
        if self.asked > len(self.blocks):
            return b""
        block = self.blocks[self.asked - 1]
        if block is None:
            raise SiteUnavailable("it broke off")
        return block

    async def close(self) -> None:
        self.closed = True


class Site:
    """Writes when it may; ``fails``: at which write."""

    def __init__(self, fails: int = 0) -> None:
        self.may = asyncio.Event()
        self.got: list[bytes] = []
        self.fails = fails

    async def write(self, block: Block) -> None:
        await self.may.wait()
        if self.fails == len(self.got) + 1:
            raise SiteUnavailable("it is full")
        self.got.append(bytes(block))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_one_block_is_read_ahead_and_no_more() -> None:
    """While a client takes the first, the second is there; the third is not asked for."""
    reading = Reading(b"one", b"two", b"three")
    ahead = ReadAhead(reading)
    assert await ahead.read(100) == b"one"
    await turns()
    assert reading.asked == 2
    assert [bytes(await ahead.read(2)) for _ in range(5)] == [b"tw", b"o", b"th", b"re", b"e"]
    assert await ahead.read(2) == b""
    assert await ahead.read(2) == b""
    assert reading.asked == 4, "the end is asked for once"


async def test_a_failure_ahead_comes_after_the_bytes_before_it() -> None:
    """All that was read is given first."""
    ahead = ReadAhead(Reading(b"one", None))
    assert await ahead.read(2) == b"on"
    await turns()
    assert await ahead.read(2) == b"e"
    with pytest.raises(SiteUnavailable):
        await ahead.read(2)


async def test_a_block_that_nobody_wants_any_more_is_let_go_before_the_file_is_closed() -> None:
    """Also one that failed meanwhile, of which nobody hears."""
    for blocks in ((b"one", b"two"), (b"one", None)):
        reading = Reading(*blocks)
        ahead = ReadAhead(reading)
        await ahead.read(1)
        await turns()
        await ahead.close()
        assert reading.closed


async def test_a_block_is_written_while_the_next_comes(site: Site) -> None:
    """The first is on its way, the second waits, the third has to wait for room; small ones go together, in order."""
    behind = WriteBehind(site.write)
    await behind.write(b"1" * BLOCK_BYTES)
    await behind.write(b"2")
    await behind.write(b"3")
    third = asyncio.ensure_future(behind.write(b"4" * BLOCK_BYTES))
    await turns()
    assert not third.done()
    assert site.got == []
    site.may.set()
    await third
    await behind.settle()
    assert site.got == [b"1" * BLOCK_BYTES, b"23" + b"4" * BLOCK_BYTES]


async def test_what_waits_is_written_though_nothing_more_comes(site: Site) -> None:
    """Nobody has to ask for it."""
    site.may.set()
    behind = WriteBehind(site.write)
    await behind.write(b"1")
    await turns()
    assert site.got == [b"1"]


async def test_a_failure_shows_at_the_next_write_and_ever_after() -> None:
    """The bytes before had been taken; those that wait for room are not held up."""
    site = Site(fails=1)
    behind = WriteBehind(site.write)
    await behind.write(b"1")
    await behind.write(b"2")
    waiting = asyncio.ensure_future(behind.write(b"3" * BLOCK_BYTES))
    await turns()
    site.may.set()
    with pytest.raises(SiteUnavailable):
        await waiting
    for more in (behind.write(b"4"), behind.settle()):
        with pytest.raises(SiteUnavailable):
            await more
    await behind.stop()
    assert site.got == []


async def test_nothing_is_written_after_a_stop(site: Site) -> None:
    """What was on its way is cut, what waited stays behind."""
    behind = WriteBehind(site.write)
    await behind.write(b"1")
    await behind.write(b"2")
    await turns()
    await behind.stop()
    site.may.set()
    await turns()
    assert site.got == []
