"""Instants: microseconds since the epoch, and their one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SystemClock, parse_rfc3339, rfc3339

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
