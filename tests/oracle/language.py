"""Definitions as small records. Input is what YAML gives; it is taken to be valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.expressions import Node, duration, parse

AGGREGATES = (
    *(
        "count",
        "sum",
        "mean",
        "min",
        "max",
        "first_value",
        "last_value",
        "distinct",
        "days",
        "weeks",
        "months",
    ),
    *("since_first", "since_last", "mean_gap", "share", "top"),
)
WINDOWS = ("last", "between", "calendar", "session", "since", "half_life")


@dataclass(frozen=True)
class Selector:
    name: str
    types: frozenset[str] | None  # None: every type
    where: Node | None
    zone: ZoneInfo


@dataclass(frozen=True)
class Feature:
    name: str
    aggregate: str
    selector: str
    field: str | None
    by: str | None
    window: str | None
    reach: Any  # the window's argument: milliseconds, a pair of them, a period or a selector
    min_n: int


@dataclass(frozen=True)
class Expr:
    node: Node


@dataclass(frozen=True)
class Group:
    kind: str  # all, any, not, at_least
    needed: int
    of: tuple[Condition, ...]


@dataclass(frozen=True)
class Do:
    selector: str
    last: int | None


@dataclass(frozen=True)
class Then:
    selector: str
    within: int | None
    without: tuple[str, ...]


@dataclass(frozen=True)
class Seq:
    name: str | None
    first: str
    thens: tuple[Then, ...]
    closing: tuple[str, ...]  # selectors of the last step `not`; none if the sequence ends in `do` or `then`
    wait: int
    by: str | None
    restart: str


Condition = Expr | Group | Do | Seq


@dataclass(frozen=True)
class Segment:
    name: str
    when: Condition
    exit: Condition | None
    ttl: int | None
    min_dwell: int
    for_each: str | None
    renew: bool
    anchor: Seq | None  # the sequence whose anchor is the membership's
    actions: dict[str, Any]
    attach: dict[str, Any]


@dataclass(frozen=True)
class Tier:
    name: str
    when: Condition
    sources: frozenset[str] | None  # `from`, None: from anywhere
    ttl: int | None


@dataclass(frozen=True)
class Ladder:
    name: str
    tiers: tuple[Tier, ...]
    demote_after: int
    actions: dict[str, Any]
    attach: dict[str, Any]

    def rank(self, tier: str | None) -> int:
        names = [each.name for each in self.tiers]
        return len(names) if tier is None else names.index(tier)


def condition(raw: Any) -> Condition:
    if isinstance(raw, str):
        return Expr(parse(raw))
    if "do" in raw:
        return Do(raw["do"], duration(raw["last"]) if "last" in raw else None)
    if "seq" in raw:
        return sequence(raw)
    if "not" in raw:
        return Group("not", 1, (condition(raw["not"]),))
    if "at_least" in raw:
        return Group("at_least", raw["at_least"], tuple(map(condition, raw["of"])))
    (kind,) = raw
    of = tuple(map(condition, raw[kind]))
    return Group(kind, len(of) if kind == "all" else 1, of)


def sequence(raw: dict[str, Any]) -> Seq:
    first, *rest = raw["seq"]
    closing: tuple[str, ...] = ()
    wait = 0
    if rest and "not" in rest[-1]:
        last = rest.pop()
        closing, wait = listed(last["not"]), duration(last["for"])
    thens = tuple(
        Then(
            step["then"],
            duration(step["within"]) if "within" in step else None,
            listed(step.get("without", ())),
        )
        for step in rest
    )
    return Seq(raw.get("name"), first["do"], thens, closing, wait, raw.get("by"), raw.get("restart", "last"))


def listed(raw: Any) -> tuple[str, ...]:
    return (raw,) if isinstance(raw, str) else tuple(raw)


def parts(item: Condition | None, positive: bool = True) -> Iterator[tuple[Condition, bool]]:
    """The condition and all conditions in it, each with whether it stands outside every `not`."""
    if item is None:
        return
    yield item, positive
    if isinstance(item, Group):
        for child in item.of:
            yield from parts(child, positive and item.kind != "not")


def nodes(item: Condition | None) -> Iterator[Node]:
    """The expressions in a condition."""
    return (part.node for part, _ in parts(item) if isinstance(part, Expr))


def names(node: Node) -> Iterator[str]:
    return (part.args[0] for part in node.walk() if part.op == "name")


class Definitions:
    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.zone = ZoneInfo(raw.get("timezone", "UTC"))
        self.selectors = {
            name: selector(name, body, self.zone) for name, body in (raw.get("events") or {}).items()
        }
        self.features = {name: feature(name, body) for name, body in (raw.get("features") or {}).items()}
        segments = {name: segment(name, body) for name, body in (raw.get("segments") or {}).items()}
        ladders = {name: ladder(name, body) for name, body in (raw.get("ladders") or {}).items()}
        self.subjects: dict[str, Segment | Ladder] = {**segments, **ladders}
        self.order = self.topological()
        self.durations = frozenset(durations(raw))
        self.used = frozenset(self.selectors_used())
        moving = str(
            {key: value for key, value in raw.items() if key != "events"}
        )  # events stay as they were
        self.hours = any(text in moving for text in ("local_hour", "'calendar': 'hour'"))
        self.days = any(
            text in moving
            for text in ("local_", "'calendar'", "'days'", "'weeks'", "'months'", "until_anniversary", "age(")
        )

    def conditions(self, subject: Segment | Ladder) -> Iterator[Condition]:
        if isinstance(subject, Segment):
            yield subject.when
            if subject.exit is not None:
                yield subject.exit
        else:
            yield from (tier.when for tier in subject.tiers)

    def names_in(self, subject: Segment | Ladder) -> Iterator[str]:
        for item in self.conditions(subject):
            for node in nodes(item):
                yield from names(node)

    def topological(self) -> list[Segment | Ladder]:
        done: dict[str, Segment | Ladder] = {}

        def visit(subject: Segment | Ladder) -> None:
            if subject.name in done:
                return
            for name in self.names_in(subject):
                kind, _, rest = name.partition(".")
                if kind in ("segment", "ladder"):
                    visit(self.subjects[rest])
            done[subject.name] = subject

        for subject in self.subjects.values():
            visit(subject)
        return list(done.values())

    def selectors_used(self) -> Iterator[str]:
        for subject in self.subjects.values():
            for name in self.names_in(subject):
                if name in self.features:
                    yield self.features[name].selector
                    if self.features[name].window == "since":
                        yield self.features[name].reach
            for item in self.conditions(subject):
                for part, _ in parts(item):
                    if isinstance(part, Do):
                        yield part.selector
                    elif isinstance(part, Seq):
                        yield part.first
                        yield from (then.selector for then in part.thens)
                        yield from (each for then in part.thens for each in then.without)
                        yield from part.closing
            for body in subject.attach.values():
                yield from (body[key] for key in ("collect", "since", "remove") if key in body)

    def seeds(self, subject: Segment) -> Iterator[tuple[str, str]]:
        """The positive selectors of a `for_each` segment, each with the field that its key comes from."""
        assert subject.for_each is not None
        for part, positive in parts(subject.when):
            if isinstance(part, Expr):
                for name in names(part.node):
                    if name in self.features and self.features[name].by == subject.for_each:
                        yield self.features[name].selector, subject.for_each
            elif positive and isinstance(part, Do):
                yield part.selector, subject.for_each
            elif positive and isinstance(part, Seq):
                yield part.first, subject.for_each
                yield from ((then.selector, subject.for_each) for then in part.thens)


def durations(raw: Any) -> Iterator[int]:
    """Every text in the definitions that is a duration."""
    if isinstance(raw, dict):
        for each in raw.values():
            yield from durations(each)
    elif isinstance(raw, list):
        for each in raw:
            yield from durations(each)
    elif isinstance(raw, str):
        try:
            yield duration(raw)
        except ValueError:
            return


def selector(name: str, raw: dict[str, Any], zone: ZoneInfo) -> Selector:
    types = None if raw["type"] == "*" else frozenset(listed(raw["type"]))
    return Selector(name, types, parse(raw["where"]) if "where" in raw else None, zone)


def feature(name: str, raw: dict[str, Any]) -> Feature:
    (aggregate,) = (key for key in raw if key in AGGREGATES)
    source, _, field = raw[aggregate].partition(".")
    window = next((key for key in raw if key in WINDOWS), None)
    reach = raw.get(window) if window else None
    if window in ("last", "session", "half_life"):
        reach = duration(raw[window])
    elif window == "between":
        reach = tuple(map(duration, raw[window]))
    return Feature(name, aggregate, source, field or None, raw.get("by"), window, reach, raw.get("min_n", 0))


def segment(name: str, raw: dict[str, Any]) -> Segment:
    when = condition(raw["when"])
    sequences = [part for part, positive in parts(when) if positive and isinstance(part, Seq)]
    if "anchor" in raw:
        sequences = [each for each in sequences if each.name == raw["anchor"]]
    return Segment(
        name,
        when,
        condition(raw["exit"]) if "exit" in raw else None,
        duration(raw["ttl"]) if "ttl" in raw else None,
        duration(raw["min_dwell"]) if "min_dwell" in raw else 0,
        raw.get("for_each"),
        raw.get("renew", False),
        sequences[0] if len(sequences) == 1 else None,
        raw.get("actions") or {},
        raw.get("attach") or {},
    )


def ladder(name: str, raw: dict[str, Any]) -> Ladder:
    tiers = tuple(
        Tier(
            each["name"],
            condition(each["when"]),
            frozenset(listed(each["from"])) if "from" in each else None,
            duration(each["ttl"]) if "ttl" in each else None,
        )
        for each in raw["tiers"]
    )
    wait = duration(raw["demote_after"]) if "demote_after" in raw else 0
    return Ladder(name, tiers, wait, raw.get("actions") or {}, raw.get("attach") or {})
