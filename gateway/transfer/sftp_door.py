"""The SFTP door: SSH, and of all that SSH can do the sftp subsystem alone.

Invariants: nobody opens a channel before they signed in; there is no shell, no command, no other subsystem, nothing is
forwarded, and no variable is taken; a key is asked about only when its holder has proved to hold it; sessions, tries,
channels, handles, packets and what is sent or kept ahead are bounded; whoever does not sign in or does nothing in time
is sent away.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import cast

import asyncssh
import structlog
from asyncssh.packet import String

from gateway.errors import ConfigurationError, Unavailable
from gateway.proxy.limits import Places, neighbourhood
from gateway.settings.doors import SftpDoorSettings
from gateway.transfer.session import Gate, Session
from gateway.transfer.sftp_channel import Channel, Subsystem
from gateway.transfer.sftp_requests import RequestHandler, Requests
from gateway.transfer.sftp_strength import client_key, is_sound, ssh_options
from gateway.transfer.signing_in import NotSignedIn, SignedIn, SigningIn

log = structlog.get_logger(__name__)

DOOR = "sftp"
MAX_TRIES = 6
MAX_CHANNELS = 4
MAX_UNSENT_BYTES = 512 * 1024
CUT_S = 0.1
"""How long an answer to what was cut may take to get out before the connection goes."""
LEAVE_S = 2.0
LOOK_S = 1.0


@asynccontextmanager
async def sftp_door(
    settings: SftpDoorSettings, gate: Callable[[], Gate], signing_in: SigningIn, *, drain_timeout_s: float
) -> AsyncIterator[int]:
    """The door, open as long as the context lasts; at its end transfers may finish, and nothing new begins.

    Args:
        settings: ``[doors.sftp]``.
        gate: what sessions share, as it is now: a reload replaces it, and the next request is judged by the new one.
        signing_in: who signs in.
        drain_timeout_s: how long transfers may go on at the end.

    Yields:
        The port.

    Raises:
        ConfigurationError: a host key cannot be used, or nobody can listen there.
    """
    door = _Door(settings, gate, signing_in, ssh_options(settings, _Client))
    host, _, port = settings.listen.rpartition(":")
    try:
        server = await door.loop.create_server(door.connection, host.strip("[]"), int(port))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        expected = "name another address, or end what is there"
        raise ConfigurationError([f"doors.sftp: cannot listen on {settings.listen}: {why}; {expected}"]) from error
    watching = door.loop.create_task(door.watch())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        watching.cancel()
        await door.drain(drain_timeout_s)
        await asyncio.gather(watching, return_exceptions=True)


class _Door:
    """What all connections share."""

    def __init__(
        self,
        settings: SftpDoorSettings,
        gate: Callable[[], Gate],
        signing_in: SigningIn,
        options: asyncssh.SSHServerConnectionOptions,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate, self.signing_in = gate, signing_in
        self.stopping = False
        self.connections: set[_Connection] = set()
        self._settings, self._options = settings, options
        self._places = Places(settings.max_sessions)
        self._near = Places(settings.max_sessions_per_address)
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self) -> _Connection:
        """For one more client."""
        return _Connection(self, self._options)

    def take(self, peer: str) -> bool:
        """A place for a client of this address, if there is one."""
        near = neighbourhood(peer)
        if self.stopping or not self._places.take():
            return False
        if not self._near.take(near):
            self._places.give_back()
            return False
        return True

    def give_back(self, peer: str) -> None:
        """Its place."""
        self._places.give_back()
        self._near.give_back(neighbourhood(peer))

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Something that goes on until its end, which the drain waits for."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def watch(self) -> None:
        """Send away who does nothing."""
        idle_s = self._settings.idle_timeout_s
        while True:
            await asyncio.sleep(min(LOOK_S, idle_s / 4))
            for connection in tuple(self.connections):
                if connection.idle_s > idle_s:
                    connection.leave(f"nothing came for {idle_s:g} s")

    async def drain(self, timeout_s: float) -> None:
        """Let transfers finish, then cut them."""
        self.stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.connections:
                    for connection in tuple(self.connections):
                        if not connection.is_transferring:
                            connection.leave("the gateway is stopping; connect again")
                    await asyncio.sleep(CUT_S / 2)
        for connection in tuple(self.connections):
            connection.abort()
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=LEAVE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Connection(asyncssh.SSHServerConnection):
    """One client: its place, what it has yet to take, and what it does when. See :class:`Line`."""

    def __init__(self, door: _Door, options: asyncssh.SSHServerConnectionOptions) -> None:
        super().__init__(door.loop, options)
        self._door = door
        self._wire: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._answering = 0
        self._last_s = door.loop.time()
        self._cutting: asyncio.TimerHandle | None = None
        self.peer = ""
        self.tries = 0
        self.signed_in: SignedIn | None = None
        self.handlers: set[RequestHandler] = set()
        self.channels = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came: a place for them, or none."""
        wire = cast("asyncio.Transport", transport)
        peer = wire.get_extra_info("peername")
        if not peer or not self._door.take(str(peer[0])):
            self._cancel_login_timer()
            wire.abort()
            return
        self.peer, self._wire = str(peer[0]), wire
        wire.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._door.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None = None) -> None:
        """They went, or are sent away."""
        super().connection_lost(exc)
        self._gone()

    def _cleanup(self, exc: Exception | None) -> None:
        super()._cleanup(exc)
        self._gone()

    def _gone(self) -> None:
        self._room.set()
        if self._cutting:
            self._cutting.cancel()
        if self in self._door.connections:
            self._door.connections.discard(self)
            self._door.give_back(self.peer)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """What came; whoever asks on and on without taking the answers is cut off."""
        if self._wire and self._wire.get_write_buffer_size() > 4 * MAX_UNSENT_BYTES:
            self.abort()
            return
        super().data_received(data, datatype)

    def pause_writing(self) -> None:
        """More is unsent than may be."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It is not any more."""
        self._room.set()

    async def reload_config(self) -> None:
        """There is nothing that depends on the user."""

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Whether somebody signs in with a key; whoever only asks whether they could is told to go on and prove it."""
        read = client_key(key_data)
        if read is None:
            return False
        key, line = read
        if not msg:
            return True
        if not is_sound(signature) or not key.verify(String(self._session_id) + msg, signature):
            return False
        return await self.sign_in(lambda: self._door.signing_in.by_key(DOOR, username, line, self.peer))

    async def sign_in(self, asked: Callable[[], Awaitable[SignedIn]]) -> bool:
        """One try.

        Raises:
            DisconnectError: there were too many, or nobody can be asked.
        """
        self.signed_in = None
        self.tries += 1
        if self.tries > MAX_TRIES:
            raise asyncssh.DisconnectError(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, f"{MAX_TRIES} tries are as many as there are"
            )
        try:
            self.signed_in = await asked()
        except NotSignedIn:
            return False
        except Unavailable as error:
            raise asyncssh.DisconnectError(
                asyncssh.DISC_SERVICE_NOT_AVAILABLE, "nobody can sign in now; try again later"
            ) from error
        except Exception:
            log.exception("sign_in_failed")
            return False
        self._last_s = self._door.loop.time()
        return True

    @property
    def session(self) -> Session:
        """See :class:`Line`."""
        signed_in = self.signed_in
        assert signed_in is not None  # noqa: S101 - no channel is opened before that
        return Session(self._door.gate(), door=DOOR, peer=self.peer, **signed_in._asdict())

    @property
    def stopping(self) -> bool:
        """See :class:`Line`."""
        return self._door.stopping

    @property
    def is_transferring(self) -> bool:
        """Whether something is under way."""
        return bool(self._answering) or any(handler.opened for handler in self.handlers)

    @property
    def idle_s(self) -> float:
        """For how long a client that signed in has asked for nothing, or has not taken the answer."""
        if self._answering or not self.signed_in:  # who has not signed in has a time-out of its own
            return 0.0
        return self._door.loop.time() - self._last_s

    def begin(self) -> None:
        """See :class:`Line`."""
        self._answering += 1

    def end(self) -> None:
        """See :class:`Line`."""
        self._answering -= 1
        self._last_s = self._door.loop.time()

    async def has_room(self) -> None:
        """See :class:`Line`."""
        await self._room.wait()

    def cut(self) -> None:
        """See :class:`Line`: after a moment for the answer, whatever is still unsent."""
        if not self._cutting:
            leave = "what allowed a transfer holds no longer"
            self._cutting = self._door.loop.call_later(CUT_S, lambda: self.leave(leave))

    def leave(self, why: str) -> None:
        """Send them away, and do not wait until they hear it."""
        self.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    def enter(self) -> tuple[asyncssh.SSHServerChannel[bytes], asyncssh.SSHServerSession[bytes]] | bool:
        """A channel for a session, if there may be one more."""
        if not self.signed_in or self._door.stopping or self.channels >= MAX_CHANNELS:
            return False
        self.channels += 1
        return Channel(self, self._door.loop), Subsystem(self)

    def serve(self, channel: Channel, subsystem: Subsystem) -> None:
        """Answer what comes over a channel."""
        reader, writer = asyncssh.SSHReader(subsystem, channel), asyncssh.SSHWriter(subsystem, channel)
        handler = RequestHandler(Requests(channel, self), self, reader, writer)
        self.handlers.add(handler)
        self._door.run(self._answer(handler))

    async def _answer(self, handler: RequestHandler) -> None:
        try:
            await handler.run()
        except Exception:
            log.exception("sftp_session_failed")
        finally:
            await handler.end()
            self.handlers.discard(handler)


class _Client(asyncssh.SSHServer):
    """What the library asks about a client; what is not answered here is refused."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, _Connection)  # noqa: S101 - made by the door
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Everybody has to sign in."""
        del username
        return True

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        connection = self._connection
        door = connection._door
        return await connection.sign_in(lambda: door.signing_in.by_password(DOOR, username, password, connection.peer))

    def session_requested(
        self,
    ) -> tuple[asyncssh.SSHServerChannel[bytes], asyncssh.SSHServerSession[bytes]] | bool:
        return self._connection.enter()
