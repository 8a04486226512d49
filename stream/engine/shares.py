"""Values that compare keys, and values that fade: `share`, `top`, `half_life`."""

from __future__ import annotations

from math import log2

from stream.engine.cells import LAST, MICRO, TOTAL, N
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import Cells, DecaySummary, RecentSummary, Summary
from stream.engine.values import UNKNOWN, Answer, Value, covered_from


class Gate(Value):
    """`min_n: k`: unknown below k events, for features whose own state does not count events."""

    __slots__ = ("_value", "count", "min_n", "recent")

    def __init__(self, value: Value, count: Cells, min_n: int, recent: RecentSummary) -> None:
        super().__init__(value.text)
        self._value = value
        self.count = count
        self.min_n = min_n
        self.recent = recent

    def split(self) -> Summary | None:
        return self._value.split()

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        cell, until = self.count.read(profile, instant, key)
        if cell is None or cell[N] < self.min_n:
            return (None, 0, until)
        value, slope, end = self._value.value(profile, instant, key)
        return (value, slope, min(until, end))


class Share(Value):
    """This key's part of the (event, key) pairs, or of the sum of a field over them; unknown if the total is ≤ 0, and
    below `min_n` events of all keys together. A part of pairs is a number of events, whatever else counts them, too."""

    __slots__ = ("_is_of_pairs", "_part", "min_n", "recent", "total")

    def __init__(
        self, name: str, part: Cells, total: Cells, is_of_pairs: bool, min_n: int, recent: RecentSummary
    ) -> None:
        super().__init__(name)
        self._part = part
        self.total = total
        self._is_of_pairs = is_of_pairs
        self.min_n = min_n
        self.recent = recent

    def split(self) -> Summary | None:
        return self._part

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        total, until = self.total.read(profile, instant, None)
        if total is None or total[N] < self.min_n:
            return (None, 0, until)
        mine = 0
        if self._is_of_pairs:
            n, end = self._part.count(self._part.state(profile, key), profile, instant)
            mine = n * MICRO
        else:
            part, end = self._part.read(profile, instant, key)
            if part is not None:
                mine = part[TOTAL]
        until = min(until, end)
        if total[TOTAL] <= 0 or covered_from(self.total, profile, None) > -FOREVER:
            return (None, 0, until)
        return (mine / total[TOTAL], 0, until)


class Top(Value):
    """The key with the largest count or sum; ties: the most recent, then the smaller key. Unknown of nothing."""

    __slots__ = ("_is_of_pairs", "_parts", "recent")

    def __init__(self, name: str, parts: Cells, is_of_pairs: bool, recent: RecentSummary) -> None:
        super().__init__(name)
        self._parts = parts
        self._is_of_pairs = is_of_pairs
        self.recent = recent

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        place = N if self._is_of_pairs else TOTAL
        best: tuple[int, int] | None = None
        answer, until = None, FOREVER
        for name in self._parts.keys(profile):
            cell, end = self._parts.read(profile, instant, name)
            until = min(until, end)
            if cell is not None and (best is None or (cell[place], cell[LAST]) > best):
                best, answer = (cell[place], cell[LAST]), name
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
