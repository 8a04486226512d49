"""Time: record times, clamps, watermarks, idle partitions, user clocks, due instants.

`run` replays a whole log. Due instants of a user are looked for only when the next event of the same user comes, and at
the end: nothing in the output may depend on when they fire.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import rfc8785

from tests.oracle import zones
from tests.oracle.expressions import Node, evaluate, kinks
from tests.oracle.language import Definitions, Segment, nodes
from tests.oracle.membership import Change, Evaluation, Facts
from tests.oracle.moment import History, Moment
from tests.oracle.policy import Entry
from tests.oracle.selection import ENVELOPE, Event, has_traits, matches
from tests.oracle.values import UNKNOWN, order

NEWEST_IDS = 64
NS = uuid5(NAMESPACE_URL, "urn:segstream")
CLOCK_ADVANCED = "clock_advanced"


@dataclass(frozen=True)
class Settings:
    """All in milliseconds; `idle_after` None is off."""

    lateness: int = 0
    clock_skew: int = 300_000
    idle_after: int | None = None
    dedup_window: int = 86_400_000


@dataclass(frozen=True)
class Record:
    """One line of the log. Without a record time it is the event's `received_at`, else its time."""

    event: dict[str, Any]
    record_time: int | None = None
    partition: int = 0


@dataclass(frozen=True)
class Arrival:
    """A record as its user meets it; `watermark` is that of the records before it in its partition."""

    body: dict[str, Any]
    time: int
    clamped: bool
    watermark: float


@dataclass
class Partition:
    watermark: float = float("-inf")
    last_record_time: int | None = None


def milliseconds(value: Any) -> int:
    if isinstance(value, str):
        return zones.instant_of(datetime.fromisoformat(value))
    return int(value)


def key_of(body: dict[str, Any]) -> str:
    return body.get("user_id") or body.get("anonymous_id") or ""


def identity_of(body: dict[str, Any]) -> str:
    """The event's id, or the one derived from what was sent."""
    if body.get("id"):
        return str(body["id"])
    canonical = {
        name: value for name, value in body.items() if name in ENVELOPE and name not in ("id", "received_at")
    }
    stray = {name: value for name, value in body.items() if name not in ENVELOPE}
    if stray:
        canonical["props"] = {**stray, **body.get("props", {})}
    name = f"{key_of(body)}\n{milliseconds(body['time'])}\n{body['type']}\n"
    return str(uuid5(NS, name + rfc8785.dumps(canonical).decode()))


def run(
    raw: dict[str, Any], records: Iterable[Record], settings: Settings | None = None, until: int | None = None
) -> list[Change]:
    """All changes of a log, ordered by (effective_at, user, segment, instance, seq)."""
    settings = settings or Settings()
    definitions = Definitions(raw)
    partitions: dict[int, Partition] = defaultdict(Partition)
    users: dict[str, list[Arrival]] = defaultdict(list)
    homes: dict[str, int] = {}
    newest: int | None = None
    for record in records:
        time = milliseconds(record.event["time"])
        written = record.record_time
        if written is None:
            written = milliseconds(record.event.get("received_at", time))
        clamped = time > written + settings.clock_skew
        if clamped:
            time = written
        if until is not None and time > until:
            continue
        partition = partitions[record.partition]
        last, idle = partition.last_record_time, settings.idle_after
        if idle is not None and last is not None and written - last > idle:
            partition.watermark = max(partition.watermark, written - idle - settings.lateness)
        if record.event["type"] != CLOCK_ADVANCED:
            user = key_of(record.event)
            homes[user] = record.partition
            users[user].append(Arrival(record.event, time, clamped, partition.watermark))
        partition.watermark = max(partition.watermark, min(time, written) - settings.lateness)
        partition.last_record_time = written
        newest = time if newest is None else max(newest, time)
    end = until if until is not None else newest
    changes: list[Change] = []
    for name, arrivals in users.items():
        user = User(definitions, settings, name)
        for arrival in arrivals:
            user.apply(arrival)
        if end is not None:
            user.advance(max(end + 1, partitions[homes[name]].watermark))
        changes += user.changes
    return sorted(changes, key=lambda c: (c.effective_at, c.user, c.segment, c.instance or "", c.seq))


@dataclass
class User:
    definitions: Definitions
    settings: Settings
    name: str
    facts: Facts = field(default_factory=Facts)
    clock: int | None = None
    changes: list[Change] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = History(self.definitions)

    def apply(self, arrival: Arrival) -> None:
        identity = identity_of(arrival.body)
        if self.seen(identity):
            return
        event = Event(
            identity,
            arrival.body["type"],
            arrival.time,
            arrival.body,
            len(self.history.events) + 1,
            arrival.clamped,
        )
        selectors = (self.definitions.selectors[name] for name in self.definitions.used)
        if not has_traits(event) and not any(matches(selector, event) for selector in selectors):
            return
        self.advance(max(arrival.time, arrival.watermark))
        before, cause = None, "event"
        if self.clock is not None and event.time < self.clock:
            before, cause = self.evaluation(self.clock, "").verdicts(), "late_event"
        self.history.add(event)
        self.clock = event.time if self.clock is None else max(self.clock, event.time)
        evaluation = Evaluation(
            self.definitions, self.name, self.history, self.facts, self.clock, cause, event, before
        ).decide()
        self.facts = evaluation.facts
        self.changes += evaluation.publish(self.entries)
        assert not self.would_change(self.clock), "an evaluation must leave nothing to do at its own instant"

    def seen(self, identity: str) -> bool:
        newest = sorted(self.history.events, key=lambda event: event.order)[-NEWEST_IDS:]
        return any(
            event.id == identity and event.time >= newest[-1].time - self.settings.dedup_window
            for event in newest
        )

    def evaluation(self, instant: int, cause: str) -> Evaluation:
        return Evaluation(self.definitions, self.name, self.history, self.facts, instant, cause)

    def would_change(self, instant: int) -> bool:
        evaluation = self.evaluation(instant, "timer").decide()
        return evaluation.facts != self.facts

    def advance(self, bound: float) -> None:
        """Fires the due instants before `bound`, in order, each at its own instant."""
        while self.clock is not None and bound > self.clock:
            due = next((at for at in self.candidates(self.clock, bound) if self.would_change(at)), None)
            if due is None:
                return
            evaluation = self.evaluation(due, "timer").decide()
            self.facts = evaluation.facts
            self.changes += evaluation.publish(self.entries)
            self.clock = due

    def candidates(self, low: int, bound: float) -> Iterator[int]:
        """The instants in (low, bound) at which a verdict could change, in order."""
        high = int(bound)
        points = sorted({low, high, *(at for at in self.marks(low, high) if low < at < high)})
        for begin, end in itertools.pairwise(points):
            if begin > low:
                yield begin
            yield from self.crossings(begin, end)

    def marks(self, low: int, high: int) -> Iterator[int]:
        """Where windows, waits and dwellings end: every instant that lies a duration of the definitions after an event
        or a change, and the beginnings of local periods."""
        times = {event.time for event in self.history.events}
        for place in self.facts.places.values():
            if place.open is not None:
                times |= {place.open.entered_at, place.open.effective_at}
        for rung in self.facts.rungs.values():
            times |= {rung.since, *([] if rung.below_since is None else [rung.below_since])}
        for time in times:
            for duration in self.definitions.durations:
                yield from (time + duration, time + duration + 1)
        if self.definitions.days:
            period = "hour" if self.definitions.hours else "day"
            yield from zones.boundaries(low, high, period, self.definitions.zone)

    def crossings(self, begin: int, end: int) -> list[int]:
        """Where, in between, numbers that move with time cross each other. From `begin` to before `end` each is a
        straight line (or decays), so that the sign of a difference can be bisected."""
        points = [begin, end]
        for moment, node in self.moving():
            for left, right in kinks(node, moment.moves):
                for low, high in list(itertools.pairwise(points)):
                    for crossing in turns(moment, left, right, low, high - 1):
                        if crossing not in points:
                            insort(points, crossing)
        return points[1:-1]

    def moving(self) -> Iterator[tuple[Moment, Node]]:
        evaluation = self.evaluation(self.clock or 0, "")
        for subject in self.definitions.order:
            instances = evaluation.instances(subject) if isinstance(subject, Segment) else [None]
            for item in self.definitions.conditions(subject):
                for node in nodes(item):
                    for instance in instances:
                        moment = evaluation.moment(subject, instance)
                        if moment.moves(node):
                            yield moment, node


def turns(moment: Moment, left: Node, right: Node, low: int, high: int) -> Iterator[int]:
    """Every first instant in (low, high] at which the sign of left - right is another than just before."""

    def sign(instant: int) -> Any:
        moment.instant = instant
        return order(evaluate(left, moment), evaluate(right, moment))

    while low < high and (here := sign(low)) is not UNKNOWN and sign(high) != here:
        before, after = low, high
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if sign(middle) == here else (before, middle)
        yield after
        low = after


__all__ = ["Change", "Record", "Settings", "run"]
