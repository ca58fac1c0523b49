"""Having entries committed, as seen from the event loop: what is asked of the committer, and what came of it.

Invariants: each request gets one answer, an error where the committer ended without one; a committer that ended, and
had not said that the file failed for good, is followed by another with the next request, which writes to the same file,
no shorter than it was, or not at all; a gateway never has two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, Protocol, cast

import structlog

from gateway.errors import LedgerUnavailable
from gateway.files import Identity
from gateway.ledger.channel import Channel
from gateway.ledger.committer import OTHER_PROGRAM, PROGRAM, Answer, Handed
from gateway.ledger.futures import settle
from gateway.ledger.messages import Message, encode

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""How long after the start of a committer that ended another may be started."""
END_S = 0.5
"""How long a committer may take to end once its file is closed, or it was killed."""
LINGER_S = 0.02
"""How long the event loop waits until one is gone that has let go of its sockets; beyond that, a thread does."""
_ROOT = str(Path(__file__).parents[2])
_MAIN = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n');"
    "from gateway.ledger.committer import main; main(*sys.argv[1:])"
)
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_KEPT = re.compile(r"PYTHON[A-Z0-9]+|LC_[A-Z]+|LANG|TZ|PATH|(LD|DYLD)_(LIBRARY_PATH|PRELOAD|INSERT_LIBRARIES)")
"""Names of the environment that say how an interpreter runs. What others hold may be secret, and stays here."""
_FLAGS = {"-I": "isolated", "-E": "ignore_environment", "-s": "no_user_site", "-B": "dont_write_bytecode"}
_FINAL = {
    OTHER_PROGRAM: "another version of the gateway was installed; restart it",
    -signal.SIGBUS: "the disk failed under the process that writes it; restart after checking the disk",
    None: "the process that writes it cannot be ended; restart after checking the disk",
}
"""Of how a committer ended: why none follows it."""

Done = Callable[[Any], None]
"""Called with the result of a request, or with what failed."""
Fits = Callable[[Any], bool]
"""Whether a result is one of what was asked; one that is not ends the committer, and nothing of it is believed."""
_ANSWERS = frozenset((int, kind, str, int, str) for kind in (NoneType, tuple))
"""The types of the values of an :data:`Answer`."""


class _Asked(NamedTuple):
    number: int
    done: Done
    fits: Fits


class Running(Protocol):
    """A committer that was started, as :class:`subprocess.Popen` shows it."""

    def wait(self, timeout: float) -> int:
        """Its status, once it has ended."""
        ...

    def kill(self) -> None:
        """End it, whatever it is at."""
        ...


class NoAnswer(LedgerUnavailable):
    """The committer died: what it was asked may be done, or not."""


class NotAsked(NoAnswer):
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
        self._pending: deque[_Asked] = deque()

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

        self._ask(done, partial(_is_written, batch), "commit", batch)

    async def call(self, act: str, *arguments: Any) -> Any:
        """Have something done between batches, and wait for what comes of it.

        Raises:
            LedgerUnavailable: it failed, or is not known to be done.
        """
        answered: asyncio.Future[Any] = self._loop.create_future()
        self._ask(partial(settle, answered), _FITS.get(act, _is_none), act, *arguments)
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
            await self._ending(self._running)
        self._channel = self._running = None
        if self._pin is not None:
            os.close(self._pin)
            self._pin = None
        self._fail(LedgerUnavailable("the ledger is closed"))

    def _ask(self, done: Done, fits: Fits, act: str, *arguments: Any) -> None:
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
            self._pending.append(_Asked(self._number, done, fits))
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
        if self._running or now_s - self._began_s < AGAIN_S:
            raise NotAsked(self._ended_how or "the ledger: the process that writes it is about to end; wait")
        self._began_s = now_s
        try:
            self._channel = self._started()
        except Exception as error:  # whatever it is, the next one is tried
            why = error.strerror if isinstance(error, OSError) else repr(error)
            self._ended_how = f"the ledger: no process to write it can be started: {why}; see to the system"
            raise NotAsked(self._ended_how) from error
        if self._identity:
            self._ask(_heard, _is_identity, "open", self._identity, self.size)
        return self._channel

    def _started(self) -> Channel:
        """One more committer, and the channel to it; without a channel it ends."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                running = self._start(theirs)
            channel = Channel(self._loop, ours, self._received, self._ended)
        except BaseException:
            ours.close()
            raise
        self._running = running
        return channel

    def _received(self, message: Message) -> None:
        """An answer to the request that is due, or what nobody asked for."""
        if not self._is_due(message):
            log.error("ledger_committer_misunderstood")
            self._break_off()
            return
        number, result, problem, size, failure = cast(Answer, message)
        self.size, self.failure = size, failure
        if number:
            self._pending.popleft().done(LedgerUnavailable(problem) if problem else result)
            return
        log.error("ledger_not_tidied", problem=problem)
        if failure:
            self.on_loss(failure)

    def _is_due(self, message: Message) -> bool:
        if tuple(map(type, message)) not in _ANSWERS or message[3] < 0:
            return False
        number, result, problem, *_ = message
        if not number or not self._pending:
            return not number
        due = self._pending[0]
        return number == due.number and (bool(problem) or due.fits(result))

    def _break_off(self) -> None:
        """Whatever answers is not what was started."""
        if self._channel:
            self._channel.close()
            self._ended()

    def _ended(self) -> None:
        """It let go of its end, and is about to be gone; what it was asked may be done, or not."""
        self._channel = None
        if self.closed or not self._running:  # whoever closes it waits for it
            self._fail(NoAnswer("the ledger is closed"))
            return
        try:
            self._lose(self._running.wait(LINGER_S))
        except subprocess.TimeoutExpired:
            self._fail(NoAnswer("the ledger: the process that writes it answers no more; it is ended"))
            self._ending(self._running).add_done_callback(lambda ended: self._lose(ended.result()))

    def _ending(self, running: Running) -> asyncio.Future[int | None]:
        """How it ended, once it has; see :func:`_status`. In a thread of its own: others may be taken for long."""
        executor = ThreadPoolExecutor(1, "committer-ending")
        ended = self._loop.run_in_executor(executor, _status, running)
        executor.shutdown(wait=False)
        return ended

    def _lose(self, status: int | None) -> None:
        """It is gone, or never will be."""
        if self.closed:
            return
        self._running = None
        self.lost += 1
        log.error("ledger_committer_ended", status=status)
        self._ended_how = f"the ledger: the process that writes it has ended with status {status}; another is started"
        if status in _FINAL:
            self.failure = f"the ledger: {_FINAL[status]}"
        self._fail(LedgerUnavailable(self.failure) if self.failure else NoAnswer(self._ended_how))
        self.on_loss(self.failure or self._ended_how)

    def _fail(self, problem: LedgerUnavailable) -> None:
        """Tell all who wait."""
        pending, self._pending = self._pending, deque()
        for asked in pending:
            asked.done(problem)


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


def _is_written(batch: Sequence[Handed], result: Any) -> bool:
    """Whether a result is what can become of a batch; see :data:`gateway.ledger.committer.Written`."""
    match result:
        case (str(low), list(outcomes)) if len(outcomes) == len(batch):
            kinds = set(map(type, outcomes))
            refused = type(None) in kinds
            return (
                kinds <= {int, str, type(None)}
                and all(outcome >= 0 for outcome in outcomes if type(outcome) is int)
                and (not refused or bool(low))
                and (not refused or all(each[0] for each, out in zip(batch, outcomes, strict=True) if out is None))
            )
    return False


def _is_identity(result: Any) -> bool:
    return result is None or (type(result) is tuple and [*map(type, result)] == [int, int])


def _is_head(result: Any) -> bool:
    return type(result) is tuple and [*map(type, result)] == [int, bytes] and result[0] >= 0


def _is_none(result: Any) -> bool:
    return result is None


_FITS: Mapping[str, Fits] = {"open": _is_identity, "head": _is_head}
"""By act: whether a result is one of it. None is that of the others."""


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
    """A committer of this very program, which finds its modules where this one does. What ends a gateway does not end
    it, for a gateway that ends still records: it is in a session of its own, where no signal of a terminal reaches it,
    and the signals stay blocked that others send to every process of a service."""
    places = [place for place in sys.path if place]
    places += [_ROOT] if _ROOT not in places else []
    isolation = [flag for flag, given in _FLAGS.items() if getattr(sys.flags, given)]
    arguments = ["\n".join(places), PROGRAM, str(path), str(minimum_free_bytes)]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        return subprocess.Popen(  # noqa: S603  our own interpreter and program
            [sys.executable, "-P", *isolation, "-c", _MAIN, *arguments],
            stdin=end.fileno(),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
