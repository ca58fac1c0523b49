"""A site behind an FTP server: plain (``ftp://``), with TLS asked for (``ftpes://``) or from the start (``ftps://``).

Each part of a path is looked at before it is gone through: what the server says is neither file nor folder (a link,
where it tells) does not exist here. A server that does not tell links from what they lead to confines the account that
the gateway signs in with. Signed-in connections are kept for the next act, a few at a time.

Invariants: what cannot be told for certain is a failure, and never an absence; a file that was written is as long as
what was sent, where the server can say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, cast
from urllib.parse import unquote, urlsplit

import aioftp
import structlog

from gateway.proxy.upstream_tls import UpstreamTls
from gateway.transfer.ftp_client import FAILURES, FtpClient, replied
from gateway.transfer.names import PARTIAL
from gateway.transfer.site import (
    About,
    Admits,
    Block,
    NameTaken,
    NoSuchName,
    Reading,
    SiteFailure,
    SiteSlow,
    SiteUnavailable,
    Writing,
)

log = structlog.get_logger(__name__)

KEPT = 8
KEPT_S = 20.0
_PORTS = {"ftp": 21, "ftpes": 21, "ftps": 990}
_ABSENT = ("550", "553")
_FULL = ("452", "552")


class _Stream(Protocol):
    async def read(self, count: int = -1) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> None: ...

    def close(self) -> None: ...


class FtpSite:
    """See the module.

    Args:
        name: for messages.
        url: ``ftp://user:password@host:port/folder``.
        tls: for ``ftps`` and ``ftpes``.
        connect_timeout_s: how long to wait until a connection is signed in.
        read_timeout_s: how long to wait for an answer or a block.
    """

    def __init__(
        self, name: str, url: str, *, connect_timeout_s: float, read_timeout_s: float, tls: UpstreamTls | None = None
    ) -> None:
        parts = urlsplit(url)
        self.name, self._scheme, self._tls = name, parts.scheme, tls
        self._where = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or "anonymous"), unquote(parts.password or "anonymous@")
        self._folder = unquote(parts.path).rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        self._timeouts = {
            "socket_timeout": read_timeout_s,
            "connection_timeout": connect_timeout_s,
            "path_timeout": read_timeout_s,
        }
        self._idle: list[tuple[float, FtpClient]] = []

    async def close(self) -> None:
        """Sign out."""
        idle, self._idle = self._idle, []
        for _, client in idle:
            await client.take_leave()

    async def about(self, path: str) -> About | None:
        """See :class:`gateway.transfer.site.Site`."""
        try:
            async with self._client() as client:
                return await self._found(client, path)
        except NoSuchName:
            return None

    async def list(self, path: str) -> Sequence[About]:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client() as client:
            await self._require(client, path, is_folder=True)
            return await client.entries(self._at(path))

    async def read(self, path: str, offset: int = 0) -> Reading:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client() as client:
            await self._require(client, path, is_folder=False)
        client = await self._take()
        with self._telling(client):
            stream = await client.open("RETR " + self._at(path), offset)
        return _Reading(self, client, stream)

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        """See :class:`gateway.transfer.site.Site`; FTP cannot shorten a file, so that it goes on at the end alone."""
        async with self._client(admits) as client:
            there = await self._found(client, path)
        if there is not None and there.is_folder:
            raise NoSuchName("there is no such file")
        if offset and (there is None or there.size != offset):
            raise NameTaken(f"this site goes on at the end of a file alone: {there.size if there else 0}")
        client = await self._take(admits)
        with self._telling(client):
            stream = await client.open(("APPE " if offset else "STOR ") + self._at(path))
        return _Writing(self, client, stream, self._at(path), offset)

    async def move(self, path: str, to: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client(admits) as client:
            if await self._found(client, path) is None:
                raise NoSuchName("there is nothing of this name")
            await self._found(client, to)
            await client.rename(self._at(path), self._at(to))

    async def remove(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client() as client:
            await self._require(client, path, is_folder=False)
            await client.remove_file(self._at(path))

    async def make_folder(self, path: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client(admits) as client:
            if await self._found(client, path) is not None:
                raise NameTaken("something of this name is there")
            await client.command("MKD " + self._at(path), "2xx")

    async def remove_folder(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`; what broke off in there goes with it."""
        found = await self.list(path)
        if any(not about.name.startswith(PARTIAL) for about in found):
            raise NameTaken("the folder is not empty")
        async with self._client() as client:
            for about in found:
                await client.remove_file(self._at(f"{path}/{about.name}"))
            await client.remove_directory(self._at(path))

    def give_back(self, client: FtpClient) -> None:
        """A connection whose last command was answered is kept for the next."""
        if len(self._idle) < KEPT:
            self._idle.append((time.monotonic(), client))
        else:
            client.close()

    def failed(self, error: BaseException) -> SiteFailure | None:
        """What went wrong, in the words of a site."""
        if isinstance(error, SiteFailure):
            return error
        if not isinstance(error, FAILURES):
            return None
        code = replied(error) if isinstance(error, aioftp.StatusCodeError) else ""
        if code in _ABSENT:
            return NoSuchName("there is nothing of this name, or the site does not do it")
        log.warning("ftp_site_failed", site=self.name, problem=str(error) or type(error).__name__)
        if isinstance(error, TimeoutError):
            return SiteSlow(f"the site {self.name} did not answer in time")
        if code in _FULL:
            return SiteUnavailable(f"the site {self.name} has no room left for it")
        return SiteUnavailable(f"the site {self.name} cannot be reached, refused or broke off")

    def _at(self, path: str) -> str:
        return self._folder + path.rstrip("/") or "/"

    async def _found(self, client: FtpClient, path: str) -> About | None:
        """What is there, behind nothing but folders.

        Raises:
            NoSuchName: it, or what is on the way, is neither file nor folder.
        """
        found, at = About("", is_folder=True), ""
        for name in path.strip("/").split("/") if path != "/" else ():
            at += f"/{name}"
            try:
                about = await client.about(self._folder + at) if found.is_folder else None
            except aioftp.StatusCodeError as error:
                raise ConnectionError(f"did not say whether it is there: {error}") from error
            if about is None:
                return None
            found = about
        return found

    async def _require(self, client: FtpClient, path: str, *, is_folder: bool) -> None:
        about = await self._found(client, path)
        if about is None or about.is_folder is not is_folder:
            raise NoSuchName("there is nothing of this name, or not of this kind")

    @asynccontextmanager
    async def _client(self, admits: Admits = None) -> AsyncIterator[FtpClient]:
        client = await self._take(admits)
        try:
            with self._telling(client):
                yield client
        finally:
            if not client.is_closed:
                self.give_back(client)

    def _telling(self, client: FtpClient) -> _Telling:
        return _Telling(self, client)

    async def _take(self, admits: Admits = None) -> FtpClient:
        """A signed-in connection that leads to where it may."""
        while self._idle:
            since, client = self._idle.pop()
            if time.monotonic() - since < KEPT_S and client.is_idle:
                with self._telling(client):
                    client.require(admits)
                return client
            client.close()
        return await self._signed_in(admits)

    async def _signed_in(self, admits: Admits) -> FtpClient:
        """A new one.

        Raises:
            SiteUnavailable: whatever a server answers here is no word about a file.
        """
        tls = self._tls
        if tls:
            await tls.renew_if_due()
        context = tls.context if tls else None
        at_once, later = (context, None) if self._scheme == "ftps" else (None, context)
        client = FtpClient(self.name, tls_name=tls.server_name if tls else "", ssl=at_once, **self._timeouts)
        client.require(admits)
        with self._telling(client):
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await client.sign_in(self._where, self._user, self._password, tls=later)
            except aioftp.StatusCodeError as error:
                raise ConnectionError(f"refused to sign in: {error}") from error
        return client


class _Telling:
    """Closes a connection on which something went wrong, and says so in the words of a site."""

    def __init__(self, site: FtpSite, client: FtpClient) -> None:
        self._site, self._client = site, client

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, NoSuchName | NameTaken):  # said here, of what the server answered
            return
        self._client.close()
        told = self._site.failed(error)
        if told is not None and told is not error:
            raise told from error


class _Open:
    """A file that is open, over a connection of its own until it is over."""

    def __init__(self, site: FtpSite, client: FtpClient, stream: _Stream) -> None:
        self._site, self._client, self._stream = site, client, stream
        self._ended = False

    async def _finish(self) -> None:
        await self._stream.finish()

    async def _end(self) -> None:
        if not self._ended:
            await self._finish()
            self._ended = True
            self._site.give_back(self._client)


class _Reading(_Open):
    """See :class:`gateway.transfer.site.Reading`."""

    async def read(self, size: int) -> bytes:
        with _Telling(self._site, self._client):
            data = await self._stream.read(size)
            if not data:
                await self._end()
        return data

    async def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._client.close()


class _Writing(_Open):
    """See :class:`gateway.transfer.site.Writing`."""

    def __init__(self, site: FtpSite, client: FtpClient, stream: _Stream, path: str, size: int) -> None:
        super().__init__(site, client, stream)
        self._path, self._size = path, size

    async def write(self, data: Block) -> None:
        with _Telling(self._site, self._client):
            await self._stream.write(cast(bytes, data))  # aioftp hands it on as it is
            self._size += len(data)

    async def finish(self) -> None:
        with _Telling(self._site, self._client):
            await self._end()

    async def _finish(self) -> None:
        await super()._finish()
        size = await self._client.size(self._path)
        if size not in (None, self._size):
            raise SiteUnavailable(f"the site {self._site.name} has {size} bytes of this file; expected {self._size}")

    async def abandon(self) -> None:
        """What was sent is there when this returns, so that nobody goes on before it is; unless the server is slow."""
        if self._ended:
            return
        self._ended = True
        try:
            self._stream.close()
            await self._client.settle()
        finally:
            self._client.close()
