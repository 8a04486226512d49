"""Decisions dressed as change records, when all memberships of the instant are decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.changes import SCHEMA, Change, encode_value
from stream.durations import format_duration
from stream.engine.conditions import NULL, Explanation
from stream.engine.membership import ACTED, ACTIONABLE, SINCE, Decision, Occasion, Rule
from stream.engine.profile import Profile
from stream.events import Event
from stream.instants import format_instant


def dress(
    decisions: list[Decision], profile: Profile, instant: int, occasion: Occasion, rules: Sequence[Rule]
) -> list[Change]:
    """The records of what one evaluation decided, in its order.

    Policies are judged by rank, the highest priority first, so that who outranks whom does not depend on who was asked
    first.
    """
    entries = [decision for decision in decisions if decision.held is not None]
    for decision in sorted(entries, key=_rank):
        _judge(decision, profile, instant, occasion, rules)
    return [_change(decision, profile, instant, occasion) for decision in decisions]


def _rank(decision: Decision) -> tuple[int, str, str]:
    return (-decision.rule.policy.priority, decision.rule.name, decision.instance or "")


def _judge(
    decision: Decision, profile: Profile, instant: int, occasion: Occasion, rules: Sequence[Rule]
) -> None:
    rule, held = decision.rule, decision.held
    assert held is not None
    acted = rule.state(profile)[ACTED]
    outranked = rule.policy.group is not None and _is_outranked(decision, profile, rules)
    decision.policy = rule.policy.judge(profile, instant, occasion.cause, acted, outranked, decision.entry)
    if decision.type != "renewed":
        held[ACTIONABLE] = decision.policy["actionable"]
        if held[ACTIONABLE]:
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


def _change(decision: Decision, profile: Profile, instant: int, occasion: Occasion) -> Change:
    rule = decision.rule
    segment: dict[str, Any] = {"key": rule.name, "kind": rule.kind}
    if rule.version is not None:
        segment["version"] = rule.version
    segment["hash"] = rule.hash
    if decision.value is not None:
        segment["value"] = decision.value
    if decision.previous is not None:
        segment["previous"] = decision.previous
    user: dict[str, Any] = {"id": profile.user}
    if profile.ids is not None:
        user["ids"] = {"anonymous_id": profile.ids[2]}
    cause = decision.cause or occasion.cause
    value = encode_value(
        {
            "schema": SCHEMA,
            "event_id": decision.event_id,
            "type": decision.type,
            "segment": segment,
            "user": user,
            "instance": decision.instance,
            "seq": decision.seq,
            "effective_at": format_instant(instant),
            "expires_at": None if decision.expires_at is None else format_instant(decision.expires_at),
            "cause": cause,
            "trigger": None if occasion.event is None else _trigger(occasion.event),
            "retracts": decision.retracts,
            "reason": [_leaf(leaf) for leaf in decision.reason],
            "context": {one.name: one.build(profile) for one in rule.attachments} or None,
            "policy": decision.policy,
        }
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
        value=value,
        suppressed_by=tuple(decision.policy["suppressed_by"]) if decision.policy is not None else (),
        since=decision.since,
        offset=-1 if occasion.event is None else occasion.event.offset,
        forget=decision.forget,
    )


def _trigger(event: Event) -> dict[str, Any]:
    trigger = {"event_id": event.id, "type": event.type, "time": format_instant(event.time)}
    if event.clamped:
        trigger["clamped"] = True
    return trigger


def _leaf(leaf: Explanation) -> dict[str, Any]:
    """One leaf of a reason; an unknown value stands there as null."""
    fields: dict[str, Any] = {"leaf": leaf.text}
    if leaf.operator is not None:
        fields["value"] = plain(leaf.value, leaf.duration)
        fields["op"] = leaf.operator
        fields["bound"] = plain(leaf.bound, leaf.duration)
    fields["evidence"] = [
        {"event_id": event_id, "time": format_instant(time)} for time, event_id in leaf.evidence
    ]
    return fields


def plain(value: Any, duration: bool) -> Any:
    """A value as people read it: durations in their largest unit, cut to whole milliseconds."""
    if value is NULL:
        return None
    if isinstance(value, list):
        return [plain(item, duration) for item in value]
    if duration and type(value) in (int, float):
        return format_duration(int(value)) if value >= 0 else "-" + format_duration(int(-value))
    return value
