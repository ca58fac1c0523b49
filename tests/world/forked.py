"""Committers and commands that are forked off a process which has imported what they need: a process of its own takes
most of its time for that, and from there on they are the same. Tests of how they are started start them as anybody
does."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

import gateway.ledger.committer as committer

POSSIBLE = hasattr(os, "pidfd_open")
_ROOT = str(Path(__file__).parents[2])
_MAIN = f"import sys; sys.path[:] = {sys.path!r}; from tests.world.forked import serve; serve(sys.argv[1])"
_MESSAGE_BYTES = 1 << 17
_PATIENCE_S = 100.0


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
                raise subprocess.TimeoutExpired(str(self.pid), timeout) from None
            self._told.close()
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def __del__(self) -> None:
        self._told.close()  # a test that lets go of it unasked is not told


def start_committer(path: Path, minimum_free_bytes: int, end: socket.socket) -> Forked:
    """As :func:`gateway.ledger.committing._start_process`."""
    arguments = (committer.PROGRAM, str(path), str(minimum_free_bytes))
    return _fork("committer", arguments, {}, (end.fileno(),))


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run` runs ``residency-gateway`` with these arguments, and in no other environment."""
    if not POSSIBLE:
        program = [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    with TemporaryFile() as output, TemporaryFile() as errors, TemporaryFile() as nothing:
        descriptors = (nothing.fileno(), output.fileno(), errors.fileno())
        running = _fork("command", arguments, environment, descriptors)
        try:
            status = running.wait(_PATIENCE_S)
        finally:
            running.kill()
        written = []
        for file in (output, errors):
            file.seek(0)
            written.append(file.read().decode())
    return subprocess.CompletedProcess(arguments, status, *written)


def _fork(kind: str, arguments: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> Forked:
    """Have one forked that has these descriptors as standard input, output and errors, as many as are given."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps([str(Path.cwd()), dict(environment), list(arguments)]).encode()
    with theirs:
        socket.send_fds(_server(kind), [request], [theirs.fileno(), *descriptors])
    return Forked(ours)


@cache
def _server(kind: str) -> socket.socket:
    """A process that serves this one, as long as this one lives."""
    from gateway.ledger.committing import _ENDING  # asks for more than a committer is to have in memory

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING if kind == "committer" else ())
    program = [sys.executable, "-c", _MAIN, kind]
    with theirs:
        process = subprocess.Popen(program, stdin=theirs, stdout=subprocess.DEVNULL, cwd=_ROOT)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait(10)

    return ours


def serve(kind: str) -> None:
    """Fork one at each request, and tell how it ended, until the other end of standard input is closed."""
    become = {"committer": _become_committer, "command": _become_command}[kind]
    if kind == "command":
        for name in import_module("gateway.cli").COMMANDS:
            import_module(f"gateway.cli.{name}")
    requests = socket.socket(fileno=os.dup(0))
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([requests, *running], [], [])
        for ended in set(ready) & running.keys():
            pid, told = running.pop(ended)
            _tell(told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            told.close()
            os.close(ended)
        if requests in ready:
            request, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 4)
            if not request:
                return
            told = socket.socket(fileno=descriptors.pop(0))
            pid = os.fork()
            if not pid:
                for other in (requests, told, *(other for _, other in running.values())):
                    other.close()
                for other_pid in running:
                    os.close(other_pid)
                _live(become, request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            _tell(told, pid)
            running[os.pidfd_open(pid)] = pid, told


def _tell(told: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody asks any more
        told.send(str(number).encode())


def _live(become: Callable[[list[str]], None], request: bytes, descriptors: Sequence[int]) -> None:
    """What a process does that was forked off; nothing of what it was forked off is left to it."""
    status = 1
    try:
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        directory, environment, arguments = json.loads(request)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        become(arguments)
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()  # as an interpreter does: who looks for one in what it says is to find it
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _become_committer(arguments: list[str]) -> None:
    os.setsid()
    committer.main(*arguments)


def _become_command(arguments: list[str]) -> None:
    sys.argv[1:] = arguments
    import_module("gateway.cli").main()
