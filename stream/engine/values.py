"""Values as functions of time.

A node answers `value(profile, instant, key)` with (value, slope, until): the value at the instant, how much it grows
per millisecond, and the first later instant at which that line may end. An unknown value is None. Numbers are doubles:
sums become doubles here, where something reads them, and whole milliseconds stay integers, which compare exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import asin, cos, isfinite, log2, nan, radians, sin, sqrt
from operator import add, mul, sub
from typing import Any, Final
from zoneinfo import ZoneInfo

from stream.engine import calendar
from stream.engine.cells import (
    DISTINCT,
    FIRST,
    FIRST_VALUE,
    HASHES,
    HIGH,
    LAST,
    LAST_VALUE,
    LOW,
    MICRO,
    TOTAL,
    Cell,
    N,
    estimate_distinct,
)
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import Cells, DecaySummary, RecentSummary, Summary
from stream.engine.windows import Between, Window

Answer = tuple[Any, float, int]
UNKNOWN: Answer = (None, 0, FOREVER)
EARTH_RADIUS_KM = 6371.0088  # mean radius R1 of the IUGG


class Value:
    """A value that may change with time. `text` is how the author would write it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        """(value, slope, until) at an instant."""
        raise AssertionError("every value defines this")

    def split(self) -> Summary | None:
        """The summary of a feature that may be split by key."""
        return None


class Constant(Value):
    """A literal."""

    __slots__ = ("_answer",)

    def __init__(self, value: Any, text: str) -> None:
        super().__init__(text)
        self._answer: Answer = (value, 0, FOREVER)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        return self._answer


# --- features --------------------------------------------------------------------------------------------------------


class Feature(Value):
    """A number or value of the cell of what a window holds. One subclass per aggregate, each with its formula.

    A summary that was added to a running system has seen nothing before its start. While its window reaches back beyond
    that, what could only be told from the whole window is unknown (`needs_history`).
    """

    __slots__ = ("_min_n", "_window", "recent", "summary")

    needs_history = True

    def __init__(self, name: str, summary: Cells, window: Window, recent: RecentSummary, min_n: int) -> None:
        super().__init__(name)
        self.recent = recent
        self.summary = summary
        self._window = window
        self._min_n = min_n

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        cell, until = self.summary.read(profile, instant, key)
        if self.needs_history and (profile.covered or self.summary.table is not None):
            start = covered_from(self.summary, profile, key)
            if start > self._window.reach(instant, profile):
                return (None, 0, min(until, self._window.covered_at(start)))
        if cell is None:
            return (self.of_nothing() if self._min_n == 0 else None, 0, until)
        if cell[N] < self._min_n:
            return (None, 0, until)
        return self.of_cell(cell, instant, until)

    def split(self) -> Summary | None:
        return self.summary

    def floor(self, profile: Profile, instant: int, key: str | None) -> int | None:
        """A known lower bound where the value is unknown for want of history."""
        return None

    def reach(self, profile: Profile, instant: int) -> int:
        """The earliest time that is asked about."""
        return self._window.reach(instant, profile)

    def missing_history(self, profile: Profile, instant: int, key: str | None) -> tuple[int, int] | None:
        """(covered from, asked from) if the summary has not seen all that is asked."""
        start = covered_from(self.summary, profile, key)
        reach = self._window.reach(instant, profile)
        return (start, reach) if start > reach else None

    def of_nothing(self) -> Any:
        """The value of an empty window."""
        return None

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        """The value of a cell with at least one event."""
        raise AssertionError("every aggregate defines this")


def covered_from(summary: Summary, profile: Profile, key: str | None) -> int:
    """The instant from which a summary has seen everything: -FOREVER if it always has."""
    start = profile.covered.get(summary.slot, -FOREVER)
    if summary.table is not None and key is not None:
        entries = profile.units[summary.slot]
        entry = None if entries is None else entries.get(key)
        if entry is not None:
            start = max(start, entry[2])
    return start


class Count(Feature):
    """Number of events; 0 of nothing."""

    __slots__ = ()

    def of_nothing(self) -> Any:
        return 0

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[N], 0, until)

    def only_falls(self) -> bool:
        """Whether waiting never raises it: events leave the window, and none enters without coming."""
        return not isinstance(self._window, Between)

    def floor(self, profile: Profile, instant: int, key: str | None) -> int | None:
        if self.missing_history(profile, instant, key) is None:
            return None
        cell, _ = self.summary.read(profile, instant, key)
        return 0 if cell is None else int(self.of_cell(cell, instant, FOREVER)[0])


class Distinct(Count):
    """Number of different values of a field: exact up to 256, then estimated from the smallest hashes; 0 of nothing."""

    __slots__ = ()

    def only_falls(self) -> bool:
        return False  # an estimate of more than 256 may become an exact 256

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        hashes = cell[HASHES]
        if len(hashes) <= DISTINCT:
            return (len(hashes), 0, until)
        return (estimate_distinct(DISTINCT, hashes[DISTINCT]), 0, until)


class Days(Count):
    """Number of distinct local calendar days; 0 of nothing."""

    __slots__ = ()


class Sum(Feature):
    """Sum of a field, exact in multiples of 1e-6; 0 of nothing."""

    __slots__ = ()

    def of_nothing(self) -> Any:
        return 0

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[TOTAL] / MICRO, 0, until)


class Mean(Feature):
    """Sum of a field divided by the number of events that carry it; unknown of nothing."""

    __slots__ = ()

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[TOTAL] / (MICRO * cell[N]), 0, until)


class Min(Feature):
    """Smallest value of a field; unknown of nothing."""

    __slots__ = ()

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[LOW], 0, until)


class Max(Feature):
    """Largest value of a field; unknown of nothing."""

    __slots__ = ()

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[HIGH], 0, until)


class FirstValue(Feature):
    """Value of a field at the earliest (time, id); unknown of nothing."""

    __slots__ = ()

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[FIRST_VALUE], 0, until)


class LastValue(Feature):
    """Value of a field at the latest (time, id); unknown of nothing."""

    __slots__ = ()
    needs_history = False

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[LAST_VALUE], 0, until)


class SinceFirst(Feature):
    """τ − time of the earliest event, in milliseconds; unknown of nothing."""

    __slots__ = ()

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (instant - cell[FIRST], 1, until)


class SinceLast(Feature):
    """τ − time of the latest event, in milliseconds; unknown of nothing."""

    __slots__ = ()
    needs_history = False

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (instant - cell[LAST], 1, until)


class MeanGap(Feature):
    """(last − first) / (n − 1), in milliseconds: closed gaps only, so silence does not inflate it; unknown below 2."""

    __slots__ = ()

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        if cell[N] < 2:
            return (None, 0, until)
        return ((cell[LAST] - cell[FIRST]) / (cell[N] - 1), 0, until)


class Gate(Value):
    """`min_n: k`: unknown below k events, for features whose own state does not count events."""

    __slots__ = ("_count", "_min_n", "_value", "recent")

    def __init__(self, value: Value, count: Cells, min_n: int, recent: RecentSummary) -> None:
        super().__init__(value.text)
        self._value = value
        self._count = count
        self._min_n = min_n
        self.recent = recent

    def split(self) -> Summary | None:
        return self._value.split()

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        cell, until = self._count.read(profile, instant, key)
        if cell is None or cell[N] < self._min_n:
            return (None, 0, until)
        value, slope, end = self._value.value(profile, instant, key)
        return (value, slope, min(until, end))


class Share(Value):
    """This key's part of the (event, key) pairs, or of the sum of a field over them; unknown if the total is ≤ 0."""

    __slots__ = ("_part", "_total", "recent")

    def __init__(self, name: str, part: Cells, total: Cells, recent: RecentSummary) -> None:
        super().__init__(name)
        self._part = part
        self._total = total
        self.recent = recent

    def split(self) -> Summary | None:
        return self._part

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        total, until = self._total.read(profile, instant, None)
        part, end = self._part.read(profile, instant, key)
        until = min(until, end)
        if total is None or total[TOTAL] <= 0 or covered_from(self._total, profile, None) > -FOREVER:
            return (None, 0, until)
        return ((0.0 if part is None else part[TOTAL] / total[TOTAL]), 0, until)


class Top(Value):
    """The key with the largest count or sum; ties: the most recent, then the smaller key. Unknown of nothing."""

    __slots__ = ("_parts", "recent")

    def __init__(self, name: str, parts: Cells, recent: RecentSummary) -> None:
        super().__init__(name)
        self._parts = parts
        self.recent = recent

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        best: tuple[int, int] | None = None
        answer, until = None, FOREVER
        for name in self._parts.keys(profile):
            cell, end = self._parts.read(profile, instant, name)
            until = min(until, end)
            if cell is not None and (best is None or (cell[TOTAL], cell[LAST]) > best):
                best, answer = (cell[TOTAL], cell[LAST]), name
        return (answer, 0, until)


class Decay(Value):
    """`half_life: H`: Σ v · 2^(−(τ − e) / H) over all events. Not a line: only compared with constants."""

    __slots__ = ("_min_n", "_summary", "recent")

    def __init__(self, name: str, summary: DecaySummary, recent: RecentSummary, min_n: int) -> None:
        super().__init__(name)
        self._summary = summary
        self._min_n = min_n
        self.recent = recent

    def split(self) -> Summary | None:
        return self._summary

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        n, weight = self._summary.weigh(self._summary.state(profile, key), instant)
        if n < self._min_n or covered_from(self._summary, profile, key) > -FOREVER:
            return UNKNOWN
        return (weight, 0, FOREVER)

    def reaches(self, weight: float, bound: float) -> float:
        """Milliseconds until a weight has decayed to a bound of the same sign and smaller size."""
        return self._summary.half_life * log2(weight / bound)


class DecayShare(Value):
    """`share` with `half_life`: both weights decay alike, so the share stands still between events."""

    __slots__ = ("_min_n", "_part", "_total", "recent")

    def __init__(
        self, name: str, part: DecaySummary, total: DecaySummary, recent: RecentSummary, min_n: int
    ) -> None:
        super().__init__(name)
        self._part = part
        self._total = total
        self._min_n = min_n
        self.recent = recent

    def split(self) -> Summary | None:
        return self._part

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        state = self._total.state(profile, None)
        if not state or covered_from(self._total, profile, None) > -FOREVER:
            return UNKNOWN
        at = state[0][-1]  # any instant gives the share; the newest event's does not move with τ
        n, total = self._total.weigh(state, at)
        if n < self._min_n or total <= 0:
            return UNKNOWN
        return (self._part.weigh(self._part.state(profile, key), at)[1] / total, 0, FOREVER)


class DecayTop(Value):
    """`top` with `half_life`: all weights decay alike, so the order of the keys stands still between events."""

    __slots__ = ("_min_n", "_parts", "_total", "recent")

    def __init__(
        self, name: str, parts: DecaySummary, total: DecaySummary, recent: RecentSummary, min_n: int
    ) -> None:
        super().__init__(name)
        self._parts = parts
        self._total = total
        self._min_n = min_n
        self.recent = recent

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        state = self._total.state(profile, None)
        if state is None or self._total.weigh(state, state[0][-1])[0] < self._min_n:
            return UNKNOWN
        at = state[0][-1]
        best: tuple[float, int] | None = None
        answer = None
        for name in self._parts.keys(profile):
            weight = self._parts.weigh(self._parts.state(profile, name), at)[1]
            newest = self._parts.newest(profile, name)
            if best is None or (weight, newest) > best:
                best, answer = (weight, newest), name
        return (answer, 0, FOREVER)


# --- facts about the user --------------------------------------------------------------------------------------------


class Trait(Value):
    """`traits.x`: the last write of a leaf."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        super().__init__(f"traits.{path}")
        self._path = path

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        entry = profile.traits.get(self._path)
        return UNKNOWN if entry is None else (entry[2], 0, FOREVER)


# --- arithmetic ------------------------------------------------------------------------------------------------------


_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {"+": add, "-": sub, "*": mul}


class Arithmetic(Value):
    """`+ - * /` on doubles; unknown if an operand is, or is no number, and where the result is not finite (x / 0)."""

    __slots__ = ("_apply", "_left", "_operator", "_right")

    def __init__(self, operator: str, left: Value, right: Value, text: str) -> None:
        super().__init__(text)
        self._operator = operator
        self._apply = _OPERATORS.get(operator)
        self._left = left
        self._right = right

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        left, left_slope, left_until = self._left.value(profile, instant, key)
        right, right_slope, right_until = self._right.value(profile, instant, key)
        until = min(left_until, right_until)
        if type(left) not in NUMBERS or type(right) not in NUMBERS:
            return (None, 0, until)
        left, right = float(left), float(right)
        if self._apply is None:
            value, slope = (nan, 0.0) if right == 0 else (left / right, left_slope / right)
        else:
            value = self._apply(left, right)
            if self._operator == "*":
                slope = left_slope * right + right_slope * left
            else:
                slope = self._apply(left_slope, right_slope)
        return (value, slope, until) if isfinite(value) else (None, 0, until)


NUMBERS = (int, float)


class Extreme(Value):
    """`min` and `max`. Of moving operands the line holds until another one could take over."""

    __slots__ = ("_operands", "_sign")

    def __init__(self, sign: int, operands: tuple[Value, ...], text: str) -> None:
        super().__init__(text)
        self._sign = sign
        self._operands = operands

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        sign = self._sign
        answers = [operand.value(profile, instant, key) for operand in self._operands]
        until = min(answer[2] for answer in answers)
        if any(type(answer[0]) not in NUMBERS for answer in answers):
            return (None, 0, until)
        best, slope = max(((sign * value, sign * slope) for value, slope, _ in answers))
        for value, other_slope, _ in answers:
            # A line that is behind and steeper overtakes after this many milliseconds. The step is cut down and never
            # below one: waking early costs an evaluation, waking late would be wrong.
            gain = sign * other_slope - slope
            if gain > 0:
                until = min(until, instant + max(1, int((best - sign * value) / gain)))
        return (sign * best, sign * slope, until)


class Absolute(Value):
    """`abs`. A moving operand turns around at zero."""

    __slots__ = ("_operand",)

    def __init__(self, operand: Value, text: str) -> None:
        super().__init__(text)
        self._operand = operand

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, slope, until = self._operand.value(profile, instant, key)
        if type(value) not in NUMBERS:
            return (None, 0, until)
        if slope and value * slope < 0:
            until = min(until, instant + max(1, int(-value / slope)))
        if value < 0 or (value == 0 and slope < 0):
            return (-value, -slope, until)
        return (value, slope, until)


class Coalesce(Value):
    """The first operand that is known."""

    __slots__ = ("_operands",)

    def __init__(self, operands: tuple[Value, ...], text: str) -> None:
        super().__init__(text)
        self._operands = operands

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        until = FOREVER
        for operand in self._operands:
            value, slope, end = operand.value(profile, instant, key)
            until = min(until, end)
            if value is not None:
                return (value, slope, until)
        return (None, 0, until)


# --- time and place --------------------------------------------------------------------------------------------------


class LocalTime(Value):
    """`local_hour()`, `local_weekday()` (ISO, 1 = Monday), `local_date()` (2026-11-21): what the wall clock shows."""

    __slots__ = ("_function", "_periods")

    def __init__(self, function: str, timezone: str) -> None:
        super().__init__(f"{function}()")
        self._function = function
        self._periods = calendar.Periods("hour" if function == "local_hour" else "day", timezone)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        wall = calendar.to_local(instant, self._periods.zone)
        _, end = self._periods.bounds(instant)
        if self._function == "local_hour":
            return (wall.hour, 0, end)
        if self._function == "local_weekday":
            return (wall.isoweekday(), 0, end)
        return (wall.date().isoformat(), 0, end)


class Age(Value):
    """`age(date)`: whole years since a date, in the file's time zone; it grows at local midnight of the anniversary."""

    __slots__ = ("_date", "_zone")

    def __init__(self, date: Value, timezone: str, text: str) -> None:
        super().__init__(text)
        self._date = date
        self._zone = ZoneInfo(timezone)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, _, until = self._date.value(profile, instant, key)
        born = calendar.parse_date(value)
        if born is None:
            return (None, 0, until)
        today = calendar.to_local(instant, self._zone).date()
        year = today.year if today < calendar.anniversary(born, today.year) else today.year + 1
        years = year - 1 - born.year
        return (years, 0, min(until, calendar.midnight(calendar.anniversary(born, year), self._zone)))


class UntilAnniversary(Value):
    """`until_anniversary(date)`: 0 all through the day, else milliseconds to its local midnight."""

    __slots__ = ("_date", "_zone")

    def __init__(self, date: Value, timezone: str, text: str) -> None:
        super().__init__(text)
        self._date = date
        self._zone = ZoneInfo(timezone)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, _, until = self._date.value(profile, instant, key)
        born = calendar.parse_date(value)
        if born is None:
            return (None, 0, until)
        today = calendar.to_local(instant, self._zone).date()
        day = calendar.anniversary(born, today.year)
        if day == today:
            return (0, 0, min(until, calendar.midnight(today + timedelta(days=1), self._zone)))
        if day < today:
            day = calendar.anniversary(born, today.year + 1)
        midnight = calendar.midnight(day, self._zone)
        return (midnight - instant, -1, min(until, midnight))


class Distance(Value):
    """`distance_km(lat, lon, lat, lon)`: great-circle distance by the haversine formula on the mean Earth radius."""

    __slots__ = ("_operands",)

    def __init__(self, operands: tuple[Value, ...], text: str) -> None:
        super().__init__(text)
        self._operands = operands

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
