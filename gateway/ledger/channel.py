"""One end of a pair of sockets in an event loop, for whole messages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from gateway.ledger.messages import READ_BYTES, Message, take


class Channel:
    """What is sent goes at once, without a turn of the loop, or as soon as the socket takes it.

    Args:
        end: closed with the channel, and when the other end is.
        received: called with each message.
        lost: called when the other end is closed, or gone, or says what is no message; not after :meth:`close`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: socket.socket,
        received: Callable[[Message], None],
        lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._end = end
        self._received = received
        self._lost = lost
        self._unsent = bytearray()
        self._unread = bytearray()
        end.setblocking(False)
        loop.add_reader(end, self._read)

    def send(self, encoded: bytes) -> None:
        """Send a message, in order. What the other end takes no more is lost, as the reading side then tells."""
        waits = bool(self._unsent)
        self._unsent += encoded
        if not waits:
            self._write()
            if self._unsent:
                self._loop.add_writer(self._end, self._write)

    def close(self) -> None:
        """Close this end; what was not sent stays so."""
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()

    def _write(self) -> None:
        try:
            del self._unsent[: self._end.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        if not self._unsent:
            self._loop.remove_writer(self._end)

    def _read(self) -> None:
        try:
            data = self._end.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._lost()
            return
        self._unread += data
        while (message := self._next()) is not None:
            self._received(message)

    def _next(self) -> Message | None:
        """The next message; None where there is none, or nothing that is one."""
        try:
            return take(self._unread) if self._end.fileno() >= 0 else None
        except (ValueError, EOFError, TypeError, MemoryError):
            self.close()
            self._lost()
            return None
