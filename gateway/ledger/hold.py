"""A legal hold: what has to be kept although its time is over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold.

    Attributes:
        name: by which it is ended; no other ever had it.
        customer: whose entries it covers, and those that may concern them; "": everybody's.
        since_us, until_us: the time of entries that it covers, from and before; 0: from the first on, and without end.
        reason: why.
        placed_by, placed_us: who placed it, and when.
        ended_by, ended_us: who ended it, and when; "" and 0 as long as it holds.
    """

    name: str
    customer: str
    since_us: int
    until_us: int
    reason: str
    placed_by: str
    placed_us: int
    ended_by: str = ""
    ended_us: int = 0

    @property
    def in_force(self) -> bool:
        """Whether it was not ended."""
        return not self.ended_us
