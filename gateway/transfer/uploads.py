"""Files that appear when they are whole.

What arrives is written under another name in the folder where it is to be, and moved when all of it came: half of a
file is never listed, fetched or taken for the whole. What broke off stays there, for whoever resumes it; the name of
that is made of the file's own, so that a resumed transfer finds it, also after a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from gateway.transfer.names import PARTIAL, below, folder_of
from gateway.transfer.site import About, Admits, Block, NameTaken, Site, SiteFailure, SiteUnavailable, Writing

COPY_BYTES = 256 * 1024


async def to_the_end(act: Coroutine[Any, Any, None]) -> None:
    """Do what cannot be half done: whoever waits may be cut meanwhile, and hears of that when it is over."""
    doing = asyncio.ensure_future(act)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        task = asyncio.current_task()
        if doing.exception() is not None or task is None:
            raise
        task.uncancel()  # it is done, and whoever asked is told so


def partial_of(path: str) -> str:
    """The path under which a file is written until it is whole."""
    return below(folder_of(path), PARTIAL + hashlib.sha256(path.encode()).hexdigest()[:32])


class Uploads:
    """Those under way at one site; no two of the same file."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    async def begin(self, site: Site, path: str, *, offset: int | None = 0, admits: Admits = None) -> Upload:
        """Begin to write a file, or go on where one stopped.

        Args:
            offset: how much of it is there already and stays; None: all of it (``APPE``).

        Raises:
            NameTaken: a folder is in its place, somebody is writing it, or there is less of it than ``offset``.
            SiteFailure: the site does not do it.
        """
        if path in self._busy:
            raise NameTaken("somebody is writing this file; try again when that is over")
        self._busy.add(path)
        try:
            return Upload(self, site, path, *await _opened(site, path, offset, admits), admits)
        except BaseException:
            self._busy.discard(path)
            raise

    def over(self, path: str) -> None:
        """Nobody writes this file any more."""
        self._busy.discard(path)


class Upload:
    """One file on its way; ``settle`` and ``appear``, or ``abandon``, end it. ``offset``: where it began."""

    def __init__(self, uploads: Uploads, site: Site, path: str, writing: Writing, offset: int, admits: Admits) -> None:
        self.offset = offset
        self._uploads, self._site, self._path, self._admits = uploads, site, path, admits
        self._writing = writing

    async def write(self, data: Block) -> None:
        """The next bytes."""
        await self._writing.write(data)

    async def settle(self) -> None:
        """All came, and lies safe; it does not appear yet."""
        await self._writing.finish()

    async def appear(self) -> None:
        """Give the file its name; it is over then."""
        try:
            await self._site.move(partial_of(self._path), self._path, admits=self._admits)
        finally:
            self._uploads.over(self._path)

    async def abandon(self) -> None:
        """It broke off: what came stays for a resumed transfer, and is nobody's file."""
        try:
            with suppress(SiteFailure):
                await self._writing.abandon()
        finally:
            self._uploads.over(self._path)

    async def discard(self) -> None:
        """It broke off, and nobody resumes it: nothing of it stays."""
        await self.abandon()
        with suppress(SiteFailure):
            await self._site.remove(partial_of(self._path))


async def _opened(site: Site, path: str, offset: int | None, admits: Admits) -> tuple[Writing, int]:
    there = await site.about(path)
    if there is not None and there.is_folder:
        raise NameTaken("a folder has this name")
    partial = partial_of(path)
    if offset == 0:
        return await site.write(partial, admits=admits), 0
    kept = there or await site.about(partial) or About("", is_folder=False)  # what a client was told of, too
    at = kept.size if offset is None else offset
    if at > kept.size:
        raise NameTaken(f"there are {kept.size} bytes of this file; expected an offset within them, got {at}")
    if there is not None:
        return await _copied(site, path, partial, at, admits), at
    return await site.write(partial, offset=at, admits=admits), at


async def _copied(site: Site, path: str, partial: str, size: int, admits: Admits) -> Writing:
    """A file that begins as another: what is whole is not written into."""
    writing = await site.write(partial, admits=admits)
    try:
        reading = await site.read(path)
        try:
            left = size
            while left:
                data = await reading.read(min(left, COPY_BYTES))
                if not data:
                    raise SiteUnavailable("the file became shorter meanwhile")
                await writing.write(data)
                left -= len(data)
        finally:
            await reading.close()
    except BaseException:
        with suppress(SiteFailure):
            await writing.abandon()
        raise
    return writing
