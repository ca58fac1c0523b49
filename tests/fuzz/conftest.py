"""How much damaged input is tried, and from which seed."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from gateway.attempt import Approach, Decision
from gateway.checkpoint import Checkpoint
from gateway.refusal import UNWRITABLE

SOAK = float(os.environ.get("SOAK", "0"))
SEED = int(os.environ.get("SEED", "0")) or (Random().randrange(1, 2**32) if SOAK else 20_261_124)


@pytest.fixture
def random() -> Random:
    """Whose seed is printed where a test fails."""
    print(f"SEED={SEED} SOAK={SOAK}")
    return Random(SEED)


def count(otherwise: int) -> int:
    """How many to try: so many, but in a soak."""
    return round(50_000 * SOAK) or otherwise


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Approach]:
    """What the checkpoint is asked; a second try at writing one thing down is none of its own."""
    asked: list[Approach] = []
    decide = Checkpoint.decide

    async def counting(self: Checkpoint, approach: Approach, **more: Any) -> Decision:
        if approach.ambiguity != UNWRITABLE:
            asked.append(approach)
        return await decide(self, approach, **more)

    monkeypatch.setattr(Checkpoint, "decide", counting)
    return asked
