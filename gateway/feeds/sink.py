"""The port: where entries go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.feeds.item import Item


class Sink(Protocol):
    """A system outside. Nothing is opened before the first batch."""

    async def send(self, batch: Sequence[Item]) -> None:
        """Hand over entries in their order, and return only once they are known to have arrived.

        A batch that failed may have arrived in part, and comes again. Nothing of it hangs for longer than the feed's
        ``timeout_s`` without an answer.

        Raises:
            Exception: it is not known to have arrived; :class:`~gateway.errors.FeedUnavailable` says when to come
                again.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and files; another batch opens them anew."""
        ...
