"""Instants: microseconds since the epoch, and their one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND_US, SteadyClock, SystemClock, parse_rfc3339, rfc3339
from tests.world.clock import FakeClock

LAST_US = 253_402_300_799_999_999  # the last microsecond of the year 9999


@pytest.mark.parametrize(
    ("instant_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (999_999, "1970-01-01T00:00:00.999999Z"),
        (1_700_000_000_000_000, "2023-11-14T22:13:20.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (LAST_US, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_instant_has_one_text(instant_us: int, text: str) -> None:
    """Always six decimals, always UTC."""
    assert rfc3339(instant_us) == text
    assert parse_rfc3339(text) == instant_us


@given(st.integers(0, LAST_US))
def test_text_leads_back_to_the_very_instant(instant_us: int) -> None:
    """Not a microsecond is lost, however far away."""
    assert parse_rfc3339(rfc3339(instant_us)) == instant_us


@given(st.integers(0, LAST_US), st.integers(0, LAST_US))
def test_texts_sort_like_their_instants(one: int, other: int) -> None:
    """The record can be searched by text."""
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@pytest.mark.parametrize(
    "text", ["2026-03-01T09:00:00Z", "2026-03-01T09:00:00+00:00", "2026-03-01T04:00:00-05:00", "2026-03-01 14:30+05:30"]
)
def test_offset_is_taken_into_account(text: str) -> None:
    """The same moment on any wall clock."""
    assert parse_rfc3339(text) == 1_772_355_600_000_000


@pytest.mark.parametrize("text", ["", "now", "2026-03-01", "2026-03-01T09:00:00", "2026-02-30T09:00:00Z", "1772355600"])
def test_text_without_offset_or_meaning_is_refused(text: str) -> None:
    """A time that could be anywhere is none."""
    with pytest.raises(ValueError, match=r"offset|ISO|month|isoformat"):
        parse_rfc3339(text)


def test_system_clock_tells_microseconds_and_never_goes_back() -> None:
    """The wall clock is of this century, and the other one only passes."""
    clock = SystemClock()
    assert parse_rfc3339("2020-01-01T00:00:00Z") < clock.now_us() < parse_rfc3339("2120-01-01T00:00:00Z")
    assert clock.monotonic_s() <= clock.monotonic_s()


def test_steady_clock_never_goes_back_and_loses_no_time() -> None:
    """Somebody sets the machine's clock back: what has an end ends when it would have."""
    clock = FakeClock()
    steady = SteadyClock(clock)
    began_us = steady.now_us()
    clock.advance(10)
    clock.jump(-3_600)
    assert steady.now_us() == began_us + 10 * SECOND_US
    clock.advance(100)
    assert steady.now_us() == began_us + 110 * SECOND_US
    clock.jump(+3_600)
    clock.jump(+50)
    assert steady.now_us() == clock.now_us() == began_us + 160 * SECOND_US


def test_steady_clock_goes_on_from_an_instant_that_is_past() -> None:
    """A restart under a clock that is behind prolongs nothing."""
    clock = FakeClock()
    floor_us = clock.now_us() + 5 * SECOND_US
    steady = SteadyClock(clock, floor_us)
    assert steady.now_us() == floor_us
    clock.advance(1)
    assert steady.now_us() == floor_us + SECOND_US


@given(st.lists(st.tuples(st.sampled_from(["advance", "jump"]), st.integers(-5_000, 5_000)), max_size=30))
def test_steady_clock_is_never_slower_than_the_monotonic_one(steps: list[tuple[str, int]]) -> None:
    """Whatever happens to the wall clock, at least as much time has passed as truly did."""
    clock = FakeClock()
    steady = SteadyClock(clock)
    before_us, before_s = steady.now_us(), clock.monotonic_s()
    for step, seconds in steps:
        clock.advance(abs(seconds)) if step == "advance" else clock.jump(seconds)
        now_us, now_s = steady.now_us(), clock.monotonic_s()
        assert now_us - before_us >= round((now_s - before_s) * SECOND_US) - 1
        before_us, before_s = now_us, now_s
