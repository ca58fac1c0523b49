"""The circuit breaker of a store: one that does not answer is left alone for a while.

Closed, it costs a comparison. After so many exchanges in a row without an answer it opens: requests are refused at once
instead of waiting for one more time-out each. When its time is over, one request is let through; its answer closes the
circuit, and until there is one, the next request is let through only after as long again.
"""

from __future__ import annotations

import math
import sys

import structlog

from gateway.proxy.store import StoreUnreachable

log = structlog.get_logger(__name__)


class Circuit:
    """See the module.

    Args:
        store: for messages.
        limit: after so many failures in a row it opens; 0: never.
        open_s: how long it stays open.

    Attributes:
        failures: so many exchanges in a row had no answer.
        limit: as above; of a circuit that never opens, out of reach.
    """

    __slots__ = ("_open_s", "_store", "_until_s", "failures", "limit")

    def __init__(self, store: str, *, limit: int, open_s: float) -> None:
        self.failures = 0
        self.limit = limit or sys.maxsize
        self._store = store
        self._open_s = open_s
        self._until_s = 0.0

    def enter(self, now_s: float) -> None:
        """Ask for passage; needed only while ``failures`` has reached ``limit``.

        Raises:
            StoreUnreachable: with 503: it is open, and not yet time to try the store again.
        """
        if now_s < self._until_s:
            left_s = math.ceil(self._until_s - now_s)
            what = f"the store {self._store} did not answer {self.failures} times in a row"
            raise StoreUnreachable(503, f"{what}; it is tried again in {left_s} s", retry_after_s=left_s)
        self._until_s = now_s + self._open_s

    def failed(self, now_s: float) -> None:
        """An exchange had no answer."""
        self.failures += 1
        if self.failures >= self.limit:
            self._until_s = now_s + self._open_s
        if self.failures == self.limit:
            log.warning("store_circuit_opened", store=self._store, failures=self.failures)

    def answered(self) -> None:
        """An exchange had an answer, whatever it says; needed only while ``failures`` is not 0."""
        if self.failures >= self.limit:
            log.info("store_circuit_closed", store=self._store)
        self.failures = 0
