"""Where a store listens: each address in its turn, and one that lately failed only after all others."""

from __future__ import annotations

from collections.abc import Sequence

Address = tuple[str, int]
AVOIDED_S = 10.0


class Addresses:
    """The addresses of one store.

    Args:
        addresses: hosts and ports, at least one.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = tuple(addresses)
        self._turn = -1
        self._avoided_until_s: dict[Address, float] = {}

    def in_order(self, now_s: float) -> Sequence[Address]:
        """All of them, in the order in which to try them this time."""
        if len(self._addresses) == 1:
            return self._addresses
        self._turn = (self._turn + 1) % len(self._addresses)
        turned = self._addresses[self._turn :] + self._addresses[: self._turn]
        return sorted(turned, key=lambda address: self._avoided_until_s.get(address, now_s) > now_s)

    def failed(self, address: Address, now_s: float) -> bool:
        """Leave this one for last for a while; whether that is news."""
        known = self._avoided_until_s.get(address, now_s) > now_s
        self._avoided_until_s[address] = now_s + AVOIDED_S
        return not known
