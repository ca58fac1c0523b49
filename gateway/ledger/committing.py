"""Having entries committed, as seen from the event loop: what is asked of the committer, and what came of it.

Invariants: each request gets one answer, an error where the committer ended without one; a committer that ended, and
had not said that the file failed for good, is followed by another with the next request, which writes to the same file,
no shorter than it was, or not at all; a gateway never has two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.errors import LedgerUnavailable
from gateway.files import Identity
from gateway.ledger.channel import Channel
from gateway.ledger.committer import Answer, Handed

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""How long after a committer was started that did not last the next one is."""
END_S = 0.5
"""How long a committer may take to end once its file is closed, or it was killed."""
_ROOT = Path(__file__).parents[2]

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


class Committing:
    """Asks a committer. Every method is for the loop's thread.

    Args:
        start: starts one, which serves this end of a pair of sockets, and has it for itself.

    Attributes:
        size: how many entries there were when it last answered.
        failure: why nothing will be written any more, or "".
        lost: how many ended that were not to.
    """

    def __init__(self, start: Callable[[socket.socket], Running]) -> None:
        self.size = 0
        self.failure = ""
        self.lost = 0
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._identity: Identity | None = None
        self._running: Running | None = None
        self._began_s = float("-inf")
        self._ended_how = ""
        self._channel: Channel | None = None
        self._closing = False
        self._pending: deque[Done] = deque()

    @classmethod
    def in_process(cls, path: Path, *, minimum_free_bytes: int) -> Committing:
        """With a committer that is a process of its own.

        Args:
            path: the ledger.
            minimum_free_bytes: below this, what is left of the disk is for denials and administrative entries.
        """
        return cls(partial(_start_process, path, minimum_free_bytes))

    async def open(self) -> None:
        """Open the file; see :meth:`LedgerFile.open`.

        Raises:
            LedgerUnavailable: it cannot be opened, or no committer can be started.
        """
        try:
            self._identity = await self.call("open")
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
        self._closing = True
        with contextlib.suppress(TimeoutError, LedgerUnavailable):  # it hangs, or has ended already
            async with asyncio.timeout(within_s):
                if self._channel:
                    await self.call("close")
        if self._channel:
            self._channel.close()
        if self._running:
            await asyncio.to_thread(_status, self._running)
        self._channel = self._running = None
        self._closing, self._began_s = False, float("-inf")

    def _ask(self, done: Done, act: str, *arguments: Any) -> None:
        try:
            channel = self._channel or self._begin()
        except LedgerUnavailable as error:
            self._loop.call_soon(done, error)
            return
        self._pending.append(done)
        channel.send((act, *arguments))

    def _begin(self) -> Channel:
        """Start a committer. One that follows another opens the file that that one had.

        Raises:
            LedgerUnavailable: none can be started, or not yet, or none is to be.
        """
        now_s = self._loop.time()
        if self.failure or now_s - self._began_s < AGAIN_S:
            raise LedgerUnavailable(self.failure or self._ended_how)
        self._began_s = now_s
        try:
            end, self._running = _started(self._start)
        except OSError as error:
            self._ended_how = f"the ledger: no process to write it can be started: {error.strerror}; see to the system"
            raise LedgerUnavailable(self._ended_how) from error
        self._channel = Channel(self._loop, end, self._answered, self._ended)
        if self._identity:
            self._ask(_heard, "open", self._identity, self.size)
        return self._channel

    def _answered(self, answer: Answer) -> None:
        result, problem, self.size, self.failure, untidied = answer
        if untidied:
            log.error("ledger_not_tidied", problem=untidied)
        self._pending.popleft()(LedgerUnavailable(problem) if problem else result)

    def _ended(self) -> None:
        """It is gone; what it was asked may be done, or not."""
        self._channel = None
        if self._running and not self._closing:
            self._lose(self._running)
        pending, self._pending = self._pending, deque()
        for done in pending:
            done(LedgerUnavailable(self.failure or self._ended_how))

    def _lose(self, running: Running) -> None:
        self._running = None
        self.lost += 1
        status = _status(running)
        log.error("ledger_committer_ended", status=status)
        self._ended_how = f"the ledger: the process that writes it has ended with status {status}; another is started"
        if status is None:  # two would write
            self.failure = "the ledger: the process that writes it cannot be ended; restart after checking the disk"


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
    """Whatever it is, the request that comes after it fails for the same reason."""


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
    """A committer of this very program, in a session of its own, so that no signal of a terminal reaches it."""
    found = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(  # noqa: S603  our own interpreter and program
        [sys.executable, "-P", "-m", "gateway.ledger.committer", str(path), str(minimum_free_bytes)],
        stdin=end.fileno(),
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": found},
        start_new_session=True,
    )
