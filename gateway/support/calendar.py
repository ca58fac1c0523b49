"""Support hours and business days (contract reading, *Support* and *The plan*).

"Eastern" is the wall clock of New York through daylight saving; ``fixed_offset`` takes the source's "EST" literally,
UTC-5 all year. Business days are Monday to Friday less US federal holidays; the support window is Monday to Friday, and
a setting closes it on holidays.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from gateway.clock import SECOND_US

EASTERN = ZoneInfo("America/New_York")
EST = timezone(timedelta(hours=-5), "EST")
OPENS, CLOSES = time(8), time(20)
DUE_BUSINESS_DAYS = 2
SATURDAY = 5


class SupportWindow:
    """8:00 to 20:00 Eastern, Monday to Friday; severity 1 is always supported (``support-critical``).

    Args:
        fixed_offset: read "EST" as UTC-5 all year.
        closed_on_holidays: US federal holidays are closed too.
    """

    def __init__(self, fixed_offset: bool = False, closed_on_holidays: bool = False) -> None:
        self._zone: tzinfo = EST if fixed_offset else EASTERN
        self._closed_on_holidays = closed_on_holidays

    def applies_to(self, severity: int) -> bool:
        """Whether the window bounds support of this severity."""
        return severity > 1

    def is_open(self, instant_us: int) -> bool:
        """Whether an instant lies in the window; the opening second does, the closing one does not."""
        local = _local(instant_us, self._zone)
        return self._is_open_on(local.date()) and OPENS <= local.time() < CLOSES

    def next_opening_us(self, instant_us: int) -> int:
        """The instant itself while the window is open, else when it opens next."""
        if self.is_open(instant_us):
            return instant_us
        local = _local(instant_us, self._zone)
        day = local.date() if local.time() < OPENS else local.date() + timedelta(days=1)
        while not self._is_open_on(day):
            day += timedelta(days=1)
        return _instant_us(datetime.combine(day, OPENS, self._zone))

    def _is_open_on(self, day: date) -> bool:
        if self._closed_on_holidays:
            return is_business_day(day)
        return day.weekday() < SATURDAY


def is_business_day(day: date) -> bool:
    """Monday to Friday, and no US federal holiday (observed ones included)."""
    return day.weekday() < SATURDAY and day not in _federal_holidays(day.year)


def due_us(ordered_us: int) -> int:
    """When an existing customer's plan is due (``enable-existing``): two business days on, at the same time of day."""
    local = _local(ordered_us, EASTERN)
    day, left = local.date(), DUE_BUSINESS_DAYS
    while left:
        day += timedelta(days=1)
        left -= is_business_day(day)
    return _instant_us(datetime.combine(day, local.time(), EASTERN))


@lru_cache(maxsize=64)
def _federal_holidays(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("US", years=year))


def _local(instant_us: int, zone: tzinfo) -> datetime:
    seconds, micros = divmod(instant_us, SECOND_US)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).astimezone(zone)


def _instant_us(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND_US)
