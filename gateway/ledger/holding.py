"""Places outside that keep the last checkpoint, so that cutting off the ledger's tail can be seen.

A place goes forward only, by compare-and-swap: what it holds is read, has to be of this ledger's past, and is replaced
only if it is still the same. :class:`Kept` says so once, for every place that can be read and swapped; a witness, which
verifies for itself, is a :class:`Holder` of its own.

What each was told is remembered apart from it (:class:`Memory`), after it has taken it and to be read before it is
asked, so that it is never ahead of the holder: one that has less than that has lost it. That may be a disk that is not
mounted, or somebody who takes the evidence away; it is not written to, until an operator says that it is a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import HolderBehind, HolderUnavailable
from gateway.ledger.notary import size_of
from gateway.ledger.note import Checkpoint

ATTEMPTS = 3


class Vouching(Protocol):
    """What holders ask of the ledger whose checkpoints they keep; each raises LedgerUnavailable."""

    async def judge(self, note: str) -> Checkpoint:
        """A checkpoint that stands outside, if it is of the ledger's past; else LedgerContradicted."""
        ...

    async def size(self) -> int:
        """How many entries there are now."""
        ...

    async def latest(self) -> str | None:
        """The last checkpoint that the ledger keeps, or one over nothing; None without a key to sign even that."""
        ...

    async def consistency(self, first: int, second: int) -> Sequence[bytes]:
        """That one tree is the beginning of another."""
        ...

    async def cosigned(self, name: str) -> int:
        """The size of the largest tree that this witness cosigned."""
        ...

    async def keep_cosignature(self, size: int, name: str, line: str) -> None:
        """Keep what a witness signed."""
        ...


class Memory(Protocol):
    """What one holder was told; each raises StateUnavailable."""

    async def told(self) -> int:
        """How many entries the last checkpoint that it took is over; 0 if it is new."""
        ...

    async def remember(self, note: str) -> None:
        """It took this checkpoint; one over more that it took before stays."""
        ...

    async def forget(self) -> None:
        """It is a new one."""
        ...


class Holder(Protocol):
    """A place outside; one call at a time.

    Attributes:
        name: for messages.
        required: whether a start without it is refused.
        timeout_s: how long a call may take.
    """

    name: str
    required: bool
    timeout_s: float

    async def check(self, ledger: Vouching) -> None:
        """Make sure that what it holds is of the ledger's past.

        Raises:
            LedgerContradicted: it is not.
            HolderBehind: it has less than it was told.
            HolderUnavailable: it does not say.
        """
        ...

    async def tell(self, note: str, ledger: Vouching) -> None:
        """Have it keep a checkpoint, unless it has a later one. What may be raised is as for :meth:`check`."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Held:
    """What a place holds, and the tag by which it knows whether that is still so."""

    note: str
    tag: str


class Place(Protocol):
    """Where one note can be read and swapped; each raises HolderUnavailable."""

    async def read(self) -> Held | None:
        """What it holds; None: nothing yet."""
        ...

    async def swap(self, held: Held | None, note: str) -> bool:
        """Put a note in the place of what was read; whether that was still there."""
        ...

    async def close(self) -> None: ...


def require_not_behind(known: int, told: int) -> None:
    """Make sure that a holder has what it was told, in numbers of entries.

    Raises:
        HolderBehind: it has not.
    """
    if known < told:
        has = f"it has a checkpoint over {known} entries" if known else "it holds nothing"
        mend = "mount or restore it; if it is a new one, say so: residency-gateway ledger accept-holder"
        raise HolderBehind(f"{has}, and was told of {told} entries: it was emptied or put back; {mend}")


class Kept:
    """A :class:`Holder` that is a place to read and swap.

    Args:
        memory: what it was told; None where that would stand in the same place.
    """

    def __init__(self, name: str, place: Place, memory: Memory | None, *, required: bool, timeout_s: float) -> None:
        self.name = name
        self.required = required
        self.timeout_s = timeout_s
        self._place = place
        self._memory = memory

    async def check(self, ledger: Vouching) -> None:
        """See :class:`Holder`."""
        await self._read(ledger)

    async def tell(self, note: str, ledger: Vouching) -> None:
        """See :class:`Holder`. What it has already is written again, so that its time says when it was last told."""
        for _ in range(ATTEMPTS):
            held, size = await self._read(ledger)
            if size > size_of(note):
                return
            if await self._place.swap(held, note):
                if self._memory:
                    await self._memory.remember(note)
                return
        raise HolderUnavailable("somebody else writes there at the same time; give each gateway a place of its own")

    async def close(self) -> None:
        """See :class:`Holder`."""
        await self._place.close()

    async def _read(self, ledger: Vouching) -> tuple[Held | None, int]:
        """What it holds, and how many entries that is over."""
        told = await self._memory.told() if self._memory else 0
        held = await self._place.read()
        size = (await ledger.judge(held.note)).size if held else 0
        require_not_behind(size, told)
        return held, size
