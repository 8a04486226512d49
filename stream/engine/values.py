"""Values as functions of time.

A node answers `value(profile, instant, key)` with (value, slope, until): the value at the instant, how much it grows
per millisecond, and the first later instant at which that line may end. An unknown value is None. Numbers are doubles:
sums become doubles here, where something reads them, and whole milliseconds stay integers, which compare exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan
from operator import add, mul, sub
from typing import Any, Final

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
from stream.engine.summaries import COVERED, Cells, RecentSummary, Summary
from stream.engine.windows import Between, Window

Answer = tuple[Any, float, int]
UNKNOWN: Answer = (None, 0, FOREVER)


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

    def parts(self) -> tuple[Value, ...]:
        """The values that it is made of."""
        return ()


class Constant(Value):
    """A literal."""

    __slots__ = ("answer",)

    def __init__(self, value: Any, text: str) -> None:
        super().__init__(text)
        self.answer: Answer = (value, 0, FOREVER)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        return self.answer


# --- features --------------------------------------------------------------------------------------------------------


class Feature(Value):
    """A number or value of the cell of what a window holds. One subclass per aggregate, each with its formula.

    A summary that was added to a running system has seen nothing before its start. While its window reaches back beyond
    that, what could only be told from the whole window is unknown (`needs_history`).
    """

    __slots__ = ("_window", "min_n", "recent", "summary")

    needs_history = True

    def __init__(self, name: str, summary: Cells, window: Window, recent: RecentSummary, min_n: int) -> None:
        super().__init__(name)
        self.recent = recent
        self.summary = summary
        self._window = window
        self.min_n = min_n

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        cell, until = self.summary.read(profile, instant, key)
        if self.needs_history and (profile.covered or self.summary.is_split):
            start = covered_from(self.summary, profile, key)
            if start > self._window.reach(instant, profile):
                return (None, 0, min(until, self._window.covered_at(start)))
        if cell is None:
            return (self.of_nothing() if self.min_n == 0 else None, 0, until)
        if cell[N] < self.min_n:
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
    start = profile.covered.get(summary.slot, -FOREVER) if profile.covered else -FOREVER
    if summary.is_split and key is not None:
        entry = summary.entry(profile, key)
        if entry is not None:
            seen: int | None = entry[COVERED]
            if seen is not None and seen > start:
                start = seen
    return start


class Count(Feature):
    """Number of events; 0 of nothing."""

    __slots__ = ()

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        summary = self.summary
        state, start = None, -FOREVER
        if not summary.is_split:
            state = summary.state(profile, None)
        elif key is not None:
            entry = summary.entry(profile, key)
            if entry is not None:
                state = entry[summary.place]
                seen: int | None = entry[COVERED]
                if seen is not None:
                    start = seen
        if profile.covered:
            start = max(start, profile.covered.get(summary.slot, -FOREVER))
        n, until = summary.count(state, profile, instant)
        if start > -FOREVER and start > self._window.reach(instant, profile):
            return (None, 0, min(until, self._window.covered_at(start)))
        return ((n if n >= self.min_n else None), 0, until)

    def of_nothing(self) -> Any:
        return 0

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        return (cell[N], 0, until)

    def only_falls(self) -> bool:
        """Whether waiting never raises it: events leave the window, and none enters without coming."""
        return not isinstance(self._window, Between)

    def stays_below(self, profile: Profile, key: str | None, bound: int) -> bool:
        """Whether so few events are kept at all that no instant, and no want of history, counts `bound` of them."""
        if profile.covered:
            return False
        summary = self.summary
        if not summary.is_split:
            state = profile.part(summary.unit, summary.place)
            return state is None or summary.most(state) < bound
        if key is None:
            return True
        entry = summary.entry(profile, key)
        if entry is None:
            return True
        state = entry[summary.place]
        return entry[COVERED] is None and (state is None or summary.most(state) < bound)

    def floor(self, profile: Profile, instant: int, key: str | None) -> int | None:
        if self.missing_history(profile, instant, key) is None:
            return None
        cell, _ = self.summary.read(profile, instant, key)
        return 0 if cell is None else int(self.of_cell(cell, instant, FOREVER)[0])


class Distinct(Count):
    """Number of different values of a field: exact up to 256, then estimated from the smallest hashes; 0 of nothing."""

    __slots__ = ()

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        return Feature.value(self, profile, instant, key)

    def only_falls(self) -> bool:
        return False  # an estimate of more than 256 may become an exact 256

    def of_cell(self, cell: Cell, instant: int, until: int) -> Answer:
        hashes = cell[HASHES]
        if len(hashes) <= DISTINCT:
            return (len(hashes), 0, until)
        return (estimate_distinct(DISTINCT, hashes[DISTINCT]), 0, until)


class Days(Count):
    """Number of distinct local calendar days, weeks or months; 0 of nothing."""

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

    def parts(self) -> tuple[Value, ...]:
        return (self._left, self._right)

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

    def parts(self) -> tuple[Value, ...]:
        return self._operands

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

    def parts(self) -> tuple[Value, ...]:
        return (self._operand,)

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

    def parts(self) -> tuple[Value, ...]:
        return self._operands

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        until = FOREVER
        for operand in self._operands:
            value, slope, end = operand.value(profile, instant, key)
            until = min(until, end)
            if value is not None:
                return (value, slope, until)
        return (None, 0, until)
