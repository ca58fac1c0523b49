"""Support hours and business days, against tables worked out by hand.

Daylight saving in New York runs from Sunday, March 8 to Sunday, November 1 in 2026, and from Sunday, March 14 to
Sunday, November 7 in 2027: UTC-4 inside, UTC-5 outside, so that the window is 12:00 to 24:00 UTC in summer and 13:00 to
01:00 UTC (the next day) in winter.
"""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalog.customers import Customer, CustomerPlan
from gateway.clock import parse_rfc3339, rfc3339
from gateway.support import SupportWindow, due_us, is_business_day

WINDOW = SupportWindow()
LITERAL = SupportWindow(fixed_offset=True)
HOLIDAYS = SupportWindow(closed_on_holidays=True)
LITERAL_HOLIDAYS = SupportWindow(fixed_offset=True, closed_on_holidays=True)
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
        # Monday, March 9, 2026, the first business day of summer: 12:00 to 24:00 UTC
        (WINDOW, "2026-03-09T11:59:59.999999Z", "2026-03-09T12:00:00Z"),
        (WINDOW, "2026-03-09T23:59:59.999999Z", None),
        (WINDOW, "2026-03-10T00:00:00Z", "2026-03-10T12:00:00Z"),
        # Monday, November 2, 2026, the first business day of winter: 13:00 to 01:00 UTC
        (WINDOW, "2026-11-02T12:59:59.999999Z", "2026-11-02T13:00:00Z"),
        (WINDOW, "2026-11-03T00:59:59.999999Z", None),
        (WINDOW, "2026-11-03T01:00:00Z", "2026-11-03T13:00:00Z"),
        # Friday, March 12, 2027, 20:00 in winter; Sunday skips 02:00 to 03:00; Monday, 08:00 in summer
        (WINDOW, "2027-03-13T00:59:59.999999Z", None),
        (WINDOW, "2027-03-13T01:00:00Z", "2027-03-15T12:00:00Z"),
        (WINDOW, "2027-03-14T06:59:59.999999Z", "2027-03-15T12:00:00Z"),
        (WINDOW, "2027-03-14T07:00:00Z", "2027-03-15T12:00:00Z"),
        (WINDOW, "2027-03-15T11:59:59.999999Z", "2027-03-15T12:00:00Z"),
        (WINDOW, "2027-03-15T12:00:00Z", None),
        (WINDOW, "2027-03-16T00:00:00Z", "2027-03-16T12:00:00Z"),
        # Friday, November 5, 2027, 20:00 in summer; on Sunday 01:00 comes twice; Monday, 08:00 in winter
        (WINDOW, "2027-11-05T23:59:59.999999Z", None),
        (WINDOW, "2027-11-06T00:00:00Z", "2027-11-08T13:00:00Z"),
        (WINDOW, "2027-11-07T05:00:00Z", "2027-11-08T13:00:00Z"),
        (WINDOW, "2027-11-07T06:00:00Z", "2027-11-08T13:00:00Z"),
        (WINDOW, "2027-11-08T12:59:59.999999Z", "2027-11-08T13:00:00Z"),
        (WINDOW, "2027-11-09T00:59:59.999999Z", None),
        (WINDOW, "2027-11-09T01:00:00Z", "2027-11-09T13:00:00Z"),
        # "EST" to the letter knows of none of these changes
        (LITERAL, "2027-03-15T12:00:00Z", "2027-03-15T13:00:00Z"),
        (LITERAL, "2027-03-16T00:59:59.999999Z", None),
        (LITERAL, "2027-11-06T00:59:59.999999Z", None),
        (LITERAL, "2027-11-06T01:00:00Z", "2027-11-08T13:00:00Z"),
        # Monday, January 18, 2027, Martin Luther King, Jr.: from Friday, 20:00 to Tuesday, 08:00
        (HOLIDAYS, "2027-01-16T01:00:00Z", "2027-01-19T13:00:00Z"),
        (WINDOW, "2027-01-16T01:00:00Z", "2027-01-18T13:00:00Z"),
        # Christmas 2027 is a Saturday, observed on Friday, December 24: from Thursday, 20:00 to Monday, 08:00
        (HOLIDAYS, "2027-12-24T00:59:59.999999Z", None),
        (HOLIDAYS, "2027-12-24T01:00:00Z", "2027-12-27T13:00:00Z"),
        (HOLIDAYS, "2027-12-24T15:00:00Z", "2027-12-27T13:00:00Z"),
        (WINDOW, "2027-12-24T15:00:00Z", None),
        # New Year 2028 is a Saturday, observed on Friday, December 31, 2027, in the year before
        (HOLIDAYS, "2027-12-31T15:00:00Z", "2028-01-03T13:00:00Z"),
        (WINDOW, "2027-12-31T15:00:00Z", None),
        # both settings: Thursday, July 2, 2026, 20:00 at UTC-5; Monday, July 6, 08:00 at UTC-5
        (LITERAL_HOLIDAYS, "2026-07-03T00:59:59.999999Z", None),
        (LITERAL_HOLIDAYS, "2026-07-03T01:00:00Z", "2026-07-06T13:00:00Z"),
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
        (date(2026, 7, 2), True),
        (date(2026, 7, 6), True),  # July 4 was observed before the weekend, and not after it, too
        (date(2026, 9, 7), False),  # Labor Day
        (date(2026, 10, 12), False),  # Columbus Day
        (date(2026, 11, 11), False),  # Veterans Day, in the middle of a week
        (date(2026, 12, 25), False),  # Christmas, a Friday
        (date(2027, 1, 1), False),  # New Year, a Friday
        (date(2027, 1, 18), False),  # Martin Luther King, Jr.
        (date(2027, 2, 15), False),  # Washington's Birthday
        (date(2027, 5, 31), False),  # Memorial Day
        (date(2027, 6, 18), False),  # for Saturday, June 19
        (date(2027, 12, 23), True),
        (date(2027, 12, 24), False),  # for Saturday, December 25
        (date(2027, 12, 27), True),
        (date(2027, 12, 30), True),
        (date(2028, 1, 3), True),
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
        ("2026-11-01T05:30:00Z", "2026-11-03T06:30:00Z"),  # Sunday, the first 01:30 → Tuesday 01:30
        ("2026-07-01T14:00:00Z", "2026-07-06T14:00:00Z"),  # Wednesday → Thursday, Monday (July 3 is observed)
        ("2026-07-02T14:00:00Z", "2026-07-07T14:00:00Z"),  # Thursday → Monday, Tuesday
        ("2026-12-23T15:00:00Z", "2026-12-28T15:00:00Z"),  # Wednesday → Thursday, Monday (Christmas is a Friday)
        ("2027-01-15T21:00:00Z", "2027-01-20T21:00:00Z"),  # Friday → Tuesday (after Monday, King), Wednesday
        ("2027-03-12T15:00:00Z", "2027-03-16T14:00:00Z"),  # Friday 10:00 winter → Tuesday 10:00 summer
        ("2027-03-14T04:30:00Z", "2027-03-17T03:30:00Z"),  # Saturday 23:30 winter → Tuesday 23:30 summer
        ("2027-03-14T07:00:00Z", "2027-03-16T07:00:00Z"),  # Sunday 03:00, the first of summer → Tuesday 03:00
        ("2027-11-05T14:00:00Z", "2027-11-09T15:00:00Z"),  # Friday 10:00 summer → Tuesday 10:00 winter
        ("2027-11-07T05:30:00Z", "2027-11-09T06:30:00Z"),  # Sunday, the first 01:30 → Tuesday 01:30
        ("2027-11-07T06:30:00Z", "2027-11-09T06:30:00Z"),  # Sunday, the second 01:30 → Tuesday 01:30
        ("2027-12-23T15:00:00Z", "2027-12-28T15:00:00Z"),  # Thursday → Monday (Friday is observed), Tuesday
        ("2027-12-29T15:00:00Z", "2028-01-03T15:00:00Z"),  # Wednesday → Thursday, Monday (Friday is observed)
        ("2027-12-31T15:00:00Z", "2028-01-04T15:00:00Z"),  # the observed Friday itself → Monday, Tuesday
        ("2028-01-01T04:59:59.999999Z", "2028-01-05T04:59:59.999999Z"),  # Friday 23:59:59.999999 → Tuesday, likewise
    ],
)
def test_plan_is_due_two_business_days_on(ordered: str, due: str) -> None:
    """Two business days after the order, at the same time on New York's wall clock."""
    assert rfc3339(due_us(parse_rfc3339(ordered))) == rfc3339(parse_rfc3339(due))


@pytest.mark.parametrize(
    ("ordered", "due", "hours"),
    [
        ("2027-03-12T15:00:00.5Z", "2027-03-16T14:00:00.5Z", 95),  # Friday to Tuesday, and an hour was skipped
        ("2027-11-05T14:00:00.5Z", "2027-11-09T15:00:00.5Z", 97),  # Friday to Tuesday, and an hour came twice
    ],
)
def test_plan_due_across_a_change_of_the_clocks_begins_at_its_microsecond(ordered: str, due: str, hours: int) -> None:
    """It begins inside a second: whatever is judged in that second before its instant is judged without it."""
    ordered_us, begins_us = parse_rfc3339(ordered), parse_rfc3339(due)
    plan = CustomerPlan("P-1", "us-only", ("US",), 400, ordered_us, due_us(ordered_us))
    acme = Customer("acme", "Acme", (plan,))
    assert begins_us - ordered_us == hours * 3_600_000_000
    judged = {after_us: acme.plan_at(begins_us + after_us) for after_us in (-500_000, -1, 0, 499_999)}
    assert judged == {-500_000: None, -1: None, 0: plan, 499_999: plan}
    assert not plan.is_overdue(begins_us - 1)
    assert plan.is_overdue(begins_us)


@given(INSTANTS, st.sampled_from([WINDOW, LITERAL, HOLIDAYS, LITERAL_HOLIDAYS]))
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
