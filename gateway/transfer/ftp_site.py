"""A site behind an FTP server: plain (``ftp://``), with TLS asked for (``ftpes://``) or from the start (``ftps://``).

The server confines the account that the gateway signs in with; what it says is neither file nor folder (a link, where
it tells) does not exist here. Signed-in connections are kept for the next act, a few at a time.
"""

from __future__ import annotations

import asyncio
import calendar
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import aioftp

from gateway.transfer.names import PARTIAL
from gateway.transfer.site import (
    About,
    Admits,
    NameTaken,
    NoSuchName,
    Reading,
    SiteElsewhere,
    SiteFailure,
    SiteSlow,
    SiteUnavailable,
    Writing,
)

LEAVE_S = 1.0
KEPT = 8
KEPT_S = 20.0
_FAILURES = (aioftp.AIOFTPException, OSError, EOFError, ValueError)  # TimeoutError is an OSError
_PORTS = {"ftp": 21, "ftpes": 21, "ftps": 990}


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
        tls: the context, for ``ftps`` and ``ftpes``.
        connect_timeout_s, read_timeout_s: how long to wait for a connection, and for an answer or a block.
    """

    def __init__(
        self, name: str, url: str, *, connect_timeout_s: float, read_timeout_s: float, tls: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        self._name, self._scheme, self._tls = name, parts.scheme, tls
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or "anonymous"), unquote(parts.password or "anonymous@")
        self._folder = unquote(parts.path).rstrip("/")
        self._timeouts = {
            "socket_timeout": read_timeout_s,
            "connection_timeout": connect_timeout_s,
            "path_timeout": read_timeout_s,
        }
        self._idle: list[tuple[float, _Client]] = []

    async def close(self) -> None:
        """Sign out."""
        idle, self._idle = self._idle, []
        for _, client in idle:
            await _take_leave(client)

    async def about(self, path: str) -> About | None:
        """See :class:`gateway.transfer.site.Site`."""
        if path == "/":
            return About("", is_folder=True)
        async with self._client() as client:
            try:
                return _about(path.rpartition("/")[2], await client.stat(self._folder + path))
            except aioftp.StatusCodeError as error:
                if all(str(code) == "550" for code in error.received_codes):
                    return None
                raise

    async def list(self, path: str) -> Sequence[About]:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client() as client:
            found = [_about(each.name, about) for each, about in await client.list(self._folder + path)]
        return [about for about in found if about is not None]

    async def read(self, path: str, offset: int = 0) -> Reading:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._take()
        with self._telling(client):
            stream = await client.get_stream("RETR " + self._folder + path, "1xx", offset=offset)
        return _Open(self, client, stream)

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        """See :class:`gateway.transfer.site.Site`; FTP cannot shorten a file, so that it goes on at the end alone."""
        if offset:
            there = await self.about(path)
            if there is None or there.size != offset:
                raise NameTaken(f"this site goes on at the end of a file alone: {there.size if there else 0}")
        client = await self._take(admits)
        with self._telling(client):
            stream = await client.get_stream(("APPE " if offset else "STOR ") + self._folder + path, "1xx")
        return _Open(self, client, stream)

    async def move(self, path: str, to: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client(admits) as client:
            await client.rename(self._folder + path, self._folder + to)

    async def remove(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        async with self._client() as client:
            await client.remove_file(self._folder + path)

    async def make_folder(self, path: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        if await self.about(path) is not None:
            raise NameTaken("something of this name is there")
        async with self._client(admits) as client:
            await client.make_directory(self._folder + path, parents=False)

    async def remove_folder(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`; what broke off in there goes with it."""
        found = await self.list(path)
        if any(not about.name.startswith(PARTIAL) for about in found):
            raise NameTaken("the folder is not empty")
        for about in found:
            await self.remove(f"{path}/{about.name}")
        async with self._client() as client:
            await client.remove_directory(self._folder + path)

    def give_back(self, client: _Client) -> None:
        """A connection whose last command was answered is kept for the next."""
        if len(self._idle) < KEPT:
            self._idle.append((time.monotonic(), client))
        else:
            client.close()

    def failed(self, error: BaseException) -> SiteFailure | None:
        """What went wrong, in the words of a site."""
        if isinstance(error, SiteFailure):
            return error
        if isinstance(error, TimeoutError):
            return SiteSlow(f"the site {self._name} did not answer in time")
        if isinstance(error, aioftp.StatusCodeError) and _is_absent(error):
            return NoSuchName("there is nothing of this name, or the site does not do it")
        if isinstance(error, _FAILURES):
            return SiteUnavailable(f"the site {self._name} cannot be reached, refused or broke off")
        return None

    @asynccontextmanager
    async def _client(self, admits: Admits = None) -> AsyncIterator[_Client]:
        client = await self._take(admits)
        with self._telling(client):
            yield client
        self.give_back(client)

    def _telling(self, client: _Client) -> _Telling:
        return _Telling(self, client)

    async def _take(self, admits: Admits = None) -> _Client:
        """A signed-in connection that leads to where it may."""
        while self._idle:
            since, client = self._idle.pop()
            if time.monotonic() - since < KEPT_S and not client.has_ended:
                with self._telling(client):
                    client.require(admits)
                return client
            client.close()
        client = _Client(self._name, ssl=self._tls if self._scheme == "ftps" else None, **self._timeouts)
        with self._telling(client):
            client.require(admits)
            await client.connect(self._host, self._port)
            if self._scheme == "ftpes":
                await client.upgrade_to_tls(self._tls)
            await client.login(self._user, self._password)
        return client


class _Telling:
    """Closes a connection on which something went wrong, and says so in the words of a site."""

    def __init__(self, site: FtpSite, client: _Client) -> None:
        self._site, self._client = site, client

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        self._client.close()
        told = self._site.failed(error)
        if told is not None and told is not error:
            raise told from error


class _Open:
    """A file being read or written: :class:`Reading` and :class:`Writing`."""

    def __init__(self, site: FtpSite, client: _Client, stream: _Stream) -> None:
        self._site, self._client, self._stream = site, client, stream
        self._ended = False

    async def read(self, size: int) -> bytes:
        with _Telling(self._site, self._client):
            data = await self._stream.read(size)
            if not data:
                await self._finish()
        return data

    async def write(self, data: bytes) -> None:
        with _Telling(self._site, self._client):
            await self._stream.write(data)

    async def finish(self) -> None:
        with _Telling(self._site, self._client):
            await self._finish()

    async def close(self) -> None:
        await self.abandon()

    async def abandon(self) -> None:
        if not self._ended:
            self._ended = True
            self._stream.close()
            self._client.close()

    async def _finish(self) -> None:
        if not self._ended:
            await self._stream.finish()
            self._ended = True
            self._site.give_back(self._client)


class _Client(aioftp.Client):
    """A client that asks about the peer of each connection, for data too, before it says or sends anything there."""

    def __init__(self, site: str, **options: Any) -> None:
        super().__init__(**options)
        self._site = site
        self._admits: Admits = None
        self._peer = ""

    @property
    def has_ended(self) -> bool:
        """Whether the server has closed it."""
        reader: asyncio.StreamReader = self.stream.reader
        return reader.at_eof() or reader.exception() is not None

    def require(self, admits: Admits) -> None:
        """From now on nothing goes to an address that is not admitted.

        Raises:
            SiteElsewhere: it leads to one already.
        """
        self._admits = admits
        if self._peer:
            self._check(self._peer)

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await super()._open_connection(host, port)
        peer = str(writer.get_extra_info("peername")[0])
        try:
            self._check(peer)
        except BaseException:
            writer.transport.abort()
            raise
        self._peer = self._peer or peer
        return reader, writer

    def _check(self, peer: str) -> None:
        if self._admits is not None and not self._admits(peer):
            raise SiteElsewhere(self._site)


async def _take_leave(client: _Client) -> None:
    with suppress(*_FAILURES):
        async with asyncio.timeout(LEAVE_S):
            await client.quit()
    client.close()


def _is_absent(error: aioftp.StatusCodeError) -> bool:
    return any(code in ("550", "553", "450", "501") for code in map(str, error.received_codes))


def _about(name: str, told: Any) -> About | None:
    kind, modified = told.get("type"), str(told.get("modify", ""))[:14]
    if kind not in ("file", "dir"):
        return None
    modified_s = calendar.timegm(time.strptime(modified, "%Y%m%d%H%M%S")) if modified.isdecimal() else 0
    return About(name, kind == "dir", 0 if kind == "dir" else int(told.get("size", 0)), modified_s)
