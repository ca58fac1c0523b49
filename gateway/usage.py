"""Usage: what was read under each grant, kept over a stop and over a crash.

The desk counts, in memory, and what it counts is what the next decision is judged by. Behind the answers it is written
to the state, and at a stop once more. A crash leaves the state behind by what the last half second counted; at the next
start the ledger, which has every permit and the bytes of every one that was completed, makes up for that.

Invariants: a smaller count never replaces a larger one, whoever writes when; a grant's permits that are on record are
counted, whether or not anything came of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from gateway.justification import Desk, Usage, requests
from gateway.ledger.reader import LedgerReader
from gateway.storage import StateStore

log = structlog.get_logger(__name__)
FLUSH_S = 0.5


class UsageBook:
    """Writes what a desk counts to the state, and recalls it from the ledger."""

    def __init__(self, state: StateStore, desk: Desk) -> None:
        self._state = state
        self._desk = desk
        self._due: set[str] = set()
        self._written: dict[str, Usage] = {}
        self._turn = asyncio.Lock()

    def save(self, grant: str) -> None:
        """Have a grant's usage written soon; nobody waits for it."""
        self._due.add(grant)

    async def run(self, in_flight: Callable[[], Iterable[str]]) -> None:
        """Write what is due, every :data:`FLUSH_S`, until cancelled.

        Args:
            in_flight: the grants under which bytes flow now that count towards a cap.
        """
        while True:
            self._due.update(in_flight())
            await self.flush()
            await asyncio.sleep(FLUSH_S)

    async def flush(self) -> None:
        """Write what is due; what cannot be written stays due."""
        async with self._turn:
            due, self._due = self._due, set()
            usages = [usage for grant in due if (usage := self._desk.usage(grant)) != self._written.get(grant)]
            if not usages:
                return
            try:
                await asyncio.to_thread(self._write, usages)
            except BaseException as error:  # nobody waits any more, too
                self._due |= due
                if not isinstance(error, Exception):
                    raise
                log.exception("usage_not_saved", grants=sorted(due))
            else:
                self._written |= {usage.grant: usage for usage in usages}

    def _write(self, usages: Iterable[Usage]) -> None:
        with self._state.transaction(exclusive=True) as transaction:
            for usage in usages:
                before = transaction.find(Usage, usage.grant) or Usage(usage.grant)
                if (after := _most(before, usage)) != before:
                    transaction.put(after)

    def recall(self, ledger: LedgerReader, *, now_us: int) -> None:
        """Count what the ledger has of each grant with a cap that may still be used; blocking, before anybody asks.

        Raises:
            LedgerUnavailable: it cannot be read, so it is not known what is left of them.
        """
        capped = [grant for grant in self._desk.grants() if grant.max_bytes or grant.max_requests]
        live = [grant for grant in capped if requests.may_count(grant, now_us)]
        since_us = min((grant.starts_us for grant in live), default=now_us)
        for grant, decisions in ledger.permits([grant.id for grant in live], since_us=since_us).items():
            self._desk.put(_recorded(ledger, grant, decisions))
            self.save(grant)


def _recorded(ledger: LedgerReader, grant: str, decisions: Sequence[str]) -> Usage:
    """What is on record of a grant; a permit without a completion has no bytes there."""
    completed = ledger.completions(decisions).values()
    return Usage(grant, len(decisions), sum(each["bytes"] + each["bytes_in"] for each in completed))


def _most(one: Usage, other: Usage) -> Usage:
    return Usage(one.grant, max(one.requests, other.requests), max(one.bytes, other.bytes))
