"""Small means for the tests of the engine: events by hand, and a partition that is driven step by step."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from stream.changes import Change
from stream.definitions import loads
from stream.engine import Engine, Plan, Step, TimeSettings, compile_plan
from stream.engine.conditions import Explanation
from stream.engine.profile import Profile, blank_profile
from stream.engine.summaries import Summary
from stream.events import Event
from stream.instants import format_instant, parse_instant
from stream.state import MemoryStore

T = parse_instant("2026-11-02T00:00:00Z")
"""A Monday, midnight UTC."""

COUNTS = tuple(name for name in dir(Step().counts) if type(getattr(Step().counts, name)) is int)


def at(text: str) -> int:
    """The instant of `2026-11-02T10:00:00+01:00`; without a zone in UTC."""
    return parse_instant(text if text.endswith("Z") or text[-6] in "+-" else f"{text}Z")


def happened(type_: str, time: int, user: str = "u", **fields: Any) -> Event:
    """An event with an id of its own unless `id` gives one; unknown fields become props."""
    known = {name: fields.pop(name) for name in list(fields) if name in Event.__struct_fields__}
    if fields:
        known["props"] = {**known.get("props", {}), **fields}
    known.setdefault("id", f"{user}-{type_}-{time}")
    known.setdefault("record_time", time)
    return Event(type=type_, time=time, user=user, user_id=user, **known)


def clock(time: int) -> Event:
    """A `clock_advanced` record."""
    return Event(type="clock_advanced", time=time, record_time=time)


def compiled(definitions: str) -> Plan:
    return compile_plan(loads(f"version: 1\n{definitions}"))


class Driven:
    """An engine, a store and one partition, as a runtime holds them."""

    def __init__(
        self,
        definitions: str | Plan,
        settings: TimeSettings | None = None,
        *,
        step_bytes: int = 6 << 20,
        store: MemoryStore | None = None,
    ) -> None:
        self.plan = compiled(definitions) if isinstance(definitions, str) else definitions
        self.engine = Engine(self.plan, settings, step_bytes=step_bytes)
        self.store = MemoryStore() if store is None else store
        self.partition = self.engine.open(self.store, self.store.marker())
        self.changes: list[Change] = []
        self.counts: Counter[str] = Counter()
        self.fired: list[int] = []

    def keep(self, step: Step) -> list[Change]:
        self.store.write(step.profiles, step.marker)
        self.partition.settle(step)
        self.changes += step.changes
        self.fired += step.fired
        for name in COUNTS:
            self.counts[name] += getattr(step.counts, name)
        return step.changes

    def feed(self, *events: Event) -> list[str]:
        """Applies events in one batch, without letting other users' timers fire; says what changed."""
        before = len(self.changes)
        end = self.partition.next_offset
        for event in events:
            event.offset = end
            end += 1
        left = list(events)
        while left:
            step = self.engine.step(self.partition, left, end)
            self.keep(step)
            left = left[step.consumed :]
        return told(self.changes[before:])

    def drain(self, watermark: int | None = None, limit: int = 1000) -> list[str]:
        """Lets everything due below the watermark fire."""
        before, more = len(self.changes), True
        while more:
            level = self.partition.watermark if watermark is None else watermark
            step = self.engine.tick(self.partition, level, limit)
            self.keep(step)
            more = step.more
        return told(self.changes[before:])

    def finish(self, until: int) -> list[str]:
        before, more = len(self.changes), True
        while more:
            step = self.engine.finish(self.partition, until)
            self.keep(step)
            more = step.more
        return told(self.changes[before:])

    def profile(self, user: str = "u") -> Profile:
        profile = self.partition.profile(user)
        assert profile is not None
        return profile

    def leaves(self, name: str, instant: int, user: str = "u", key: str | None = None) -> list[Explanation]:
        """What the conditions of a segment say of a user at an instant."""
        rule = next(rule for rule in self.plan.rules if rule.name == name)
        return rule.explain(self.profile(user), instant, key)


def told(changes: list[Change]) -> list[str]:
    """`segment[instance] type value @ time (cause)`, times from `T` on as a duration in milliseconds."""
    lines = []
    for change in changes:
        body = json.loads(change.value)
        instance = "" if change.instance is None else f"[{change.instance}]"
        value = body["segment"].get("value")
        tier = "" if value is None else f" {value}"
        user = "" if change.user == "u" else f"{change.user}: "
        lines.append(f"{user}{change.segment}{instance} {change.type}{tier} @ {moment(change.effective_at)}")
        if change.cause != "event":
            lines[-1] += f" ({change.cause})"
    return lines


def moment(instant: int) -> str:
    """`1d02:30:00.001` from `T` on."""
    if not 0 <= instant - T < 1000 * 86_400_000:
        return format_instant(instant)
    days, rest = divmod(instant - T, 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, rest = divmod(rest, 1000)
    text = f"{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds or rest else "")
    return (f"{days}d" if days else "") + text + (f".{rest:03}" if rest else "")


def body(change: Change) -> dict[str, Any]:
    """The record of a change."""
    found: dict[str, Any] = json.loads(change.value)
    return found


def gather(plan: Plan, events: list[Event], user: str = "u") -> Profile:
    """A profile to which events were added as the engine adds them, but without deciding anything."""
    profile = blank_profile(user)
    for event in events:
        put(plan, profile, event)
    return profile


def put(plan: Plan, profile: Profile, event: Event) -> bool:
    """Adds one event; False if one of its summaries no longer covers its time."""
    profile.clock = max(profile.clock, event.time)
    route = plan.route(event.type)
    if route is None:
        return True
    matched = 0
    for bit, where in route.selectors:
        if where is None or where(event) is True:
            matched |= bit
    dispatch = plan.dispatch(route, matched)
    members = [(summary, role) for bundle, role in dispatch.adds for summary in bundle.members]
    covered = all(summary.covers(profile, event, role) for summary, role in members)
    for bundle, role in dispatch.adds:
        bundle.add(profile, event, event.time, event.id, role)
    return covered


def states_of(plan: Plan, profile: Profile, kind: type[Summary]) -> list[Any]:
    """What all summaries of a kind that are not split by key hold, of those to which something was added."""
    wanted = [one for one in plan.summaries if isinstance(one, kind) and not one.is_split]
    return [state for one in wanted if (state := one.state(profile, None)) is not None]


def worth(
    feature: str, events: list[Event], instant: int, key: str | None = None, ask: str = "exists(f)"
) -> Any:
    """The value of a feature (as `{count: a, last: 1h}`) after some events, at an instant; None if unknown."""
    for_each = "" if key is None else "for_each: product_id, "
    plan = compiled(
        f"""
events: {{a: {{type: a}}, b: {{type: b}}}}
features: {{f: {feature}}}
segments: {{s: {{{for_each}when: {{all: ["{ask}", {{do: a}}]}}}}}}
"""
    )
    found = plan.rules[0].explain(gather(plan, events), instant, key)[0].parts[0]
    assert found.verdict is not None or found.value is None
    return found.value
