"""Summaries: the order-free state that events are added to and features and sequences are read from.

Every summary owns one slot of a profile's `units`. What is kept there is a function of the set of events added, never
of their order. Features that remember the same share one summary, whatever they are called and wherever they stand:
a summary's `form` says what it remembers, and its key is the hash of that form.
"""

from __future__ import annotations

from typing import Any

from stream.engine.cells import LAST, SUMS, TIMES, Cell, Shape
from stream.engine.profile import FOREVER, Profile
from stream.engine.windows import Window, insert
from stream.events import Event, Reader
from stream.identifiers import definition_hash

EVIDENCE = 3
"""Newest events that a leaf of a reason names."""


def key_of(form: Any) -> str:
    """The name under which a summary's state is kept."""
    return definition_hash(form)


class CellSummary:
    """Lifetime: one cell."""

    __slots__ = ("_read", "_shape", "slot")

    def __init__(self, slot: int, shape: Shape, read: Reader | None) -> None:
        self.slot = slot
        self._shape = shape
        self._read = read

    def add(self, profile: Profile, event: Event) -> bool:
        value = None
        if self._read is not None:
            value = self._shape.convert(self._read(event))
            if value is None:
                return True
        cell = profile.units[self.slot]
        if cell is None:
            profile.units[self.slot] = self._shape.new(event.time, event.id, value)
        else:
            self._shape.add(cell, event.time, event.id, value)
        return True

    def read(self, profile: Profile, instant: int) -> tuple[Cell | None, int]:
        """The cell of what counts at `instant` (None: nothing), and the next instant at which that may change."""
        return profile.units[self.slot], FOREVER


class WindowSummary:
    """A window: its newest entries, and panes for what is older."""

    __slots__ = ("_read", "_shape", "_window", "slot")

    def __init__(self, slot: int, shape: Shape, read: Reader | None, window: Window) -> None:
        self.slot = slot
        self._shape = shape
        self._read = read
        self._window = window

    def add(self, profile: Profile, event: Event) -> bool:
        value = None
        if self._read is not None:
            value = self._shape.convert(self._read(event))
            if value is None:
                return True
        state = profile.units[self.slot]
        if state is None:
            shape = self._shape
            state = [[], [] if shape.keeps_values else None, [] if shape.keeps_ids else None, []]
            profile.units[self.slot] = state
        return insert(state, self._window, self._shape, event.time, event.id, value, profile.clock)

    def read(self, profile: Profile, instant: int) -> tuple[Cell | None, int]:
        """As `CellSummary.read`: the cell of what is inside the window at `instant`."""
        state = profile.units[self.slot]
        if state is None:
            return None, FOREVER
        times, values, ids, panes = state
        low, high, inside, until = self._window.select(times, panes, instant, profile)
        cell: Cell | None = None
        if low < high:
            shape = self._shape
            if shape is TIMES:
                cell = [high - low, times[low], times[high - 1]]
            elif shape is SUMS:
                cell = [high - low, times[low], times[high - 1], sum(values[low:high])]
            elif ids is None:
                cell = [high - low, times[low], times[high - 1], min(values[low:high]), max(values[low:high])]
            else:
                first, last = low, high - 1
                cell = [
                    high - low,
                    times[first],
                    times[last],
                    ids[first],
                    values[first],
                    ids[last],
                    values[last],
                ]
        for pane in inside:
            if cell is None:
                cell = list(pane)
            else:
                self._shape.merge(cell, pane)
        return cell, until


class RecentSummary:
    """The newest few events of a selector, as evidence: [time, id, time, id, …], oldest first."""

    __slots__ = ("slot",)

    def __init__(self, slot: int) -> None:
        self.slot = slot

    def add(self, profile: Profile, event: Event) -> bool:
        recent = profile.units[self.slot]
        if recent is None:
            profile.units[self.slot] = [event.time, event.id]
            return True
        at = len(recent)
        while at and (recent[at - 2], recent[at - 1]) > (event.time, event.id):
            at -= 2
        recent[at:at] = (event.time, event.id)
        if len(recent) > 2 * EVIDENCE:
            del recent[:2]
        return True

    def read(self, profile: Profile) -> list[tuple[int, str]]:
        """(time, id) of the newest events, oldest first."""
        recent = profile.units[self.slot] or ()
        return list(zip(recent[::2], recent[1::2], strict=True))


class PairSummary:
    """What a two-step sequence `do A, not C for D` needs: the newest A and the two newest C.

    [time of A, id of A, time of newest C, id of newest C, time of the second C]; instants are -FOREVER where there is
    none. The second C is there for the event that is both: the A that the sequence matched never counts as its C.
    """

    __slots__ = ("slot",)

    def __init__(self, slot: int) -> None:
        self.slot = slot

    def _state(self, profile: Profile) -> list[Any]:
        state: list[Any] | None = profile.units[self.slot]
        if state is None:
            state = profile.units[self.slot] = [-FOREVER, "", -FOREVER, "", -FOREVER]
        return state

    def add_anchor(self, profile: Profile, event: Event) -> bool:
        state = self._state(profile)
        if (event.time, event.id) > (state[0], state[1]):
            state[0], state[1] = event.time, event.id
        return True

    def add_closing(self, profile: Profile, event: Event) -> bool:
        state = self._state(profile)
        if (event.time, event.id) > (state[2], state[3]):
            state[4] = state[2]
            state[2], state[3] = event.time, event.id
        elif event.time > state[4]:
            state[4] = event.time
        return True


def last_time(cell: Cell | None) -> int:
    """Time of a cell's newest entry, -FOREVER for none."""
    return -FOREVER if cell is None else cell[LAST]
