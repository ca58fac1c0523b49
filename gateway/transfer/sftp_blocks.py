"""Blocks of a file at an SFTP server, several under way.

Invariants: every byte is read once and in order, however much the server gives at a time; what is held of a file is
bounded; a part of a file that stays behind has no holes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import asyncssh

from gateway.transfer.site import Block, SiteUnavailable

BLOCK_BYTES = 255 * 1024
AT_A_TIME = 8
"""Blocks of one file that are under way."""
MOST_AT_A_TIME = 64
"""The same where the server takes or gives less at a time."""
LEAST_BYTES = 4 * 1024
"""No less is asked for, whatever a server gives."""

Asked = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


class BlockReading:
    """A file being read, a few blocks ahead; see :class:`gateway.transfer.site.Reading`.

    Args:
        asked: what the server answers, in time, its refusals in the words of a site.
        file: opened with ``block_size=0``: asyncssh then reads one block as one request, and not beyond it.
        offset: where to begin.
        block_bytes: how much the server gives at a time.
    """

    def __init__(
        self, asked: Asked, file: asyncssh.SFTPClientFile, offset: int, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._asked, self._file, self._block_bytes = asked, file, block_bytes
        self._at_a_time = _at_a_time(block_bytes)
        self._at = self._next = offset
        self._under_way: deque[asyncio.Task[bytes]] = deque()
        self._left = b""
        self._is_short = False  # the last block was; so that this may be the end

    async def read(self, size: int) -> bytes:
        if not self._left:
            self._left = await self._block()
        data, self._left = self._left[:size], self._left[size:]
        return data

    async def _block(self) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self._under_way) < (1 if self._is_short else self._at_a_time):
            self._under_way.append(loop.create_task(self._file.read(self._block_bytes, self._next)))
            self._next += self._block_bytes
        data: bytes = await self._asked(_result(self._under_way.popleft()))
        if len(data) > self._block_bytes:
            raise SiteUnavailable("the site gave more of the file than it was asked for")
        self._at += len(data)
        self._is_short = len(data) < self._block_bytes
        if self._is_short:  # the end, or a server that gives less at a time: go on where it stopped
            await _dropped(self._under_way)
            self._next = self._at
            self._block_bytes = min(self._block_bytes, max(len(data), LEAST_BYTES))
            self._at_a_time = _at_a_time(self._block_bytes)
        return data

    async def close(self) -> None:
        await _dropped(self._under_way)
        await self._asked(self._file.close())


class BlockWriting:
    """A file being written, a few blocks not yet answered; see :class:`gateway.transfer.site.Writing`.

    Args:
        asked, file, offset: as of :class:`BlockReading`.
        block_bytes: how much the server takes at a time.
    """

    def __init__(
        self, asked: Asked, file: asyncssh.SFTPClientFile, offset: int, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._asked, self._file, self._block_bytes = asked, file, block_bytes
        self._at_a_time = _at_a_time(block_bytes)
        self._at = self._written = offset
        self._under_way: deque[tuple[int, asyncio.Task[int]]] = deque()

    async def write(self, data: Block) -> None:
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), self._block_bytes):
            while len(self._under_way) >= self._at_a_time:
                await self._settle()
            block = bytes(data[start : start + self._block_bytes])  # asyncssh takes nothing else
            self._under_way.append((len(block), loop.create_task(self._file.write(block, self._at))))
            self._at += len(block)

    async def _settle(self) -> None:
        size, task = self._under_way.popleft()
        await self._asked(_result(task))
        self._written += size

    async def finish(self) -> None:
        while self._under_way:
            await self._settle()
        await self._asked(_synced(self._file))
        await self._asked(self._file.close())

    async def abandon(self) -> None:
        """What came stays up to the first block that did not."""
        await _dropped(deque(task for _, task in self._under_way))
        self._under_way.clear()
        try:
            await self._asked(self._file.truncate(self._written))
        finally:
            await self._asked(self._file.close())


def _at_a_time(block_bytes: int) -> int:
    return min(MOST_AT_A_TIME, AT_A_TIME * BLOCK_BYTES // block_bytes)


async def _result(task: asyncio.Task[Any]) -> Any:
    return await task


async def _synced(file: asyncssh.SFTPClientFile) -> None:
    """On the disk, where the server can say so."""
    with suppress(asyncssh.SFTPOpUnsupported):
        await file.fsync()


async def _dropped(tasks: deque[asyncio.Task[Any]]) -> None:
    dropped = list(tasks)
    tasks.clear()
    for task in dropped:
        task.cancel()
    await asyncio.gather(*dropped, return_exceptions=True)
