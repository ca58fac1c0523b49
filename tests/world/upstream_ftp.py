"""FTP servers that a site may lie behind: pyftpdlib's, in a thread, and one that answers as a test says."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from tests.world.scripted import listening

USER, PASSWORD = "ftp", "correct horse"


@dataclass(frozen=True)
class UpstreamFtp:
    """A server that runs: ``root`` is what a site at ``url`` shows, ``folder`` how its clients call that."""

    scheme: str
    port: int
    root: Path
    folder: str = ""

    @property
    def url(self) -> str:
        """With the password in it."""
        return self.url_by(PASSWORD)

    def url_by(self, password: str) -> str:
        """The same with another password."""
        return f"{self.scheme}://{USER}:{password.replace(' ', '%20')}@127.0.0.1:{self.port}{self.folder}"


@contextmanager
def pyftpd(
    root: Path, scheme: str = "ftp", tls: tuple[Path, Path] | None = None, **more: object
) -> Iterator[UpstreamFtp]:
    """Run pyftpdlib's server; ``more`` are attributes of its handler."""
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    given: dict[str, object] = {"authorizer": authorizer, "auth_failed_timeout": 0, **more}
    base = FTPHandler
    if tls:
        base = _Implicit if scheme == "ftps" else TLS_FTPHandler
        given |= {"certfile": str(tls[0]), "keyfile": str(tls[1])}
        given |= {"tls_control_required": True, "tls_data_required": True, "ssl_context": None}
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), type("Handler", (base,), given), ioloop=loop)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            loop.loop(timeout=0.01, blocking=False)
        server.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield UpstreamFtp(scheme, server.address[1], root)
    finally:
        stop.set()
        thread.join()


class _Implicit(TLS_FTPHandler):
    """With TLS from the first byte."""

    def handle(self) -> None:
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        TLS_FTPHandler.handle(self)

    def ftp_AUTH(self, arg: str) -> None:
        self.respond("503 TLS is there already.")


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = str | Callable[["ScriptedFtp", asyncio.StreamWriter], Awaitable[None]]


_USUAL: Mapping[str, str] = {
    "(greeting)": "220 hello",
    "USER": "331 and who says so?",
    "PASS": "230 come in",
    "TYPE": "200 so be it",
    "MLST": "250-facts\r\n type=file;size=5; /x\r\n250 that is all",
    "CWD": "250 there",
    "RNFR": "350 to what?",
    "SIZE": "500 what?",
    "REST": "350 from there",
    "QUIT": "221 bye",
}


@dataclass
class ScriptedFtp:
    """A server that answers each command by its name, as a test says, and otherwise as one would.

    Attributes:
        answers: a reply, or what to do, by the command's name; ``data`` is what ``RETR`` and listings send.
        heard: each command.
    """

    answers: dict[str, Answer]
    data: bytes = b""
    port: int = 0
    heard: list[str] = field(default_factory=list)
    stored: bytes = b""
    _passive: list[tuple[asyncio.Server, asyncio.Queue[Pair]]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ftp://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One control connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        try:
            await self._say("(greeting)", writer)
            while line := (await reader.readline()).decode().rstrip():
                self.heard.append(line)
                await self._say(line.split(" ")[0], writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _say(self, command: str, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.get(command, _USUAL.get(command, ""))
        if callable(answer):
            await answer(self, writer)
        elif answer:
            writer.write(f"{answer}\r\n".encode())
        elif command == "EPSV":
            writer.write(f"229 here (|||{await self.listen()}|)\r\n".encode())
        elif command in ("RETR", "LIST", "MLSD"):
            writer.write(b"150 here it comes\r\n")
            await self.send(self.data)
            writer.write(b"226 that was it\r\n")
        elif command in ("STOR", "APPE"):
            writer.write(b"150 give\r\n")
            await self.take()
            writer.write(b"226 I have it\r\n")
        else:
            writer.write(b"500 what?\r\n")
        await writer.drain()

    async def listen(self, address: str = "127.0.0.1", port: int = 0) -> int:
        """Wait for another data connection, at a port of its own."""
        pairs: asyncio.Queue[Pair] = asyncio.Queue()
        passive = await asyncio.start_server(lambda *pair: pairs.put_nowait(pair), address, port)
        self._passive.append((passive, pairs))
        return int(passive.sockets[0].getsockname()[1])

    async def accept(self) -> Pair:
        """The data connection that came."""
        return await self._passive[-1][1].get()

    async def send(self, data: bytes) -> None:
        """Over the data connection, to its end."""
        _, writer = await self.accept()
        writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def take(self) -> None:
        """All that the data connection brings."""
        reader, writer = await self.accept()
        self.stored = await reader.read()
        writer.close()

    async def end(self) -> None:
        """Close everything."""
        for passive, pairs in self._passive:
            passive.close()
            while not pairs.empty():
                pairs.get_nowait()[1].close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def scripted_ftp(
    data: bytes = b"", *, tls: ssl.SSLContext | None = None, **answers: Answer
) -> AsyncIterator[ScriptedFtp]:
    """One that runs; ``greeting`` is what it says first."""
    if "greeting" in answers:
        answers["(greeting)"] = answers.pop("greeting")
    scripted = ScriptedFtp(answers, data)
    async with listening(scripted, tls):
        yield scripted
