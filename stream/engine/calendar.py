"""Local time: periods of the calendar and wall-clock readings, as functions of an instant.

A period is [start, next start) of local wall time. A start that the zone skips in spring is the first instant after the
gap; the hour that comes twice in autumn is one period, which lasts two hours.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from stream.instants import EPOCH

_MILLISECOND = timedelta(milliseconds=1)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def to_local(instant: int, zone: ZoneInfo) -> datetime:
    """The wall clock of `zone` at an instant."""
    return (EPOCH + timedelta(milliseconds=instant)).astimezone(zone)


def from_local(wall: datetime, zone: ZoneInfo, after: int | None = None) -> int:
    """The first instant at which the wall clock shows `wall` (naive), or the first after the gap that skips it.

    A time that comes twice is the second one where the first is not later than `after`.
    """
    aware = wall.replace(tzinfo=zone, fold=0)
    instant = (aware - EPOCH) // _MILLISECOND
    if after is not None and instant <= after:
        return (aware.replace(fold=1) - EPOCH) // _MILLISECOND
    if to_local(instant, zone).replace(tzinfo=None) == wall:
        return instant
    # In a gap: the two readings of the wall time enclose the transition. Search it.
    low = (aware.replace(fold=1).astimezone(UTC) - EPOCH) // _MILLISECOND
    high = instant
    before = to_local(low, zone).utcoffset()
    while low < high:
        middle = (low + high) // 2
        if to_local(middle, zone).utcoffset() == before:
            low = middle + 1
        else:
            high = middle
    return low


def truncate(wall: datetime, period: str) -> datetime:
    """The start of the hour, day, week (Monday), month or year that holds `wall`."""
    start = wall.replace(minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if period == "hour":
        return start
    start = start.replace(hour=0)
    if period == "week":
        return start - timedelta(days=start.weekday())
    if period == "month":
        return start.replace(day=1)
    if period == "year":
        return start.replace(month=1, day=1)
    return start


def advance(start: datetime, period: str) -> datetime:
    """The start of the period after the one that starts at `start`."""
    if period == "hour":
        return start + timedelta(hours=1)
    if period == "month":
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    if period == "year":
        return start.replace(year=start.year + 1)
    return start + timedelta(days=7 if period == "week" else 1)


class Periods:
    """The periods of one kind in one zone. Remembers the last one asked for: most questions are about the present."""

    __slots__ = ("_end", "_start", "period", "zone")

    def __init__(self, period: str, timezone: str) -> None:
        self.period = period
        self.zone = ZoneInfo(timezone)
        self._start = self._end = 0

    def bounds(self, instant: int) -> tuple[int, int]:
        """Start of the period that holds `instant`, and of the next."""
        if not self._start <= instant < self._end:
            wall = truncate(to_local(instant, self.zone), self.period)
            self._start = from_local(wall, self.zone)
            following = advance(wall, self.period)
            self._end = from_local(following, self.zone)
            while self._end <= instant:  # a period that the zone skips whole
                following = advance(following, self.period)
                self._end = from_local(following, self.zone)
        return self._start, self._end


@lru_cache(maxsize=4096)
def midnight(day: date, zone: ZoneInfo) -> int:
    """The first instant of a local day."""
    return from_local(datetime.combine(day, time.min), zone)


def ordinal_day(instant: int, zone: ZoneInfo) -> int:
    """The number of the local day, counted from 1 January of year 1."""
    return to_local(instant, zone).toordinal()


def parse_date(value: object) -> date | None:
    """The calendar date that text starts with (`1990-05-17`, also with a time behind it); None if it is none."""
    if type(value) is not str or _DATE.match(value) is None:
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def anniversary(born: date, year: int) -> date:
    """The anniversary in a year; 29 February falls on 1 March where there is none."""
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)
