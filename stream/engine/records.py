"""Decisions dressed as change records."""

from __future__ import annotations

from typing import Any

from stream.changes import SCHEMA, Change, encode_value
from stream.durations import format_duration
from stream.engine.conditions import NULL, Explanation
from stream.engine.membership import Decision, Occasion
from stream.engine.profile import Profile
from stream.events import Event
from stream.identifiers import change_id
from stream.instants import format_instant


def make_change(rule: Any, profile: Profile, instant: int, occasion: Occasion, decision: Decision) -> Change:
    """The record of a decision."""
    event_id = change_id(rule.name, rule.hash, profile.user, decision.instance, decision.seq)
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
    acts = decision.type in ("entered", "moved", "renewed")
    value = encode_value(
        {
            "schema": SCHEMA,
            "event_id": event_id,
            "type": decision.type,
            "segment": segment,
            "user": user,
            "instance": decision.instance,
            "seq": decision.seq,
            "effective_at": format_instant(instant),
            "expires_at": None if decision.expires_at is None else format_instant(decision.expires_at),
            "cause": occasion.cause,
            "trigger": None if occasion.event is None else _trigger(occasion.event),
            "retracts": decision.retracts,
            "reason": [_leaf(leaf) for leaf in decision.reason],
            "policy": _policy(decision) if acts else None,
        }
    )
    return Change(
        user=profile.user,
        segment=rule.name,
        instance=decision.instance,
        seq=decision.seq,
        type=decision.type,
        cause=occasion.cause,
        effective_at=instant,
        event_id=event_id,
        value=value,
        offset=-1 if occasion.event is None else occasion.event.offset,
    )


def _trigger(event: Event) -> dict[str, Any]:
    trigger = {"event_id": event.id, "type": event.type, "time": format_instant(event.time)}
    if event.clamped:
        trigger["clamped"] = True
    return trigger


def _policy(decision: Decision) -> dict[str, Any]:
    return {"actionable": True, "suppressed_by": [], "entry": decision.entry, "not_before": None}


def _leaf(leaf: Explanation) -> dict[str, Any]:
    """One leaf of a reason; an unknown value stands there as null."""
    fields: dict[str, Any] = {"leaf": leaf.text}
    if leaf.operator is not None:
        fields["value"] = _plain(leaf.value, leaf.duration)
        fields["op"] = leaf.operator
        fields["bound"] = _plain(leaf.bound, leaf.duration)
    fields["evidence"] = [
        {"event_id": event_id, "time": format_instant(time)} for time, event_id in leaf.evidence
    ]
    return fields


def _plain(value: Any, duration: bool) -> Any:
    """A value as people read it: durations in their largest unit, cut to whole milliseconds."""
    if value is NULL:
        return None
    if isinstance(value, list):
        return [_plain(item, duration) for item in value]
    if duration and type(value) in (int, float):
        return format_duration(int(value)) if value >= 0 else "-" + format_duration(int(-value))
    return value
