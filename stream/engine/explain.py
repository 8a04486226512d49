"""Why a user is in a segment or is not, and what comes next if nobody acts.

An `Explainer` looks at one user on a copy: it lets time pass on the profile as the engine would, asks the plan's own
conditions to explain themselves, and then lets time pass further until something changes. Nothing that is stored is
touched, and there is no second way in which verdicts are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import to_builtins

from stream.changes import Change
from stream.definitions.source import suggest
from stream.durations import HOUR
from stream.engine.conditions import Explanation
from stream.engine.decisions import (
    ENTERED,
    ENTRIES,
    HELD,
    INSTANCES,
    MEMBER,
    SINCE,
    Rule,
    due_of,
    held_of,
    keys_held,
)
from stream.engine.engine import Engine
from stream.engine.ladders import BELOW, SPENT, LadderRule
from stream.engine.membership import SegmentRule
from stream.engine.partition import Step
from stream.engine.profile import FOREVER, Profile
from stream.engine.records import plain
from stream.errors import SegstreamError
from stream.instants import format_instant

_WAKES = 10_000
"""How many due instants may pass for what comes next before it counts as nothing."""
_SPAN = HOUR
"""How much time is let pass first; then twice as much, and so on, for taking up and laying down a profile costs more
than an instant that changes nothing."""


class UnknownError(SegstreamError):
    """There is nothing to explain: no such segment, or an instant that the state no longer knows."""

    exit_code = 1


@dataclass(slots=True)
class Explained:
    """One segment or ladder, or one instance of a segment with memberships per key. Instants are milliseconds."""

    segment: str
    kind: str
    instance: str | None
    at: int
    conditions: list[tuple[str, Explanation]]
    """(`when`, `exit` or a tier's name, what it said)."""
    member: bool = False
    tier: str | None = None
    armed: bool = True
    """Whether it can be entered when `when` is true."""
    since: int | None = None
    """When the membership or tier began."""
    effective_at: int | None = None
    """When it began or was last renewed."""
    expires_at: int | None = None
    stays_until: int | None = None
    """End of `min_dwell`, if that is ahead."""
    falls_at: int | None = None
    """When a ladder moves down or out, if its answer stays below the tier until then."""
    spent: list[str] = field(default_factory=list)
    """Tiers whose ttl ran out and that are skipped until their `when` is not true."""
    entries: int = 0
    """Entries so far, over all instances."""
    next_at: int | None = None
    """The next instant at which time alone could change something; None if only an event can."""
    then: Change | None = None
    """The next change if nobody acts."""


class Explainer:
    """One user's state, taken out of a store to be looked at."""

    def __init__(self, engine: Engine, user: str, raw: bytes, marker: bytes) -> None:
        self._engine = engine
        self._user = user
        self._asked = _asked_of(engine.plan.rules)
        self._partition = engine.open(_One(user, raw), marker)
        self._now = max(self._profile().clock, self._partition.watermark)

    @property
    def now(self) -> int:
        """The instant up to which the state knows everything: the user's clock or the watermark, if that is later."""
        return self._now

    def explain(
        self,
        segments: Iterable[str],
        instance: str | None = None,
        at: int | None = None,
        *,
        ahead: bool = True,
    ) -> list[Explained]:
        """Segments and ladders at an instant, `now` if none is given; of instances all that are kept, or just one.

        Without `ahead` nothing is said of what comes next (`then`), which takes longer than all the rest.

        UnknownError if there is no such segment, or the instant lies in the past of the state. To be called once: it
        uses up the copy.
        """
        rules = {rule.name: rule for rule in self._engine.plan.rules}
        wanted = list(segments)
        for name in wanted:
            if name not in rules:
                hint = suggest(name, rules) or f"; there are {', '.join(sorted(rules))}"
                raise UnknownError(f"there is no segment or ladder `{name}`{hint}")
        instant = self._now if at is None else at
        if instant < self._profile().clock:
            known = format_instant(self._profile().clock)
            raise UnknownError(f"the state of {self._user} is of {known}: what was before is no longer known")
        for _ in self._steps(instant):
            pass
        profile = self._profile()
        found = [
            self._one(rules[name], profile, key, instant)
            for name in wanted
            for key in _instances(rules[name], profile, instance)
        ]
        if ahead:
            self._look_ahead(found)
        return found

    # --- time --------------------------------------------------------------------------------------------------------

    def _profile(self) -> Profile:
        profile = self._partition.profile(self._user)
        assert profile is not None, "explained is who has one"
        return profile

    def _steps(self, until: int) -> Iterator[Step]:
        """Lets everything fire that is due up to an instant."""
        more = True
        while more:
            step = self._engine.finish(self._partition, until)
            more = step.more
            yield step

    def _look_ahead(self, explained: list[Explained]) -> None:
        """Fills in the next change of each."""
        waiting = {(one.segment, one.instance): one for one in explained if one.next_at is not None}
        wakes, span = 0, _SPAN
        while waiting and wakes < _WAKES and (due := self._partition.next_due) is not None:
            for step in self._steps(due + span):
                wakes += len(step.fired)
                for change in step.changes:
                    one = waiting.pop((change.segment, change.instance), None)
                    if one is not None:
                        one.then = change
            span *= 2

    # --- one ---------------------------------------------------------------------------------------------------------

    def _one(self, rule: Rule, profile: Profile, key: str | None, instant: int) -> Explained:
        definitions = self._engine.plan.definitions
        said = rule.explain(profile, instant, key)
        state = profile.state(rule.index)
        held = None if state is None else state[HELD]
        due = profile.due_of(rule.index)
        if isinstance(rule, LadderRule):
            ladder = definitions.ladders[rule.name]
            names = [tier.name for tier in ladder.tiers]
            one = Explained(rule.name, rule.kind, None, instant, list(zip(names, said, strict=True)))
            if held is not None:
                one.spent = list(held[SPENT])
                one.tier = rule.tier_of(profile)
                one.member = one.tier is not None
            if one.member:
                assert held is not None
                one.since = one.effective_at = held[SINCE]
                ttl = next((tier.ttl for tier in ladder.tiers if tier.name == one.tier), None)
                one.expires_at = None if ttl is None or one.tier in one.spent else held[SINCE] + ttl
                if held[BELOW] is not None and ladder.demote_after is not None:
                    one.falls_at = held[BELOW] + ladder.demote_after
        else:
            segment = definitions.segments[rule.name]
            one = Explained(
                rule.name, rule.kind, key, instant, list(zip(("when", "exit"), said, strict=False))
            )
            if key is not None:
                instance = None if held is None else held[INSTANCES].get(key)
                held, due = held_of(instance), due_of(instance)
            one.armed = held is None
            if held is not None and held[MEMBER]:
                one.member = True
                one.since, one.effective_at = held[ENTERED], held[SINCE]
                one.expires_at = None if segment.ttl is None else held[SINCE] + segment.ttl
                dwell = held[ENTERED] + segment.min_dwell
                one.stays_until = dwell if segment.min_dwell and dwell > instant else None
        one.entries = 0 if state is None else state[ENTRIES]
        due = min(due, *map(profile.due_of, self._asked[rule.index]), FOREVER)
        one.next_at = due if due < FOREVER else None
        return one


def _asked_of(rules: Sequence[Rule]) -> list[set[int]]:
    """The rules that each rule asks, directly or through others: their changes can be its own."""
    asked: list[set[int]] = [set() for _ in rules]
    for rule in rules:  # those that are asked stand before those that ask
        for index in rule.dependents:
            asked[index] |= {rule.index, *asked[rule.index]}
    return asked


class _One:
    """Profiles of a store with one user."""

    def __init__(self, user: str, raw: bytes) -> None:
        self._user = user
        self._raw = raw

    def get_many(self, users: list[str]) -> list[bytes | None]:
        return [self._raw if user == self._user else None for user in users]

    def scan(self) -> Iterable[tuple[str, bytes]]:
        return [(self._user, self._raw)]


def _instances(rule: Rule, profile: Profile, asked: str | None) -> list[str | None]:
    """The keys to explain; [None] where there are no instances."""
    if not isinstance(rule, SegmentRule) or rule.keys_of is None:
        return [None]
    if asked is not None:
        return [asked]
    state = profile.state(rule.index)
    return [] if state is None else [*keys_held(state[HELD])]


# --- as JSON ---------------------------------------------------------------------------------------------------------


def to_fields(one: Explained) -> dict[str, Any]:
    """An explanation as JSON values: what does not apply is left out."""
    fields: dict[str, Any] = {
        "segment": one.segment,
        "kind": one.kind,
        "instance": one.instance,
        "member": one.member,
        "tier": one.tier,
        "armed": one.armed if one.kind == "segment" and not one.member else None,
        "since": _instant(one.since),
        "effective_at": _instant(one.effective_at),
        "expires_at": _instant(one.expires_at),
        "stays_until": _instant(one.stays_until),
        "falls_at": _instant(one.falls_at),
        "spent": one.spent or None,
        "entries": one.entries,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    if one.kind == "ladder":
        fields["tiers"] = [{"name": name, "when": node_fields(said)} for name, said in one.conditions]
    else:
        fields.update((name, node_fields(said)) for name, said in one.conditions)
    fields["next_at"] = _instant(one.next_at)
    fields["then"] = None if one.then is None else change_fields(one.then)
    return fields


def node_fields(said: Explanation) -> dict[str, Any]:
    """What one node said, and its parts."""
    fields: dict[str, Any] = {"text": said.text, "verdict": said.verdict}
    if said.operator is not None:
        fields["value"] = plain(said.value, said.duration)
        fields["op"] = said.operator
        fields["bound"] = plain(said.bound, said.duration)
    if said.why is not None:
        fields["why"] = said.why
    fields["until"] = _instant(said.until if said.until < FOREVER else None)
    if said.evidence:
        fields["evidence"] = to_builtins(said.evidence)
    if said.parts:
        fields["parts"] = [node_fields(part) for part in said.parts]
    return fields


def change_fields(change: Change) -> dict[str, Any]:
    """A change ahead: what happens, when, and what decides it."""
    value = json.loads(change.value)
    fields = {"at": value["effective_at"], "type": change.type}
    fields.update(
        (name, value["segment"][name]) for name in ("previous", "value") if name in value["segment"]
    )
    return fields | {"reason": [leaf["leaf"] for leaf in value["reason"]]}


def _instant(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
