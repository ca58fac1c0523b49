"""Committers forked off a process that has imported what they need: what a process of its own takes, a fork does not,
and from there on they are the same. Tests of how a committer is started start it as a gateway does."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from gateway.ledger.committer import PROGRAM, main

_ROOT = str(Path(__file__).parents[2])
_MAIN = f"import sys; sys.path[:] = {sys.path!r}; from tests.world.forked import serve; serve()"
_MESSAGE_BYTES = 65_536


class Forked:
    """As :class:`subprocess.Popen` shows a process.

    Args:
        told: says the process's number first, and its exit status once it has ended.
    """

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self.pid = int(told.recv(_MESSAGE_BYTES))
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(_MESSAGE_BYTES))
            except TimeoutError:
                raise subprocess.TimeoutExpired("committer", timeout) from None
            self._told.close()
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def __del__(self) -> None:
        self._told.close()  # a test that lets go of it unasked is not told


def start(path: Path, minimum_free_bytes: int, end: socket.socket) -> Forked:
    """As :func:`gateway.ledger.committing._start_process`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps([str(Path.cwd()), PROGRAM, str(path), str(minimum_free_bytes)]).encode()
    with theirs:
        socket.send_fds(_server(), [request], [end.fileno(), theirs.fileno()])
    return Forked(ours)


@cache
def _server() -> socket.socket:
    """A process that serves this one, as long as this one lives."""
    from gateway.ledger.committing import _ENDING  # asks for more than a committer is to have in memory

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    with theirs:
        process = subprocess.Popen([sys.executable, "-c", _MAIN], stdin=theirs, stdout=subprocess.DEVNULL, cwd=_ROOT)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait(10)

    return ours


def serve() -> None:
    """Fork a committer at each request, and tell how it ended, until standard input is closed."""
    requests = socket.socket(fileno=0)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([requests, *running], [], [])
        for ended in set(ready) & running.keys():
            pid, told = running.pop(ended)
            _tell(told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            told.close()
            os.close(ended)
        if requests in ready:
            request, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 2)
            if not request:
                return
            end, told = (socket.socket(fileno=descriptor) for descriptor in descriptors)
            pid = os.fork()
            if not pid:
                _become(end, [requests, told, *(other for _, other in running.values())], list(running), request)
            end.close()
            _tell(told, pid)
            running[os.pidfd_open(pid)] = pid, told


def _tell(told: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody asks any more
        told.send(str(number).encode())


def _become(end: socket.socket, sockets: list[socket.socket], descriptors: list[int], request: bytes) -> None:
    """A committer at that end, which has nothing of the process that it was forked off."""
    status = 1
    try:
        for other in sockets:
            other.close()
        for descriptor in descriptors:
            os.close(descriptor)
        os.setsid()
        os.dup2(end.detach(), 0)
        directory, *arguments = json.loads(request)
        os.chdir(directory)
        main(*arguments)
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        os._exit(status)
