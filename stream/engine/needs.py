"""What each segment and ladder of a plan needs: features, events, and bytes that it shares with others or has alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stream.definitions.check import conditions_of_owner, names_of
from stream.definitions.model import Do, Ladder, Segment, Sequence, Test
from stream.definitions.text import names, write_sequence
from stream.durations import format_duration
from stream.engine.cost import Cost, rule_cost, summaries_cost
from stream.engine.plan import Plan


@dataclass(frozen=True, slots=True)
class Need:
    """One segment or ladder."""

    name: str
    asks: tuple[str, ...]
    """Features, traits, events, sequences and other segments, as one writes them."""
    features: tuple[str, ...]
    refers_to: tuple[str, ...]
    """Other segments and ladders."""
    shared_with: tuple[str, ...]
    """Segments and ladders that read some of the same state."""
    types: tuple[str, ...] | None
    """Types of the events that concern it, None for all."""
    reads_traits: bool
    per_key: str | None
    """The field of `for_each`."""
    whole: Cost
    """All that it needs, what it shares included."""
    shared: Cost
    """What others need, too."""


def needs_of(plan: Plan) -> list[Need]:
    """The needs of all segments and ladders, in the order of the files."""
    definitions = plan.definitions
    owners: list[Segment | Ladder] = [*definitions.segments.values(), *definitions.ladders.values()]
    return [_need(plan, owner) for owner in owners]


def _need(plan: Plan, owner: Segment | Ladder) -> Need:
    rule = next(rule for rule in plan.rules if rule.name == owner.name)
    mine = plan.needs[rule.index]
    with_others = {other: mine & plan.needs[other.index] for other in plan.rules if other is not rule}
    shared_slots = frozenset().union(*with_others.values())
    whole = rule_cost(plan, rule) + summaries_cost(plan.summaries[slot] for slot in mine)
    shared = summaries_cost(plan.summaries[slot] for slot in mine & shared_slots)
    asks = list(dict.fromkeys(_asks(owner)))
    types = plan.types_of(rule.index)
    return Need(
        owner.name,
        tuple(asks),
        tuple(ask for ask in asks if ask in plan.definitions.features),
        tuple(ask.partition(".")[2] for ask in asks if ask.startswith(("segment.", "ladder."))),
        tuple(other.name for other, slots in with_others.items() if slots),
        None if types is None else tuple(sorted(types)),
        rule.index in plan.trait_rules,
        owner.for_each if isinstance(owner, Segment) else None,
        whole,
        shared,
    )


def _asks(owner: Segment | Ladder) -> Iterator[str]:
    for condition in conditions_of_owner(owner):
        if isinstance(condition, Test):
            for name in names_of(condition.expression):
                yield name.path
        elif isinstance(condition, Do):
            last = "" if condition.last is None else f" in the last {format_duration(condition.last)}"
            yield names(condition.selectors) + last
        elif isinstance(condition, Sequence):
            yield write_sequence(condition)
    for collection in owner.attach:
        yield f"lines of {collection.collect.name}"
