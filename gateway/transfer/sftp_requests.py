"""What a client asks for over SFTP (version 3, and what OpenSSH adds to it), in the words of a session.

Requests are answered one after the other; what a client has asked for and not yet had is bounded by its window and by
what it reads. Answered: realpath, stat, lists, files read or written, rename, remove, folders made and removed. Times
and modes are accepted and do nothing, for clients that set them after each upload and give up without; owners and
lengths are refused. Links, locks, copies, file systems and everything else are not known here.

Invariants: every name, whatever its octets, is judged and recorded before the site hears of it, but for those of
realpath and setstat, which the site never hears of; a file that is written is whole only when its handle was closed.
"""

from __future__ import annotations

import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, ClassVar, Protocol

import asyncssh
import structlog
from asyncssh import SFTPAttrs, SFTPName
from asyncssh.constants import (
    FXP_CLOSE,
    FXP_FSETSTAT,
    FXP_FSTAT,
    FXP_LSTAT,
    FXP_MKDIR,
    FXP_OPEN,
    FXP_OPENDIR,
    FXP_READ,
    FXP_READDIR,
    FXP_REALPATH,
    FXP_REMOVE,
    FXP_RENAME,
    FXP_RMDIR,
    FXP_SETSTAT,
    FXP_STAT,
    FXP_WRITE,
)
from asyncssh.packet import PacketDecodeError, SSHPacket
from asyncssh.sftp import SFTPLimits, SFTPServerHandler

from gateway.errors import Malformed
from gateway.transfer.act import Refused, Unrecorded
from gateway.transfer.names import resolve
from gateway.transfer.session import Session
from gateway.transfer.sftp_streams import OpenedToRead, OpenedToWrite, Room
from gateway.transfer.site import About, NameTaken, NoSuchName, SiteFailure

log = structlog.get_logger(__name__)

MAX_HANDLES = 64
MAX_PACKET_BYTES = 256 * 1024
MAX_DATA_BYTES = MAX_PACKET_BYTES - 1024
MAX_AHEAD_BYTES = 2 * 1024 * 1024
_FOLDER_MODE = stat.S_IFDIR | 0o750
_FILE_MODE = stat.S_IFREG | 0o640
_ROOT = "/"
_HALF_YEAR_S = 365 * 86_400 / 2
Opened = OpenedToRead | OpenedToWrite


class Line(Protocol):
    """The connection that requests come over."""

    @property
    def session(self) -> Session:
        """What its client may do, judged as it is now."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether nothing new begins."""
        ...

    def cut(self) -> None:
        """A transfer ended before its time: close the connection."""
        ...

    def begin(self) -> None:
        """A request is being answered."""
        ...

    def end(self) -> None:
        """It has been."""
        ...

    async def has_room(self) -> None:
        """Returns when the client has taken most of what was answered."""
        ...


class Requests(asyncssh.SFTPServer):
    """Turns each request into what a session does."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], line: Line) -> None:
        super().__init__(channel)
        self._line = line
        self._room = Room(MAX_AHEAD_BYTES)

    async def realpath(self, path: bytes) -> bytes:
        """The name in its one form; whether anything is there is another question."""
        return (await self._named(path)).encode()

    async def stat(self, path: bytes) -> SFTPAttrs:
        """What is there; there are no links."""
        _name, about = await self._line.session.about(_ROOT, _text(path))
        return _attributes(about)

    lstat = stat

    async def fstat(self, file_obj: object) -> SFTPAttrs:
        """How long the file is, as far as its client has to know."""
        return _attributes(About("", is_folder=False, size=_opened(file_obj).size))

    async def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Does nothing."""
        await self._named(path)
        _require_idle(attrs)

    async def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Does nothing."""
        _require_idle(attrs, size=_opened(file_obj).size)

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> Opened:
        """A file, to be read or to be written."""
        del attrs
        name = _text(path)
        if not pflags & asyncssh.FXF_WRITE:
            return await self._open_to_read(name)
        if pflags & asyncssh.FXF_READ and not pflags & asyncssh.FXF_TRUNC:
            raise asyncssh.SFTPOpUnsupported("a file is opened for reading or for writing; expected one of them")
        await self._require_there(name, pflags)
        return await self._open_to_write(name, pflags)

    async def _open_to_read(self, name: str) -> OpenedToRead:
        async def again(offset: int) -> Any:
            return await self._line.session.fetch(_ROOT, name, offset, self._line.cut)

        return OpenedToRead(await again(0), again, self._room)

    async def _open_to_write(self, name: str, pflags: int) -> OpenedToWrite:
        async def at(offset: int | None) -> Any:
            verb = "APPE" if appends else "STOR"
            return await self._line.session.keep(_ROOT, name, offset=offset, verb=verb, cut=self._line.cut)

        appends = bool(pflags & asyncssh.FXF_APPEND)
        if pflags & asyncssh.FXF_TRUNC and not appends:
            return OpenedToWrite(await at(0), self._room)
        return OpenedToWrite(await at(None), self._room, at, appends=appends)

    async def _require_there(self, name: str, pflags: int) -> None:
        """What is there already, where the client says whether anything may be."""
        exclusive = pflags & asyncssh.FXF_CREAT and pflags & asyncssh.FXF_EXCL
        if pflags & asyncssh.FXF_CREAT and not exclusive:
            return
        try:
            await self._line.session.about(_ROOT, name)
        except NoSuchName:
            if not exclusive:
                raise
        else:
            if exclusive:
                raise NameTaken("something of this name is there")

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Bytes of a file."""
        if not isinstance(file_obj, OpenedToRead):
            raise asyncssh.SFTPPermissionDenied("this file is open for writing")
        return await file_obj.read(offset, min(size, MAX_DATA_BYTES))

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Bytes for a file."""
        if not isinstance(file_obj, OpenedToWrite):
            raise asyncssh.SFTPPermissionDenied("this file is open for reading")
        await file_obj.write(offset, data)
        return len(data)

    async def close(self, file_obj: object) -> None:
        """The client closed a file."""
        await _opened(file_obj).close()

    async def abandon(self, file_obj: object) -> None:
        """It did not."""
        file = _opened(file_obj)
        try:
            await (file.abandon() if isinstance(file, OpenedToWrite) else file.close(delivered=False))
        except Exception:
            log.exception("transfer_not_abandoned")

    async def names(self, path: bytes) -> Sequence[SFTPName]:
        """What a folder holds."""
        return [_entry(about) for about in await self._line.session.list(_ROOT, _text(path))]

    async def remove(self, path: bytes) -> None:
        """A file goes."""
        await self._line.session.remove(_ROOT, _text(path))

    async def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """A folder comes."""
        del attrs
        await self._line.session.make_folder(_ROOT, _text(path))

    async def rmdir(self, path: bytes) -> None:
        """An empty folder goes."""
        await self._line.session.remove_folder(_ROOT, _text(path))

    async def rename(self, oldpath: bytes, newpath: bytes, flags: int = 0) -> None:
        """Another name, where nothing has it yet."""
        del flags
        await self._line.session.rename(_ROOT, _text(oldpath), _text(newpath), over=False)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Another name, whatever has it."""
        await self._line.session.rename(_ROOT, _text(oldpath), _text(newpath))

    async def _named(self, path: bytes) -> str:
        """A name in its one form; one that has none is refused as it would be anywhere, and recorded."""
        try:
            return resolve(_ROOT, _text(path))
        except Malformed as error:
            await self._line.session.about(_ROOT, _text(path))
            raise Refused(str(error)) from error


def _told(answer: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same; what is said against it in the words of the protocol."""

    @wraps(answer)
    async def answering(*args: Any) -> Any:
        try:
            return await answer(*args)
        except (Refused, SiteFailure) as error:
            raise _failure(error) from error
        except (asyncssh.Error, PacketDecodeError):
            raise
        except Exception as error:
            log.exception("sftp_request_failed")
            raise asyncssh.SFTPFailure("it could not be done") from error

    return answering


def _failure(error: Refused | SiteFailure) -> asyncssh.SFTPError:
    match error:
        case Unrecorded():
            return asyncssh.SFTPFailure(str(error))
        case Refused(decision=decision):
            return asyncssh.SFTPPermissionDenied(f"{error} (decision {decision})" if decision else str(error))
        case NoSuchName():
            return asyncssh.SFTPNoSuchFile(str(error))
        case NameTaken():
            return asyncssh.SFTPFileAlreadyExists(str(error))
    return asyncssh.SFTPFailure(str(error))


class RequestHandler(SFTPServerHandler):
    """Reads requests, one after the other, and answers those that are known here."""

    _extensions = [(b"posix-rename@openssh.com", b"1"), (b"limits@openssh.com", b"1")]  # noqa: RUF012 - as in the base

    def __init__(
        self,
        requests: Requests,
        line: Line,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
    ) -> None:
        super().__init__(requests, reader, writer, 3)
        self._requests, self._line = requests, line

    @property
    def opened(self) -> int:
        """How many handles are open."""
        return len(self._file_handles) + len(self._dir_handles)

    async def end(self) -> None:
        """It is over, however it came to that."""
        await self._cleanup(None)

    async def recv_packet(self) -> SSHPacket:
        """The next one."""
        assert self._reader is not None  # noqa: S101 - it is there until the end
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        if size > MAX_PACKET_BYTES:
            raise asyncssh.SFTPBadMessage(f"a packet of {size} bytes came; expected at most {MAX_PACKET_BYTES}")
        return SSHPacket(await self._reader.readexactly(size))

    async def _process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        self._line.begin()
        try:
            await super()._process_packet(pkttype, pktid, packet)
        finally:
            self._line.end()
        if self._writer:
            await self._writer.drain()
        await self._line.has_room()

    async def _cleanup(self, exc: Exception | None) -> None:
        """The channel is over: what nobody closed is not whole."""
        files, self._file_handles = list(self._file_handles.values()), {}
        for file in files:
            await self._requests.abandon(file)
        self._dir_handles = {}
        if self._writer:
            await super()._cleanup(exc)

    def _require_room(self) -> None:
        if self._line.stopping:
            raise asyncssh.SFTPFailure("the gateway is stopping; connect again")
        if self.opened >= MAX_HANDLES:
            raise asyncssh.SFTPFailure(f"{MAX_HANDLES} handles are open, which is as many as may be; close one")

    async def _process_open(self, packet: SSHPacket) -> bytes:
        self._require_room()
        return await super()._process_open(packet)

    async def _process_opendir(self, packet: SSHPacket) -> bytes:
        """The folder is judged and read when it is opened, not when the first name is asked for."""
        self._require_room()
        path = packet.get_string()
        packet.check_end()
        found = await self._requests.names(path)
        handle = self._get_next_handle()
        self._dir_handles[handle] = _one_by_one(found)
        return handle

    async def _process_limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(MAX_PACKET_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, MAX_HANDLES)

    _known: ClassVar[dict[int | bytes, Callable[..., Awaitable[Any]]]] = {
        FXP_OPEN: _process_open,
        FXP_CLOSE: SFTPServerHandler._process_close,
        FXP_READ: SFTPServerHandler._process_read,
        FXP_WRITE: SFTPServerHandler._process_write,
        FXP_LSTAT: SFTPServerHandler._process_lstat,
        FXP_FSTAT: SFTPServerHandler._process_fstat,
        FXP_SETSTAT: SFTPServerHandler._process_setstat,
        FXP_FSETSTAT: SFTPServerHandler._process_fsetstat,
        FXP_OPENDIR: _process_opendir,
        FXP_READDIR: SFTPServerHandler._process_readdir,
        FXP_REMOVE: SFTPServerHandler._process_remove,
        FXP_MKDIR: SFTPServerHandler._process_mkdir,
        FXP_RMDIR: SFTPServerHandler._process_rmdir,
        FXP_REALPATH: SFTPServerHandler._process_realpath,
        FXP_STAT: SFTPServerHandler._process_stat,
        FXP_RENAME: SFTPServerHandler._process_rename,
        b"posix-rename@openssh.com": SFTPServerHandler._process_posix_rename,
        b"limits@openssh.com": _process_limits,
    }
    _packet_handlers = {kind: _told(handler) for kind, handler in _known.items()}  # noqa: RUF012


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _opened(file: object) -> Opened:
    assert isinstance(file, OpenedToRead | OpenedToWrite)  # noqa: S101 - whatever is open was opened here
    return file


def _require_idle(attrs: SFTPAttrs, size: int | None = None) -> None:
    """That nothing is asked for but times and modes, and a length that is there anyway."""
    if attrs.uid is not None or attrs.gid is not None or attrs.owner is not None or attrs.group is not None:
        raise asyncssh.SFTPPermissionDenied("files have no owners here; leave them out")
    if attrs.size is not None and attrs.size != size:
        raise asyncssh.SFTPOpUnsupported("a file is not cut to a length here; store it anew")


def _attributes(about: About) -> SFTPAttrs:
    mode = _FOLDER_MODE if about.is_folder else _FILE_MODE
    times = {"atime": about.modified_s, "mtime": about.modified_s} if about.modified_s else {}
    return SFTPAttrs(size=about.size, permissions=mode, **times)


def _entry(about: About) -> SFTPName:
    """With a line such as ``ls -l`` writes, which some clients show and a few read."""
    attributes = _attributes(about)
    form = "%b %e %H:%M" if abs(time.time() - about.modified_s) < _HALF_YEAR_S else "%b %e  %Y"
    when = time.strftime(form, time.gmtime(about.modified_s))
    line = f"{stat.filemode(attributes.permissions or 0)}    1 site     site     {about.size:>8} {when} {about.name}"
    return SFTPName(about.name.encode(), line.encode(), attributes)


async def _one_by_one(names: Sequence[SFTPName]) -> AsyncIterator[SFTPName]:
    for name in names:
        yield name
