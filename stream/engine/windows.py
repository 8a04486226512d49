"""Windows: which of a selector's events count at an instant, and until when that stays so.

A window keeps its newest 64 entries exactly. Older ones fold into panes on a fixed grid, each a cell that counts whole:
it is inside as long as its newest entry is. So a count that is compared with a bound of at most 64 is exact to the
millisecond whatever the traffic, memory is bounded, and the state is a function of the set of events: which entries are
the newest 64, and which pane an older one falls into, does not depend on the order in which they came.

For the same reason an entry is forgotten only when its whole pane is out of reach (`Window.cut`), never one by one: a
late event may still fold it into a pane that counts.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from stream.durations import DAY, HOUR
from stream.engine.calendar import Periods
from stream.engine.cells import FIRST, LAST, Cell, Shape
from stream.engine.packed import EMPTY, at_place, count, cut_before, first_after, first_from, put_at
from stream.engine.profile import FOREVER, Profile

EXACT: Final = 64
"""Entries that a window keeps exactly."""
PANES: Final = 64
HOURLY: Final = 7 * DAY
DAILY: Final = 400 * DAY

Pane = list[Any]
"""[start, *cell]"""
Selection = tuple[int, int, list[Cell], int]
"""What is inside: the entries [low, high) and the cells of panes, unchanged before an instant."""


class Window:
    """A window over sorted times (`stream.engine.packed`) and panes."""

    __slots__ = ()

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        """What is inside at `instant`."""
        raise AssertionError("every window defines this")

    def pane_start(self, time: int, newest: int) -> int:
        """The pane that an entry at `time` folds into when the newest is at `newest`."""
        raise AssertionError("every window defines this")

    def cut(self, clock: int) -> int:
        """Entries before this can never count again, and neither can a pane that they would fold into."""
        raise AssertionError("every window defines this")

    def reach(self, instant: int, profile: Profile) -> int:
        """The earliest time that the window asks about at `instant`."""
        return -FOREVER

    def covered_at(self, start: int) -> int:
        """The instant from which a window is covered by what was seen since `start`, if time alone brings it."""
        return FOREVER


NO_PANES: Final[list[Cell]] = []


class Lifetime(Window):
    """Everything."""

    __slots__ = ()

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        return 0, count(times), [pane[1:] for pane in panes], FOREVER

    def pane_start(self, time: int, newest: int) -> int:
        return -FOREVER

    def cut(self, clock: int) -> int:
        return -FOREVER


class Last(Window):
    """`last: D`: τ − D < e ≤ τ."""

    __slots__ = ("_step", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self._step = -(-length // PANES)

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        after = instant - self.length
        low, size = first_after(times, after), count(times)
        until = int(at_place(times, low)) + self.length if low < size else FOREVER
        if not panes or low:  # entries are newer than every pane: if one is out, so are all panes
            return low, size, NO_PANES, until
        inside = [pane[1:] for pane in panes if pane[1 + LAST] > after]
        for cell in inside:
            until = min(until, cell[LAST] + self.length)
        return low, size, inside, until

    def reach(self, instant: int, profile: Profile) -> int:
        return instant - self.length + 1

    def covered_at(self, start: int) -> int:
        return start + self.length - 1

    def pane_start(self, time: int, newest: int) -> int:
        return time // self._step * self._step

    def cut(self, clock: int) -> int:
        return (clock - self.length + 1) // self._step * self._step


class Between(Last):
    """`between: [A, B]`: τ − A < e ≤ τ − B."""

    __slots__ = ("_until",)

    def __init__(self, length: int, until: int) -> None:
        super().__init__(length)
        self._until = until

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        after, last = instant - self.length, instant - self._until
        low, high = first_after(times, after), first_after(times, last)
        until = FOREVER
        if low < high:
            until = int(at_place(times, low)) + self.length
        if high < count(times):
            until = min(until, int(at_place(times, high)) + self._until)
        inside = []
        for pane in panes:
            cell = pane[1:]
            if cell[LAST] > last:
                until = min(until, cell[LAST] + self._until)
            elif cell[LAST] > after:
                inside.append(cell)
                until = min(until, cell[LAST] + self.length)
        return low, high, inside, until


class Suffix(Window):
    """Windows that reach from some instant to now, with panes of UTC hours, days, and one for all that is older."""

    __slots__ = ()

    def pane_start(self, time: int, newest: int) -> int:
        if time >= (newest - HOURLY) // DAY * DAY:
            return time // HOUR * HOUR
        if time >= (newest - DAILY) // DAY * DAY:
            return time // DAY * DAY
        return -FOREVER

    def cut(self, clock: int) -> int:
        return -FOREVER


def select_from(times: bytes, panes: list[Pane], start: int, until: int) -> Selection:
    """Everything from `start` on."""
    low = first_from(times, start)
    if low:
        return low, count(times), NO_PANES, until
    return 0, count(times), [pane[1:] for pane in panes if pane[1 + LAST] >= start], until


class Calendar(Suffix):
    """`calendar: day`: e is in the current local period."""

    __slots__ = ("_periods",)

    def __init__(self, periods: Periods) -> None:
        self._periods = periods

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        start, end = self._periods.bounds(instant)
        low, high, inside, until = select_from(times, panes, start, end)
        if low == high and not inside:
            until = FOREVER  # empty stays empty until an event comes
        return low, high, inside, until

    def cut(self, clock: int) -> int:
        return self._periods.bounds(clock)[0] // DAY * DAY if clock > -FOREVER else -FOREVER

    def reach(self, instant: int, profile: Profile) -> int:
        return self._periods.bounds(instant)[0]

    def covered_at(self, start: int) -> int:
        return self._periods.bounds(start)[1]


class Since(Suffix):
    """`since: sel2`: e ≥ time of the last sel2, which `unit` and `place` hold; before the first, lifetime."""

    __slots__ = ("_place", "_unit")

    def __init__(self, unit: int, place: int) -> None:
        self._unit = unit
        self._place = place

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        return select_from(times, panes, self.reach(instant, profile), FOREVER)

    def reach(self, instant: int, profile: Profile) -> int:
        cell = profile.part(self._unit, self._place)
        return -FOREVER if cell is None else int(cell[LAST])


class Session(Suffix):
    """`session: GAP`: the newest run of events at most GAP apart, while the last is at most GAP ago.

    The run is one of the selector's events of any key: `unit` and `place` hold all of them.
    """

    __slots__ = ("_gap", "_place", "_unit")

    def __init__(self, gap: int, unit: int, place: int) -> None:
        self._gap = gap
        self._unit = unit
        self._place = place

    def select(self, times: bytes, panes: list[Pane], instant: int, profile: Profile) -> Selection:
        run, run_panes = kept_in(profile.part(self._unit, self._place))
        last = count(run) - 1
        if last < 0 or instant - at_place(run, last) > self._gap:
            return count(times), count(times), NO_PANES, FOREVER
        start = int(at_place(run, last))
        until = start + self._gap + 1
        for place in range(last - 1, -1, -1):
            time = int(at_place(run, place))
            if start - time > self._gap:
                return select_from(times, panes, start, until)
            start = time
        for pane in reversed(run_panes):
            if start - pane[1 + LAST] > self._gap:
                break
            start = pane[1 + FIRST]
        return select_from(times, panes, start, until)


def kept_in(state: Any) -> tuple[bytes, list[Pane]]:
    """The times and panes of what a window keeps, see `stream.engine.summaries.WindowSummary`."""
    if state is None:
        return EMPTY, NO_PANES
    if isinstance(state, bytes):
        return state, NO_PANES
    return state[0], state[3]


def insert_time(times: bytes, window: Window, time: int, clock: int) -> bytes:
    """Times with another, unless it is out of reach for good, and without those that are."""
    cut = window.cut(clock)
    if time < cut:
        return times
    size = count(times)
    at = size if not size or time > at_place(times, size - 1) else first_after(times, time)
    times = put_at(times, at, time)
    return cut_before(times, first_from(times, cut)) if at_place(times, 0) < cut else times


def insert(
    state: list[Any], window: Window, shape: Shape, time: int, event_id: str, value: Any, clock: int
) -> None:
    """Adds an entry to [times, values or None, ids or None, panes], unless its time is out of reach for good."""
    cut = window.cut(clock)
    if time < cut:
        return
    times: bytes = state[0]
    values, ids, panes = state[1], state[2], state[3]
    size = count(times)
    if not size or time > at_place(times, size - 1):
        at = size
    else:
        # Of one millisecond by id, else by value: which of them folds into a pane must not depend on arrival.
        at = first_after(times, time)
        while at and at_place(times, at - 1) == time:
            if ids is not None:
                if ids[at - 1] < event_id:
                    break
            elif values is None or _value_at(values, at - 1) <= value:
                break
            at -= 1
    times = put_at(times, at, time)
    size += 1
    if type(values) is bytes:
        values = put_at(values, at, value)
    elif values is not None:
        values.insert(at, value)
    if ids is not None:
        ids.insert(at, event_id)
    if at_place(times, 0) < cut:
        gone = first_from(times, cut)
        times, values = cut_before(times, gone), _without(values, gone)
        size -= gone
        if ids is not None:
            del ids[:gone]
    if panes and panes[0][0] < cut:
        panes[:] = [pane for pane in panes if pane[0] >= cut]
    state[0], state[1] = times, values
    if size > EXACT:
        fold_oldest(state, window, shape)


def fold_oldest(state: list[Any], window: Window, shape: Shape) -> None:
    """Makes the oldest entry of one too many part of a pane."""
    times: bytes = state[0]
    values, ids, panes = state[1], state[2], state[3]
    size = count(times)
    newest, before = int(at_place(times, size - 1)), int(at_place(times, size - 2))
    value = None if values is None else _value_at(values, 0)
    fallen = (int(at_place(times, 0)), "" if ids is None else ids.pop(0), value)
    state[0], state[1] = cut_before(times, 1), _without(values, 1)
    _fold(panes, window, shape, fallen, newest)
    if newest // DAY != before // DAY:
        _regroup(panes, window, shape, newest)


def _value_at(values: Any, place: int) -> Any:
    """A value of a column, which is packed or a list."""
    return int(at_place(values, place)) if type(values) is bytes else values[place]


def _without(values: Any, places: int) -> Any:
    """A column without its first places, None for none."""
    if type(values) is bytes:
        return cut_before(values, places)
    return None if values is None else values[places:]


def _fold(panes: list[Pane], window: Window, shape: Shape, entry: tuple[int, str, Any], newest: int) -> None:
    start = window.pane_start(entry[0], newest)
    at = bisect_left(panes, start, key=_start)
    if at < len(panes) and panes[at][0] == start:
        cell = panes[at][1:]
        shape.add(cell, *entry)
        panes[at][1:] = cell
    else:
        panes.insert(at, [start, *shape.new(*entry)])


def _regroup(panes: list[Pane], window: Window, shape: Shape, newest: int) -> None:
    """Hours become days, and days one pane, as the newest entry moves on to another day."""
    merged: list[Pane] = []
    for pane in panes:
        start = window.pane_start(pane[0], newest) if pane[0] > -FOREVER else pane[0]
        if merged and merged[-1][0] == start:
            cell = merged[-1][1:]
            shape.merge(cell, pane[1:])
            merged[-1][1:] = cell
        else:
            pane[0] = start
            merged.append(pane)
    panes[:] = merged


def _start(pane: Pane) -> int:
    start: int = pane[0]
    return start
