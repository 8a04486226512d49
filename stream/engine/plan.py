"""The plan: checked definitions compiled into what one pass over an event needs.

For each event type the plan knows the selectors that may match and, for each set of selectors that do match, the
summaries to update and the rules to ask. Events of a type that nothing selects cost one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from stream.definitions.canonical import Canon
from stream.definitions.model import Definitions, Ladder, Reference, Segment
from stream.engine.decisions import Rule
from stream.engine.features import FeatureCompiler, Where
from stream.engine.migration import Layout
from stream.engine.profile import blank_profile
from stream.engine.rules import RuleCompiler
from stream.engine.summaries import Bundle, RecentSummary, Summary
from stream.events import CLOCK_ADVANCED, Event, event_type
from stream.identifiers import canonical_json, definition_hash


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What to do with an event that matched one set of selectors."""

    adds: tuple[tuple[Bundle, int], ...]
    """Bundles of summaries to update, and as what."""
    deciding: tuple[tuple[Summary, int], ...]
    """Summaries in them that are more than evidence: they tell whether a late event still counts."""
    rules: tuple[tuple[int, ...], ...]
    """Rules to ask: of a known user, of a new one, and both again where the event carries traits."""
    notes: tuple[Rule, ...]
    """Rules with an exit that such an event may fulfil."""


@dataclass(slots=True)
class Route:
    """The selectors that an event type may match, as (bit, where)."""

    selectors: tuple[tuple[int, Where | None], ...]
    is_clock: bool
    """Its events move the watermark and nothing else."""
    dispatches: dict[int, Dispatch] = field(default_factory=dict)


class Plan:
    """Compiled definitions. Made by `compile_plan`, immutable afterwards."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        features = FeatureCompiler(definitions)
        rules: list[Rule] = []
        self._touched: dict[int, set[int]] = {}
        self._notes: dict[int, set[int]] = {}
        trait_rules = []
        needs = []
        for name in definitions.order:
            features.asked = set()
            owner = definitions.segments.get(name) or definitions.ladders[name]
            compiler = RuleCompiler(features, rules, owner)
            rule = compiler.compile()
            rules.append(rule)
            needs.append(frozenset(features.asked))
            for other in sorted(compiler.refers_to):
                rules[other].dependents = (*rules[other].dependents, rule.index)
            for bit in compiler.touched_by:
                self._touched.setdefault(bit, set()).add(rule.index)
            for bit in compiler.noted_by:
                self._notes.setdefault(bit, set()).add(rule.index)
            if compiler.reads_traits:
                trait_rules.append(rule.index)
        self.rules: tuple[Rule, ...] = tuple(rules)
        """In topological order: a rule stands after those that it refers to."""
        self.trait_rules = tuple(trait_rules)
        """Rules that read traits: asked when an event carries some."""
        self.keys = tuple(features.keys)
        """Of each summary the key that names its state, by slot."""
        self.bundles = tuple(features.bundles)
        """The units of a profile."""
        by_slot = {summary.slot: summary for bundle in self.bundles for summary in bundle.members}
        self.summaries: tuple[Summary, ...] = tuple(by_slot[slot] for slot in range(len(self.keys)))
        self.needs = tuple(needs)
        """Of each rule the slots of the summaries that it reads."""
        self.covered = frozenset(features.covered)
        """Slots of summaries that are asserted to have seen everything."""
        self.extra_fields = frozenset(features.extra_fields)
        """Top-level fields outside the envelope that definitions read."""
        self.read_fields = frozenset(features.read_fields)
        """Fields of the envelope that definitions read."""
        self.hash = _hash_all(definitions)
        self.layout: Layout = [
            [
                [
                    bundle.keys_of is not None,
                    [self.keys[one.slot] for one in bundle.members],
                    [one.place for one in bundle.members],
                ]
                for bundle in self.bundles
            ],
            [[rule.name, rule.shape, rule.hash] for rule in self.rules],
        ]
        """What a profile's lists hold, for reading it under other definitions."""
        self.stamp = sha256(canonical_json([self.hash, self.layout])).digest()[:4]
        """Names the definitions in every profile that is written under them."""
        self._adds = features.adds
        self._selectors: list[tuple[frozenset[str] | None, Where | None]] = features.selectors
        self._routes: dict[Any, Route] = {}
        blank = blank_profile("")
        self.awake = tuple(rule.index for rule in self.rules if not rule.is_quiet(blank, 0))
        """Rules to ask when a user first appears; the others could not be true of somebody unknown."""

    @property
    def event_type(self) -> type[Event]:
        """What to decode records into: an event with the fields that definitions read."""
        return event_type(self.extra_fields, self.read_fields)

    def route(self, type_: Any) -> Route:
        """The route of an event type, without selectors if none can match it."""
        try:
            return self._routes[type_]
        except KeyError:
            found = tuple(
                (1 << bit, where)
                for bit, (types, where) in enumerate(self._selectors)
                if types is None or type_ in types
            )
            route = Route(found, type_ == CLOCK_ADVANCED)
            if len(self._routes) < 10_000:  # producers choose the types
                self._routes[type_] = route
            return route

    def types_of(self, rule: int) -> frozenset[str] | None:
        """Types of the events that concern a rule, None for all."""
        bits = [bit for bit, touched in self._touched.items() if rule in touched]
        types = [self._selectors[bit][0] for bit in bits]
        return None if None in types else frozenset().union(*(one for one in types if one is not None))

    def with_dependents(self, rules: Iterable[int]) -> list[int]:
        """The rules and all that refer to them, directly or not."""
        found = set(rules)
        for rule in self.rules:  # in topological order, so one pass reaches all
            if rule.index in found:
                found.update(rule.dependents)
        return sorted(found)

    def dispatch(self, route: Route, matched: int) -> Dispatch:
        """What to do with an event of the route that matched these selectors."""
        found = route.dispatches.get(matched)
        if found is None:
            bits = [bit for bit in range(len(self._selectors)) if matched >> bit & 1]
            adds = tuple(dict.fromkeys(add for bit in bits for add in self._adds.get(bit, ())))
            touched = {index for bit in bits for index in self._touched.get(bit, ())}
            rules = tuple(
                tuple(sorted({*touched, *new, *traits}))
                for traits in ((), self.trait_rules)
                for new in ((), self.awake)
            )
            notes = sorted({index for bit in bits for index in self._notes.get(bit, ())})
            deciding = tuple(
                (summary, role)
                for bundle, role in adds
                for summary in bundle.members
                if not isinstance(summary, RecentSummary)
            )
            found = Dispatch(adds, deciding, rules, tuple(self.rules[index] for index in notes))
            route.dispatches[matched] = found
        return found


def compile_plan(definitions: Definitions) -> Plan:
    """The plan of checked definitions."""
    return Plan(definitions)


def _hash_all(definitions: Definitions) -> str:
    """Names everything in the definitions that can be seen in the output."""
    canon = Canon(definitions)

    def plain(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, Reference):
            return canon.reference(value)
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__ if name != "at"}
        return value

    owners: list[Segment | Ladder] = [*definitions.segments.values(), *definitions.ladders.values()]
    form = {
        owner.name: [
            canon.segment(owner) if isinstance(owner, Segment) else canon.ladder(owner),
            plain(owner.actions),
            plain(owner.attach),
            owner.version,
            owner.announce,
        ]
        for owner in owners
    }
    return definition_hash(form)
