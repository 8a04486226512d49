"""What changes when a user is evaluated at an instant.

`decide` is a function of the user's history and of the facts of membership so far. It returns the facts after the
evaluation and the changes. A due instant is one at which it would return other facts, without any further event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.oracle.language import Condition, Definitions, Do, Group, Ladder, Segment, Tier, parts
from tests.oracle.moment import History, Moment, combine
from tests.oracle.policy import Entry, Policy, attachment, judge
from tests.oracle.selection import Event, keys, matches
from tests.oracle.values import UNKNOWN

Key = tuple[str, str | None]  # segment and instance


@dataclass(frozen=True)
class Open:
    """An open membership."""

    entered_at: int
    effective_at: int  # of the entry, or of the last renewal
    anchor: int | None
    decided: int  # how many events had arrived when the entry was decided
    seq: int  # of the change that entered or renewed it

    @property
    def since(self) -> int:
        return self.effective_at if self.anchor is None else self.anchor


@dataclass(frozen=True)
class Place:
    """One (segment, instance) of a user."""

    armed: bool = True
    anchor_at_exit: int | None = None
    open: Open | None = None


@dataclass(frozen=True)
class Rung:
    """Where a user stands on a ladder."""

    tier: str | None = None
    since: int = 0
    below_since: int | None = None
    spent: frozenset[str] = frozenset()  # tiers whose ttl ran out and whose `when` has been true ever since


@dataclass(frozen=True)
class Facts:
    places: dict[Key, Place] = field(default_factory=dict)
    rungs: dict[str, Rung] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)

    def reference(self, path: str) -> Any:
        kind, _, name = path.partition(".")
        if kind == "since":
            rung = self.rungs.get(name)
            return UNKNOWN if rung is None or rung.tier is None else rung.since
        if kind == "ladder":
            return self.rungs[name].tier if name in self.rungs else None
        return any(place.open is not None for (segment, _), place in self.places.items() if segment == name)


@dataclass(frozen=True)
class Change:
    type: str
    segment: str
    user: str
    instance: str | None
    seq: int
    effective_at: int
    cause: str
    value: str | None = None
    previous: str | None = None
    trigger: str | None = None
    clamped: bool = False
    retracts: int | None = None  # the seq of the change that is taken back
    expires_at: int | None = None
    policy: Policy | None = None
    context: dict[str, Any] | None = None


@dataclass(frozen=True)
class Verdicts:
    """What a late event is judged by: the state of affairs at the clock before it was added."""

    when: Any
    exit: Any
    anchor: int | None


class Evaluation:
    """One evaluation of one user."""

    def __init__(
        self,
        definitions: Definitions,
        user: str,
        history: History,
        facts: Facts,
        instant: int,
        cause: str,
        event: Event | None = None,
        before: dict[Key, Verdicts] | None = None,
    ) -> None:
        self.definitions = definitions
        self.user = user
        self.history = history
        self.facts = Facts(dict(facts.places), dict(facts.rungs), dict(facts.seqs))
        self.instant = instant
        self.cause = cause
        self.event = event
        self.before = before or {}
        self.changes: list[Change] = []

    def decide(self) -> Evaluation:
        for subject in self.definitions.order:
            if isinstance(subject, Ladder):
                self.facts.rungs[subject.name] = self.climb(
                    subject, self.facts.rungs.get(subject.name, Rung())
                )
            else:
                for instance in self.instances(subject):
                    place = self.facts.places.get((subject.name, instance), Place())
                    self.facts.places[subject.name, instance] = self.attend(subject, instance, place)
        return self

    def publish(self, past: list[Entry]) -> list[Change]:
        """The changes with policy and context; `past` are the user's entries so far, and get the new ones.

        Of what happens in one evaluation, the more urgent is judged first: memberships do not depend on each other's
        policies, but `priority` looks at all of them.
        """
        policies: dict[tuple[str, int], Policy] = {}
        open_now = {key: place.open.effective_at for key, place in self.facts.places.items() if place.open}
        open_now |= {(name, None): rung.since for name, rung in self.facts.rungs.items() if rung.tier}
        entries = [change for change in self.changes if change.type in ("entered", "moved", "renewed")]
        for change in sorted(
            entries, key=lambda each: (-self.priority(each.segment), each.segment, each.seq)
        ):
            entry = Entry(change.type, change.segment, change.instance, change.effective_at)
            policy = judge(self.definitions, self.user, self.history, past, entry, open_now)
            policies[change.segment, change.seq] = policy
            past.append(entry)
        published = []
        for change in self.changes:
            attach = self.definitions.subjects[change.segment].attach
            context = {name: attachment(self.history, raw) for name, raw in attach.items()}
            policy = policies.get((change.segment, change.seq))
            published.append(replace(change, policy=policy, context=context or None))
        return published

    def priority(self, segment: str) -> int:
        return self.definitions.subjects[segment].actions.get("priority", 0)

    def verdicts(self) -> dict[Key, Verdicts]:
        """The verdicts about every open membership, without deciding anything."""
        return {
            (name, instance): self.judge(subject, instance, place)
            for (name, instance), place in self.facts.places.items()
            if place.open is not None and isinstance(subject := self.definitions.subjects[name], Segment)
        }

    def moment(self, subject: Segment | Ladder, instance: str | None = None) -> Moment:
        by = subject.for_each if isinstance(subject, Segment) else None
        return Moment(self.history, self.instant, self.facts.reference, by, instance)

    def emit(self, kind: str, subject: str, instance: str | None = None, **more: Any) -> int:
        seq = self.facts.seqs[subject] = self.facts.seqs.get(subject, 0) + 1
        change = Change(kind, subject, self.user, instance, seq, self.instant, self.cause, **more)
        if self.event is not None:
            change = replace(change, trigger=self.event.id, clamped=self.event.clamped)
        self.changes.append(change)
        return seq

    # segments

    def instances(self, segment: Segment) -> list[str] | list[None]:
        """The keys that a `for_each` segment has seen, in order; one None for other segments."""
        if segment.for_each is None:
            return [None]
        seeds = {
            key
            for selector, by in self.definitions.seeds(segment)
            for event in self.history.matched(selector)
            for key in keys(event, by)
        }
        return sorted(seeds)

    def judge(self, segment: Segment, instance: str | None, place: Place) -> Verdicts:
        moment = self.moment(segment, instance)
        anchor = moment.sequence(segment.anchor)[1] if segment.anchor is not None else None
        ends = False if segment.exit is None else self.exit(segment.exit, moment, place.open)
        return Verdicts(moment.verdict(segment.when), ends, anchor)

    def exit(self, item: Condition, moment: Moment, membership: Open | None) -> Any:
        """The verdict of an `exit`: a `do` in it is an event added after the entry, at or after its anchor."""
        if isinstance(item, Group):
            return combine(item, [self.exit(each, moment, membership) for each in item.of])
        if not isinstance(item, Do):
            return moment.verdict(item)
        if membership is None:
            return False
        return any(
            event.arrival > membership.decided
            and event.time >= membership.since
            and (item.last is None or event.time > self.instant - item.last)
            for event in moment.keyed(item.selector, moment.by, moment.key)
        )

    def attend(self, segment: Segment, instance: str | None, place: Place) -> Place:
        """One membership: end it, arm it, begin it, renew it, in this order."""
        now = self.judge(segment, instance, place)
        if place.open is not None:
            place = self.perhaps_end(segment, instance, place, now)
        if (
            place.open is None
            and not place.armed
            and (now.when is not True or now.anchor != place.anchor_at_exit)
        ):
            place = replace(place, armed=True, anchor_at_exit=None)
        if place.open is None:
            # `exit` without a membership: events that came before the entry never count
            ends = self.judge(segment, instance, place).exit
            if now.when is True and ends is not True and place.armed:
                begun = self.begin("entered", segment, instance, now.anchor, self.instant)
                return Place(armed=False, open=begun)
        elif segment.renew and now.when is True and self.renews(segment, instance, place.open, now):
            begun = self.begin(
                "renewed", segment, instance, now.anchor, place.open.entered_at, place.open.decided
            )
            return replace(place, open=begun)
        return place

    def begin(
        self,
        kind: str,
        segment: Segment,
        instance: str | None,
        anchor: int | None,
        entered_at: int,
        decided: int | None = None,
    ) -> Open:
        expires = None if segment.ttl is None else self.instant + segment.ttl
        seq = self.emit(kind, segment.name, instance, expires_at=expires)
        arrived = len(self.history.events) if decided is None else decided
        return Open(entered_at, self.instant, anchor, arrived, seq)

    def perhaps_end(self, segment: Segment, instance: str | None, place: Place, now: Verdicts) -> Place:
        membership = place.open
        assert membership is not None
        closed = Place(armed=False, anchor_at_exit=now.anchor)
        late = self.before.get((segment.name, instance))
        if late is not None and self.event is not None and self.event.time <= membership.effective_at:
            moved = None not in (now.anchor, late.anchor, membership.anchor)
            moved = moved and now.anchor > max(late.anchor, membership.anchor)
            ended = (late.when is not False and now.when is False) or (
                late.exit is not True and now.exit is True
            )
            if ended or moved:
                self.emit("retracted", segment.name, instance, retracts=membership.seq)
                return replace(closed, anchor_at_exit=late.anchor) if moved and not ended else closed
        if segment.ttl is not None and self.instant >= membership.effective_at + segment.ttl:
            ends = True
        elif self.instant < membership.entered_at + segment.min_dwell:
            ends = False
        else:
            ends = now.when is False if segment.exit is None else now.exit is True
        if not ends:
            return place
        self.emit("exited", segment.name, instance)
        return closed

    def renews(self, segment: Segment, instance: str | None, membership: Open, now: Verdicts) -> bool:
        if segment.anchor is not None:
            return now.anchor is not None and now.anchor > membership.since
        if self.event is None:
            return False
        if segment.for_each is not None and instance not in keys(self.event, segment.for_each):
            return False
        return any(
            matches(self.definitions.selectors[part.selector], self.event)
            for part, positive in parts(segment.when)
            if positive and isinstance(part, Do)
        )

    # ladders

    def climb(self, ladder: Ladder, rung: Rung) -> Rung:
        """One ladder; after a move the answer is asked for again, since `from` may now allow another tier."""
        while (after := self.step(ladder, rung)).tier != rung.tier:
            rung = after
        return after

    def step(self, ladder: Ladder, rung: Rung) -> Rung:
        moment = self.moment(ladder)
        when = {tier.name: moment.verdict(tier.when) for tier in ladder.tiers}
        spent = frozenset(name for name in rung.spent if when[name] is True)
        current = next((tier for tier in ladder.tiers if tier.name == rung.tier), None)
        out = current is not None and current.ttl is not None and self.instant >= rung.since + current.ttl
        if current is not None and out and when[current.name] is True:
            spent |= {current.name}
        answer = next(self.eligible(ladder, rung.tier, when, spent, out), None)
        rung = replace(rung, spent=spent)
        to = None if answer is None else answer.name
        if to == rung.tier:
            return replace(rung, below_since=None)
        if ladder.rank(to) > ladder.rank(rung.tier) and not out:
            below_since = self.instant if rung.below_since is None else rung.below_since
            if self.instant < below_since + ladder.demote_after:
                return replace(rung, below_since=below_since)
        kind = "entered" if rung.tier is None else "exited" if to is None else "moved"
        expires = None if answer is None or answer.ttl is None else self.instant + answer.ttl
        self.emit(kind, ladder.name, value=to, previous=rung.tier, expires_at=expires)
        return Rung(to, self.instant, None, spent)

    def eligible(
        self, ladder: Ladder, current: str | None, when: dict[str, Any], spent: frozenset[str], out: bool
    ) -> Iterator[Tier]:
        for tier in ladder.tiers:
            here = tier.name == current
            if tier.name in spent or (here and out):
                continue
            if when[tier.name] is False or (when[tier.name] is UNKNOWN and not here):
                continue
            if not here and tier.sources is not None and (current or "none") not in tier.sources:
                continue
            yield tier
