"""The plan: checked definitions compiled into what one pass over an event needs.

For each event type the plan knows the selectors that may match and, for each set of selectors that do match, the
summaries to update and the rules to ask. Events of a type that nothing selects cost one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from stream.definitions import model
from stream.definitions.canonical import Canon, field_form
from stream.definitions.check import conditions_of, names_of, sequences_of
from stream.definitions.model import Definitions, Ladder, Reference, Segment
from stream.definitions.text import names as name_list
from stream.definitions.text import write, write_sequence
from stream.durations import format_duration
from stream.engine import cells, conditions, values, windows
from stream.engine.actions import Policy
from stream.engine.attachments import Attachment, lines_of
from stream.engine.calendar import Periods
from stream.engine.conditions import Condition
from stream.engine.keys import compile_days, compile_fold, compile_keys, present, times_keys, with_keys
from stream.engine.ladders import LadderRule, TierRule
from stream.engine.membership import Anchor, Rule, SegmentRule
from stream.engine.profile import blank_profile
from stream.engine.selectors import compile_where
from stream.engine.sequences import PairSequence, Sequence, StepSequence, Then
from stream.engine.summaries import (
    Cells,
    CellSummary,
    DecaySummary,
    KeysOf,
    LinesSummary,
    NewestSummary,
    PairSummary,
    RecentSummary,
    StepsSummary,
    Summary,
    Table,
    WindowSummary,
    key_of,
)
from stream.engine.values import Value
from stream.events import Event, Reader, read_field, stray_field
from stream.identifiers import canonical_json, definition_hash

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
_ALL_DAYS = 10**9


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What to do with an event that matched one set of selectors."""

    adds: tuple[tuple[Summary, int], ...]
    """Summaries to update, and as what."""
    rules: tuple[int, ...]
    """Rules to ask."""
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
        self.keys = tuple(builder.keys)
        """Of each summary the key that names its state, by slot."""
        self.covered = frozenset(builder.covered)
        """Slots of summaries that are asserted to have seen everything."""
        self.layout = sha256(canonical_json([builder.keys, [rule.name for rule in self.rules]])).digest()[:4]
        """Names the order of summaries and rules in a profile."""
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
        self.definitions = definitions
        self.canon = Canon(definitions)
        self._bits: dict[str, int] = {}
        self._slots: dict[str, Any] = {}
        self._tables: dict[str, KeysOf] = {}
        self._indexes = {name: index for index, name in enumerate(definitions.order)}
        self.selectors: list[tuple[frozenset[str] | None, Where | None]] = []
        self.keys: list[str] = []
        self.covered: set[int] = set()
        self.adds: dict[int, list[tuple[Summary, int]]] = {}
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

    def index_of(self, name: str) -> int:
        return self._indexes[name]

    def bit(self, reference: Reference) -> int:
        """The number of a selector; selectors of one form are one."""
        selector = self.definitions.selectors[reference.name]
        key = key_of(self.canon.selector(selector))
        if key not in self._bits:
            self._bits[key] = len(self.selectors)
            types = None if selector.types is None else frozenset(selector.types)
            self.selectors.append((types, compile_where(selector)))
            if selector.where is not None:
                self.need_fields(*(name.path for name in names_of(selector.where)))
        return self._bits[key]

    def need_fields(self, *paths: str) -> None:
        self.extra_fields.update(name for name in map(stray_field, paths) if name is not None)

    def keys_of(self, field: str) -> KeysOf:
        """The keys of an event by a field; one function per field."""
        form = field_form(field)
        if form not in self._tables:
            self.need_fields(field)
            self._tables[form] = compile_keys(field)
        return self._tables[form]

    def share(self, form: Any, make: Callable[[int], Summary], feeds: Iterable[tuple[Reference, int]]) -> Any:
        """The summary of a form; a new one is fed by (selector, role)."""
        key = key_of(form)
        if key not in self._slots:
            self._slots[key] = summary = make(len(self.keys))
            self.keys.append(key)
            for reference, role in feeds:
                self.adds.setdefault(self.bit(reference), []).append((summary, role))
        return self._slots[key]

    # --- shared summaries --------------------------------------------------------------------------------------------

    def table(self, field: str | None, max_keys: int = 100) -> Table | None:
        return None if field is None else Table(self.keys_of(field), max_keys)

    def by_form(self, field: str | None, max_keys: int = 100) -> Any:
        return None if field is None else [field_form(field), max_keys]

    def times(self, reference: Reference, by: str | None = None) -> CellSummary:
        """The lifetime times of a selector."""
        form = ["cell", "times", self.canon.reference(reference), None, self.by_form(by)]
        found: CellSummary = self.share(
            form, lambda slot: CellSummary(slot, cells.TIMES, None, self.table(by)), [(reference, 0)]
        )
        return found

    def recent(self, reference: Reference, by: str | None = None) -> RecentSummary:
        """The newest events of a selector, as evidence."""
        form = ["recent", self.canon.reference(reference), self.by_form(by)]
        found: RecentSummary = self.share(
            form, lambda slot: RecentSummary(slot, self.table(by)), [(reference, 0)]
        )
        return found

    def lines(self, reference: Reference) -> LinesSummary:
        """The newest events of a selector with their lines."""
        form = ["lines", self.canon.reference(reference)]
        self.need_fields("product_id", "name", "category", "brand", "price", "quantity")
        found: LinesSummary = self.share(form, lambda slot: LinesSummary(slot, lines_of), [(reference, 0)])
        return found

    # --- features ----------------------------------------------------------------------------------------------------

    def feature(self, feature: model.Feature) -> Value:
        """The value node of a feature."""
        before = len(self.keys)
        value = self._feature(feature)
        if feature.assume_covered:
            self.covered.update(range(before, len(self.keys)))
        return value

    def _feature(self, feature: model.Feature) -> Value:
        by = feature.by
        recent = self.recent(feature.selector, None if feature.aggregate == "top" else by)
        if feature.window.kind == "half_life":
            return self._decay(feature, recent)
        if feature.aggregate in ("share", "top"):
            return self._compare_keys(feature, recent)
        window = self.window(feature, by)
        if feature.aggregate in ("distinct", "days"):
            return self._different(feature, window, recent)
        shape = _SHAPES[feature.aggregate]
        summary = self.cells(feature, shape, window, self._read(feature), by)
        return _FEATURES[feature.aggregate](feature.name, summary, window, recent, feature.min_n)

    def _read(self, feature: model.Feature) -> Reader | None:
        if feature.field is None:
            return None
        self.need_fields(feature.field)
        return read_field(feature.field)

    def cells(
        self,
        feature: model.Feature,
        shape: cells.Shape,
        window: windows.Window,
        read: Reader | None,
        by: str | None,
        purpose: str = "",
    ) -> Cells:
        """The summary of a feature's events as cells. `purpose` names what is read, where it is not the field."""
        state = self.canon.state(feature)
        source = [purpose, state["selector"], state["field"], self.by_form(by, feature.max_keys)]
        feeds = [(feature.selector, 0)]
        table = self.table(by, feature.max_keys)
        found: Cells
        if isinstance(window, windows.Lifetime):
            form = ["cell", shape.name, *source[1:]] if not purpose else ["cell", shape.name, *source]
            found = self.share(form, lambda slot: CellSummary(slot, shape, read, table), feeds)
        else:
            form = ["window", shape.name, *source, state["window"]]
            found = self.share(form, lambda slot: WindowSummary(slot, shape, read, window, table), feeds)
        return found

    def _different(self, feature: model.Feature, window: windows.Window, recent: RecentSummary) -> Value:
        """`distinct` and `days`."""
        by, summary = feature.by, None
        if feature.aggregate == "days":
            fold, limit = compile_days(feature.timezone), _ALL_DAYS
        else:
            read, limit = self._read(feature), cells.DISTINCT
            assert read is not None
            fold = compile_fold(read)
            if feature.window.kind == "between":
                summary = self.cells(feature, cells.SETS, window, read, by)
        if summary is None:
            form = ["newest", feature.aggregate, feature.timezone, self.canon.state(feature)]
            table = self.table(by, feature.max_keys)
            summary = self.share(
                form, lambda slot: NewestSummary(slot, fold, limit, window, table), [(feature.selector, 0)]
            )
        kind = values.Days if feature.aggregate == "days" else values.Distinct
        value = kind(feature.name, summary, window, recent, 0)
        if not feature.min_n:
            return value
        read = self._read(feature)
        count = self.cells(
            feature, cells.TIMES, window, None if read is None else present(read), by, "present"
        )
        return values.Gate(value, count, feature.min_n, recent)

    def _compare_keys(self, feature: model.Feature, recent: RecentSummary) -> Value:
        """`share` and `top`."""
        assert feature.by is not None
        keys_of, read = self.keys_of(feature.by), self._read(feature)
        window = self.window(feature, feature.by)
        one = read or (lambda event: 1)
        part = self.cells(feature, cells.SUMS, window, one, feature.by, "part")
        value: Value = values.Top(feature.name, part, recent)
        if feature.aggregate == "share":
            total = self.cells(
                feature, cells.SUMS, window, times_keys(one, keys_of), None, f"pairs by {feature.by}"
            )
            value = values.Share(feature.name, part, total, recent)
        if not feature.min_n:
            return value
        events = times_keys(one, keys_of)
        count = self.cells(feature, cells.TIMES, window, present(events), None, f"events by {feature.by}")
        return values.Gate(value, count, feature.min_n, recent)

    def _decay(self, feature: model.Feature, recent: RecentSummary) -> Value:
        read, length = self._read(feature), feature.window.length
        feeds = [(feature.selector, 0)]
        state = self.canon.state(feature)
        part = self.share(
            ["decay", state],
            lambda slot: DecaySummary(slot, read, length, self.table(feature.by, feature.max_keys)),
            feeds,
        )
        if feature.aggregate != "share":
            return values.Decay(feature.name, part, recent, feature.min_n)
        assert feature.by is not None
        pairs = times_keys(read or (lambda event: 1), self.keys_of(feature.by))
        total = self.share(["decay of pairs", state], lambda slot: DecaySummary(slot, pairs, length), feeds)
        return values.DecayShare(feature.name, part, total, recent, feature.min_n)

    def window(self, feature: model.Feature, by: str | None) -> windows.Window:
        window = feature.window
        match window.kind:
            case "lifetime" | "half_life":
                return windows.Lifetime()
            case "last":
                return windows.Last(window.length)
            case "between":
                return windows.Between(window.length, window.until)
            case "calendar":
                return windows.Calendar(Periods(window.period, feature.timezone))
            case "session":
                return windows.Session(window.length, self._run_of(feature, by).slot)
            case "since":
                assert window.since is not None
                return windows.Since(self.times(window.since).slot)

    def _run_of(self, feature: model.Feature, by: str | None) -> Summary:
        """The times of all of a selector's events (with `by`: those with a key), of which sessions are runs."""
        read = None if by is None else with_keys(self.keys_of(by))
        form = ["run", self.canon.reference(feature.selector), self.by_form(by)]
        found: Summary = self.share(
            form,
            lambda slot: WindowSummary(slot, cells.TIMES, read, windows.Session(0, slot)),
            [(feature.selector, 0)],
        )
        return found


class _RuleCompiler:
    """Compiles one segment or ladder, noting what touches it."""

    def __init__(self, builder: _Builder, index: int, owner: Segment | Ladder) -> None:
        self._builder = builder
        self._index = index
        self._owner = owner
        self._for_each = owner.for_each if isinstance(owner, Segment) else None
        self._exit_bits: list[int] = []
        self._anchors: dict[int, Anchor] = {}
        self._user_bits = 0
        self._tables: list[Table] = []
        self.refers_to: set[int] = set()

    def compile(self) -> Rule:
        owner, builder = self._owner, self._builder
        policy = Policy(owner.actions, owner.announce, owner.timezone)
        attachments = tuple(self._attachment(collection) for collection in owner.attach)
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
            return LadderRule(
                self._index, owner.name, hash_, owner.version, policy, attachments, tiers, owner.demote_after
            )
        when = self.condition(owner.when)
        exit_ = None if owner.exit is None else self.condition(owner.exit, in_exit=True)
        rule = SegmentRule(
            self._index,
            owner.name,
            definition_hash(builder.canon.segment(owner)),
            owner.version,
            policy,
            attachments,
            when=when,
            exit_=exit_,
            exit_bits=tuple(self._exit_bits),
            anchor=self._anchor(owner),
            ttl=owner.ttl,
            min_dwell=owner.min_dwell,
            renew=owner.renew,
            renew_bits=self._mask(positive_selectors(owner.when, steps=False)),
            keys_of=None if self._for_each is None else builder.keys_of(self._for_each),
            start_bits=self._mask(positive_selectors(owner.when, steps=True))
            | self._feature_bits(owner.when),
            user_bits=self._user_bits,
            reads_traits=self._index in builder.trait_rules,
            refers=bool(self.refers_to),
        )
        for table in self._tables:
            table.rules.append(rule)
        return rule

    def _mask(self, references: Iterable[Reference]) -> int:
        mask = 0
        for reference in references:
            mask |= 1 << self._builder.bit(reference)
        return mask

    def _feature_bits(self, when: model.Condition) -> int:
        """Selectors of the features by the `for_each` field."""
        features = self._builder.definitions.features
        read = (
            features.get(name.path)
            for part in conditions_of(when)
            if isinstance(part, model.Test)
            for name in names_of(part.expression)
        )
        return self._mask(
            feature.selector
            for feature in read
            if feature is not None and feature.by is not None and feature.by == self._for_each
        )

    def _anchor(self, segment: Segment) -> Anchor | None:
        sequences = list(sequences_of(segment.when))
        if segment.anchor is not None:
            sequences = [sequence for sequence in sequences if sequence.name == segment.anchor.name]
        return self._anchors[id(sequences[0])] if len(sequences) == 1 else None

    def _attachment(self, collection: model.Collection) -> Attachment:
        builder = self._builder
        return Attachment(
            collection.name,
            builder.lines(collection.collect),
            None if collection.since is None else builder.times(collection.since),
            None if collection.remove is None else builder.lines(collection.remove),
            collection.max,
        )

    def _touch(self, reference: Reference, by: str | None) -> int:
        """Notes that events of a selector concern this rule; without `by`, the instances of all keys."""
        bit = self._builder.bit(reference)
        touched = self._builder.touched.setdefault(bit, [])
        if self._index not in touched:
            touched.append(self._index)
        if by is None or by != self._for_each:
            self._user_bits |= 1 << bit
        return bit

    def _keyed(self, summary: Summary) -> None:
        """Notes that a summary holds the keys of this rule's instances."""
        if self._for_each is not None and summary.table is not None and summary.table not in self._tables:
            self._tables.append(summary.table)

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
        by, builder = self._for_each, self._builder
        for reference in do.selectors:
            self._touch(reference, by)
        summaries = tuple(builder.times(reference, by) for reference in do.selectors)
        recents = tuple(builder.recent(reference, by) for reference in do.selectors)
        for summary in summaries:
            self._keyed(summary)
        last = "" if do.last is None else f" in the last {format_duration(do.last)}"
        return conditions.Do(summaries, recents, do.last, name_list(do.selectors) + last)

    def _after_entry(self, do: model.Do) -> Condition:
        bits = 0
        for reference in do.selectors:
            bit = self._touch(reference, self._for_each)
            bits |= 1 << bit
            notes = self._builder.notes.setdefault(bit, [])
            if self._index not in notes:
                notes.append(self._index)
        self._exit_bits.append(bits)
        return conditions.AfterEntry(len(self._exit_bits) - 1, name_list(do.selectors))

    def _sequence(self, sequence: model.Sequence) -> Condition:
        by = self._for_each or sequence.by
        for step in sequence.steps:
            for reference in (*step.selectors, *step.without):
                self._touch(reference, by)
        per_key = by is not None and self._for_each is None
        text = write_sequence(sequence)
        node: Sequence
        if len(sequence.steps) == 2 and sequence.steps[1].kind == "not" and sequence.restart == "last":
            node = self._pair(sequence, by, per_key, text)
        else:
            node = self._steps(sequence, by, per_key, text)
        self._anchors[id(sequence)] = node.anchor
        return node

    def _pair(self, sequence: model.Sequence, by: str | None, per_key: bool, text: str) -> Sequence:
        builder = self._builder
        first, closing = sequence.steps
        form = [
            "pair",
            builder.canon.references(first.selectors),
            builder.canon.references(closing.selectors),
            builder.by_form(by),
        ]
        feeds = [*((ref, 0) for ref in first.selectors), *((ref, 1) for ref in closing.selectors)]
        summary = builder.share(form, lambda slot: PairSummary(slot, builder.table(by)), feeds)
        self._keyed(summary)
        return PairSequence(summary, closing.span, text, per_key)

    def _steps(self, sequence: model.Sequence, by: str | None, per_key: bool, text: str) -> Sequence:
        builder = self._builder
        roles: list[tuple[Reference, ...]] = [sequence.steps[0].selectors]
        thens = []
        closing, span = None, 0
        for step in sequence.steps[1:]:
            roles.append(step.selectors)
            if step.kind == "not":
                closing, span = len(roles) - 1, step.span
                continue
            role, without = len(roles) - 1, None
            if step.without:
                roles.append(step.without)
                without = len(roles) - 1
            thens.append(Then(role, step.span, without))
        form = ["steps", [builder.canon.references(references) for references in roles], builder.by_form(by)]
        feeds = [(reference, role) for role, references in enumerate(roles) for reference in references]
        summary = builder.share(form, lambda slot: StepsSummary(slot, len(roles), builder.table(by)), feeds)
        self._keyed(summary)
        return StepSequence(summary, tuple(thens), closing, span, sequence.restart, text, per_key)

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
                comparisons = tuple(
                    conditions.Comparison(
                        "==", self.value(item), self.value(option), f"{write(item)} == {write(option)}", False
                    )
                    for option in options
                )
                return conditions.Member(comparisons, write(expression))
            case model.Call(function="exists", arguments=(model.Name() as name,)):
                return conditions.Exists(self.value(name), write(expression))
            case model.Name(path=path) if path.startswith("segment."):
                return self._member_of(path)
            case _:
                return conditions.Truth(self.value(expression))

    def _comparison(
        self, operator: str, left: model.Expression, right: model.Expression, text: str
    ) -> Condition:
        duration = self._is_duration(left) or self._is_duration(right)
        one, other = self.value(left), self.value(right)
        if isinstance(one, values.Decay) and isinstance(right, model.Constant):
            assert isinstance(right.value, (int, float))
            return conditions.Fading(operator, one, right.value, text)
        if isinstance(other, values.Decay) and isinstance(left, model.Constant):
            assert isinstance(left.value, (int, float))
            return conditions.Fading(MIRRORED[operator], other, left.value, text)
        if isinstance(one, values.SinceLast) and operator not in ("==", "!=") and self._stands_still(right):
            return conditions.Silence(operator, one, other, text, duration)
        if isinstance(other, values.Feature) and isinstance(left, model.Constant):
            operator, one, other = MIRRORED[operator], other, one
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
            case model.Call(function=function, arguments=arguments) if function != "exists":
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
            case _:
                return values.LocalTime(function, timezone)

    def _member_of(self, path: str) -> Condition:
        index = self._builder.index_of(path.removeprefix("segment."))
        self.refers_to.add(index)
        rule = self._builder.rules[index]
        assert isinstance(rule, SegmentRule)
        owner = self._builder.definitions.segments[rule.name]
        same_key = self._for_each is not None and owner.for_each == self._for_each
        return conditions.MemberOf(rule.is_member, same_key, path)

    def _name(self, path: str) -> Value:
        head, _, rest = path.partition(".")
        if head == "traits":
            self._builder.trait_rules.add(self._index)
            return values.Trait(rest)
        if head == "ladder":
            index = self._builder.index_of(rest)
            self.refers_to.add(index)
            rule = self._builder.rules[index]
            assert isinstance(rule, LadderRule)
            return conditions.TierOf(rule.tier_of, path)
        if head == "segment":
            return conditions.Asked(self._member_of(path), path)
        feature = self._builder.definitions.features[path]
        self._touch(feature.selector, None if feature.aggregate in ("top", "share") else feature.by)
        if feature.window.since is not None:
            self._touch(feature.window.since, None)
        value = self._builder.feature(feature)
        summary = value.split()
        if summary is not None:
            self._keyed(summary)
        return value


MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def positive_selectors(condition: model.Condition, *, steps: bool) -> Iterator[Reference]:
    """Selectors of `do`, and with `steps` of the `do` and `then` of sequences, outside every `not`."""
    match condition:
        case model.AtLeast(operands=operands):
            for operand in operands:
                yield from positive_selectors(operand, steps=steps)
        case model.Do(selectors=selectors):
            yield from selectors
        case model.Sequence(steps=parts) if steps:
            for part in parts:
                if part.kind != "not":
                    yield from part.selectors
