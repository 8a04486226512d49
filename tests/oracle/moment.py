"""One user (and one key) at one instant: the value of every feature, trait and condition, from the list of events."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from tests.oracle import zones
from tests.oracle.expressions import Node, evaluate
from tests.oracle.language import Condition, Definitions, Do, Expr, Feature, Group, Seq
from tests.oracle.selection import Event, keys, matches, read, trait
from tests.oracle.values import UNKNOWN, all_, any_, as_verdict, as_version, at_least, is_number, not_

EARTH_RADIUS_KM = 6371.0088


class History:
    """All events of a user, in the order of their arrival."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.events: list[Event] = []
        self._matched: dict[str, list[Event]] = {}

    def add(self, event: Event) -> None:
        self.events.append(event)
        self._matched.clear()

    def matched(self, selector: str) -> list[Event]:
        """The events that a selector matches, by (time, id)."""
        if selector not in self._matched:
            found = [event for event in self.events if matches(self.definitions.selectors[selector], event)]
            self._matched[selector] = sorted(found, key=lambda event: event.order)
        return self._matched[selector]


References = Callable[[str], Any]
"""The value of `segment.x` or `ladder.x`."""


class Moment:
    """Everything that is true of a user at instant τ; inside `for_each`, of one key of that field."""

    def __init__(
        self,
        history: History,
        instant: int,
        references: References,
        by: str | None = None,
        key: str | None = None,
    ) -> None:
        self.history = history
        self.definitions = history.definitions
        self.instant = instant
        self.references = references
        self.by = by
        self.key = key

    # expressions

    def name(self, path: str) -> Any:
        kind, _, rest = path.partition(".")
        if kind == "traits" and rest:
            return trait(self.history.events, rest)
        if kind in ("segment", "ladder") and rest:
            return self.references(path)
        return self.feature(self.definitions.features[path])

    def call(self, function: str, args: tuple[Node, ...]) -> Any:
        zone = self.definitions.zone
        if function == "local_hour":
            return zones.wall(self.instant, zone).hour
        if function == "local_weekday":
            return zones.wall(self.instant, zone).isoweekday()
        if function == "local_month":
            return zones.wall(self.instant, zone).month
        if function == "local_date":
            return zones.local_date(self.instant, zone).isoformat()
        if function == "time_in":
            since = self.references(args[0].args[0].replace("ladder.", "since."))
            return UNKNOWN if since is UNKNOWN else self.instant - since
        values = [evaluate(arg, self) for arg in args]
        if function == "distance_km":
            return distance(*values) if all(map(is_number, values)) else UNKNOWN
        if function == "version":
            return as_version(values[0])
        birth = zones.as_date(values[0])
        if birth is None:
            return UNKNOWN
        if function == "until_anniversary":
            return zones.until_anniversary(birth, self.instant, zone)
        if function == "month":
            return birth.month
        if function == "age":
            return zones.age(birth, self.instant, zone)
        raise ValueError(f"unknown function {function}")

    def moves(self, node: Node) -> bool:
        """Whether a number grows or shrinks with time alone."""
        for part in node.walk():
            if part.op == "name" and part.args[0] in self.definitions.features:
                feature = self.definitions.features[part.args[0]]
                if feature.aggregate in ("since_first", "since_last") or feature.window == "half_life":
                    return True
            if part.op == "call" and part.args[0] in ("until_anniversary", "time_in"):
                return True
        return False

    # features

    def inside(self, feature: Feature, events: list[Event]) -> list[Event]:
        """Those events that are in the feature's window at τ."""
        now, window, reach = self.instant, feature.window, feature.reach
        if window == "last":
            return [event for event in events if now - reach < event.time <= now]
        if window == "between":
            return [event for event in events if now - reach[0] < event.time <= now - reach[1]]
        if window == "calendar":
            begin, end = zones.current_period(now, reach, self.definitions.zone)
            return [event for event in events if begin <= event.time < end]
        if window == "session":
            return session(events, reach, now)
        if window == "since":
            marks = [event.time for event in self.history.matched(reach)]
            return [event for event in events if not marks or event.time >= max(marks)]
        return events

    def feature(self, feature: Feature) -> Any:
        events = self.history.matched(feature.selector)
        if feature.by is not None:
            events = [event for event in events if keys(event, feature.by)]
        events = self.inside(feature, events)
        if feature.field is not None:
            events = [event for event in events if self.value(feature, event) is not UNKNOWN]
        if feature.aggregate in ("share", "top"):
            return self.of_keys(feature, events)
        if feature.by is not None:
            events = [event for event in events if self.key in keys(event, feature.by)]
        if len(events) < feature.min_n:
            return UNKNOWN
        return self.aggregate(feature, events)

    def value(self, feature: Feature, event: Event) -> Any:
        """The event's value of the feature's field; unknown if it is missing or of another type."""
        assert feature.field is not None
        value = read(event, feature.field)
        if feature.aggregate in ("first_value", "last_value", "distinct"):
            return value if isinstance(value, str | bool) or is_number(value) else UNKNOWN
        return value if is_number(value) else UNKNOWN

    def total(self, feature: Feature, events: Iterable[Event], now: int) -> Any:
        """The sum of the field (without one, the number) of events, weighted as of `now` if the window says so."""
        if feature.window == "half_life":
            return math.fsum(
                2.0 ** (-(now - event.time) / feature.reach)
                * (micros(self.value(feature, event)) / 10**6 if feature.field else 1)
                for event in events
            )
        if feature.field is None:
            return len(list(events))
        return Fraction(sum(micros(self.value(feature, event)) for event in events), 10**6)

    def of_keys(self, feature: Feature, events: list[Event]) -> Any:
        if len(events) < feature.min_n:
            return UNKNOWN
        groups: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            for key in keys(event, feature.by or ""):
                groups[key].append(event)
        # All weights fade alike, so a share never fades: as of the newest event no weight is too small for a double.
        now = max((event.time for event in events), default=self.instant)
        totals = {key: self.total(feature, group, now) for key, group in groups.items()}
        if feature.aggregate == "share":
            whole = sum(totals.values())
            return float(totals.get(self.key or "", 0) / whole) if whole > 0 else UNKNOWN
        if not groups:
            return UNKNOWN
        newest = {key: max(event.time for event in group) for key, group in groups.items()}
        return min(groups, key=lambda key: (-totals[key], -newest[key], key))

    def aggregate(self, feature: Feature, events: list[Event]) -> Any:
        kind = feature.aggregate
        if kind in ("count", "sum"):
            total = self.total(feature, events, self.instant)
            return total if kind == "count" else float(total)
        if kind == "distinct":
            return len({self.value(feature, event) for event in events})
        if kind in ("days", "weeks", "months"):
            shown = (zones.wall(event.time, self.definitions.zone) for event in events)
            return len({zones.beginning(local, kind.removesuffix("s")) for local in shown})
        if not events:
            return UNKNOWN
        times = [event.time for event in events]
        if kind == "since_first":
            return self.instant - min(times)
        if kind == "since_last":
            return self.instant - max(times)
        if kind == "mean_gap":
            return (max(times) - min(times)) / (len(times) - 1) if len(times) > 1 else UNKNOWN
        values = [self.value(feature, event) for event in events]  # events are in order of (time, id)
        if kind == "first_value":
            return values[0]
        if kind == "last_value":
            return values[-1]
        if kind == "mean":
            return float(self.total(feature, events, self.instant) / len(events))
        return min(values) if kind == "min" else max(values)

    # conditions

    def verdict(self, item: Condition) -> Any:
        """True, False or UNKNOWN, as in `when`. A `do` of an `exit` depends on the membership: see membership.py."""
        if isinstance(item, Expr):
            return as_verdict(evaluate(item.node, self))
        if isinstance(item, Group):
            return combine(item, [self.verdict(each) for each in item.of])
        if isinstance(item, Do):
            return any(
                item.last is None or self.instant - item.last < event.time <= self.instant
                for event in self.keyed(item.selector, self.by, self.key)
            )
        return self.sequence(item)[0]

    def keyed(self, selector: str, by: str | None, key: str | None) -> list[Event]:
        events = self.history.matched(selector)
        return events if by is None else [event for event in events if key in keys(event, by)]

    def sequence(self, seq: Seq) -> tuple[bool, int | None]:
        """Whether the sequence is true, and the time of its anchor."""
        if self.by is not None or seq.by is None:
            return self.run(seq, self.by, self.key)
        found = {key for event in self.history.matched(seq.first) for key in keys(event, seq.by)}
        anchors = [anchor for key in found for true, anchor in (self.run(seq, seq.by, key),) if true]
        return bool(anchors), max(anchors, default=None)

    def run(self, seq: Seq, by: str | None, key: str | None) -> tuple[bool, int | None]:
        starts = self.keyed(seq.first, by, key)
        closing = [event for selector in seq.closing for event in self.keyed(selector, by, key)]
        if not starts:
            return False, None
        chosen, matched = starts[-1], None
        if seq.restart == "first":
            newest = max((event.time for event in closing), default=None)
            starts = [event for event in starts if newest is None or event.time > newest]
            complete = [found for event in starts if (found := self.complete(seq, event, by, key))]
            if not complete:
                return False, None
            matched = complete[0]
        else:
            complete = [found for event in starts if (found := self.complete(seq, event, by, key))]
            if complete:
                matched = complete[-1]
        if matched is None:
            return False, chosen.time
        anchor, last = matched[0].time, matched[-1].time
        if not seq.closing:
            return True, anchor
        forbidden = any(last <= event.time and event not in matched for event in closing)
        return not forbidden and self.instant >= last + seq.wait, anchor

    def complete(self, seq: Seq, start: Event, by: str | None, key: str | None) -> list[Event] | None:
        """The events that the steps before the closing `not` match from this start; None if a step finds none."""
        matched = [start]
        for then in seq.thens:
            previous = matched[-1].time
            fitting = [
                event
                for event in self.keyed(then.selector, by, key)
                if previous <= event.time
                and (then.within is None or event.time <= previous + then.within)
                and event not in matched
            ]
            if not fitting:
                return None
            matched.append(fitting[0])
        for then, previous, event in zip(seq.thens, matched, matched[1:], strict=False):
            for selector in then.without:
                for other in self.keyed(selector, by, key):
                    if previous.time <= other.time <= event.time and other not in matched:
                        return None
        return matched


def combine(group: Group, verdicts: list[Any]) -> Any:
    if group.kind == "not":
        return not_(verdicts[0])
    if group.kind == "all":
        return all_(verdicts)
    return any_(verdicts) if group.kind == "any" else at_least(group.needed, verdicts)


def session(events: list[Event], gap: int, now: int) -> list[Event]:
    """The newest run of events whose neighbours are at most `gap` apart, while the last is at most `gap` ago."""
    if not events or now - events[-1].time > gap:
        return []
    run = [events[-1]]
    for event in reversed(events[:-1]):
        if run[-1].time - event.time > gap:
            break
        run.append(event)
    return run[::-1]


def micros(value: float) -> int:
    """A number as a whole multiple of 1e-6, ties to even."""
    return round(Fraction(value) * 10**6)


def distance(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Kilometres along the great circle (haversine)."""
    a, b, c, d = map(math.radians, (lat, lon, other_lat, other_lon))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))
