"""What lies between a session's thread and the event loop: connections that can be cut, and questions to the loop.

pyftpdlib has a loop of its own, so each session has a thread; the checkpoint and the site are asked in the event loop.

Invariants: a connection can be cut from any thread at any time, also while its own waits for a slow client; a
descriptor that was closed is never touched again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from gateway.transfer.act import Ended

Answered = TypeVar("Answered")
_DROP_UNSENT = struct.pack("ii", 1, 0)


class Wire(socket.socket):
    """A connection that can be cut from outside its thread.

    Args:
        of: the connection as it was accepted; it is taken over.
    """

    def __init__(self, of: socket.socket) -> None:
        super().__init__(of.family, of.type, of.proto, fileno=of.detach())
        self._closing = threading.Lock()
        self.setblocking(False)

    def close(self) -> None:
        """Close it; once."""
        with self._closing:
            super().close()

    def cut(self) -> None:
        """End it at once: what was not sent yet is dropped, and whoever waits for it is woken."""
        with self._closing, suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
            self.shutdown(socket.SHUT_RDWR)

    def hush(self) -> None:
        """Hear no more of it: its thread finds it at its end, and may still answer."""
        with self._closing, suppress(OSError):
            self.shutdown(socket.SHUT_RD)


class Line:
    """A session's line to the event loop; also where it is cut from outside.

    Args:
        loop: where the checkpoint and the site are asked.
        control: the control connection.

    Attributes:
        is_cut: whether it was.
        is_busy: whether a transfer is under way or begins.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, control: Wire) -> None:
        self._loop = loop
        self._wires = [control]
        self._asked: Future[Any] | None = None
        self._lock = threading.Lock()
        self._roused = threading.Event()
        self.is_cut = False
        self.is_busy = False

    def ask(self, question: Coroutine[Any, Any, Answered]) -> Answered:
        """What the event loop answers; for the session's thread, which waits.

        Raises:
            Ended: the session was cut meanwhile.
        """
        return self.wait(self.begin(question))

    def begin(self, question: Coroutine[Any, Any, Answered]) -> Future[Answered]:
        """Ask, and go on meanwhile; :meth:`wait` has the answer."""
        return asyncio.run_coroutine_threadsafe(question, self._loop)

    def wait(self, asked: Future[Answered]) -> Answered:
        """The answer to what was begun; see :meth:`ask`."""
        self._asked = asked
        try:
            return asked.result()
        except CancelledError as error:
            raise Ended("the session was cut") from error
        finally:
            self._asked = None

    def pause(self, seconds: float) -> None:
        """Wait, unless the session ends."""
        self._roused.wait(seconds)

    def add(self, data: Wire) -> None:
        """A data connection, cut with the rest."""
        with self._lock:
            self._wires = [self._wires[0], data]
            if self.is_cut:
                data.cut()

    def hush(self) -> None:
        """Let the session end as if its client had gone."""
        self._roused.set()
        self._wires[0].hush()

    def cut(self) -> None:
        """Cut both connections; the thread finds that out by itself."""
        with self._lock:
            self.is_cut = True
            self._roused.set()
            for wire in self._wires:
                wire.cut()

    def give_up(self) -> None:
        """Cut, and wait for no answer any more."""
        self.cut()
        asked = self._asked
        if asked:
            asked.cancel()
