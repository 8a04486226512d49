"""The plan: checked definitions compiled into what one pass over an event needs.

For each event type the plan knows the selectors that may match and, for each set of selectors that do match, the
summaries to update and the rules to ask. Events of a type that nothing selects cost one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from stream.definitions import model
from stream.definitions.canonical import Canon
from stream.definitions.check import conditions_of, names_of, sequences_of
from stream.definitions.model import Definitions, Ladder, Reference, Segment
from stream.definitions.text import names as name_list
from stream.definitions.text import write, write_sequence
from stream.durations import format_duration
from stream.engine import cells, conditions, values, windows
from stream.engine.calendar import Periods
from stream.engine.conditions import Condition
from stream.engine.ladders import LadderRule, TierRule
from stream.engine.membership import Anchor, SegmentRule
from stream.engine.profile import Profile, blank_profile
from stream.engine.selectors import compile_where
from stream.engine.summaries import CellSummary, PairSummary, RecentSummary, WindowSummary, key_of
from stream.engine.values import Value
from stream.events import Event, read_field, stray_field
from stream.identifiers import canonical_json, definition_hash

Rule = SegmentRule | LadderRule
Add = Callable[[Profile, Event], bool]
Where = Callable[[Event], bool | None]

_SHAPES: dict[str, cells.Shape] = {
    "count": cells.TIMES,
    "since_first": cells.TIMES,
    "since_last": cells.TIMES,
    "mean_gap": cells.TIMES,
    "sum": cells.SUMS,
    "mean": cells.SUMS,
    "min": cells.RANGES,
    "max": cells.RANGES,
    "first_value": cells.ENDS,
    "last_value": cells.ENDS,
}
_FEATURES: dict[str, type[values.Feature]] = {
    "count": values.Count,
    "sum": values.Sum,
    "mean": values.Mean,
    "min": values.Min,
    "max": values.Max,
    "first_value": values.FirstValue,
    "last_value": values.LastValue,
    "since_first": values.SinceFirst,
    "since_last": values.SinceLast,
    "mean_gap": values.MeanGap,
}


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What to do with an event that matched one set of selectors."""

    adds: tuple[Add, ...]
    rules: tuple[int, ...]
    notes: tuple[Rule, ...]
    """Rules with an exit that such an event may fulfil."""


@dataclass(slots=True)
class Route:
    """The selectors that an event type may match, as (bit, where)."""

    selectors: tuple[tuple[int, Where | None], ...]
    dispatches: dict[int, Dispatch] = field(default_factory=dict)


class Plan:
    """Compiled definitions. Made by `compile_plan`, immutable afterwards."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        builder = _Builder(definitions)
        self.rules: tuple[Rule, ...] = tuple(builder.rules)
        """In topological order: a rule stands after those that it refers to."""
        self.units = len(builder.keys)
        self.layout = sha256(canonical_json([builder.keys, [rule.name for rule in self.rules]])).digest()[:4]
        """Names the order of summaries and rules in a profile."""
        self.layout_keys = (tuple(builder.keys), tuple(rule.name for rule in self.rules))
        self.hash = _hash_all(definitions)
        self.trait_rules = tuple(sorted(builder.trait_rules))
        """Rules that read traits: asked when an event carries some."""
        self.extra_fields = frozenset(builder.extra_fields)
        """Top-level fields outside the envelope that definitions read, for `stream.events.event_type`."""
        self._adds = builder.adds
        self._touched = builder.touched
        self._notes = builder.notes
        self._selectors = builder.selectors
        self._routes: dict[Any, Route | None] = {}
        blank = blank_profile("", self.units, len(self.rules))
        self.awake = tuple(rule.index for rule in self.rules if not rule.is_quiet(blank, 0))
        """Rules to ask when a user first appears; the others could not be true of somebody unknown."""

    def route(self, type_: Any) -> Route | None:
        """The route of an event type, None if no selector can match it."""
        try:
            return self._routes[type_]
        except KeyError:
            found = tuple(
                (1 << bit, where)
                for bit, (types, where) in enumerate(self._selectors)
                if types is None or type_ in types
            )
            route = Route(found) if found else None
            if len(self._routes) < 10_000:  # producers choose the types
                self._routes[type_] = route
            return route

    def dispatch(self, route: Route, matched: int) -> Dispatch:
        """What to do with an event of the route that matched these selectors."""
        found = route.dispatches.get(matched)
        if found is None:
            bits = [bit for bit in range(len(self._selectors)) if matched >> bit & 1]
            adds = tuple(dict.fromkeys(add for bit in bits for add in self._adds.get(bit, ())))
            rules = sorted({index for bit in bits for index in self._touched.get(bit, ())})
            notes = sorted({index for bit in bits for index in self._notes.get(bit, ())})
            found = Dispatch(adds, tuple(rules), tuple(self.rules[index] for index in notes))
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


class _Builder:
    """Compiles definitions, sharing whatever has the same form."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._canon = Canon(definitions)
        self._bits: dict[str, int] = {}
        self._slots: dict[str, Any] = {}
        self._indexes = {name: index for index, name in enumerate(definitions.order)}
        self.selectors: list[tuple[frozenset[str] | None, Where | None]] = []
        self.keys: list[str] = []
        self.adds: dict[int, list[Add]] = {}
        self.touched: dict[int, list[int]] = {}
        self.notes: dict[int, list[int]] = {}
        self.trait_rules: set[int] = set()
        self.extra_fields: set[str] = set()
        self.rules: list[Rule] = []
        dependents: dict[int, set[int]] = {}
        for index, name in enumerate(definitions.order):
            owner = definitions.segments.get(name) or definitions.ladders[name]
            compiler = _RuleCompiler(self, index, owner)
            self.rules.append(compiler.compile())
            for other in compiler.refers_to:
                dependents.setdefault(other, set()).add(index)
        for index, found in dependents.items():
            self.rules[index].dependents = tuple(sorted(found))

    @property
    def definitions(self) -> Definitions:
        return self._definitions

    @property
    def canon(self) -> Canon:
        return self._canon

    def index_of(self, name: str) -> int:
        return self._indexes[name]

    def bit(self, reference: Reference) -> int:
        """The number of a selector; selectors of one form are one."""
        selector = self._definitions.selectors[reference.name]
        key = key_of(self._canon.selector(selector))
        if key not in self._bits:
            self._bits[key] = len(self.selectors)
            types = None if selector.types is None else frozenset(selector.types)
            self.selectors.append((types, compile_where(selector)))
            if selector.where is not None:
                self.need_fields(*(name.path for name in names_of(selector.where)))
        return self._bits[key]

    def need_fields(self, *paths: str) -> None:
        self.extra_fields.update(name for name in map(stray_field, paths) if name is not None)

    def share(self, form: Any, make: Callable[[int], Any]) -> tuple[Any, bool]:
        """The summary of a form, and whether it is new."""
        key = key_of(form)
        if key in self._slots:
            return self._slots[key], False
        self._slots[key] = summary = make(len(self.keys))
        self.keys.append(key)
        return summary, True

    def feed(self, bit: int, add: Add) -> None:
        self.adds.setdefault(bit, []).append(add)

    def times(self, reference: Reference) -> CellSummary:
        """The lifetime times of a selector."""
        form = ["cell", "times", self._canon.reference(reference), None]
        summary, new = self.share(form, lambda slot: CellSummary(slot, cells.TIMES, None))
        if new:
            self.feed(self.bit(reference), summary.add)
        found: CellSummary = summary
        return found

    def recent(self, reference: Reference) -> RecentSummary:
        """The newest events of a selector, as evidence."""
        summary, new = self.share(["recent", self._canon.reference(reference)], RecentSummary)
        if new:
            self.feed(self.bit(reference), summary.add)
        found: RecentSummary = summary
        return found

    def feature(self, feature: model.Feature) -> Value:
        """The value node of a feature."""
        shape = _SHAPES[feature.aggregate]
        read = None
        if feature.field is not None:
            read = read_field(feature.field)
            self.need_fields(feature.field)
        summary: CellSummary | WindowSummary
        if feature.window.kind == "lifetime":
            form = [
                "cell",
                shape.name,
                self._canon.reference(feature.selector),
                self._canon.state(feature)["field"],
            ]
            summary, new = self.share(form, lambda slot: CellSummary(slot, shape, read))
        else:
            window = self.window(feature)
            form = ["window", shape.name, self._canon.state(feature)]
            summary, new = self.share(form, lambda slot: WindowSummary(slot, shape, read, window))
        if new:
            self.feed(self.bit(feature.selector), summary.add)
        return _FEATURES[feature.aggregate](
            feature.name, summary, self.recent(feature.selector), feature.min_n
        )

    def window(self, feature: model.Feature) -> windows.Window:
        window = feature.window
        if window.kind == "last":
            return windows.Last(window.length)
        if window.kind == "between":
            return windows.Between(window.length, window.until)
        if window.kind == "calendar":
            return windows.Calendar(Periods(window.period, feature.timezone))
        if window.kind == "session":
            return windows.Session(window.length, None)
        assert window.since is not None
        return windows.Since(self.times(window.since).slot)


class _RuleCompiler:
    """Compiles one segment or ladder, noting what touches it."""

    def __init__(self, builder: _Builder, index: int, owner: Segment | Ladder) -> None:
        self._builder = builder
        self._index = index
        self._owner = owner
        self._exit_bits: list[int] = []
        self._anchors: dict[int, Anchor] = {}
        self.refers_to: set[int] = set()

    def compile(self) -> Rule:
        owner, builder = self._owner, self._builder
        if isinstance(owner, Ladder):
            tiers = tuple(
                TierRule(
                    tier.name,
                    self.condition(tier.when),
                    None
                    if tier.from_ is None
                    else frozenset(None if ref.name == "none" else ref.name for ref in tier.from_),
                    tier.ttl,
                )
                for tier in owner.tiers
            )
            hash_ = definition_hash(builder.canon.ladder(owner))
            return LadderRule(self._index, owner.name, hash_, owner.version, tiers, owner.demote_after)
        when = self.condition(owner.when)
        exit_ = None if owner.exit is None else self.condition(owner.exit, in_exit=True)
        renew_bits = 0
        for part in conditions_of(owner.when):
            if isinstance(part, model.Do):
                for reference in part.selectors:
                    renew_bits |= 1 << builder.bit(reference)
        return SegmentRule(
            self._index,
            owner.name,
            definition_hash(builder.canon.segment(owner)),
            owner.version,
            when=when,
            exit_=exit_,
            exit_bits=tuple(self._exit_bits),
            anchor=self._anchor(owner),
            ttl=owner.ttl,
            min_dwell=owner.min_dwell,
            renew=owner.renew,
            renew_bits=renew_bits,
        )

    def _anchor(self, segment: Segment) -> Anchor | None:
        sequences = list(sequences_of(segment.when))
        if not sequences:
            return None
        chosen = sequences[0]
        if segment.anchor is not None:
            chosen = next(sequence for sequence in sequences if sequence.name == segment.anchor.name)
        return self._anchors[id(chosen)]

    def _touch(self, reference: Reference) -> int:
        bit = self._builder.bit(reference)
        touched = self._builder.touched.setdefault(bit, [])
        if self._index not in touched:
            touched.append(self._index)
        return bit

    # --- conditions --------------------------------------------------------------------------------------------------

    def condition(self, condition: model.Condition, in_exit: bool = False) -> Condition:
        match condition:
            case model.Test(expression=expression):
                return self.boolean(expression)
            case model.AtLeast(form=form, n=n, operands=operands):
                parts = tuple(self.condition(operand, in_exit) for operand in operands)
                if form == "at_least":
                    return conditions.AtLeast(n, parts)
                return conditions.All(parts) if form == "all" else conditions.Either(parts)
            case model.Not(operand=operand):
                return conditions.Not(self.condition(operand, in_exit))
            case model.Do():
                return self._after_entry(condition) if in_exit else self._do(condition)
            case model.Sequence():
                return self._sequence(condition)

    def _do(self, do: model.Do) -> Condition:
        for reference in do.selectors:
            self._touch(reference)
        summaries = tuple(self._builder.times(reference) for reference in do.selectors)
        recents = tuple(self._builder.recent(reference) for reference in do.selectors)
        last = "" if do.last is None else f" in the last {format_duration(do.last)}"
        return conditions.Do(summaries, recents, do.last, name_list(do.selectors) + last)

    def _after_entry(self, do: model.Do) -> Condition:
        bits = 0
        for reference in do.selectors:
            bit = self._touch(reference)
            bits |= 1 << bit
            notes = self._builder.notes.setdefault(bit, [])
            if self._index not in notes:
                notes.append(self._index)
        self._exit_bits.append(bits)
        return conditions.AfterEntry(len(self._exit_bits) - 1, name_list(do.selectors))

    def _sequence(self, sequence: model.Sequence) -> Condition:
        first, closing = sequence.steps
        builder = self._builder
        form = [
            "pair",
            builder.canon.references(first.selectors),
            builder.canon.references(closing.selectors),
        ]
        summary, new = builder.share(form, PairSummary)
        for reference in (*first.selectors, *closing.selectors):
            self._touch(reference)
        if new:
            for reference in first.selectors:
                builder.feed(builder.bit(reference), summary.add_anchor)
            for reference in closing.selectors:
                builder.feed(builder.bit(reference), summary.add_closing)
        node = conditions.PairSequence(summary, closing.span, write_sequence(sequence))
        self._anchors[id(sequence)] = node.anchor
        return node

    # --- expressions -------------------------------------------------------------------------------------------------

    def boolean(self, expression: model.Expression) -> Condition:
        match expression:
            case model.Logic(operator=operator, operands=operands):
                parts = tuple(self.boolean(operand) for operand in operands)
                if operator == "not":
                    return conditions.Not(parts[0])
                return conditions.All(parts) if operator == "and" else conditions.Either(parts)
            case model.Comparison(operator=operator, left=left, right=right):
                return self._comparison(operator, left, right, write(expression))
            case model.Membership(item=item, options=options):
                texts = (f"{write(item)} == {write(option)}" for option in options)
                comparisons = tuple(
                    conditions.Comparison("==", self.value(item), self.value(option), text, False)
                    for option, text in zip(options, texts, strict=True)
                )
                return conditions.Member(comparisons, write(expression))
            case model.Call(function="exists", arguments=(model.Name() as name,)):
                return conditions.Exists(self.value(name), write(expression))
            case _:
                return conditions.Truth(self.value(expression))

    def _comparison(
        self, operator: str, left: model.Expression, right: model.Expression, text: str
    ) -> Condition:
        duration = self._is_duration(left) or self._is_duration(right)
        one, other = self.value(left), self.value(right)
        if isinstance(one, values.SinceLast) and operator not in ("==", "!=") and self._stands_still(right):
            return conditions.Silence(operator, one, other, text, duration)
        return conditions.Comparison(operator, one, other, text, duration)

    def _is_duration(self, expression: model.Expression) -> bool:
        match expression:
            case model.Constant(kind=kind):
                return kind == "duration"
            case model.Name(path=path):
                feature = self._builder.definitions.features.get(path)
                return feature is not None and feature.aggregate in ("since_first", "since_last", "mean_gap")
            case model.Call(function=function, arguments=arguments):
                return function == "until_anniversary" or any(map(self._is_duration, arguments))
            case model.Arithmetic(operator=operator, left=left, right=right):
                both = (self._is_duration(left), self._is_duration(right))
                return both[0] != both[1] if operator in "*/" else any(both)
            case _:
                return False

    def _stands_still(self, expression: model.Expression) -> bool:
        """Whether a number never moves by itself."""
        for name in names_of(expression):
            feature = self._builder.definitions.features.get(name.path)
            if feature is not None and feature.aggregate in ("since_first", "since_last"):
                return False
        return "until_anniversary" not in write(expression)

    def value(self, expression: model.Expression) -> Value:
        match expression:
            case model.Constant(value=value, text=text):
                return values.Constant(conditions.NULL if value is None else value, text)
            case model.Name(path=path):
                return self._name(path)
            case model.Arithmetic(operator=operator, left=left, right=right):
                return values.Arithmetic(operator, self.value(left), self.value(right), write(expression))
            case model.Call(function=function, arguments=arguments):
                return self._call(function, arguments, write(expression))
            case _:
                return conditions.Asked(self.boolean(expression), write(expression))

    def _call(self, function: str, arguments: tuple[model.Expression, ...], text: str) -> Value:
        operands = tuple(self.value(argument) for argument in arguments)
        timezone = self._owner.timezone
        match function:
            case "min" | "max":
                return values.Extreme(1 if function == "max" else -1, operands, text)
            case "abs":
                return values.Absolute(operands[0], text)
            case "coalesce":
                return values.Coalesce(operands, text)
            case "age":
                return values.Age(operands[0], timezone, text)
            case "until_anniversary":
                return values.UntilAnniversary(operands[0], timezone, text)
            case "distance_km":
                return values.Distance(operands, text)
            case "exists":
                return conditions.Asked(conditions.Exists(operands[0], text), text)
            case _:
                return values.LocalTime(function, timezone)

    def _name(self, path: str) -> Value:
        head, _, rest = path.partition(".")
        if head == "traits":
            self._builder.trait_rules.add(self._index)
            return values.Trait(rest)
        if head in ("segment", "ladder"):
            index = self._builder.index_of(rest)
            self.refers_to.add(index)
            rule = self._builder.rules[index]
            if isinstance(rule, LadderRule):
                return conditions.TierOf(rule.tier_of, path)
            return conditions.Asked(conditions.MemberOf(rule.is_member, path), path)
        feature = self._builder.definitions.features[path]
        self._touch(feature.selector)
        if feature.window.since is not None:
            self._touch(feature.window.since)
        return self._builder.feature(feature)
