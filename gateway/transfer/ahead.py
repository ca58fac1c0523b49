"""Blocks between a client and a site: the next one is read while one is sent, and one is written while the next comes.

Invariants: bytes keep their order; what is held of a file is a few blocks; what the site says against one of them
is raised to whoever asks for the next, or ends the file; nothing goes on after ``close`` or ``stop`` returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.transfer.site import Block, Reading

BLOCK_BYTES = 1024 * 1024


class ReadAhead:
    """A file that is read a block ahead of whoever asks."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._left = memoryview(b"")
        self._next: asyncio.Task[bytes] | None = None
        self._at_end = False

    async def read(self, size: int) -> Block:
        """The next bytes, at most so many; none at the end.

        Raises:
            SiteFailure: the site broke off.
        """
        if not self._left and not self._at_end:
            block = await (self._next or self._begun())
            self._at_end = not block
            self._next = None if self._at_end else self._begun()
            self._left = memoryview(block)
        data, self._left = self._left[:size], self._left[size:]
        return data

    def _begun(self) -> asyncio.Task[bytes]:
        return asyncio.get_running_loop().create_task(_read(self._reading))

    async def close(self) -> None:
        """Read no more.

        Raises:
            SiteFailure: the site says something against it.
        """
        try:
            await _stopped(self._next)
        finally:
            await self._reading.close()


class WriteBehind:
    """A file whose bytes are written a block behind whoever brings them; small ones are put together meanwhile.

    Args:
        write: the next bytes to the site.
    """

    def __init__(self, write: Callable[[Block], Awaitable[None]]) -> None:
        self._write = write
        self._blocks: list[Block] = []
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._writing: asyncio.Task[None] | None = None

    async def write(self, block: Block) -> None:
        """The next bytes; returns when there is room for more, which may be before they are written.

        Raises:
            SiteFailure: the site broke off, with these or with those before.
        """
        self._require_sound()
        self._blocks.append(block)
        self._waiting_bytes += len(block)
        if self._waiting_bytes >= BLOCK_BYTES:
            self._room.clear()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        await self._room.wait()
        self._require_sound()

    async def settle(self) -> None:
        """All of it is written.

        Raises:
            SiteFailure: the site broke off.
        """
        if self._writing:
            await self._writing

    async def stop(self) -> None:
        """Write no more."""
        await _stopped(self._writing)

    def _require_sound(self) -> None:
        """What once failed is told again and again."""
        if self._writing and self._writing.done():
            self._writing.result()

    async def _write_all(self) -> None:
        try:
            while self._blocks:
                blocks, self._blocks, self._waiting_bytes = self._blocks, [], 0
                self._room.set()
                await self._write(blocks[0] if len(blocks) == 1 else b"".join(blocks))
        finally:
            self._room.set()


async def _read(reading: Reading) -> bytes:
    return await reading.read(BLOCK_BYTES)


async def _stopped(task: asyncio.Task[bytes] | asyncio.Task[None] | None) -> None:
    if task:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody asks for it any more
