"""Support hours and business days, against tables worked out by hand.

In 2026, daylight saving in New York runs from Sunday, March 8 to Sunday, November 1: UTC-4 inside, UTC-5 outside, so
that the window is 12:00 to 24:00 UTC in summer and 13:00 to 01:00 UTC (the next day) in winter.
"""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import parse_rfc3339, rfc3339
from gateway.support import SupportWindow, due_us, is_business_day

WINDOW = SupportWindow()
LITERAL = SupportWindow(fixed_offset=True)
HOLIDAYS = SupportWindow(closed_on_holidays=True)
INSTANTS = st.integers(parse_rfc3339("2020-01-01T00:00:00Z"), parse_rfc3339("2035-01-01T00:00:00Z"))


def shown(instant_us: int) -> str:
    return rfc3339(instant_us).replace(".000000Z", "Z")


@pytest.mark.parametrize(
    ("window", "instant", "opens"),
    [
        # winter, a Tuesday: 08:00 is 13:00 UTC, 20:00 is 01:00 UTC
        (WINDOW, "2026-01-13T12:59:59.999999Z", "2026-01-13T13:00:00Z"),
        (WINDOW, "2026-01-13T13:00:00Z", None),
        (WINDOW, "2026-01-14T00:59:59.999999Z", None),
        (WINDOW, "2026-01-14T01:00:00Z", "2026-01-14T13:00:00Z"),
        # summer, a Tuesday: 08:00 is 12:00 UTC, 20:00 is 00:00 UTC
        (WINDOW, "2026-07-14T11:59:59.999999Z", "2026-07-14T12:00:00Z"),
        (WINDOW, "2026-07-14T12:00:00Z", None),
        (WINDOW, "2026-07-14T23:59:59.999999Z", None),
        (WINDOW, "2026-07-15T00:00:00Z", "2026-07-15T12:00:00Z"),
        # Friday, March 6, 20:00 in winter; Monday, March 9, 08:00 in summer
        (WINDOW, "2026-03-07T00:59:59Z", None),
        (WINDOW, "2026-03-07T01:00:00Z", "2026-03-09T12:00:00Z"),
        (WINDOW, "2026-03-08T07:00:00Z", "2026-03-09T12:00:00Z"),
        # Friday, October 30, 20:00 in summer; Monday, November 2, 08:00 in winter
        (WINDOW, "2026-10-31T00:00:00Z", "2026-11-02T13:00:00Z"),
        (WINDOW, "2026-11-01T05:30:00Z", "2026-11-02T13:00:00Z"),
        (WINDOW, "2026-11-01T06:30:00Z", "2026-11-02T13:00:00Z"),
        # "EST" to the letter: 13:00 to 01:00 UTC all year
        (LITERAL, "2026-07-14T12:59:59.999999Z", "2026-07-14T13:00:00Z"),
        (LITERAL, "2026-07-14T13:00:00Z", None),
        (LITERAL, "2026-07-15T00:59:59.999999Z", None),
        (LITERAL, "2026-07-15T01:00:00Z", "2026-07-15T13:00:00Z"),
        (LITERAL, "2026-03-07T01:00:00Z", "2026-03-09T13:00:00Z"),
        # Thanksgiving, Thursday, November 26: open as the source says, closed by the setting
        (WINDOW, "2026-11-26T15:00:00Z", None),
        (HOLIDAYS, "2026-11-26T15:00:00Z", "2026-11-27T13:00:00Z"),
        (HOLIDAYS, "2026-11-26T01:00:00Z", "2026-11-27T13:00:00Z"),
        # July 4 is a Saturday, observed on Friday, July 3; the window opens on Monday
        (HOLIDAYS, "2026-07-03T00:00:00Z", "2026-07-06T12:00:00Z"),
        (WINDOW, "2026-07-03T15:00:00Z", None),
    ],
)
def test_window_opens_and_closes_on_the_wall_clock(window: SupportWindow, instant: str, opens: str | None) -> None:
    """Open from 08:00 until just before 20:00 Eastern, Monday to Friday; closed, it says when it opens next."""
    moment = parse_rfc3339(instant)
    assert window.is_open(moment) is (opens is None)
    assert window.next_opening_us(moment) == (moment if opens is None else parse_rfc3339(opens))


@pytest.mark.parametrize(("severity", "bound"), [(1, False), (2, True), (3, True), (4, True)])
def test_window_bounds_all_but_severity_one(severity: int, bound: bool) -> None:
    """Critical issues are supported at any time."""
    assert WINDOW.applies_to(severity) is bound


@pytest.mark.parametrize(
    ("day", "business"),
    [
        (date(2026, 11, 25), True),
        (date(2026, 11, 26), False),  # Thanksgiving
        (date(2026, 11, 27), True),  # no federal holiday
        (date(2026, 11, 28), False),  # Saturday
        (date(2026, 6, 19), False),  # Juneteenth
        (date(2026, 7, 3), False),  # for Saturday, July 4
        (date(2027, 7, 5), False),  # for Sunday, July 4
        (date(2027, 12, 31), False),  # for Saturday, January 1, 2028
        (date(2026, 12, 24), True),
    ],
)
def test_business_day_is_no_weekend_and_no_federal_holiday(day: date, business: bool) -> None:
    """Holidays count on the day on which they are observed, across the year's end too."""
    assert is_business_day(day) is business


@pytest.mark.parametrize(
    ("ordered", "due"),
    [
        ("2026-01-13T15:00:00Z", "2026-01-15T15:00:00Z"),  # Tuesday 10:00 → Thursday 10:00
        ("2026-03-05T15:00:00Z", "2026-03-09T14:00:00Z"),  # Thursday 10:00 winter → Monday 10:00 summer
        ("2026-03-07T15:00:00Z", "2026-03-10T14:00:00Z"),  # Saturday 10:00 → Monday, Tuesday 10:00
        ("2026-10-30T14:00:00Z", "2026-11-03T15:00:00Z"),  # Friday 10:00 summer → Tuesday 10:00 winter
        ("2026-11-01T06:30:00Z", "2026-11-03T06:30:00Z"),  # Sunday, the second 01:30 → Tuesday 01:30
        ("2026-11-25T15:00:00Z", "2026-11-30T15:00:00Z"),  # Wednesday → Friday (after Thanksgiving), Monday
        ("2026-12-31T15:00:00Z", "2027-01-05T15:00:00Z"),  # Thursday → Monday (after New Year's Friday), Tuesday
        ("2026-01-14T04:59:59.5Z", "2026-01-16T04:59:59.5Z"),  # Tuesday 23:59:59.5 → Thursday 23:59:59.5
    ],
)
def test_plan_is_due_two_business_days_on(ordered: str, due: str) -> None:
    """Two business days after the order, at the same time on New York's wall clock."""
    assert rfc3339(due_us(parse_rfc3339(ordered))) == rfc3339(parse_rfc3339(due))


@given(INSTANTS, st.sampled_from([WINDOW, LITERAL, HOLIDAYS]))
@settings(max_examples=150)
def test_next_opening_is_open_and_the_first(instant_us: int, window: SupportWindow) -> None:
    """It is never in the past, it is open, and a microsecond earlier it was not."""
    opening = window.next_opening_us(instant_us)
    assert opening >= instant_us
    assert window.is_open(opening)
    assert opening == instant_us or not window.is_open(opening - 1)


@given(INSTANTS)
@settings(max_examples=150)
def test_due_time_is_a_business_day_within_a_week(ordered_us: int) -> None:
    """Two business days never take less than a day and a half, nor more than a week with a holiday."""
    days = (due_us(ordered_us) - ordered_us) / 86_400e6
    assert 1.9 < days < 7.1, shown(ordered_us)
