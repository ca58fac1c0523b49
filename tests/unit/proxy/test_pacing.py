"""The pace of refusals: the first ones at once, the others one after the other, and nobody waits for another's."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy import limits
from gateway.proxy.pace import LEAST_S, SHARE, Pace
from gateway.settings import LimitSettings
from tests.world.clock import FakeClock

SAM, PRIYA = ("idp", "sam"), ("idp", "priya")


def pace(clock: FakeClock, *, rate: float = 10.0, wait: float = 2.0, room: int = 1_000) -> Pace:
    """A pace at which so many may wait."""
    given = LimitSettings(refusal_rate_per_s=rate, refusal_wait_s=wait, max_connections=room * SHARE)
    return Pace(given, clock.monotonic_s)


def test_first_refusals_are_answered_at_once_and_the_others_in_turn() -> None:
    """A second's worth, then one after the other; another client is at its own beginning."""
    found = pace(FakeClock())
    assert [found.enter(SAM) for _ in range(10)] == [0] * 10
    assert [found.enter(SAM) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert found.enter(PRIYA) == 0
    assert len(found) == 3


def test_wait_has_an_end_however_often_one_is_refused() -> None:
    """And what is owed is no more than the longest wait: afterwards the client is as any other."""
    clock = FakeClock()
    found = pace(clock)
    assert max(found.enter(SAM) or 0 for _ in range(500)) == 2.0
    clock.advance(3.5)
    assert found.enter(SAM) == 0


def test_where_too_many_wait_one_more_is_told_so_and_nobody_else() -> None:
    """Who has not been refused lately needs no room; who leaves makes some."""
    found = pace(FakeClock(), rate=1, room=2)
    assert [found.enter(SAM) for _ in range(4)] == [0, 1, 2, None]
    assert found.enter(PRIYA) == 0
    found.leave()
    assert found.enter(SAM) == 2


def test_rate_of_nought_is_no_pace() -> None:
    """It can be switched off."""
    found = pace(FakeClock(), rate=0)
    assert {found.enter(SAM) for _ in range(1_000)} == {0}


def test_other_settings_hold_from_then_on() -> None:
    """Those who wait still leave once."""
    found = pace(FakeClock(), rate=1)
    assert [found.enter(SAM) for _ in range(2)] == [0, 1]
    found.use(LimitSettings(refusal_rate_per_s=0))
    assert found.enter(SAM) == 0
    found.leave()
    assert len(found) == 0


async def test_whoever_waits_is_let_go_at_the_end() -> None:
    """A stop does not take as long as the longest wait; who comes afterwards does not wait."""
    found = pace(FakeClock(), rate=1, wait=3_600)
    assert await found.wait(SAM)
    waiting = asyncio.ensure_future(found.wait(SAM))
    await asyncio.sleep(0)
    assert len(found) == 1
    found.end()
    assert await waiting
    assert await found.wait(SAM)
    assert len(found) == 0


async def test_whoever_goes_away_leaves_its_room() -> None:
    """A connection that is lost meanwhile waits no longer."""
    found = pace(FakeClock(), rate=1, wait=3_600)
    assert await found.wait(SAM)
    waiting = asyncio.ensure_future(found.wait(SAM))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(found) == 0


async def test_no_room_is_told_at_once() -> None:
    """So that the connection can be closed."""
    found = pace(FakeClock(), rate=1, room=1)
    assert [found.enter(SAM), found.enter(SAM)] == [0, 1]
    assert not await found.wait(SAM)


def test_memory_is_bounded_by_who_was_refused_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is refused from ever new addresses makes nobody keep them."""
    monkeypatch.setattr(limits, "_SWEEP_AT", 10)
    clock = FakeClock()
    found = pace(clock)
    for number in range(1_000):
        found.enter(number)
        clock.advance(0.05)
    assert found._rate is not None
    assert len(found._rate._full_at_s) <= 11


@given(st.lists(st.floats(0, 0.3, allow_nan=False), min_size=1, max_size=100))
@settings(max_examples=100)
def test_no_more_than_the_rate_is_ever_answered(pauses: list[float]) -> None:
    """However they come, by any instant no more than a second's worth and the rate, of those whose wait has an end."""
    clock = FakeClock()
    found, now_s, answered_s = pace(clock, wait=1_000), 0.0, []
    for pause_s in pauses:
        clock.advance(pause_s)
        now_s += pause_s
        answered_s.append(now_s + (found.enter(SAM) or 0))
    assert answered_s == sorted(answered_s)
    for count, at_s in enumerate(answered_s, 1):
        assert count <= 10 + 10 * (at_s + LEAST_S)
