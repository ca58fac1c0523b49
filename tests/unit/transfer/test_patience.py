"""Whoever fails to sign in again and again waits."""

from __future__ import annotations

import pytest

from gateway.transfer.patience import FREE, KEPT, LONGEST_S, Patience
from tests.world.clock import FakeClock


def test_a_few_failures_cost_nothing_more_of_them_longer_and_longer() -> None:
    """Up to a limit; nobody is locked out for ever."""
    clock = FakeClock()
    patience = Patience(clock.monotonic_s)
    waits = []
    for _ in range(FREE + 14):
        patience.failed("ana", "here")
        waits.append(patience.wait_s("ana"))
        clock.advance(waits[-1])
        assert patience.wait_s("ana", "here") == 0
    assert waits[: FREE - 1] == [0] * (FREE - 1)
    assert waits[FREE - 1 : FREE + 3] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_S


def test_one_waits_for_nobody_else() -> None:
    """And whoever got in begins anew."""
    clock = FakeClock()
    patience = Patience(clock.monotonic_s)
    for _ in range(FREE):
        patience.failed("ana")
    assert patience.wait_s("ben") == 0
    assert patience.wait_s("ben", "ana") == pytest.approx(1)
    clock.advance(1.5)
    patience.succeeded("ana")
    patience.failed("ana")
    assert patience.wait_s("ana") == 0


def test_memory_is_bounded() -> None:
    """The least recent are forgotten."""
    clock = FakeClock()
    patience = Patience(clock.monotonic_s)
    for number in range(KEPT + 5):
        patience.failed(number)
    assert len(patience._failed) == KEPT
