"""When definitions change: profiles written under others are read, rearranged and reviewed.

From the marker that first carries the new definitions on, these hold. A profile tells by its stamp under which it was
written, and the marker keeps what each stamp means. When such a profile is next needed, by an event or because the
partition works through all of them in slices, its lists are put in the new order, and every segment is asked at
max(clock, W), W being the watermark of that marker: members who no longer qualify exit, new ones enter without being
acted on, removed segments exit their members. It does not matter when a profile's turn comes, for nothing else happens
to a user before.

What is no longer used is left in `profile.retired` as [summaries, rules]: a summary's state by its key with the instant
that retired it, kept for seven days; a rule's seq and entries by its name, kept for good, so that a change's id is
never used twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stream.definitions.model import Actions
from stream.durations import DAY
from stream.engine.actions import Policy
from stream.engine.decisions import (
    ACTED,
    ENTRIES,
    FACTS,
    HELD,
    INSTANCES,
    MEMBER,
    SEQ,
    Decision,
    Rule,
    held_of,
)
from stream.engine.packed import EMPTY
from stream.engine.parts import Parts
from stream.engine.profile import Profile
from stream.engine.recents import events_of, put_recent
from stream.engine.summaries import ACTIVITY, COVERED, EVIDENCE
from stream.engine.tables import KEY, Entry, Table
from stream.identifiers import change_id

Layout = list[list[Any]]
"""[[is split, keys of its summaries, their places] of bundles, [name, shape, hash] of rules], as a profile's lists."""
KEPT = 7 * DAY


@dataclass(frozen=True, slots=True)
class Review:
    """What a profile's new definitions have to decide first."""

    redefined: frozenset[int]
    """Rules that are asked anew whether their members qualify."""
    removed: list[tuple[str, str, str, list[Any]]]
    """(name, shape, hash, state) of rules that are gone, with what they held."""


class RemovedRule(Rule):
    """A segment or ladder that the definitions no longer have; all that it can do is end."""

    __slots__ = ()

    def open_memberships(self, profile: Profile) -> list[tuple[str | None, list[Any]]]:
        return []


def rearrange(profile: Profile, old: Layout, new: Layout, change: int) -> None:
    """Puts a profile's lists in the order of `new`; `change` is the watermark of the change of definitions."""
    summaries, rules = profile.retired if profile.retired is not None else ({}, {})
    instant = max(profile.clock, change)
    units = _split(profile, old[0])
    wanted = {key for _, keys, _ in new[0] for key in keys}
    kept = {key: entry for key, entry in summaries.items() if entry[0] + KEPT > instant}
    for key in wanted - units.keys():
        if key in kept:
            units[key] = kept.pop(key)[1]
    kept.update((key, [instant, state]) for key, state in units.items() if key not in wanted)
    profile.units = _join(units, new[0])

    shapes = {name: (shape, hash_) for name, shape, hash_ in new[1]}
    states: dict[str, list[Any]] = {name: [*known, [], None] for name, known in rules.items()}
    removed = []
    redefined = set()
    for index, (name, shape, hash_) in enumerate(old[1]):
        state = profile.state(index)
        if state is None:
            continue
        if name in shapes and shapes[name][0] == shape:
            states[name] = state
            if shapes[name][1] != hash_:
                redefined.add(name)
                _drop_facts(state, shape)
        else:
            removed.append((name, shape, hash_, state))
            states[name] = [state[SEQ], state[ENTRIES], state[ACTED], None]
    profile.replace_states(
        {index: states[name] for index, (name, _, _) in enumerate(new[1]) if name in states}
    )
    left = {name: state[:2] for name, state in states.items() if name not in shapes}
    profile.retired = [kept, left] if kept or left else None
    redefined_indexes = frozenset(i for i, (name, _, _) in enumerate(new[1]) if name in redefined)
    profile.review = Review(redefined_indexes, removed)


def _split(profile: Profile, bundles: list[Any]) -> dict[str, Any]:
    """A profile's units taken apart: each summary's state by its key, of a table {name: [covered, activity, state]}."""
    parts: dict[str, Any] = {}
    for unit, (is_split, keys, places) in enumerate(bundles):
        if is_split:
            table = profile.table(unit)
            if table is not None:
                entries = table.all()
                for key, place in zip(keys, places, strict=True):
                    parts[key] = {
                        entry[KEY]: [entry[COVERED], entry[ACTIVITY], entry[place]] for entry in entries
                    }
        else:
            states = profile.states_of(unit)
            if states is not None:
                parts.update(
                    (key, state) for key, state in zip(keys, states, strict=True) if state is not None
                )
    return parts


def _join(parts: dict[str, Any], bundles: list[Any]) -> Parts:
    """The units of what `_split` took apart. What came back after a while may know other keys than its neighbours."""
    units = Parts()
    for unit, (is_split, keys, places) in enumerate(bundles):
        found = [parts.get(key) for key in keys]
        if all(part is None for part in found):
            continue
        units.put(unit, _join_tables(found, places) if is_split else found)
    return units


def _join_tables(parts: list[Any], places: list[int]) -> Table:
    """The table of a bundle from those of its summaries."""
    most = EVIDENCE if ACTIVITY in places else 1
    entries: dict[str, Entry] = {}
    for part, place in zip(parts, places, strict=True):
        for name, (covered, activity, state) in (part or {}).items():
            entry = entries.get(name)
            if entry is None:
                entry = entries[name] = [name, covered, EMPTY, *[None] * (max(places) - ACTIVITY)]
            if covered is not None and (entry[COVERED] is None or covered > entry[COVERED]):
                entry[COVERED] = covered
            known = events_of(entry[ACTIVITY])
            for event in events_of(activity):
                if event not in known:
                    entry[ACTIVITY] = put_recent(entry[ACTIVITY], *event, most)
            if place != ACTIVITY:
                entry[place] = state
    table = Table()
    for entry in entries.values():
        table.add(entry)
    return table


def _drop_facts(state: list[Any], shape: str) -> None:
    """Events that were kept for the exit of the old definition mean nothing to the new one."""
    if state[HELD] is None or shape == "ladder":
        return
    held = [state[HELD]] if shape == "segment" else map(held_of, state[HELD][INSTANCES].values())
    for one in held:
        if one is not None:
            one[FACTS] = None


def end_removed(profile: Profile, review: Review, rules: Sequence[Rule]) -> list[Decision]:
    """Exits from the segments and ladders that are gone."""
    by_name = {rule.name: rule for rule in rules}
    decisions = []
    for name, shape, hash_, state in review.removed:
        kind = "ladder" if shape == "ladder" else "segment"
        rule = RemovedRule(-1, name, kind, hash_, None, Policy(Actions(), False, "UTC"), ())
        seq = state[SEQ]
        for instance, tier in _open(state, shape):
            seq += 1
            event_id = change_id(name, hash_, profile.user, instance, seq)
            decisions.append(
                Decision(rule, "exited", seq, instance, event_id, [], previous=tier, forget=True)
            )
        if name in by_name:  # it is still there in another shape, and goes on counting
            by_name[name].state(profile)[SEQ] = seq
        elif profile.retired is not None:
            profile.retired[1][name][0] = seq
    return decisions


def _open(state: list[Any], shape: str) -> list[tuple[str | None, str | None]]:
    """(instance, tier) of what a rule's state holds open."""
    held = state[HELD]
    if held is None:
        return []
    if shape == "ladder":
        return [] if held[0] is None else [(None, held[0])]
    if shape == "segment":
        return [(None, None)] if held[MEMBER] else []
    instances = [(key, held_of(instance)) for key, instance in sorted(held[INSTANCES].items())]
    return [(key, None) for key, one in instances if one is not None and one[MEMBER]]
