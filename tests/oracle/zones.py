"""Local time: what the clock on the wall shows, and where the periods of a zone begin."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = 15 * 60_000  # every offset and every change of offset since 1970 lies on this grid


def wall(instant: int, zone: ZoneInfo) -> datetime:
    """The local time without zone."""
    return (EPOCH + timedelta(milliseconds=instant)).astimezone(zone).replace(tzinfo=None, fold=0)


def instant_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@cache
def start(local: datetime, zone: ZoneInfo) -> int:
    """The first instant of which the wall shows `local` or, where the zone skips that, something later."""
    guess = instant_of(local.replace(tzinfo=UTC))
    around = range(guess - 16 * 4 * QUARTER, guess + 16 * 4 * QUARTER, QUARTER)
    return next(instant for instant in around if wall(instant, zone) >= local)


def beginning(local: datetime, period: str) -> datetime:
    """The wall time at which the period that shows `local` begins."""
    if period == "hour":
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    if period == "year":
        return day.replace(month=1, day=1)
    return day


def following(local: datetime, period: str) -> datetime:
    """The wall time at which the period after the one that begins at `local` begins."""
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}.get(period)
    if step:
        return local + step
    return beginning(local + timedelta(days=32 if period == "month" else 366), period)


def current_period(instant: int, period: str, zone: ZoneInfo) -> tuple[int, int]:
    """[start, next start) of the local period of an instant."""
    local = beginning(wall(instant, zone), period)
    if start(following(local, period), zone) <= instant:  # the wall went back over a beginning
        local = following(local, period)
    return start(local, zone), start(following(local, period), zone)


def local_date(instant: int, zone: ZoneInfo) -> date:
    return wall(instant, zone).date()


def boundaries(low: int, high: int, period: str, zone: ZoneInfo) -> list[int]:
    """The instants in [low, high) at which the wall shows a new local day (or hour)."""
    if period == "day":
        days, day = [], local_date(low, zone)
        while (begin := start(datetime.combine(day, datetime.min.time()), zone)) < high:
            if begin >= low:
                days.append(begin)
            day += timedelta(days=1)
        return days
    first = low - low % QUARTER
    grid = range(first, high, QUARTER)
    return [at for at in grid if at >= low and _shown(at, zone) != _shown(at - 1, zone)]


@cache
def _shown(instant: int, zone: ZoneInfo) -> tuple[date, int]:
    local = wall(instant, zone)
    return local.date(), local.hour


def anniversary(birth: date, year: int) -> date:
    """The day on which a birthday is kept in a year: 29 February falls on 1 March where there is none."""
    try:
        return birth.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def until_anniversary(birth: date, instant: int, zone: ZoneInfo) -> int:
    today = local_date(instant, zone)
    days = [anniversary(birth, year) for year in (today.year, today.year + 1)]
    if today in days:
        return 0
    nearest = min(day for day in days if day > today)
    return start(datetime.combine(nearest, datetime.min.time()), zone) - instant


def age(birth: date, instant: int, zone: ZoneInfo) -> int:
    today = local_date(instant, zone)
    return today.year - birth.year - (today < anniversary(birth, today.year))


def as_date(value: Any) -> date | None:
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value) if len(value) == 10 else None
    except ValueError:
        return None
