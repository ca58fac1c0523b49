"""A store that answers as a test says, byte for byte, over real sockets, and the gateway's side of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from multidict import CIMultiDict
from pydantic import SecretStr

from gateway.proxy.http_store import HttpStore
from gateway.proxy.store import Incoming, Outgoing
from gateway.settings import StoreSettings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE_S = 5.0
Script = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawStore:
    """A store that notes what came, byte for byte, and answers each request with the next of its scripts.

    A script is the bytes of an answer, or what to do with the connection.
    """

    scripts: list[Script]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(cast(asyncio.Task[None], asyncio.current_task()))
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                script = self.scripts.pop(0)
                if not isinstance(script, bytes):
                    await script(reader, writer)
                    return
                writer.write(script)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(*scripts: Script, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[RawStore]:
    """A raw store."""
    raw = RawStore(list(scripts))
    server = await asyncio.start_server(raw.serve, "127.0.0.1", port, limit=2**20, ssl=tls)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for task in raw.tasks:
            task.cancel()
        await asyncio.gather(*raw.tasks)
        await asyncio.sleep(0)


@asynccontextmanager
async def facing(url: str, **options: object) -> AsyncIterator[HttpStore]:
    """The gateway's side of a store, with short time-outs unless told otherwise."""
    defaults: dict[str, object] = {"connect_timeout_s": 1.0, "read_timeout_s": 0.3, "max_connections": 2}
    given = {"name": "crm", "country": "US", "url": SecretStr(url)} | defaults | options
    store = HttpStore(StoreSettings.model_validate(given))
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield store
    finally:
        await store.close()


@asynccontextmanager
async def raw_store(*scripts: Script, **options: object) -> AsyncIterator[tuple[RawStore, HttpStore]]:
    """A raw store, and ours in front of it."""
    async with listening(*scripts) as raw:
        url = str(options.pop("url", "http://127.0.0.1:{port}")).format(port=raw.port)
        async with facing(url, **options) as store:
            yield raw, store


def asking(
    method: str = "GET", path: str = "/x", *, query: str = "", body: AsyncIterator[bytes] | None = None, **headers: str
) -> Outgoing:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Outgoing(method=method, path=path, query=query, headers=named, body=body)


async def received(incoming: Incoming) -> bytes:
    """The whole body; the exchange is ended."""
    try:
        if incoming.complete is not None:
            return incoming.complete
        return b"".join([chunk async for chunk in incoming.chunks])
    finally:
        await incoming.close()


def closing(data: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Answer, and close."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return script


def trickling(parts: Iterable[bytes], pause_s: float = 0.02) -> Callable[..., Awaitable[None]]:
    """Answer piece by piece, then be silent."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        await asyncio.sleep(PATIENCE_S)

    return script
