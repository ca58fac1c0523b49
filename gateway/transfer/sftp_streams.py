"""Files as SFTP has them, read and written at any offset, over transfers that go from an offset to the end.

Clients keep many requests under way, nearly always in order. What is a little ahead of the rest is kept meanwhile; for
a jump while reading, the file is opened again where it leads, which is judged and recorded like any other; a jump
while writing is refused.

Invariants: what is kept out of order is bounded for a session as a whole; a file is whole only when its client closed
it, every byte up to the last one having come; after a failure a file answers nothing but that failure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.transfer.act import Fetch, Keep, Refused
from gateway.transfer.site import SiteFailure

MAX_REOPENED = 64


class Room:
    """How many bytes a session may yet keep out of order."""

    def __init__(self, size: int) -> None:
        self._left = size

    def has(self, size: int) -> bool:
        """Whether so many are left."""
        return size <= self._left

    def take(self, size: int) -> None:
        """Take so many; a negative number gives them back."""
        self._left -= size


class _Ahead:
    """Pieces of a file that are kept, by where they begin."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pieces: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def keep(self, at: int, piece: bytes) -> bool:
        """Keep one, if there is room and none that begins there."""
        if at in self._pieces or not self._room.has(len(piece)):
            return False
        self._room.take(len(piece))
        self._pieces[at] = piece
        return True

    def pop(self, at: int) -> bytes:
        """The one that begins there, or nothing."""
        piece = self._pieces.pop(at, b"")
        self._room.take(-len(piece))
        return piece

    def cut_out(self, at: int, size: int) -> bytes:
        """At most so many bytes from there on, or nothing; what is around them stays."""
        for start in self._pieces:
            if start <= at < start + len(self._pieces[start]):
                piece = self.pop(start)
                head, found, tail = piece[: at - start], piece[at - start :][:size], piece[at - start + size :]
                for place, rest in ((start, head), (at + size, tail)):
                    if rest:
                        self.keep(place, rest)
                return found
        return b""

    def clear(self) -> None:
        for at in list(self._pieces):
            self.pop(at)


class _File:
    """A file that a client holds open; what failed once fails ever after."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._ahead = _Ahead(room)
        self._failure: Exception | None = None

    def _require_sound(self) -> None:
        if self._failure:
            raise self._failure


class OpenedToRead(_File):
    """A file that a client reads.

    Args:
        fetch: its bytes, from ``offset`` on.
        again: opens it again at an offset.
    """

    def __init__(self, fetch: Fetch, again: Callable[[int], Awaitable[Fetch]], room: Room) -> None:
        super().__init__(room)
        self.size = fetch.size
        self._fetch: Fetch | None = fetch
        self._again = again
        self._at = 0
        self._reopened = 0

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes from there on: as many as asked for unless the file ends first.

        Raises:
            Refused: what allowed it holds no longer, or it may not be opened again.
            SiteFailure: the site broke off, or the client jumps about too often.
        """
        self._require_sound()
        try:
            return self._ahead.cut_out(offset, size) or await self._read(offset, size)
        except (Refused, SiteFailure) as error:
            self._failure = error
            raise

    async def _read(self, offset: int, size: int) -> bytes:
        if offset >= self.size:
            return b""
        if offset != self._at:
            await self._go_to(offset)
        return await self._next(size) if offset == self._at else b""

    async def _next(self, size: int) -> bytes:
        assert self._fetch is not None  # noqa: S101 - it is closed with the failure that answers from then on
        parts = []
        while size and (data := await self._fetch.read(size)):
            parts.append(data)
            self._at += len(data)
            size -= len(data)
        return b"".join(parts)

    async def _go_to(self, offset: int) -> None:
        """To an offset: what lies between is kept, or the file is opened again there."""
        at, gap = self._at, offset - self._at
        if gap > 0 and self._room.has(gap):
            self._ahead.keep(at, await self._next(gap))
            return
        if self._reopened >= MAX_REOPENED:
            raise SiteFailure(f"this file was read in {MAX_REOPENED} jumps; expected it from one end to the other")
        self._reopened += 1
        await self._end(delivered=True)
        self._fetch = await self._again(offset)
        self._at = offset

    async def close(self, *, delivered: bool = True) -> None:
        """The client closed it.

        Args:
            delivered: whether it was the client, and took all that was read.
        """
        fetch = self._fetch
        if fetch and delivered and not self._failure and self._at == self.size:
            with suppress(Refused, SiteFailure):
                await fetch.read(1)  # whoever knows the size does not read on to the end
        await self._end(delivered=delivered)

    async def _end(self, *, delivered: bool) -> None:
        self._ahead.clear()
        fetch, self._fetch = self._fetch, None
        if fetch:
            await fetch.close(delivered=delivered)


class OpenedToWrite(_File):
    """A file that a client writes.

    Args:
        keep: where the bytes go.
        again: opens it again at an offset; None where it was opened to begin anew, at 0.
        appends: every write goes to the end, whatever its offset.
    """

    def __init__(
        self, keep: Keep, room: Room, again: Callable[[int], Awaitable[Keep]] | None = None, *, appends: bool = False
    ) -> None:
        super().__init__(room)
        self._keep: Keep | None = keep
        self._again = again
        self._appends = appends
        self._there = keep.offset
        self._at = keep.offset
        self._fresh = True

    @property
    def size(self) -> int:
        """How long it is by now."""
        return max(self._at, self._there)

    async def write(self, offset: int, data: bytes) -> None:
        """Bytes that belong there.

        Raises:
            Refused: what allowed it holds no longer.
            SiteFailure: the site broke off, or the bytes are not the next ones.
        """
        self._require_sound()
        try:
            await self._place(offset)
            await self._write(self._at if self._appends else offset, data)
        except (Refused, SiteFailure) as error:
            self._failure = error
            raise

    async def _place(self, offset: int) -> None:
        """The first write says where the client goes on."""
        if not self._fresh:
            return
        self._fresh = False
        if self._appends and offset not in (0, self._at):
            raise SiteFailure(f"there are {self._at} bytes of this file; expected to go on there, got offset {offset}")
        if self._again and not self._appends and offset < self._at:
            await self.abandon()
            self._keep = await self._again(offset)
            self._at = self._keep.offset

    async def _write(self, offset: int, data: bytes) -> None:
        if offset > self._at:
            if not self._ahead.keep(offset, data):
                raise SiteFailure(f"expected the bytes from {self._at} on, got those from {offset} on")
            return
        if offset < self._at:
            raise SiteFailure(f"bytes that came are not written again; expected those from {self._at} on, got {offset}")
        while data:
            assert self._keep is not None  # noqa: S101 - it is closed with the failure that answers from then on
            await self._keep.write(data)
            self._at += len(data)
            data = self._ahead.pop(self._at)

    async def close(self) -> None:
        """The client closed it: from now on it is there.

        Raises:
            Refused: it was cut, and is not there.
            SiteFailure: the site did not take it, or bytes are missing; it is not there.
        """
        if self._fresh and self._there:  # opened to go on, and nothing came: what was half stays half
            await self.abandon()
            return
        problem = self._problem()
        if problem:
            await self.abandon()
            raise problem
        keep, self._keep = self._keep, None
        if keep:
            await keep.finish()

    def _problem(self) -> Exception | None:
        if self._failure:
            return self._failure
        if self._ahead:
            return SiteFailure(f"the bytes from {self._at} on never came; the file is not stored")
        if self._at < self._there:
            return SiteFailure(
                f"{self._at} of the {self._there} bytes that were there were written over; store it whole"
            )
        return None

    async def abandon(self) -> None:
        """It broke off."""
        self._ahead.clear()
        keep, self._keep = self._keep, None
        if keep:
            await keep.abandon()
