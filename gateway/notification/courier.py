"""The courier: takes notices from the outbox to the channels that want them, beside everything else.

A round, at least every second and whenever a notice is written: look for what time has brought about, let each new
notice be due at the channels that want it, claim what is due, and send each in a task of its own.

Invariants: a notice is settled only by an answer, so one that was under way at a crash is sent again once its lease is
over: at least once, and told apart by its id; what a channel may have under way is bounded, and one that does not
answer is left alone for a while; the database is used in one thread of the courier's own, one job at a time, so that
neither the loop nor anybody else's work in threads waits for it; no failure ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import structlog

from gateway.clock import SECOND_US, Clock
from gateway.notification.channel import Channel, Message
from gateway.notification.notice import Delivery, Notice
from gateway.notification.retry import Answer, Backoff, retry_after_s, settled
from gateway.settings import NoticeSettings

POLL_S, REMIND_S, PRUNE_S, COUNT_S = 1.0, 60.0, 3_600.0, 15.0
AT_A_TIME = 8
"""Messages that one channel may have under way."""
LEASE_S = 60.0
"""A claim that was not settled for so long after its time-out is open to everybody again."""
GRACE_S = 1.0
"""What is under way at a stop may take so long to finish."""
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """Deliveries that wait, and that were given up."""

    waiting: int = 0
    failed: int = 0


class Outbox(Protocol):
    """Where notices wait; every method blocks, and raises :class:`~gateway.errors.StateUnavailable`."""

    def plan(self, channels: Sequence[Channel], *, now_us: int, node: str) -> None:
        """Let each notice that nobody has taken up be due at the channels that want it."""
        ...

    def claim(
        self, free: Mapping[str, int], *, now_us: int, lease_us: Mapping[str, int]
    ) -> list[tuple[Delivery, Notice]]:
        """Take what is due, at most so many a channel: counted as an attempt, and due again when the lease is over."""
        ...

    def settle(self, delivery: Delivery) -> None:
        """Write down what came of an attempt, unless another one has been begun or has arrived since."""
        ...

    def remind(self, settings: NoticeSettings, *, now_us: int) -> None:
        """Write the notices of what time has brought about, each once."""
        ...

    def prune(self, channels: Iterable[str], *, now_us: int, keep_us: int) -> None:
        """Forget what was settled long ago, and give up what waits for a channel that there is no more."""
        ...

    def counts(self, channels: Iterable[str]) -> Counts:
        """How many deliveries wait for these channels, and how many were given up."""
        ...


class Poster(Protocol):
    """Sends a message."""

    async def post(self, message: Message) -> Answer:
        """What came of it; never raises for what the receiver does."""
        ...


class Courier:
    """See the module.

    Args:
        outbox: where notices wait.
        poster: sends.
        clock: the time.
        channels: the receivers, as configured now.
        settings: reminders and how long notices are kept, as configured now.
        node: this gateway's name.
        backoff: between two attempts at one notice.
        rest: how long a channel that fails is left alone; by how often in a row it did.
        poll_s: the longest between two rounds.

    Attributes:
        counts: as last counted.
        problems: why the last attempt at each channel that fails did.
    """

    def __init__(
        self,
        outbox: Outbox,
        poster: Poster,
        *,
        clock: Clock,
        channels: Callable[[], Sequence[Channel]],
        settings: Callable[[], NoticeSettings],
        node: str,
        backoff: Backoff | None = None,
        rest: Backoff | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self.counts = Counts()
        self.problems: dict[str, str] = {}
        self._outbox, self._poster, self._clock, self._node = outbox, poster, clock, node
        self._channels, self._settings = channels, settings
        self._backoff = backoff or Backoff()
        self._rest = rest or Backoff(base_s=1.0, cap_s=60.0)
        self._poll_s = poll_s
        self._nudged = asyncio.Event()
        self._under_way: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._rests_until_s: dict[str, float] = {}
        self._done_s: dict[str, float] = {}
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._broken = False

    def nudge(self) -> None:
        """There may be something to send."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled; what is under way then has a moment to finish, and is due again at once if it did not."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="courier")
        try:
            while True:
                self._nudged.clear()
                await self._guarded_round()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):  # not wait_for, which may lose a cancellation (3.11)
                        await self._nudged.wait()
        finally:
            with contextlib.suppress(Exception):  # it stops all the same, and leases end by themselves
                await self._let_go()
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _let_go(self) -> None:
        """What did not finish may have arrived all the same, so that whoever sends it again may send it twice."""
        if not self._tasks:
            return
        await asyncio.wait(self._tasks, timeout=GRACE_S)
        unfinished = dict(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        now_us = self._clock.now_us()
        for delivery in unfinished.values():
            await self._in_thread(partial(self._outbox.settle, replace(delivery, next_us=now_us)))

    async def _guarded_round(self) -> None:
        try:
            await self._round()
            self._broken = False
        except Exception as error:  # whatever it is, the next round tries again
            if not self._broken:
                log.error("notices_not_read", problem=str(error) or type(error).__name__)
            self._broken = True

    async def _round(self) -> None:
        channels = {channel.name: channel for channel in self._channels()}
        claimed = await self._in_thread(lambda: self._take_up(channels))
        for delivery, notice in claimed:
            self._under_way[delivery.channel] += 1
            task = asyncio.get_running_loop().create_task(self._deliver(channels[delivery.channel], delivery, notice))
            self._tasks[task] = delivery
            task.add_done_callback(self._tasks.pop)

    def _take_up(self, channels: Mapping[str, Channel]) -> list[tuple[Delivery, Notice]]:
        """All that a round does with the database; blocking."""
        now_us = self._clock.now_us()
        settings = self._settings()
        if self._is_time("remind", REMIND_S):
            self._outbox.remind(settings, now_us=now_us)
        if self._is_time("prune", PRUNE_S):
            self._outbox.prune(channels, now_us=now_us, keep_us=round(settings.keep_s * SECOND_US))
        if self._is_time("count", COUNT_S):
            self.counts = self._outbox.counts(channels)
        self._outbox.plan(tuple(channels.values()), now_us=now_us, node=self._node)
        free = {name: AT_A_TIME - self._under_way[name] for name in channels if not self._rests(name)}
        lease_us = {
            name: now_us + round((channel.settings.timeout_s + LEASE_S) * SECOND_US)
            for name, channel in channels.items()
        }
        return self._outbox.claim(free, now_us=now_us, lease_us=lease_us)

    def _is_time(self, chore: str, every_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._done_s.get(chore, float("-inf")) < every_s:
            return False
        self._done_s[chore] = now_s
        return True

    def _rests(self, channel: str) -> bool:
        return self._clock.monotonic_s() < self._rests_until_s.get(channel, float("-inf"))

    async def _deliver(self, channel: Channel, delivery: Delivery, notice: Notice) -> None:
        try:
            answer = await self._poster.post(channel.message(notice, now_us=self._clock.now_us()))
            now_us = self._clock.now_us()
            after = settled(delivery, answer, settings=channel.settings, backoff=self._backoff, now_us=now_us)
            self._learn(after, answer, now_us)
            await self._in_thread(lambda: self._outbox.settle(after))
        except Exception as error:  # its lease ends, and it is sent again
            log.error("notice_not_settled", channel=channel.name, notice=notice.id, problem=str(error))
        finally:
            self._under_way[channel.name] -= 1
            self._done_s.pop("count", None)
            self.nudge()

    def _learn(self, after: Delivery, answer: Answer, now_us: int) -> None:
        """What an answer says about the channel; told in the log when it changes."""
        name, problem = after.channel, after.last_problem
        if problem and self.problems.get(name) != problem:
            log.warning("notice_not_delivered", channel=name, notice=after.notice, problem=problem)
        if after.given_up_us:
            log.error("notice_given_up", channel=name, notice=after.notice, attempts=after.attempts, problem=problem)
        if not problem:
            self.problems.pop(name, None)
            self._failures.pop(name, None)
            return
        self.problems[name] = problem
        if answer.about_channel:
            self._failures[name] += 1
            asked_s = retry_after_s(answer.retry_after, now_us=now_us)
            rest_s = max(self._rest.delay_s(self._failures[name]), asked_s)
            self._rests_until_s[name] = self._clock.monotonic_s() + rest_s

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
