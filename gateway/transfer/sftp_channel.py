"""Channels of the SFTP door: of all that can be asked for over one, the sftp subsystem alone.

Invariants: what a client sent and nobody read yet is bounded by the window, which opens by what was read; every other
request for a channel (a shell, a command, a terminal, a variable, X11, an agent) is refused.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import asyncssh
from asyncssh.constants import MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.packet import SSHPacket, UInt32
from asyncssh.stream import SSHServerStreamSession

WINDOW_BYTES = 1024 * 1024  # more than twice a request, so that one that was begun can always be sent to its end


class Serving(Protocol):
    """The connection that a channel belongs to.

    Attributes:
        channels: how many are open.
    """

    channels: int

    def serve(self, channel: Channel, subsystem: Subsystem) -> None:
        """Answer what comes over a channel."""
        ...


class Channel(asyncssh.SSHServerChannel[bytes]):
    """A channel over which nothing but a subsystem can be asked for.

    Its window is what has been read of what came: the library's own goes on growing while nobody reads.
    """

    def __init__(self, connection: asyncssh.SSHServerConnection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(connection, loop, False, False, False, 0, 0, None, "strict", WINDOW_BYTES, 32 * 1024)

    def open_window(self, unread: int) -> None:
        """Let the client send more, where so much of what it sent is still unread."""
        more = WINDOW_BYTES - unread - self._recv_window
        if more >= WINDOW_BYTES // 2 and not self.is_closing():
            self._recv_window += more
            self.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(more))

    def _deliver_data(self, data: bytes, datatype: int | None) -> None:
        if self._session is not None:
            self._session.data_received(data, datatype)

    def _refuse(self, packet: SSHPacket) -> bool:
        del packet
        return False

    _process_pty_req_request = _refuse
    _process_x11_req_request = _refuse
    _process_auth_agent_req_at_openssh_dot_com_request = _refuse  # type: ignore[assignment]  # whose answer comes later
    _process_env_request = _refuse
    _process_shell_request = _refuse
    _process_exec_request = _refuse
    _process_window_change_request = _refuse
    _process_signal_request = _refuse
    _process_break_request = _refuse


class Subsystem(SSHServerStreamSession[bytes]):
    """The sftp subsystem on a channel."""

    def __init__(self, connection: Serving) -> None:
        super().__init__(None)
        self._connection = connection

    async def read(self, datatype: int | None, n: int, exact: bool) -> bytes:
        """What came; for what was read the client may send more."""
        data = await super().read(datatype, n, exact)
        if isinstance(self._chan, Channel):
            self._chan.open_window(self._recv_buf_len)
        return data

    def _should_pause_reading(self) -> bool:
        return False  # the window bounds what is unread

    def subsystem_requested(self, subsystem: str) -> bool:
        """Whether this is what may be asked for."""
        return subsystem == "sftp"

    def session_started(self) -> None:
        """It was asked for: let it be answered."""
        assert isinstance(self._chan, Channel)  # noqa: S101 - made with it
        self._connection.serve(self._chan, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is over, and its place free."""
        super().connection_lost(exc)
        self._connection.channels -= 1
