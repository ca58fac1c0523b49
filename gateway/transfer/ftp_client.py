"""A signed-in connection to an FTP server, over aioftp: what lies there, and bytes to and from it.

Where a server has no ``MLST`` (RFC 3659), a folder is listed to learn of one thing in it.

Invariants: each connection's other end is asked about before anything is said there; a data connection leads to where
the control connection does, whatever a passive reply says (RFC 2577 §3); nothing that came in clear is read after TLS
was asked for, and nothing that came unasked as the answer to the next command.
"""

from __future__ import annotations

import asyncio
import calendar
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aioftp
from aioftp.client import DataConnectionThrottleStreamIO
from aioftp.common import SSLSessionBoundContext

from gateway.transfer.ahead import BLOCK_BYTES
from gateway.transfer.site import About, Admits, NoSuchName, SiteElsewhere

LEAVE_S = 1.0
SETTLE_S = 5.0
FAILURES = (aioftp.AIOFTPException, OSError, EOFError, ValueError, LookupError)  # aioftp trusts replies to have parts
_UNKNOWN = ("500", "502", "504")
_FOLDERS = ("dir", "cdir")  # MLST of some servers says cdir of the folder that they are in


class FtpClient(aioftp.Client):
    """See the module.

    Args:
        site: for messages.
        tls_name: what the server's certificate has to be for.
        options: aioftp's.
    """

    def __init__(self, site: str, *, tls_name: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._site, self._tls_name = site, tls_name
        self._admits: Admits = None
        self._peer = ""
        self._has_facts = True
        self._data: asyncio.StreamWriter | None = None
        self.is_closed = False

    @property
    def is_idle(self) -> bool:
        """Whether it can take the next command: the server neither closed it nor said anything unasked."""
        return not self.is_closed and not self.stream.reader.at_eof() and not self._has_unread

    @property
    def _has_unread(self) -> bool:
        reader: Any = self.stream.reader
        return bool(reader._buffer) or reader.exception() is not None

    def require(self, admits: Admits) -> None:
        """From now on nothing goes to an address that is not admitted.

        Raises:
            SiteElsewhere: it leads to one already.
        """
        self._admits = admits
        if self._peer:
            self._check(self._peer)

    async def sign_in(self, where: tuple[str, int], user: str, password: str, *, tls: ssl.SSLContext | None) -> None:
        """Connect, and sign in.

        Args:
            tls: to be asked for; None: it was there from the start, or there is none.
        """
        await self.connect(*where)
        if tls is not None:
            await self.command("AUTH TLS", "234")
            if self._has_unread:
                raise ConnectionError("the server said more, in clear, after it agreed to TLS")
            await self.stream.start_tls(tls, self._tls_name)
        if tls is not None or self.ssl:
            await self._send_tls_protection_commands()
        await self.login(user, password)

    async def open(self, command: str, offset: int = 0) -> DataConnectionThrottleStreamIO:
        """Begin a transfer. TLS for data comes after the reply: some servers accept nobody before the command."""
        reader, writer = await self.get_passive_connection()
        try:
            if offset:
                await self.command(f"REST {offset}", "350")
            await self.command(command, "1xx")
            await self._secure(writer)
        except BaseException:
            writer.transport.abort()
            raise
        return DataConnectionThrottleStreamIO(self, reader, writer, {}, timeout=self.socket_timeout)

    async def _secure(self, writer: asyncio.StreamWriter) -> None:
        """TLS for data where commands have it, the session resumed."""
        control = self.stream.writer.get_extra_info("ssl_object")
        if control is not None:
            resuming = SSLSessionBoundContext(ssl.PROTOCOL_TLS_CLIENT, context=control.context, session=control.session)
            async with asyncio.timeout(self.connection_timeout):
                await writer.start_tls(resuming, server_hostname=self._tls_name)

    async def about(self, path: str) -> About | None:
        """What is there; None where there is nothing, of which reply 550 alone is a sign.

        Raises:
            NoSuchName: it is neither file nor folder.
        """
        folder, _, name = path.rpartition("/")
        if self._has_facts:
            try:
                _, lines = await self.command("MLST " + path, "250")
            except aioftp.StatusCodeError as error:
                if replied(error) == "550":
                    return None
                self._require_unknown(error)
            else:
                if len(lines) < 2:
                    raise ValueError("MLST was answered without facts")
                return _required(_by_facts(lines[1].strip(), name)[1])
        found = dict(await self._listed(folder or "/"))
        return _required(found[name]) if name in found else None

    async def entries(self, path: str) -> Sequence[About]:
        """The files and folders in a folder."""
        if self._has_facts:
            try:
                lines = await self._lines("MLSD " + path)
            except aioftp.StatusCodeError as error:
                self._require_unknown(error)
            else:
                return [about for name, about in map(_by_facts, lines) if about is not None and "/" not in name]
        return [about for _, about in await self._listed(path) if about is not None]

    async def size(self, path: str) -> int | None:
        """How long a file is; None where the server has no ``SIZE``."""
        try:
            _, lines = await self.command("SIZE " + path, "213")
        except aioftp.StatusCodeError as error:
            if replied(error) in _UNKNOWN:
                return None
            raise
        return int(lines[-1])

    async def settle(self) -> None:
        """Hear how a transfer that was broken off ended, so that the server is done with the file; within a while."""
        with suppress(*FAILURES):
            async with asyncio.timeout(SETTLE_S):
                await self.command(None, ("2xx", "4xx", "5xx"), "1xx")

    async def take_leave(self) -> None:
        """Sign out."""
        with suppress(*FAILURES):
            async with asyncio.timeout(LEAVE_S):
                await self.quit()
        self.close()

    def close(self) -> None:
        """Close the connection, and that of its data."""
        self.is_closed = True
        super().close()
        self._drop_data()

    def _drop_data(self) -> None:
        if self._data is not None:
            self._data.transport.abort()

    def _require_unknown(self, error: aioftp.StatusCodeError) -> None:
        """That the server does not know the command; from now on folders are listed instead."""
        if replied(error) not in _UNKNOWN:
            raise error
        self._has_facts = False

    async def _listed(self, path: str) -> list[tuple[str, About | None]]:
        """What ``LIST`` says of a folder, what is hidden too; as ``ls`` does, of a file or a pattern it would tell."""
        await self.command("CWD " + path, "250")
        return [told for line in await self._lines("LIST -a") if (told := self._by_listing(line)) is not None]

    async def _lines(self, command: str) -> list[str]:
        stream = await self.open(command)
        lines = [line.decode("utf-8", "surrogateescape").rstrip("\r\n") async for line in stream.iter_by_line()]
        await stream.finish()
        return lines

    def _by_listing(self, line: str) -> tuple[str, About | None] | None:
        """A name, and what it is of, if a file or folder; None for lines of nothing that has a name in UTF-8."""
        if not line or line.startswith("total ") or not line.isprintable():
            return None
        name, told = self.parse_list_line(line.encode())
        if "link_dst" in told or "/" in str(name):
            return str(name), None
        return str(name), None if str(name) in (".", "..") else _about(str(name), told)

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        more: dict[str, Any] = {}
        if self._peer:  # of data
            more = {"limit": BLOCK_BYTES}
        elif self.ssl:
            more = {"ssl": self.ssl, "server_hostname": self._tls_name}
        async with asyncio.timeout(self.connection_timeout):
            reader, writer = await asyncio.open_connection(self._peer or host, port, **more)
        peer = str(writer.get_extra_info("peername")[0])
        try:
            self._check(peer)
        except BaseException:
            writer.transport.abort()
            raise
        if self._peer:
            self._drop_data()  # of the transfer before, which has ended: nobody waits for its last words
            self._data = writer
        self._peer = self._peer or peer
        return reader, writer

    def _check(self, peer: str) -> None:
        if self._admits is not None and not self._admits(peer):
            raise SiteElsewhere(self._site)


def replied(error: aioftp.StatusCodeError) -> str:
    """The code that the server answered with."""
    return str(error.received_codes[-1])


def _required(about: About | None) -> About:
    if about is None:
        raise NoSuchName("it is neither file nor folder")
    return about


def _by_facts(line: str, name: str = "") -> tuple[str, About | None]:
    """A line of ``MLSD`` or ``MLST`` (RFC 3659 §7.2): facts, a space, and the name unless that is known."""
    facts, _, given = line.partition(" ")
    told = dict(fact.lower().split("=", 1) for fact in facts.split(";") if "=" in fact)
    if name and told.get("type") in _FOLDERS:
        told["type"] = "dir"
    return name or given, _about(name or given, told)


def _about(name: str, told: Any) -> About | None:
    kind, modified = told.get("type"), str(told.get("modify", ""))[:14]
    if kind not in ("file", "dir"):
        return None
    modified_s = calendar.timegm(time.strptime(modified, "%Y%m%d%H%M%S")) if modified.isdecimal() else 0
    return About(name, kind == "dir", 0 if kind == "dir" else int(told.get("size", 0)), modified_s)
