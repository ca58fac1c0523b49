"""A store behind FTP: files and folders, offered to the HTTP door.

``GET`` fetches a file or lists a folder as JSON, ``HEAD`` describes it, ``PUT`` stores a file, ``DELETE`` removes one.
Each exchange has a connection of its own, signed in with the store's credentials, which no client sees.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from urllib.parse import unquote, urlsplit

import aioftp
import uuid_utils
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.proxy.store import Incoming, Outgoing, StoreCut, StoreUnreachable

BLOCK_BYTES = 64 * 1024
PARTIAL = ".partial-"  # begins the name of a file that is not whole yet
LEAVE_S = 1.0
_FAILURES = (aioftp.AIOFTPException, OSError, EOFError)  # TimeoutError is an OSError


class FtpStore:
    """One FTP store.

    Args:
        name: for messages.
        url: ``ftp://user:password@host:port/folder``.
        connect_timeout_s, read_timeout_s: how long to wait for a connection, and for an answer or a block.
    """

    def __init__(self, name: str, url: str, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        parts = urlsplit(url)
        self._name = name
        self._host, self._port = parts.hostname or "", parts.port or 21
        self._user, self._password = unquote(parts.username or "anonymous"), unquote(parts.password or "anonymous@")
        self._folder = unquote(parts.path).rstrip("/")
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, read_timeout_s

    async def close(self) -> None:
        """Nothing stays open between exchanges."""

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """See :class:`gateway.proxy.store.Store`."""
        client = aioftp.Client(
            socket_timeout=self._read_timeout_s,
            connection_timeout=self._connect_timeout_s,
            path_timeout=self._read_timeout_s,
        )
        try:
            await client.connect(self._host, self._port)
            await client.login(self._user, self._password)
            return (await self._serve(client, outgoing))._replace(close=partial(_take_leave, client))
        except TimeoutError as error:
            client.close()
            raise StoreUnreachable(504, f"the store {self._name} did not answer in time") from error
        except _FAILURES as error:
            client.close()
            raise StoreUnreachable(502, f"the store {self._name} cannot be reached or refused") from error
        except BaseException:
            client.close()
            raise

    async def _serve(self, client: aioftp.Client, outgoing: Outgoing) -> Incoming:
        path = self._folder + unquote(outgoing.path)
        match outgoing.method:
            case "GET" | "HEAD":
                return await self._fetch(client, path, body=outgoing.method == "GET")
            case "PUT":
                return await self._keep(client, path, outgoing.body)
            case "DELETE":
                return await self._remove(client, path)
        return _said(405, {"detail": f"{outgoing.method} has no meaning for a file; use GET, HEAD, PUT or DELETE"})

    async def _fetch(self, client: aioftp.Client, path: str, *, body: bool) -> Incoming:
        if _is_partial(path) or not await client.exists(path):
            return _missing()
        about = await client.stat(path)
        if about["type"] != "file":
            return await self._list(client, path)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(about["size"])}
        chunks = self._blocks(client, path) if body else _nothing()
        return Incoming(status=200, reason="OK", headers=_headers(headers), chunks=chunks, close=_stay)

    async def _list(self, client: aioftp.Client, path: str) -> Incoming:
        files = [
            {"name": found.name, "type": about["type"], "size": int(about.get("size", 0))}
            for found, about in await client.list(path)
            if not _is_partial(found.name)
        ]
        return _said(200, {"files": sorted(files, key=lambda item: str(item["name"]))})

    async def _blocks(self, client: aioftp.Client, path: str) -> AsyncIterator[bytes]:
        try:
            async with client.download_stream(path) as stream:
                async for block in stream.iter_by_block(BLOCK_BYTES):
                    yield block
        except _FAILURES as error:
            raise StoreCut(f"the store {self._name} broke off") from error

    async def _keep(self, client: aioftp.Client, path: str, body: AsyncIterator[bytes] | None) -> Incoming:
        """Store a file under another name, and give it its own once it is whole."""
        folder, _, name = path.rpartition("/")
        if folder and not await client.exists(folder):
            await client.make_directory(folder)
        partial_ = f"{folder}/{PARTIAL}{uuid_utils.uuid7()}"
        try:
            async with client.upload_stream(partial_) as stream:
                if body is not None:
                    async for chunk in body:
                        await stream.write(chunk)
            await client.rename(partial_, path)
        except BaseException:
            with suppress(*_FAILURES):
                await asyncio.wait_for(client.remove_file(partial_), LEAVE_S)
            raise
        return _said(201, {"stored": name})

    async def _remove(self, client: aioftp.Client, path: str) -> Incoming:
        if not await client.exists(path) or not await client.is_file(path):
            return _missing()
        await client.remove_file(path)
        return _said(200, {"removed": path.rpartition("/")[2]})


def _is_partial(path: str) -> bool:
    return path.rpartition("/")[2].startswith(PARTIAL)


async def _take_leave(client: aioftp.Client) -> None:
    """Sign out; the answer is over by now, so how the store takes leave does not matter."""
    with suppress(*_FAILURES):
        await asyncio.wait_for(client.quit(), LEAVE_S)
    client.close()


async def _stay() -> None:
    """Nothing to end."""


def _headers(values: dict[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(values))


def _missing() -> Incoming:
    return _said(404, {"detail": "there is no such file"})


def _said(status: int, body: object) -> Incoming:
    text = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(text))}
    return Incoming(status=status, reason="", headers=_headers(headers), chunks=_nothing(), close=_stay, complete=text)


async def _nothing() -> AsyncIterator[bytes]:
    no_chunks: tuple[bytes, ...] = ()
    for chunk in no_chunks:
        yield chunk
