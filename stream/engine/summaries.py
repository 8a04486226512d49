"""Summaries: the order-free state that events are added to and features and sequences are read from.

What is kept is a function of the set of events added, never of their order. Features that remember the same share one
summary, whatever they are called and wherever they stand: a summary's `form` says what it remembers, and its key is the
hash of that form.

Summaries that the same events feed lie together in a bundle, which is one unit of a profile: an event then costs one
look-up and one decoding for all of them, and what a table knows of a key is kept once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from heapq import heappush, heappushpop, nsmallest
from math import fsum
from typing import Any, ClassVar, Final

from stream.changes import Evidence
from stream.engine.cells import DISTINCT, LAST, MICRO, SUMS, TIMES, Cell, N, Shape, clip
from stream.engine.packed import EMPTY, at_place, count, pack
from stream.engine.profile import FOREVER, Profile
from stream.engine.recents import events_of, put_recent
from stream.engine.tables import KEY, Entry, Table
from stream.engine.windows import EXACT, Window, fold_oldest, insert, insert_time, kept_in
from stream.events import Event, Reader
from stream.identifiers import definition_hash
from stream.instants import format_instant

EVIDENCE: Final = 3
"""Newest events that a leaf of a reason names."""

KeysOf = Callable[[Event], tuple[str, ...]]
"""The keys of an event, none if it has none."""

# An entry of a table: [key, covered from, newest events, state, …].
COVERED: Final = 1
"""Place of the instant from which a key's events were all seen; None: from the first."""
ACTIVITY: Final = 2
"""Place of a key's newest events, as in `RecentSummary`: who must make room goes by the newest of them."""
STATES: Final = 3
"""Place of the first state."""


def key_of(form: Any) -> str:
    """The name under which a summary's state is kept."""
    return definition_hash(form)


class Bundle:
    """Summaries that the same events feed, with the same keys: one unit of a profile.

    Without keys the unit is [state, …], in the order of the members. With `by` it is a table of the keys with the most
    recent activity. A key that must make room is reported, so that memberships per key can end; when it returns, it is
    covered from then on.

    What is kept of a key's activity anyway is the state of a `RecentSummary`.
    """

    __slots__ = ("_kept", "_stateful", "keys_of", "max_keys", "members", "number", "rules")

    def __init__(self, number: int, keys_of: KeysOf | None, max_keys: int) -> None:
        self.number = number
        """Which of a profile's units."""
        self.keys_of = keys_of
        """The keys of an event, with `by`."""
        self.max_keys = max_keys
        self.members: list[Summary] = []
        self.rules: list[Any] = []
        """Rules with a membership per key that read one of the summaries."""
        self._stateful: list[Summary] = []
        """With `by`, the members that have states of their own."""
        self._kept = 1
        """How many events tell of a key's activity."""

    def join(self, summary: Summary, slot: int) -> None:
        """Makes room for a summary, the plan's number `slot`."""
        summary.bundle, summary.unit, summary.place = self, self.number, len(self.members)
        summary.slot, summary.is_split = slot, self.keys_of is not None
        self.members.append(summary)
        if not summary.is_split:
            return
        if isinstance(summary, RecentSummary):
            summary.place, self._kept = ACTIVITY, EVIDENCE
        else:
            summary.place = STATES + len(self._stateful)
            self._stateful.append(summary)

    def add(self, profile: Profile, event: Event, time: int, event_id: str, role: int) -> None:
        """Adds an event that matched the selector of all members. `role` says as what, where it can be several."""
        if self.keys_of is None:
            states: list[Any] | None = profile.units.get(self.number)
            if states is None:
                states = [None] * len(self.members)
                profile.units.put(self.number, states)
            for place, summary in enumerate(self.members):
                states[place] = summary.put(states[place], time, event_id, event, role, profile.clock)
            return
        for key in self.keys_of(event):
            entry = self._entry(profile, key, time, event_id)
            if entry is not None:
                place = STATES
                for summary in self._stateful:
                    entry[place] = summary.put(entry[place], time, event_id, event, role, profile.clock)
                    place += 1

    def _entry(self, profile: Profile, key: str, time: int, event_id: str) -> Entry | None:
        """The entry of a key with its activity up to date, made if need be; None if there is no room for it."""
        table = profile.table(self.number)
        if table is None:
            table = Table()
            profile.units.put(self.number, table)
        entry = table.take(key)
        if entry is not None:
            entry[ACTIVITY] = put_recent(entry[ACTIVITY], time, event_id, self._kept)
            return entry
        start: int | None = None
        if len(table) >= self.max_keys:
            start = profile.clock
            if not self._make_room(profile, table, (time, event_id)):
                return None
        entry = [key, start, put_recent(EMPTY, time, event_id, self._kept)]
        for _ in self._stateful:
            entry.append(None)
        table.add(entry)
        return entry

    def _make_room(self, profile: Profile, table: Table, newcomer: tuple[int, str]) -> bool:
        """Drops the key with the oldest activity, those with an open membership last; False if a newcomer is older."""
        profile.evicted += 1
        _, activity, victim = min(
            (
                any(rule.is_open(profile, entry[KEY]) for rule in self.rules),
                events_of(entry[ACTIVITY])[-1],
                entry[KEY],
            )
            for entry in table.all()
        )
        if newcomer < activity:
            return False
        table.drop(victim)
        for rule in self.rules:
            rule.forget(profile, victim)
        return True


class Summary:
    """State that events are added to. Subclasses say what one state (of the user, or of a key) is."""

    __slots__ = ("bundle", "is_split", "place", "slot", "unit")

    bundle: Bundle
    """Where it lies. This and what follows is set when it joins."""
    unit: int
    """The bundle's number."""
    place: int
    """Where its state lies: among those of the bundle, or in the entry of a key."""
    slot: int
    """Its place among all summaries of the plan."""
    is_split: bool
    """Whether it has a state per key."""

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        """The state with an event more; None is the state of nothing."""
        raise AssertionError("every summary defines this")

    def covers(self, profile: Profile, event: Event, role: int) -> bool:
        """Whether what is kept still reaches back to the time of an event about to be added."""
        return True

    def entry(self, profile: Profile, key: str) -> Entry | None:
        """What the table holds of a key; None if the key is not kept."""
        table = profile.table(self.unit)
        return None if table is None else table.entry(key)

    def state(self, profile: Profile, key: str | None) -> Any:
        """The state of the user, or of a key; None if nothing was added."""
        if not self.is_split:
            states: list[Any] | None = profile.units.get(self.unit)
            return None if states is None else states[self.place]
        if key is None:
            return None
        entry = self.entry(profile, key)
        return None if entry is None else entry[self.place]

    def holds_key(self, profile: Profile, key: str) -> bool:
        """Whether a key is kept."""
        return self.entry(profile, key) is not None

    def newest(self, profile: Profile, key: str) -> int:
        """Time of a key's newest event."""
        entry = self.entry(profile, key)
        return -FOREVER if entry is None else events_of(entry[ACTIVITY])[-1][0]

    def keys(self, profile: Profile) -> list[str]:
        """The keys of which something is kept, in order."""
        table = profile.table(self.unit)
        if table is None:
            return []
        return sorted(entry[KEY] for entry in table.all() if entry[self.place] is not None)


class Cells(Summary):
    """A summary that is read as one cell."""

    __slots__ = ()

    def read(self, profile: Profile, instant: int, key: str | None) -> tuple[Cell | None, int]:
        """The cell of what counts at `instant` (None: nothing), and the next instant at which that may change."""
        raise AssertionError("every summary of cells defines this")

    def count(self, state: Any, profile: Profile, instant: int) -> tuple[int, int]:
        """How many events of a state count at `instant`, and the next instant at which that may change."""
        raise AssertionError("every summary of cells defines this")

    def most(self, state: Any) -> int:
        """How many events a state can count at most, at whatever instant."""
        raise AssertionError("every summary of cells defines this")


class CellSummary(Cells):
    """Lifetime: one cell."""

    __slots__ = ("_read", "shape")

    def __init__(self, shape: Shape, read: Reader | None) -> None:
        self.shape = shape
        self._read = read

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        value = None
        if self._read is not None:
            value = self.shape.convert(self._read(event))
            if value is None:
                return state
        if state is None:
            return self.shape.new(time, event_id, value)
        self.shape.add(state, time, event_id, value)
        return state

    def read(self, profile: Profile, instant: int, key: str | None) -> tuple[Cell | None, int]:
        return self.state(profile, key), FOREVER

    def count(self, state: Any, profile: Profile, instant: int) -> tuple[int, int]:
        return (0 if state is None else int(state[N])), FOREVER

    def most(self, state: Any) -> int:
        return int(state[N])


class WindowSummary(Cells):
    """A window: its newest entries, and panes for what is older, as [times, values, ids, panes].

    As long as times are all that there is to keep, the times alone.
    """

    __slots__ = ("_read", "shape", "window")

    def __init__(self, shape: Shape, read: Reader | None, window: Window) -> None:
        self.shape = shape
        self._read = read
        self.window = window

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        value = None
        if self._read is not None:
            value = self.shape.convert(self._read(event))
            if value is None:
                return state
        shape = self.shape
        if shape is TIMES and (state is None or isinstance(state, bytes)):
            times = insert_time(state or EMPTY, self.window, time, clock)
            if count(times) <= EXACT:
                return times
            state = [times, None, None, []]
            fold_oldest(state, self.window, shape)
            return state
        if state is None:
            values: Any = None if not shape.keeps_values else EMPTY if shape.packs_values else []
            state = [EMPTY, values, [] if shape.keeps_ids else None, []]
        insert(state, self.window, shape, time, event_id, value, clock)
        return state

    def covers(self, profile: Profile, event: Event, role: int) -> bool:
        return bool(event.time >= self.window.cut(profile.clock))

    def most(self, state: Any) -> int:
        times, panes = kept_in(state)
        return FOREVER if panes else len(times) >> 3

    def read(self, profile: Profile, instant: int, key: str | None) -> tuple[Cell | None, int]:
        state = self.state(profile, key)
        if state is None:
            return None, FOREVER
        times, panes = kept_in(state)
        low, high, inside, until = self.window.select(times, panes, instant, profile)
        cell: Cell | None = None
        if low < high:
            first, last = int(at_place(times, low)), int(at_place(times, high - 1))
            if self.shape is TIMES:
                cell = [high - low, first, last]
            else:
                cell = self.shape.gather(first, last, state[1], state[2], low, high)
        for pane in inside:
            if cell is None:
                cell = list(pane)
            else:
                self.shape.merge(cell, pane)
        return cell, until

    def count(self, state: Any, profile: Profile, instant: int) -> tuple[int, int]:
        if state is None:
            return 0, FOREVER
        times, panes = kept_in(state)
        low, high, inside, until = self.window.select(times, panes, instant, profile)
        n = high - low
        for pane in inside:
            n += int(pane[N])
        return n, until


class NewestSummary(Cells):
    """The newest time of each distinct value, for `distinct` and `days`, as [{value: time}, size to tidy up at].

    A value is inside a window that reaches up to now exactly if its newest event is. Values are hashes or days
    (of `weeks` and `months` the first day). Of
    hashes only the 257 smallest inside are ever asked for (`stream.engine.cells.estimate_distinct`), so one may be
    forgotten once 257 smaller ones are not older: whenever it is inside, so are they.
    """

    __slots__ = ("_fold", "is_sample", "window")

    TIDY: ClassVar[int] = 512

    def __init__(self, fold: Callable[[Event], int | None], is_sample: bool, window: Window) -> None:
        self._fold = fold
        self.is_sample = is_sample
        """Whether the values are hashes, of which the smallest speak for all."""
        self.window = window

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        value = self._fold(event)
        cut = self.window.cut(clock)
        if value is None or time < cut:
            return state
        newest, limit = state = [{}, self.TIDY] if state is None else state
        if time > newest.get(value, -FOREVER):
            newest[value] = time
            if len(newest) >= limit:
                state[0] = newest = {known: seen for known, seen in newest.items() if seen >= cut}
                if self.is_sample:
                    state[0] = newest = undominated(newest, DISTINCT + 1)
                state[1] = max(self.TIDY, 2 * len(newest))
        return state

    def covers(self, profile: Profile, event: Event, role: int) -> bool:
        return bool(event.time >= self.window.cut(profile.clock))

    def most(self, state: Any) -> int:
        return len(state[0])

    def read(self, profile: Profile, instant: int, key: str | None) -> tuple[Cell | None, int]:
        """[n of values inside, oldest of their times, newest, their smallest hashes]."""
        return self._read(self.state(profile, key), profile, instant)

    def count(self, state: Any, profile: Profile, instant: int) -> tuple[int, int]:
        cell, until = self._read(state, profile, instant)
        return (0 if cell is None else int(cell[N])), until

    def _read(self, state: Any, profile: Profile, instant: int) -> tuple[Cell | None, int]:
        if state is None:
            return None, FOREVER
        pairs = sorted((time, value) for value, time in state[0].items())
        low, high, _, until = self.window.select(pack(time for time, _ in pairs), [], instant, profile)
        if low == high:
            return None, until
        smallest = (
            nsmallest(DISTINCT + 1, [value for _, value in pairs[low:high]]) if self.is_sample else None
        )
        return [high - low, pairs[low][0], pairs[high - 1][0], smallest], until


def undominated(newest: dict[int, int], k: int) -> dict[int, int]:
    """The entries of which fewer than k smaller ones are not older."""
    kept: dict[int, int] = {}
    times: list[int] = []  # of the k newest among the smaller ones, the oldest first
    for value in sorted(newest):
        time = newest[value]
        if len(times) < k:
            heappush(times, time)
        elif times[0] >= time:
            continue
        else:
            heappushpop(times, time)
        kept[value] = time
    return kept


class DecaySummary(Summary):
    """`half_life: H`: the newest 64 events exactly, as [times, values in 1e-6, panes].

    Older ones fold into panes [k H, (k + 1) H), each the number of its events and their weight relative to the pane's
    start: v · 2^((e − start) / H) for an event at e that carries v, rounded to 1e-9 so that arrival order cannot change
    the sum. The newest 64 panes are kept: what is older weighs less than 2^-63.
    """

    __slots__ = ("_read", "half_life")

    PANES: ClassVar[int] = 64
    UNIT: ClassVar[int] = 10**9

    def __init__(self, read: Reader | None, half_life: int) -> None:
        self._read = read
        self.half_life = half_life

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        micros = MICRO if self._read is None else SUMS.convert(self._read(event))
        if micros is None:
            return state
        times, values, panes = state = [[], [], {}] if state is None else state
        at = bisect_right(times, time)
        times.insert(at, time)
        values.insert(at, micros)
        if len(times) > EXACT:
            self._fold(panes, times.pop(0), values.pop(0))
        oldest = times[-1] // self.half_life - self.PANES
        for old in [old for old in panes if old <= oldest]:
            del panes[old]
        return state

    def _fold(self, panes: dict[int, list[int]], time: int, micros: int) -> None:
        pane = time // self.half_life
        weight = clip(round(micros * 1000 * 2.0 ** ((time - pane * self.half_life) / self.half_life)))
        cell = panes.setdefault(pane, [0, 0])
        cell[0] += 1
        cell[1] = clip(cell[1] + weight)

    def covers(self, profile: Profile, event: Event, role: int) -> bool:
        return bool(event.time // self.half_life > profile.clock // self.half_life - self.PANES)

    def weigh(self, state: Any, instant: int) -> tuple[int, float]:
        """(n, weight) at an instant: Σ v · 2^(−(instant − e) / H)."""
        if state is None:
            return 0, 0.0
        times, values, panes = state
        parts = [
            value / MICRO * 2.0 ** ((time - instant) / self.half_life)
            for time, value in zip(times, values, strict=True)
        ]
        n = len(times)
        for pane, (events, weight) in panes.items():
            n += events
            parts.append(weight / self.UNIT * 2.0 ** ((pane * self.half_life - instant) / self.half_life))
        return n, fsum(parts)


class RecentSummary(Summary):
    """The newest few events of a selector, as evidence (`stream.engine.recents`).

    Of a key, it is what the table keeps of its activity.
    """

    __slots__ = ()

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        return put_recent(EMPTY if state is None else state, time, event_id, EVIDENCE)

    def evidence(self, profile: Profile, key: str | None, reach: int) -> list[Evidence]:
        """The newest events that are not older than `reach`, oldest first."""
        recent = self.state(profile, key)
        if recent is None:
            return []
        return [evidence_of(time, event_id) for time, event_id in events_of(recent) if time >= reach]


def evidence_of(time: int, event_id: str) -> Evidence:
    """An event as a reason names it."""
    return Evidence(event_id, format_instant(time))


class PairSummary(Summary):
    """What a two-step sequence `do A, not C for D` needs: the newest A and the two newest C.

    [time of A, id of A, time of newest C, id of newest C, time of the second C]; instants are -FOREVER where there is
    none. The second C is there for the event that is both: the A that the sequence matched never counts as its C.
    """

    __slots__ = ()

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        pair: list[Any] = [-FOREVER, "", -FOREVER, "", -FOREVER] if state is None else state
        if role == 0:
            if _is_before(pair[0], pair[1], time, event_id):
                pair[0], pair[1] = time, event_id
        elif _is_before(pair[2], pair[3], time, event_id):
            pair[4] = pair[2]
            pair[2], pair[3] = time, event_id
        elif time > pair[4]:
            pair[4] = time
        return pair


class StepsSummary(Summary):
    """The newest 64 events of each role of a longer sequence, as one sorted [time, id, time, id, …] per role."""

    __slots__ = ("roles",)

    CAPACITY: ClassVar[int] = 64

    def __init__(self, roles: int) -> None:
        self.roles = roles

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        if state is None:
            state = [[] for _ in range(self.roles)]
        entries = state[role]
        at = len(entries)
        while at and _is_before(time, event_id, entries[at - 2], entries[at - 1]):
            at -= 2
        entries[at:at] = (time, event_id)
        if len(entries) > 2 * self.CAPACITY:
            del entries[:2]
        return state

    def covers(self, profile: Profile, event: Event, role: int) -> bool:
        keys_of = self.bundle.keys_of
        keys = (None,) if keys_of is None else keys_of(event)
        states = [self.state(profile, key) for key in keys]
        return any(
            state is None or len(state[role]) < 2 * self.CAPACITY or event.time >= state[role][0]
            for state in states
        )


def _is_before(time: int, event_id: str, other: int, other_id: str) -> bool:
    """Whether an event comes before another: by time, and within a millisecond by id."""
    return time < other or (time == other and event_id < other_id)


def last_time(cell: Cell | None) -> int:
    """Time of a cell's newest entry, -FOREVER for none."""
    return -FOREVER if cell is None else int(cell[LAST])
