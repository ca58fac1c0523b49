"""An object store that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from multidict import CIMultiDict

from tests.world.scripted import listening


class Said(NamedTuple):
    """An answer: a status with headers and a body, or the bytes of one, after which the connection ends.

    Or none: the connection is dropped, nothing is said at all, or no end of white space comes.
    """

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = {}
    raw: bytes = b""
    drops: bool = False
    hangs: bool = False
    drips: bool = False


class Asked(NamedTuple):
    """A request that came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class ScriptedS3:
    """One that runs; the last of its answers goes for all that is still asked."""

    said: list[Said]
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._tasks.add(cast(asyncio.Task[None], asyncio.current_task()))
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._answer(await _read(reader), writer):
                await writer.drain()
        writer.close()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow."""
        self.asked.append(asked)
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if said.hangs:
            await asyncio.sleep(60)
        if said.raw or said.drops:
            writer.write(said.raw)
            return False
        body = said.body.encode()
        headers = {"Content-Length": str(len(body)), **said.headers}
        if said.drips:
            headers["Content-Length"] = "1000000"
        writer.write(f"HTTP/1.1 {said.status} So\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        while said.drips:
            writer.write(b" ")
            await asyncio.sleep(0.02)
        if asked.method != "HEAD":
            writer.write(body)
        return asked.headers.get("Connection") != "close"

    async def end(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)


async def _read(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = CIMultiDict((name, value) for name, _, value in (line.partition(": ") for line in lines))
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("Content-Length", "0"))))


@asynccontextmanager
async def scripted_s3(*said: Said) -> AsyncIterator[ScriptedS3]:
    """Run one."""
    scripted = ScriptedS3(list(said))
    async with listening(scripted):
        yield scripted
