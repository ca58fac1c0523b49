"""A committer in a thread of the test, over a file and a space that the test can hold up and make fail."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from threading import Thread
from typing import Protocol

from gateway.ledger.committer import Committer
from gateway.ledger.file import LedgerFile
from gateway.ledger.free_space import FreeSpace


class Serving(Protocol):
    """What a committer does."""

    def serve(self, end: socket.socket) -> None: ...


class RunningThread:
    """As :class:`subprocess.Popen` shows a process. It cannot be killed."""

    def __init__(self, committer: Serving, end: socket.socket) -> None:
        self._thread = Thread(target=committer.serve, args=(end,), name="committer", daemon=True)
        self._thread.start()

    def wait(self, timeout: float) -> int:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("committer", timeout)
        return 0

    def kill(self) -> None: ...


def in_thread(file: LedgerFile, space: FreeSpace) -> Callable[[socket.socket], RunningThread]:
    """How such a committer is started."""
    return lambda end: RunningThread(Committer(file, space), end.dup())
