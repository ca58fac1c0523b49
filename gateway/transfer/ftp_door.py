"""The FTP doors: FTP with TLS asked for by ``AUTH TLS``, or from the first byte, over pyftpdlib.

Connections are accepted in the event loop, where their places are counted; each session is a thread with a loop of
pyftpdlib's, which asks the event loop for whatever it may do.

Invariants: nothing that FTP asks for touches this machine's disk but through the site; when the door is closed, its
threads are gone.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from pyftpdlib.ioloop import IOLoop

from gateway.errors import ConfigurationError
from gateway.proxy.file_changes import LOOK_S
from gateway.proxy.limits import Places, neighbourhood
from gateway.settings.doors import FtpDoorSettings
from gateway.transfer.ftp_commands import Commands
from gateway.transfer.ftp_data import plain_address
from gateway.transfer.ftp_hall import Hall, hall_of
from gateway.transfer.ftp_tls import DoorTls
from gateway.transfer.ftp_wire import Line, Wire
from gateway.transfer.session import Gate
from gateway.transfer.signing_in import SigningIn

log = structlog.get_logger(__name__)

BACKLOG = 128
FAILED_DELAY_S = 1.0
TICK_S = 0.02
BUSY = b"421 Too many sessions; try again later.\r\n"


@asynccontextmanager
async def ftp_door(
    settings: FtpDoorSettings,
    gate: Callable[[], Gate],
    signing_in: SigningIn,
    *,
    drain_timeout_s: float,
    name: str = "ftp",
    failed_delay_s: float = FAILED_DELAY_S,
) -> AsyncIterator[int]:
    """The door, open as long as the context lasts; at its end transfers may finish, and nothing new begins.

    Args:
        settings: ``[doors.ftp]`` or ``[doors.ftps]``.
        gate: what sessions share, as it is now: a reload replaces it, and the next command is judged by the new one.
        signing_in: who signs in.
        drain_timeout_s: how long transfers may go on at the end.
        name: of the door, ``ftp`` or ``ftps``.
        failed_delay_s: how long whoever does not sign in waits for the answer.

    Yields:
        The port.

    Raises:
        ConfigurationError: the certificate cannot be used, or nobody can listen there.
    """
    loop = asyncio.get_running_loop()
    hall = hall_of(settings, gate, signing_in, loop, name, failed_delay_s)
    listening = _listen(settings.listen, name)
    door = _Door(hall, settings, loop)
    loop.add_reader(listening, door.accept, listening)
    watching = loop.create_task(_watch(hall.tls)) if hall.tls else None
    try:
        yield listening.getsockname()[1]
    finally:
        loop.remove_reader(listening)
        listening.close()
        if watching:
            watching.cancel()
        await door.drain(drain_timeout_s)


class _Door:
    """The sessions of a door; all but their threads' work is done in the event loop."""

    def __init__(self, hall: Hall, settings: FtpDoorSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._hall, self._loop = hall, loop
        self._all = Places(settings.max_sessions)
        self._near = Places(settings.max_sessions_per_address)
        self._sessions: dict[Line, threading.Thread] = {}

    def accept(self, listening: socket.socket) -> None:
        """Begin a session with whoever is there, where a place is left."""
        try:
            connection, address = listening.accept()
        except OSError as error:
            log.warning("ftp_accept_failed", door=self._hall.name, problem=os.strerror(error.errno or 0))
            return
        peer = plain_address(address[0])
        key = neighbourhood(peer)
        if not self._near.take(key):
            self._send_away(connection)
        elif not self._all.take():
            self._near.give_back(key)
            self._send_away(connection)
        else:
            self._begin(connection, peer)

    def _send_away(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setblocking(False)
            if not self._hall.implicit:
                connection.send(BUSY)

    def _begin(self, connection: socket.socket, peer: str) -> None:
        wire = Wire(connection)
        line = Line(self._loop, wire)
        thread = threading.Thread(target=self._serve, args=(wire, line, peer), name=f"{self._hall.name}-session")
        self._sessions[line] = thread
        try:
            thread.start()
        except RuntimeError:  # no thread can be had
            wire.close()
            self._gone(line, peer)

    def _serve(self, wire: Wire, line: Line, peer: str) -> None:
        """A session, from its first to its last byte; in its thread."""
        try:
            serve(wire, self._hall, line, peer)
        except Exception:
            log.exception("ftp_session_failed", door=self._hall.name)
        finally:
            wire.close()
            self._loop.call_soon_threadsafe(self._gone, line, peer)

    def _gone(self, line: Line, peer: str) -> None:
        del self._sessions[line]
        self._all.give_back()
        self._near.give_back(neighbourhood(peer))

    async def drain(self, timeout_s: float) -> None:
        """Let transfers finish, cut those that take longer, and wait until every thread is gone."""
        self._hall.is_ending = True
        threads = tuple(self._sessions.values())
        until_s = self._loop.time() + timeout_s
        while self._sessions and self._loop.time() < until_s:
            for line in tuple(self._sessions):
                if not line.is_busy:
                    line.hush()
            await asyncio.sleep(TICK_S)
        while self._sessions:
            for line in tuple(self._sessions):
                line.give_up()
            await asyncio.sleep(TICK_S)
        for thread in threads:
            thread.join()  # each has said that it is over


def serve(wire: Wire, hall: Hall, line: Line, peer: str) -> None:
    """A session, in the thread that calls."""
    with IOLoop() as loop:
        conversation = Commands(wire, hall, line, peer, loop)
        try:
            if conversation.connected:
                conversation.handle()
            while loop.socket_map and not line.is_cut:
                loop.poll(loop.sched.poll())
        finally:
            if line.is_cut:
                conversation._error = True
            conversation.close()


def _listen(address: str, name: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        expected = "name another address, or end what is there"
        raise ConfigurationError([f"doors.{name}: cannot listen on {address}: {why}; {expected}"]) from error
    listening.setblocking(False)
    return listening


async def _watch(tls: DoorTls) -> None:
    """Take newer certificates into use."""
    while True:
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(tls.reload_if_changed)
