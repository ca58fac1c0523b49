"""A site in a folder of this machine.

Every path is opened from the folder down, one name after the other, and no link is followed: what is not a plain file
or folder below it does not exist.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gateway.transfer.names import PARTIAL
from gateway.transfer.site import (
    About,
    Admits,
    Block,
    NameTaken,
    NoSuchName,
    Reading,
    SiteFailure,
    SiteUnavailable,
    Writing,
)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold anybody up
_MODE = 0o640
FLUSH_BYTES = 8 * 1024 * 1024
"""After how many the disk begins to write what came, so that little of it is left for the end."""
_ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO))
_TAKEN = frozenset((errno.EEXIST, errno.ENOTEMPTY))

Given = ParamSpec("Given")
Done = TypeVar("Done")


class FolderSite:
    """See the module.

    Args:
        root: the folder; it has to be there.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        self._turn = threading.Lock()

    async def close(self) -> None:
        """Let go of the folder; whoever comes later is told that it is closed."""
        with self._turn:
            root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    async def about(self, path: str) -> About | None:
        """See :class:`gateway.transfer.site.Site`."""
        try:
            return await self._in_thread(self._about, path)
        except NoSuchName:
            return None

    async def list(self, path: str) -> Sequence[About]:
        """See :class:`gateway.transfer.site.Site`."""
        return await self._in_thread(self._list, path)

    async def read(self, path: str, offset: int = 0) -> Reading:
        """See :class:`gateway.transfer.site.Site`."""
        return _OpenFile(await self._in_thread(self._open, path, os.O_RDONLY, offset))

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        """See :class:`gateway.transfer.site.Site`; a folder of this machine is where the store is declared to be."""
        del admits
        begin = 0 if offset else os.O_CREAT | os.O_TRUNC
        return _OpenFile(await self._in_thread(self._open, path, os.O_WRONLY | begin, offset))

    async def move(self, path: str, to: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        del admits
        await self._in_thread(self._move, path, to)

    async def remove(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        await self._in_thread(self._remove, path)

    async def make_folder(self, path: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        del admits
        await self._in_thread(self._make_folder, path)

    async def remove_folder(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        await self._in_thread(self._remove_folder, path)

    @staticmethod
    async def _in_thread(act: Callable[Given, Done], *args: Given.args, **named: Given.kwargs) -> Done:
        return await asyncio.to_thread(_told(act), *args, **named)

    @contextmanager
    def _within(self, path: str) -> Iterator[tuple[int, str]]:
        """The folder that a path stands in, open, and its last name; of the root, the root and a dot."""
        *above, name = path.strip("/").split("/")
        with self._turn:
            if self._root < 0:
                raise SiteUnavailable("the site is closed; try again")
            folder = os.dup(self._root)
        try:
            for each in above:
                below = os.open(each, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder, name or "."
        finally:
            os.close(folder)

    def _about(self, path: str) -> About:
        with self._within(path) as (folder, name):
            return _told_of(path.rpartition("/")[2], os.stat(name, dir_fd=folder, follow_symlinks=False))

    def _list(self, path: str) -> Sequence[About]:
        with self._within(path) as (folder, name):
            descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            found = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    try:
                        found.append(_told_of(entry.name, entry.stat(follow_symlinks=False)))
                    except (NoSuchName, FileNotFoundError):  # a link, a device, or gone meanwhile
                        continue
            return found
        finally:
            os.close(descriptor)

    def _open(self, path: str, how: int, offset: int) -> int:
        with self._within(path) as (folder, name):
            descriptor = os.open(name, how | _FILE, _MODE, dir_fd=folder)
        try:
            _told_of(name, os.fstat(descriptor))
            if how & os.O_WRONLY:
                os.ftruncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _move(self, path: str, to: str) -> None:
        with self._within(path) as (folder, name), self._within(to) as (new_folder, new_name):
            os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)
            os.fsync(new_folder)

    def _remove(self, path: str) -> None:
        with self._within(path) as (folder, name):
            _told_of(name, os.stat(name, dir_fd=folder, follow_symlinks=False))
            os.unlink(name, dir_fd=folder)

    def _make_folder(self, path: str) -> None:
        with self._within(path) as (folder, name):
            os.mkdir(name, 0o750, dir_fd=folder)
            os.fsync(folder)

    def _remove_folder(self, path: str) -> None:
        """Nobody sees what broke off in there, so that it does not keep a folder that looks empty."""
        found = self._list(path)
        if all(about.name.startswith(PARTIAL) for about in found):
            for about in found:
                self._remove(f"{path}/{about.name}")
        with self._within(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)


class _OpenFile:
    """A file being read or written: :class:`Reading` and :class:`Writing`.

    What was begun in a thread goes on when whoever waits for it is cut. It is over before the file is closed, so that
    it never meets another file that got the same descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._turn = threading.Lock()
        self._unflushed_bytes = 0

    async def read(self, size: int) -> bytes:
        return await asyncio.to_thread(self._doing, os.read, size)

    async def write(self, data: Block) -> None:
        await asyncio.to_thread(self._doing, self._write, data)

    async def finish(self) -> None:
        try:
            await asyncio.to_thread(self._doing, os.fsync)
        finally:
            await self.close()

    async def abandon(self) -> None:
        await self.close()

    async def close(self) -> None:
        await asyncio.shield(asyncio.to_thread(self._close))

    def _doing(self, act: Callable[Concatenate[int, Given], Done], *args: Given.args, **named: Given.kwargs) -> Done:
        with self._turn:
            if self._descriptor < 0:
                raise SiteUnavailable("the file is closed")
            return _told(act)(self._descriptor, *args, **named)

    def _write(self, descriptor: int, data: Block) -> None:
        _write_all(descriptor, data)
        self._unflushed_bytes += len(data)
        if self._unflushed_bytes >= FLUSH_BYTES:
            _begin_flush(descriptor, self._unflushed_bytes)
            self._unflushed_bytes = 0

    def _close(self) -> None:
        with self._turn:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)


def _write_all(descriptor: int, data: Block) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _begin_flush(descriptor: int, size: int) -> None:
    """Let the disk begin with the last bytes of so many, and do not wait: ``fsync`` at the end finds little to do."""
    if sys.platform == "linux":  # there this advice writes out what is not written, and keeps it until it is
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.posix_fadvise(descriptor, end - size, size, os.POSIX_FADV_DONTNEED)


def _told_of(name: str, found: os.stat_result) -> About:
    if stat.S_ISDIR(found.st_mode):
        return About(name, is_folder=True, modified_s=int(found.st_mtime))
    if stat.S_ISREG(found.st_mode):
        return About(name, is_folder=False, size=found.st_size, modified_s=int(found.st_mtime))
    raise NoSuchName("there is no such file")


def _told(act: Callable[Given, Done]) -> Callable[Given, Done]:
    """The same; what the system says against it in the words of a site."""

    @wraps(act)
    def acting(*args: Given.args, **named: Given.kwargs) -> Done:
        try:
            return act(*args, **named)
        except OSError as error:
            raise _failure(error) from error

    return acting


def _failure(error: OSError) -> SiteFailure:
    if error.errno in _ABSENT:
        return NoSuchName("there is nothing of this name, or not of this kind")
    if error.errno in _TAKEN:
        return NameTaken("something of this name is there, or the folder is not empty")
    return SiteUnavailable(f"the site cannot do it: {os.strerror(error.errno) if error.errno else 'it broke off'}")
