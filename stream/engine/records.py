"""Decisions dressed as change records, when all memberships of the instant are decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from stream.changes import Body, Change, Person, ReasonLeaf, Trigger
from stream.durations import format_duration
from stream.engine.conditions import NULL, Leaf
from stream.engine.decisions import ACTED, ACTIONABLE, SINCE, Decision, Occasion, Rule
from stream.engine.profile import Profile
from stream.instants import format_instant


def dress(
    decisions: list[Decision], profile: Profile, instant: int, occasion: Occasion, rules: Sequence[Rule]
) -> list[Change]:
    """The records of what one evaluation decided, in its order.

    Policies are judged by rank, the highest priority first, so that who outranks whom does not depend on who was asked
    first.
    """
    entries = [decision for decision in decisions if decision.held is not None]
    if len(entries) > 1:
        entries.sort(key=_rank)
    for decision in entries:
        _judge(decision, profile, instant, occasion, rules)
    event, ids = occasion.event, profile.ids
    person = Person(profile.user, None if ids is None else {"anonymous_id": ids[2]})
    effective_at = format_instant(instant)
    trigger, offset = None, -1
    if event is not None:
        time = effective_at if event.time == instant else format_instant(event.time)
        trigger, offset = Trigger(event.id, event.type, time, event.clamped), event.offset
    return [
        _change(decision, profile, instant, effective_at, occasion.cause, person, trigger, offset)
        for decision in decisions
    ]


def _rank(decision: Decision) -> tuple[int, str, str]:
    return (-decision.rule.policy.priority, decision.rule.name, decision.instance or "")


def _judge(
    decision: Decision, profile: Profile, instant: int, occasion: Occasion, rules: Sequence[Rule]
) -> None:
    rule, held = decision.rule, decision.held
    assert held is not None
    acted = rule.state(profile)[ACTED]
    outranked = rule.policy.group is not None and _is_outranked(decision, profile, rules)
    judgement = rule.policy.judge(profile, instant, occasion.cause, acted, outranked, decision.entry)
    decision.policy = judgement
    if decision.type != "renewed":
        held[ACTIONABLE] = judgement.actionable
        if judgement.actionable:
            rule.policy.remember(acted, instant)


def _is_outranked(decision: Decision, profile: Profile, rules: Sequence[Rule]) -> bool:
    """Whether another open membership of the group, whose own last entry was not suppressed, stands higher."""
    mine, held = decision.rule, decision.held
    assert held is not None
    rank = (-mine.policy.priority, held[SINCE], mine.name, decision.instance or "")
    return any(
        one is not held
        and one[ACTIONABLE]
        and (-other.policy.priority, one[SINCE], other.name, instance or "") < rank
        for other in rules
        if other.policy.group == mine.policy.group
        for instance, one in other.open_memberships(profile)
    )


def _change(
    decision: Decision,
    profile: Profile,
    instant: int,
    effective_at: str,
    cause: str,
    person: Person,
    trigger: Trigger | None,
    offset: int,
) -> Change:
    rule, policy, expires_at = decision.rule, decision.policy, decision.expires_at
    if decision.cause is not None:
        cause = decision.cause
    body = Body(
        event_id=decision.event_id,
        type=decision.type,
        segment=rule.subject(decision.value, decision.previous),
        user=person,
        instance=decision.instance,
        seq=decision.seq,
        effective_at=effective_at,
        expires_at=None if expires_at is None else format_instant(expires_at),
        cause=cause,
        trigger=trigger,
        retracts=decision.retracts,
        reason=[_leaf(leaf) for leaf in decision.reason],
        context={one.name: one.build(profile) for one in rule.attachments} if rule.attachments else None,
        policy=policy,
    )
    return Change(
        user=profile.user,
        segment=rule.name,
        instance=decision.instance,
        seq=decision.seq,
        type=decision.type,
        cause=cause,
        effective_at=instant,
        event_id=decision.event_id,
        value=body.encode(),
        suppressed_by=() if policy is None else policy.suppressed_by,
        since=decision.since,
        offset=offset,
        forget=decision.forget,
    )


def _leaf(leaf: Leaf) -> ReasonLeaf:
    """One leaf of a reason; an unknown value stands there as null."""
    if leaf.operator is None:
        return ReasonLeaf(leaf.text, UNSET, UNSET, UNSET, leaf.evidence)
    value, bound = plain(leaf.value, leaf.duration), plain(leaf.bound, leaf.duration)
    return ReasonLeaf(leaf.text, value, leaf.operator, bound, leaf.evidence)


def plain(value: Any, duration: bool) -> Any:
    """A value as people read it: durations in their largest unit, cut to whole milliseconds."""
    if value is NULL:
        return None
    if isinstance(value, list):
        return [plain(item, duration) for item in value]
    if duration and type(value) in (int, float):
        return format_duration(int(value)) if value >= 0 else "-" + format_duration(int(-value))
    return value
