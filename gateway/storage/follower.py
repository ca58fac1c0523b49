"""The follower: keeps what the rooms hold in memory equal to the state database.

Invariants: what is read was committed; changes are applied in the order of the feed, all of one poll on the event loop
at once; when no poll has succeeded for ``max_staleness_s`` the follower is not *fresh*, and whatever can be revoked is
no longer honoured.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from gateway.catalog.customers import Customer, Customers
from gateway.clock import Clock
from gateway.identity import KeptAccounts, Revocation, Revocations, TransferPass, UploadAccount
from gateway.justification import AccessRequest, Authorization, Desk, Grant, HandOff, Ticket, Usage
from gateway.notification import Notice
from gateway.storage.store import StateStore

POLL_S = 0.25
LOOK_S = 0.02
_ACCOUNTS = (UploadAccount, TransferPass)
log = structlog.get_logger(__name__)


class StateFollower:
    """Feeds customers, desk, revocations and accounts from a :class:`StateStore`."""

    def __init__(
        self,
        store: StateStore,
        *,
        customers: Customers,
        desk: Desk,
        clock: Clock,
        max_staleness_s: float,
        revocations: Revocations | None = None,
        accounts: KeptAccounts | None = None,
    ) -> None:
        self._store = store
        self._customers = customers
        self._desk = desk
        self._revocations = revocations or Revocations()
        self._accounts = accounts or KeptAccounts(clock)
        self._clock = clock
        self._max_staleness_s = max_staleness_s
        self._revision = 0
        self._polled_s = float("-inf")
        self._turn = asyncio.Lock()  # of two polls the later one reads later, too: nothing old covers what is newer
        self.problem = "the state has not been read yet"
        self.changed: Callable[[], object] = lambda: None  # called when something did
        self.noticed: Callable[[], object] = lambda: None  # called when a notice was written

    @property
    def fresh(self) -> bool:
        """Whether what is in memory is known to be what the database held a moment ago."""
        return self._clock.monotonic_s() - self._polled_s <= self._max_staleness_s

    def load(self) -> None:
        """Read everything; blocking.

        Raises:
            StateUnavailable: the database cannot be read.
        """
        began = self._clock.monotonic_s()
        revision = self._store.revision()  # first: what changes meanwhile is then read twice, never missed
        for kind in (Customer, Ticket, HandOff, AccessRequest, Grant, Authorization, Usage, Revocation, *_ACCOUNTS):
            self._apply(self._store.all(kind))
        self._caught_up(revision, began)

    async def poll(self) -> None:
        """Catch up with the feed: what was committed before the call is in memory after it, if it can be read."""
        async with self._turn:
            await self._poll()

    async def _poll(self) -> None:
        began = self._clock.monotonic_s()
        try:
            revision, nouns = await asyncio.to_thread(self._store.changes, self._revision)
        except Exception as error:  # whatever it is, the next poll tries again, and until then nothing is fresh
            if not self.problem:
                log.error("state_unreadable", problem=str(error))
            self.problem = str(error)
            return
        changes = [noun for noun in nouns if not isinstance(noun, Notice)]
        self._apply(changes)
        self._caught_up(revision, began)
        if changes:
            self.changed()
        if len(changes) < len(nouns):
            self.noticed()

    async def run(self) -> None:
        """Poll until cancelled: as soon as the database's files have changed, and every so often in any case."""
        while True:
            seen = self._look()
            await self.poll()
            for _ in range(max(1, round(POLL_S / LOOK_S))):
                await asyncio.sleep(min(LOOK_S, POLL_S))
                if self._look() != seen:
                    break

    def _look(self) -> object:
        """What the database's files look like; a look that fails is left to the next poll, which says why."""
        with contextlib.suppress(Exception):
            return self._store.fingerprint()
        return None

    def _caught_up(self, revision: int, began_s: float) -> None:
        self._revision, self._polled_s, self.problem = revision, began_s, ""

    def _apply(self, nouns: Iterable[Any]) -> None:
        for noun in nouns:
            if isinstance(noun, Customer):
                self._customers.put(noun)
            elif isinstance(noun, Revocation):
                self._revocations.put(noun)
            elif isinstance(noun, _ACCOUNTS):
                self._accounts.put(noun)
            else:
                self._desk.put(noun)
