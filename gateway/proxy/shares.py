"""Places that several share: whoever holds many leaves some for the others.

One more is for an owner who holds no more than are left free. However many one owner wants and keeps, another finds
some; n owners who want all of them leave about one in n + 1. (It is the dynamic threshold of Choudhury and Hahne,
IEEE/ACM Transactions on Networking 6(2), 1998, with a factor of one.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from gateway.proxy.limits import Places


class Shares:
    """So many places; who finds none waits for one, in the order of coming among those who may have it.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._held = Places(total)
        self._waiting: dict[asyncio.Future[None], Hashable] = {}

    def take_now(self, owner: Hashable) -> bool:
        """Take a place if there is one for this owner."""
        if not self._free or self._held.of(owner) > self._free:
            return False
        self._free -= 1
        return self._held.take(owner)

    async def take(self, owner: Hashable) -> None:
        """Take a place as soon as there is one for this owner. Whoever stops waiting has none."""
        if self.take_now(owner):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = owner
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give_back(owner)
            raise
        finally:
            self._waiting.pop(turn, None)

    def give_back(self, owner: Hashable) -> None:
        """Give a place back that was taken."""
        self._free += 1
        self._held.give_back(owner)
        for turn, waiting in tuple(self._waiting.items()) if self._waiting else ():
            if not turn.done() and self.take_now(waiting):
                turn.set_result(None)
