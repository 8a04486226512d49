"""Values of local time and of place: what the wall clock shows, how long until a day, how far it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from math import asin, cos, radians, sin, sqrt
from typing import Final
from zoneinfo import ZoneInfo

from stream.engine import calendar
from stream.engine.profile import Profile
from stream.engine.values import NUMBERS, Answer, Value

LOCAL_TIME: Final[dict[str, Callable[[datetime], int | str]]] = {
    "local_hour": lambda wall: wall.hour,
    "local_weekday": lambda wall: wall.isoweekday(),
    "local_month": lambda wall: wall.month,
    "local_date": lambda wall: wall.date().isoformat(),
}
"""What the wall clock shows: the hour, the ISO weekday (1 = Monday), the month, the date (2026-11-21)."""
_PERIODS: Final = {"local_hour": "hour", "local_month": "month"}
"""How long it shows the same; a day, if not said."""

EARTH_RADIUS_KM = 6371.0088  # mean radius R1 of the IUGG


class LocalTime(Value):
    """`local_hour()`, `local_weekday()`, `local_month()`, `local_date()`: what the wall clock shows."""

    __slots__ = ("_periods", "_show")

    def __init__(self, function: str, timezone: str) -> None:
        super().__init__(f"{function}()")
        self._show = LOCAL_TIME[function]
        self._periods = calendar.Periods(_PERIODS.get(function, "day"), timezone)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        wall = calendar.to_local(instant, self._periods.zone)
        _, end = self._periods.bounds(instant)
        return (self._show(wall), 0, end)


class Age(Value):
    """`age(date)`: whole years since a date, in the file's time zone; it grows at local midnight of the anniversary."""

    __slots__ = ("_date", "_zone")

    def __init__(self, date: Value, timezone: str, text: str) -> None:
        super().__init__(text)
        self._date = date
        self._zone = ZoneInfo(timezone)

    def parts(self) -> tuple[Value, ...]:
        return (self._date,)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, _, until = self._date.value(profile, instant, key)
        born = calendar.parse_date(value)
        if born is None:
            return (None, 0, until)
        today = calendar.to_local(instant, self._zone).date()
        year = today.year if today < calendar.anniversary(born, today.year) else today.year + 1
        years = year - 1 - born.year
        return (years, 0, min(until, calendar.midnight(calendar.anniversary(born, year), self._zone)))


class Month(Value):
    """`month(date)`: 1 to 12."""

    __slots__ = ("_date",)

    def __init__(self, date: Value, text: str) -> None:
        super().__init__(text)
        self._date = date

    def parts(self) -> tuple[Value, ...]:
        return (self._date,)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, _, until = self._date.value(profile, instant, key)
        day = calendar.parse_date(value)
        return (None if day is None else day.month, 0, until)


class UntilAnniversary(Value):
    """`until_anniversary(date)`: 0 all through the day, else milliseconds to its local midnight."""

    __slots__ = ("_date", "_zone")

    def __init__(self, date: Value, timezone: str, text: str) -> None:
        super().__init__(text)
        self._date = date
        self._zone = ZoneInfo(timezone)

    def parts(self) -> tuple[Value, ...]:
        return (self._date,)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, _, until = self._date.value(profile, instant, key)
        born = calendar.parse_date(value)
        if born is None:
            return (None, 0, until)
        midnight = next_anniversary(born, instant, self._zone)
        if midnight <= instant:
            tomorrow = calendar.to_local(instant, self._zone).date() + timedelta(days=1)
            return (0, 0, min(until, calendar.midnight(tomorrow, self._zone)))
        return (midnight - instant, -1, min(until, midnight))


def next_anniversary(born: date, instant: int, zone: ZoneInfo) -> int:
    """The local midnight with which the anniversary of a date begins: the next one, or today's."""
    today = calendar.to_local(instant, zone).date()
    day = calendar.anniversary(born, today.year)
    return calendar.midnight(day if day >= today else calendar.anniversary(born, today.year + 1), zone)


def same_anniversary(born: date, midnight: int, zone: ZoneInfo) -> int:
    """An instant from which on `next_anniversary` gives `midnight`, as long as that is to come.

    Two days after the anniversary before it, since a clock that is set back may repeat the end of a day.
    """
    year = calendar.to_local(midnight, zone).year
    before = calendar.anniversary(born, year - 1)
    return calendar.midnight(before + timedelta(days=2), zone)


class Distance(Value):
    """`distance_km(lat, lon, lat, lon)`: great-circle distance by the haversine formula on the mean Earth radius."""

    __slots__ = ("_operands",)

    def __init__(self, operands: tuple[Value, ...], text: str) -> None:
        super().__init__(text)
        self._operands = operands

    def parts(self) -> tuple[Value, ...]:
        return self._operands

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        answers = [operand.value(profile, instant, key) for operand in self._operands]
        until = min(answer[2] for answer in answers)
        places = [answer[0] for answer in answers]
        if any(type(place) not in NUMBERS for place in places):
            return (None, 0, until)
        return (distance_km(*places), 0, until)


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance by the haversine formula on the mean Earth radius; degrees in, kilometres out."""
    phi1, phi2, half = radians(lat1), radians(lat2), radians(lon2 - lon1) / 2
    h = sin((phi2 - phi1) / 2) ** 2 + cos(phi1) * cos(phi2) * sin(half) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))
