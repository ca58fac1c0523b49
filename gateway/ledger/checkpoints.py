"""Checkpoints of a running gateway: signed when it is time, kept in the ledger, and handed to whoever holds them.

A checkpoint is due after so many seconds or so many entries, whichever comes first; also when nothing was added, so
that a gateway that has fallen silent is told from one that has nothing to say; and at the end. No request waits for
any of it: of what is done, only reading the head and keeping the note is in the ledger's thread.

Failing is logged and counted, and tried again when the next one is due. Only a contradiction (what stands outside is
not of this ledger's past) is more: at the start it is refused, and while running the gateway is not ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, HolderUnavailable, LedgerContradicted, Unavailable
from gateway.ledger.appender import Ledger
from gateway.ledger.evidence import Evidence
from gateway.ledger.holding import Holder
from gateway.ledger.notary import Notary, size_of
from gateway.ledger.note import Checkpoint

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

LOOK_S = 1.0
CLOSE_S = 15.0
OWN = "the ledger itself"


class LedgerBook:
    """A :class:`gateway.ledger.notary.Book` over the ledger of an event loop, for threads beside it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()

    def append(self, entry: Mapping[str, object]) -> int:
        """Write an entry; its sequence."""
        return self._wait(self._ledger.append(entry))

    def head(self) -> tuple[int, bytes]:
        """Size and root of the tree over all that is durable."""
        return self._wait(self._ledger.head())

    def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a checkpoint in the ledger."""
        self._wait(self._ledger.keep_checkpoint(size, note))

    def _wait(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()


class Voucher:
    """A :class:`gateway.ledger.holding.Vouching`: asks a notary, in threads.

    Args:
        keep: keeps a cosignature: size, name, line.
    """

    def __init__(self, notary: Notary, keep: Callable[[int, str, str], Awaitable[None]]) -> None:
        self._notary = notary
        self._keep = keep

    async def judge(self, note: str) -> Checkpoint:
        """A checkpoint that stands outside, if it is of the ledger's past; else LedgerContradicted."""
        return await self._ask(lambda found: found.judge(note))

    async def size(self) -> int:
        """How many entries there are now."""
        return await self._ask(lambda found: found.size)

    async def latest(self) -> str | None:
        """The last checkpoint that the ledger keeps, or one over nothing; None without a key to sign even that."""
        return await self._ask(lambda found: found.latest() or self._notary.blank())

    async def consistency(self, first: int, second: int) -> Sequence[bytes]:
        """That one tree is the beginning of another."""
        return await self._ask(lambda found: found.consistency(first, second))

    async def cosigned(self, name: str) -> int:
        """The size of the largest tree that this witness cosigned."""
        return await self._ask(lambda found: found.cosigned(name))

    async def keep_cosignature(self, size: int, name: str, line: str) -> None:
        """Keep what a witness signed."""
        await self._keep(size, name, line)

    async def _ask(self, question: Callable[[Evidence], Answer]) -> Answer:
        def look() -> Answer:
            with self._notary.evidence() as found:
                return question(found)

        return await asyncio.to_thread(look)


async def examine(holders: Sequence[Holder], ledger: Voucher) -> dict[str, GatewayError | None]:
    """What each holder says of the ledger: why it contradicts it or cannot be asked, or None."""
    found = await asyncio.gather(*(_outcome(holder, holder.check(ledger)) for holder in holders))
    return {holder.name: error for holder, error in zip(holders, found, strict=True)}


async def begin(
    holders: Sequence[Holder], ledger: Voucher, establish: Callable[[], Awaitable[object]]
) -> dict[str, str]:
    """Compare a ledger with what is held outside, and only then see to it that it names the key that signs.

    A witness cannot be asked about a ledger without a key, so all are asked again once it has its first.

    Args:
        establish: :meth:`gateway.ledger.notary.Notary.establish`, by whoever begins.

    Returns:
        Why a holder that is not required cannot be asked, by its name.

    Raises:
        LedgerContradicted: the ledger is behind what is held outside, or inconsistent with it.
        Unavailable: a holder that is required cannot be asked, or has less than it was told.
        ConfigurationError: the ledger names another key than the one at hand.
    """
    failing = await _required(holders, ledger)
    is_new = await ledger.latest() is None
    await establish()
    return await _required(holders, ledger) if is_new else failing


async def _required(holders: Sequence[Holder], ledger: Voucher) -> dict[str, str]:
    required = {holder.name for holder in holders if holder.required}
    found = {name: error for name, error in (await examine(holders, ledger)).items() if error}
    for name, error in found.items():
        if isinstance(error, LedgerContradicted) or name in required:
            raise error
    return {name: str(error) for name, error in found.items()}


async def hand_out(holders: Sequence[Holder], note: str, ledger: Voucher) -> dict[str, GatewayError | None]:
    """Have every holder keep a checkpoint; what went wrong with each, or None."""
    found = await asyncio.gather(*(_outcome(holder, holder.tell(note, ledger)) for holder in holders))
    return {holder.name: error for holder, error in zip(holders, found, strict=True)}


async def _outcome(holder: Holder, asked: Coroutine[Any, Any, None]) -> GatewayError | None:
    try:
        async with asyncio.timeout(holder.timeout_s):
            await asked
    except TimeoutError:
        return HolderUnavailable(f"{holder.name}: it did not answer within {holder.timeout_s:g} s")
    except (LedgerContradicted, Unavailable) as error:
        return type(error)(f"{holder.name}: {error}")
    except Exception as error:
        log.exception("checkpoint_holder_failed", holder=holder.name)
        return HolderUnavailable(f"{holder.name}: {type(error).__name__}")
    return None


class Checkpoints:
    """Takes checkpoints while a gateway runs.

    Args:
        ledger: whose; it says how many entries there are.
        notary: who signs.
        holders: who is told.
        interval_s, entries: when the next one is due.

    Attributes:
        problem: why the last one could not be taken, or "".
        failing: why a holder could not be told of the last one, by its name.
        size: how many entries the last one is over.
    """

    def __init__(
        self,
        ledger: Ledger,
        notary: Notary,
        holders: Sequence[Holder],
        *,
        clock: Clock,
        interval_s: float,
        entries: int,
    ) -> None:
        self.problem = ""
        self.failing: dict[str, str] = {}
        self.size = 0
        self._ledger = ledger
        self._notary = notary
        self._voucher = Voucher(notary, ledger.keep_cosignature)
        self._holders = holders
        self._clock = clock
        self._interval_s = interval_s
        self._entries = entries
        self._alarms: dict[str, str] = {}
        self._taken_s = clock.monotonic_s()  # when the last one was taken
        self._tried_s = float("-inf")
        self._tried_size = 0
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._telling: dict[str, asyncio.Task[None]] = {}

    @property
    def alarm(self) -> str:
        """What contradicts the ledger, or ""."""
        return "; ".join(self._alarms.values())

    @property
    def age_s(self) -> float:
        """Since when there has been no checkpoint, in seconds."""
        return self._clock.monotonic_s() - self._taken_s

    async def begin(self, actor: str) -> None:
        """See :func:`begin`."""
        establish = partial(asyncio.to_thread, self._notary.establish, actor)
        self.failing = await begin(self._holders, self._voucher, establish)
        for name, problem in self.failing.items():
            log.warning("checkpoint_holder_unavailable", holder=name, problem=problem)

    def ask(self) -> None:
        """Have one taken soon."""
        self._asked.set()

    async def run(self) -> None:
        """Take one whenever it is due; until cancelled."""
        while True:
            await self.attend()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def attend(self) -> bool:
        """Take one if it is due; whether it was."""
        now_s, added = self._clock.monotonic_s(), self._ledger.size - self._tried_size
        due = self._asked.is_set() or now_s - self._tried_s >= self._interval_s or added >= self._entries
        if due:
            self._asked.clear()
            await self.take()
        return due

    async def take(self) -> str | None:
        """Take one now, and begin to tell the holders; None where it could not be taken."""
        async with self._turn:
            self._tried_s, self._tried_size = self._clock.monotonic_s(), self._ledger.size
            try:
                note = await asyncio.to_thread(self._notary.checkpoint)
            except GatewayError as error:
                self._note_problem(error)
                return None
            except Exception as error:
                log.exception("checkpoint_failed")
                self._note_problem(Unavailable(f"{type(error).__name__}: {error}"))
                return None
            self._note_problem(None)
            self._taken_s, self.size = self._clock.monotonic_s(), size_of(note)
            self._tell(note)
            return note

    async def told(self) -> None:
        """Wait until every holder that is being told has answered, or has taken too long."""
        if self._telling:
            await asyncio.wait(self._telling.values())

    async def close(self) -> None:
        """Take the last one, over everything that was handed in, and tell the holders; bounded in time."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._ledger.flush()
                await self.told()
                await self.take()
                await self.told()
        except TimeoutError:
            log.error("checkpoint_left_untold", problem=f"it took longer than {CLOSE_S:g} s")
        for task in self._telling.values():
            task.cancel()
        await asyncio.gather(*self._telling.values(), return_exceptions=True)
        await self.let_go()

    async def let_go(self) -> None:
        """Close the holders, and do nothing more."""
        for holder in self._holders:
            await holder.close()

    def _tell(self, note: str) -> None:
        """Whoever still has to answer about an earlier one is left out: it is told of a later one."""
        for holder in self._holders:
            before = self._telling.get(holder.name)
            if before is None or before.done():
                task = asyncio.get_running_loop().create_task(self._tell_one(holder, note))
                self._telling[holder.name] = task

    async def _tell_one(self, holder: Holder, note: str) -> None:
        [error] = (await hand_out([holder], note, self._voucher)).values()
        was_failing = bool(self.failing.pop(holder.name, "")) or holder.name in self._alarms
        if isinstance(error, LedgerContradicted):
            self._alarms[holder.name] = str(error)  # until it is told again: falling silent mends nothing
            log.error("ledger_contradicted", holder=holder.name, problem=str(error))
        elif error:
            self.failing[holder.name] = str(error)
            if not was_failing:
                log.error("checkpoint_not_held", holder=holder.name, problem=str(error))
        elif was_failing:
            self._alarms.pop(holder.name, None)
            log.info("checkpoint_held_again", holder=holder.name)

    def _note_problem(self, error: GatewayError | None) -> None:
        self._alarms.pop(OWN, None)
        if isinstance(error, LedgerContradicted):
            self._alarms[OWN] = f"{OWN}: {error}"
        problem = str(error or "")
        if problem and problem != self.problem:
            log.error("checkpoint_not_taken", problem=problem)
        elif self.problem and not problem:
            log.info("checkpoint_taken_again")
        self.problem = problem
