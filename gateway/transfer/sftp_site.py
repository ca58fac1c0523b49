"""A site behind an SFTP server (version 3, with ``posix-rename@openssh.com``), such as OpenSSH's.

One connection carries everything, many requests at a time; it is made when it is needed, and again when it broke. Each
part of a path is looked at before it is gone through: a link does not exist here. Whoever can alter the site itself
could put one there in between: let the server confine the account that the gateway signs in with, too
(``ChrootDirectory``).

Invariants: a server that shows another key than those known is not spoken to; nothing is written before the
connection's peer was asked about; a transfer keeps a bounded part of a file in memory; a part of a file that stays
behind has no holes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncssh
import structlog
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_REGULAR

from gateway.errors import ConfigurationError
from gateway.settings import StoreSettings
from gateway.transfer.names import PARTIAL
from gateway.transfer.sftp_blocks import BLOCK_BYTES, BlockReading, BlockWriting
from gateway.transfer.sftp_strength import CIPHERS, EXCHANGES, MACS, SIGNATURES
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

log = structlog.get_logger(__name__)

LEAVE_S = 1.0
KEEPALIVE_S = 15.0
_ABSENT = "there is nothing of this name, or not of this kind"


class SftpSite:
    """See the module.

    Args:
        settings: of the store: ``sftp://user@host:port/folder``, a password in it or ``ssh_key``, ``ssh_known_hosts``.

    Raises:
        ConfigurationError: a file cannot be used, or knows no key of the server.
    """

    def __init__(self, settings: StoreSettings) -> None:
        url = urlsplit(settings.url.get_secret_value())
        self._name, self._folder = settings.name, unquote(url.path).rstrip("/")
        self._timeout_s = settings.read_timeout_s
        self._connect_timeout_s = settings.connect_timeout_s
        self._where = url.hostname or "", url.port or 22
        self._options: dict[str, Any] = {
            "username": unquote(url.username or ""),
            "password": unquote(url.password) if url.password else None,
            "client_keys": _client_keys(settings),
            "known_hosts": _known_hosts(settings, *self._where),
            "agent_path": None,
            "config": [],
            "kex_algs": EXCHANGES,
            "encryption_algs": CIPHERS,
            "mac_algs": MACS,
            "signature_algs": SIGNATURES,
            "compression_algs": None,
            "keepalive_interval": KEEPALIVE_S,
        }
        self._connecting = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    async def close(self) -> None:
        """Sign out."""
        connection, self._connection, self._client = self._connection, None, None
        if connection:
            connection.close()
            with suppress(TimeoutError, asyncssh.Error, OSError):
                async with asyncio.timeout(LEAVE_S):
                    await connection.wait_closed()

    async def about(self, path: str) -> About | None:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected()
        try:
            return (await self._looked_at(client, path))[-1]
        except NoSuchName:
            return None

    async def list(self, path: str) -> Sequence[About]:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected()
        if not (await self._looked_at(client, path))[-1].is_folder:
            raise NoSuchName(_ABSENT)
        async with self._told():
            names = await client.readdir(self._at(path))
        found = (_about(bytes(name.filename).decode("utf-8", "surrogateescape"), name.attrs) for name in names)  # type: ignore[arg-type]
        return [about for about in found if about is not None and about.name not in (".", "..")]

    async def read(self, path: str, offset: int = 0) -> Reading:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected()
        await self._require_file(client, path)
        async with self._told():
            file = await client.open(self._at(path), asyncssh.FXF_READ, encoding=None, block_size=0)
        return BlockReading(self.asked, file, offset, min(BLOCK_BYTES, client.limits.max_read_len))

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected(admits)
        await self._require_folder_of(client, path)
        try:
            await self._require_file(client, path)
        except NoSuchName:
            if offset or await self._is_something(client, path):
                raise
        begin = 0 if offset else asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC
        async with self._told():
            file = await client.open(self._at(path), asyncssh.FXF_WRITE | begin, encoding=None, block_size=0)
            if offset:
                await file.truncate(offset)
        return BlockWriting(self.asked, file, offset, min(BLOCK_BYTES, client.limits.max_write_len))

    async def move(self, path: str, to: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected(admits)
        await self._looked_at(client, path)
        await self._require_folder_of(client, to)
        async with self._told():
            await client.posix_rename(self._at(path), self._at(to))

    async def remove(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected()
        await self._require_file(client, path)
        async with self._told():
            await client.remove(self._at(path))

    async def make_folder(self, path: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        client = await self._connected(admits)
        await self._require_folder_of(client, path)
        if await self.about(path) is not None:
            raise NameTaken("something of this name is there")
        async with self._told():
            await client.mkdir(self._at(path))

    async def remove_folder(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`; what broke off in there goes with it."""
        found = await self.list(path)
        if any(not about.name.startswith(PARTIAL) for about in found):
            raise NameTaken("the folder is not empty")
        client = await self._connected()
        async with self._told():
            for about in found:
                await client.remove(self._at(f"{path}/{about.name}"))
            await client.rmdir(self._at(path))

    async def asked(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """What the server answers, in time, its refusals in the words of a site."""
        async with self._told():
            return await asked

    def _at(self, path: str) -> bytes:
        return (self._folder + path.rstrip("/") or "/").encode("utf-8", "surrogateescape")

    async def _connected(self, admits: Admits = None) -> asyncssh.SFTPClient:
        """The client; one whose peer may be written to.

        Raises:
            SiteUnavailable: nobody is there, it is not who is known, or it is elsewhere.
        """
        async with self._connecting:
            if self._connection is None or self._connection.is_closed() or self._client is None:
                await self._connect()
            connection, client = self._connection, self._client
        assert connection and client  # noqa: S101, PT018 - connected above
        if admits is not None and not admits(str(connection.get_extra_info("peername")[0])):
            raise SiteElsewhere(self._name)
        return client

    async def _connect(self) -> None:
        self._connection = self._client = None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await asyncssh.connect(*self._where, **self._options)
                try:
                    self._client = await connection.start_sftp_client()
                except BaseException:
                    connection.abort()
                    raise
        except TimeoutError as error:
            raise SiteSlow(f"the site {self._name} did not answer in time") from error
        except (asyncssh.Error, OSError) as error:
            log.warning("sftp_site_not_reached", site=self._name, problem=str(error))
            raise SiteUnavailable(f"the site {self._name} cannot be reached, or refused") from error
        self._connection = connection

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            if self._connection:  # what hangs there hangs for all
                self._connection.abort()
            raise SiteSlow(f"the site {self._name} did not answer in time") from error
        except (asyncssh.Error, OSError, ValueError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> SiteFailure:
        match error:
            case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
                return NoSuchName(_ABSENT)
            case asyncssh.SFTPFileAlreadyExists() | asyncssh.SFTPDirNotEmpty():
                return NameTaken("something of this name is there, or the folder is not empty")
        log.warning("sftp_site_failed", site=self._name, problem=str(error))
        return SiteUnavailable(f"the site {self._name} did not do it, or broke off")

    async def _looked_at(self, client: asyncssh.SFTPClient, path: str) -> Sequence[About]:
        """The folder of the site, and each part of a path, all but the last a folder.

        Raises:
            NoSuchName: one is not there, or a link, or neither file nor folder.
        """
        names = [name for name in path.split("/") if name]
        paths = ["/" + "/".join(names[:count]) for count in range(1, len(names) + 1)]
        async with self._told():
            said = await asyncio.gather(*(client.lstat(self._at(each)) for each in paths), return_exceptions=True)
        found = [About("", is_folder=True)]
        for name, attributes in zip(names, said, strict=True):
            if isinstance(attributes, BaseException):
                raise self._failure(attributes) if isinstance(attributes, Exception) else attributes
            about = _about(name, attributes)
            if about is None or not found[-1].is_folder:
                raise NoSuchName(_ABSENT)
            found.append(about)
        return found

    async def _is_something(self, client: asyncssh.SFTPClient, path: str) -> bool:
        """Whether this name is taken by whatever it may be, a link too."""
        try:
            await self.asked(client.lstat(self._at(path)))
        except NoSuchName:
            return False
        return True

    async def _require_folder_of(self, client: asyncssh.SFTPClient, path: str) -> None:
        if not (await self._looked_at(client, path.rpartition("/")[0]))[-1].is_folder:
            raise NoSuchName(_ABSENT)

    async def _require_file(self, client: asyncssh.SFTPClient, path: str) -> None:
        if (await self._looked_at(client, path))[-1].is_folder:
            raise NoSuchName("there is no such file")


def _about(name: str, attributes: asyncssh.SFTPAttrs) -> About | None:
    modified_s = int(attributes.mtime or 0)
    if attributes.type == FILEXFER_TYPE_DIRECTORY:
        return About(name, is_folder=True, modified_s=modified_s)
    if attributes.type == FILEXFER_TYPE_REGULAR:
        return About(name, is_folder=False, size=attributes.size or 0, modified_s=modified_s)
    return None


def _client_keys(settings: StoreSettings) -> list[asyncssh.SSHKey] | None:
    if not settings.ssh_key:
        return None
    try:
        return [asyncssh.read_private_key(settings.ssh_key)]
    except (OSError, asyncssh.KeyImportError, ValueError) as error:
        raise _unusable(settings, "ssh_key", error, "an unencrypted private key") from error


def _known_hosts(settings: StoreSettings, host: str, port: int) -> asyncssh.SSHKnownHosts:
    expected = f"a known_hosts file with a key of {host}, as ssh-keyscan -p {port} {host} shows it, compared by hand"
    try:
        known = asyncssh.read_known_hosts(str(settings.ssh_known_hosts or "(none)"))
    except (OSError, ValueError) as error:
        raise _unusable(settings, "ssh_known_hosts", error, expected) from error
    keys, authorities, *_ = asyncssh.match_known_hosts(known, host, "", port)
    if not keys and not authorities:
        raise _unusable(settings, "ssh_known_hosts", ValueError("it has none for this server"), expected)
    return known


def _unusable(settings: StoreSettings, key: str, error: Exception, expected: str) -> ConfigurationError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigurationError([f"store {settings.name}: {key} cannot be used ({why}); expected {expected}"])
