"""Servers that answer as a test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol


class Scripted(Protocol):
    """One of them; ``end`` is when nobody connects any more."""

    port: int

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...

    async def end(self) -> None: ...


@asynccontextmanager
async def listening(scripted: Scripted, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Let it be asked on loopback."""
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        await scripted.end()
