"""Having entries committed, as seen from the event loop: what is asked of the committer, and what came of it.

Invariants: each request gets one answer, an error where the committer ended without one; a committer that ended, and
had not said that the file failed for good, is followed by another with the next request, which writes to the same file,
no shorter than it was, or not at all; a gateway never has two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast, get_args

import structlog

from gateway.errors import LedgerUnavailable
from gateway.files import Identity
from gateway.ledger.channel import Channel
from gateway.ledger.committer import OTHER_PROGRAM, PROGRAM, Answer, Handed
from gateway.ledger.messages import Message, encode

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""How long after the start of a committer that ended another may be started."""
END_S = 0.5
"""How long a committer may take to end once its file is closed, or it was killed."""
_ROOT = str(Path(__file__).parents[2])
_MAIN = "import sys; sys.path.append(sys.argv.pop(1)); from gateway.ledger.committer import main; main(*sys.argv[1:])"
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_FINAL = {
    OTHER_PROGRAM: "another version of the gateway was installed; restart it",
    -signal.SIGBUS: "the disk failed under the process that writes it; restart after checking the disk",
    None: "the process that writes it cannot be ended; restart after checking the disk",
}
"""Of how a committer ended: why none follows it."""

_ANSWERED = len(get_args(Answer))

Done = Callable[[Any], None]
"""Called with the result of a request, or with what failed."""


class Running(Protocol):
    """A committer that was started, as :class:`subprocess.Popen` shows it."""

    def wait(self, timeout: float) -> int:
        """Its status, once it has ended."""
        ...

    def kill(self) -> None:
        """End it, whatever it is at."""
        ...


class NotAsked(LedgerUnavailable):
    """There is no committer, and it is too early for another: nothing was handed to any."""


class Committing:
    """Asks a committer. Every method is for the loop's thread.

    Args:
        path: the ledger.
        start: starts a committer, which serves this end of a pair of sockets, and has it for itself.

    Attributes:
        size: the most entries that there were when one answered.
        failure: why nothing will be written any more, or "".
        lost: how many ended that were not to.
        closed: whether it is, or is about to be.
        on_loss: called with the reason when one has, after who waited for it was told.
    """

    def __init__(self, path: Path, start: Callable[[socket.socket], Running]) -> None:
        self.size = 0
        self.failure = ""
        self.lost = 0
        self.on_loss: Callable[[str], None] = _heard
        self._path = path
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._identity: Identity | None = None
        self._pin: int | None = None  # while it is open, no other file gets the number of this one
        self._running: Running | None = None
        self._began_s = float("-inf")
        self._ended_how = ""
        self._channel: Channel | None = None
        self.closed = False
        self._number = 0
        self._pending: deque[tuple[int, Done]] = deque()

    @classmethod
    def in_process(cls, path: Path, *, minimum_free_bytes: int) -> Committing:
        """With a committer that is a process of its own.

        Args:
            path: the ledger.
            minimum_free_bytes: below this, what is left of the disk is for denials and administrative entries.
        """
        return cls(path, partial(_start_process, path, minimum_free_bytes))

    async def open(self) -> None:
        """Open the file, once; see :meth:`LedgerFile.open`.

        Raises:
            LedgerUnavailable: it cannot be opened, or no committer can be started.
        """
        try:
            self._identity = await self.call("open")
            self._pin = _pinned(self._path, self._identity)
        except BaseException:
            await self.close(within_s=0)
            raise

    def commit(self, batch: Sequence[Handed], done: Done) -> None:
        """Have a batch written and synced; done is called with what is :data:`Written`."""
        self._ask(done, "commit", batch)

    async def call(self, act: str, *arguments: Any) -> Any:
        """Have something done between batches, and wait for what comes of it.

        Raises:
            LedgerUnavailable: it failed, or is not known to be done.
        """
        answered: asyncio.Future[Any] = self._loop.create_future()

        def settle(result: Any) -> None:
            if answered.done():
                return
            if isinstance(result, LedgerUnavailable):
                answered.set_exception(result)
            else:
                answered.set_result(result)

        self._ask(settle, act, *arguments)
        return await answered

    async def close(self, *, within_s: float) -> None:
        """Close the file, once all that was asked is done, and end the committer. One that takes longer is killed."""
        self.closed = True
        with contextlib.suppress(TimeoutError, LedgerUnavailable):  # it hangs, or has ended already
            async with asyncio.timeout(within_s):
                if self._channel:
                    await self.call("close")
        if self._channel:
            self._channel.close()
        if self._running:
            await asyncio.to_thread(_status, self._running)
        self._channel = self._running = None
        if self._pin is not None:
            os.close(self._pin)
            self._pin = None
        self._fail("the ledger is closed")

    def _ask(self, done: Done, act: str, *arguments: Any) -> None:
        try:
            channel = self._channel or self._begin()
            encoded = encode((self._number + 1, act, *arguments))
        except LedgerUnavailable as error:
            self._loop.call_soon(done, error)
        except (ValueError, OverflowError, MemoryError) as error:
            problem = f"the ledger: this cannot be handed to the process that writes it: {error!r}"
            self._loop.call_soon(done, LedgerUnavailable(problem))
        else:
            self._number += 1
            self._pending.append((self._number, done))
            channel.send(encoded)

    def _begin(self) -> Channel:
        """Start a committer. One that follows another opens the file that that one had.

        Raises:
            LedgerUnavailable: none can be started, or none is to be.
            NotAsked: it is too early for another.
        """
        if self.failure or self.closed:
            raise LedgerUnavailable(self.failure or "the ledger is closed")
        now_s = self._loop.time()
        if now_s - self._began_s < AGAIN_S:
            raise NotAsked(self._ended_how)
        self._began_s = now_s
        try:
            end, self._running = _started(self._start)
        except OSError as error:
            self._ended_how = f"the ledger: no process to write it can be started: {error.strerror}; see to the system"
            raise NotAsked(self._ended_how) from error
        self._channel = Channel(self._loop, end, self._received, self._ended)
        if self._identity:
            self._ask(_heard, "open", self._identity, self.size)
        return self._channel

    def _received(self, message: Message) -> None:
        """An answer to the request that is due, or what nobody asked for."""
        if not self._is_due(message):
            log.error("ledger_committer_misunderstood")
            self._break_off()
            return
        number, result, problem, size, failure = cast(Answer, message)
        self.size, self.failure = max(self.size, size), failure
        if number:
            _, done = self._pending.popleft()
            done(LedgerUnavailable(problem) if problem else result)
            return
        log.error("ledger_not_tidied", problem=problem)
        if failure:
            self.on_loss(failure)

    def _is_due(self, message: Message) -> bool:
        due = self._pending[0][0] if self._pending else 0
        return len(message) == _ANSWERED and message[0] in (0, due)

    def _break_off(self) -> None:
        """Whatever answers is not what was started."""
        if self._running and self._channel:
            self._running.kill()
            self._channel.close()
            self._ended()

    def _ended(self) -> None:
        """It is gone; what it was asked may be done, or not."""
        self._channel = None
        if self._running and not self.closed:  # whoever closes it waits for it
            self._lose(self._running)
        problem = self.failure or self._ended_how
        self._fail(problem)
        if not self.closed:
            self.on_loss(problem)

    def _lose(self, running: Running) -> None:
        self._running = None
        self.lost += 1
        status = _status(running)
        log.error("ledger_committer_ended", status=status)
        self._ended_how = f"the ledger: the process that writes it has ended with status {status}; another is started"
        if status in _FINAL:
            self.failure = f"the ledger: {_FINAL[status]}"

    def _fail(self, problem: str) -> None:
        """Tell all who wait."""
        pending, self._pending = self._pending, deque()
        for _, done in pending:
            done(LedgerUnavailable(problem))


def _pinned(path: Path, identity: Identity | None) -> int:
    """A descriptor of that file, which is not opened by it: closing it lets go of no lock.

    Raises:
        LedgerUnavailable: another file is there, or none.
    """
    try:
        pin = os.open(path, getattr(os, "O_PATH", os.O_RDONLY))
    except OSError as error:
        raise LedgerUnavailable(f"the ledger {path}: {error.strerror}; check the path") from error
    found = os.fstat(pin)
    if (found.st_dev, found.st_ino) != identity:
        os.close(pin)
        raise LedgerUnavailable(f"the ledger {path}: its file was replaced while it was opened; start again")
    return pin


def _started(start: Callable[[socket.socket], Running]) -> tuple[socket.socket, Running]:
    """A committer, and the end at which it is asked."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            return ours, start(theirs)
    except BaseException:
        ours.close()
        raise


def _heard(_result: Any) -> None:
    """Nobody waits for it; where it failed, what comes after it fails, too."""


def _status(running: Running) -> int | None:
    """How one ended that is to have ended by now; one that has not is killed. None: it hangs in the system.

    Blocking, for twice :data:`END_S` at most.
    """
    for _ in range(2):
        try:
            return running.wait(END_S)
        except subprocess.TimeoutExpired:
            running.kill()
    return None


def _start_process(path: Path, minimum_free_bytes: int, end: socket.socket) -> subprocess.Popen[bytes]:
    """A committer of this very program. What ends a gateway does not end it, for a gateway that ends still records: it
    is in a session of its own, where no signal of a terminal reaches it, and the signals stay blocked that others send
    to every process of a service."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        return subprocess.Popen(  # noqa: S603  our own interpreter and program
            [sys.executable, "-P", "-c", _MAIN, _ROOT, PROGRAM, str(path), str(minimum_free_bytes)],
            stdin=end.fileno(),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
