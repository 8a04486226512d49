"""Segments and ladders compiled: their conditions become nodes over the summaries of their features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stream.definitions import model
from stream.definitions.check import conditions_of, names_of, sequences_of
from stream.definitions.model import Ladder, Reference, Segment
from stream.definitions.text import names as name_list
from stream.definitions.text import write, write_sequence
from stream.durations import format_duration
from stream.engine import comparisons, conditions, places, references, shares, values, versions
from stream.engine.actions import Policy
from stream.engine.attachments import Attachment
from stream.engine.conditions import Condition
from stream.engine.decisions import Rule
from stream.engine.features import FeatureCompiler
from stream.engine.ladders import LadderRule, TierRule
from stream.engine.membership import Anchor, SegmentRule
from stream.engine.sequences import PairSequence, Sequence, StepSequence, Then
from stream.engine.summaries import PairSummary, StepsSummary, Summary
from stream.engine.values import Value
from stream.identifiers import definition_hash

MOVING = ("until_anniversary", "time_in")
"""Functions whose value moves with time."""

CALENDAR = ("until_anniversary", "age(", "local_")
"""What an expression holds that asks the calendar."""

MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class RuleCompiler:
    """Compiles one segment or ladder, noting what touches it."""

    def __init__(self, features: FeatureCompiler, rules: list[Rule], owner: Segment | Ladder) -> None:
        self._features = features
        self._rules = {rule.name: rule for rule in rules}
        """The rules before this one: all that it can refer to."""
        self._index = len(rules)
        self._owner = owner
        self._for_each = owner.for_each if isinstance(owner, Segment) else None
        self._exit_bits: list[int] = []
        self._anchors: dict[int, Anchor] = {}
        self._user_bits = 0
        self._splits: list[Summary] = []
        self._starts: list[tuple[Summary, Anchor | None]] = []
        self._is_below_not = False
        self.refers_to: set[int] = set()
        """Rules that the owner asks for."""
        self.touched_by: set[int] = set()
        """Bits of the selectors whose events concern the owner."""
        self.noted_by: set[int] = set()
        """Bits of the selectors of a `do` in its exit."""
        self.reads_traits = False

    def compile(self) -> Rule:
        owner, features = self._owner, self._features
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
            hash_ = definition_hash(features.canon.ladder(owner))
            return LadderRule(
                self._index, owner.name, hash_, owner.version, policy, attachments, tiers, owner.demote_after
            )
        when = self.condition(owner.when)
        starts = tuple(self._starts)
        exit_ = None if owner.exit is None else self.condition(owner.exit, in_exit=True)
        rule = SegmentRule(
            self._index,
            owner.name,
            definition_hash(features.canon.segment(owner)),
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
            for_each=self._for_each,
            keys_of=None if self._for_each is None else features.keys_of(self._for_each),
            splits=tuple(self._splits),
            start_bits=self._mask(positive_selectors(owner.when, steps=True))
            | self._feature_bits(owner.when),
            starts=starts,
            user_bits=self._user_bits,
            reads_traits=self.reads_traits,
            refers=bool(self.refers_to),
        )
        for summary in self._splits:
            if rule not in summary.bundle.rules:
                summary.bundle.rules.append(rule)
        return rule

    def _mask(self, references: Iterable[Reference]) -> int:
        mask = 0
        for reference in references:
            mask |= 1 << self._features.bit(reference)
        return mask

    def _feature_bits(self, when: model.Condition) -> int:
        """Selectors of the features by the `for_each` field."""
        known = self._features.definitions.features
        read = (
            known.get(name.path)
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
        features = self._features
        return Attachment(
            collection.name,
            features.lines(collection.collect),
            None if collection.since is None else features.times(collection.since),
            None if collection.remove is None else features.lines(collection.remove),
            collection.max,
        )

    def _touch(self, reference: Reference, by: str | None) -> int:
        """Notes that events of a selector concern this rule; without `by`, the instances of all keys."""
        bit = self._features.bit(reference)
        self.touched_by.add(bit)
        if by is None or by != self._for_each:
            self._user_bits |= 1 << bit
        return bit

    def _keyed(self, summary: Summary) -> None:
        """Notes that a summary holds the keys of this rule's instances."""
        if self._for_each is not None and summary.is_split and summary not in self._splits:
            self._splits.append(summary)

    def _sees(self, summary: Summary, anchor: Anchor | None = None) -> None:
        """Notes that a summary is that of a `do` or a sequence: outside every `not` its keys begin instances."""
        if self._owner.assume_covered:
            self._features.covered.add(summary.slot)
        if self._for_each is not None and summary.is_split and not self._is_below_not:
            self._starts.append((summary, anchor))

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
                outside, self._is_below_not = self._is_below_not, True
                negated = conditions.Not(self.condition(operand, in_exit))
                self._is_below_not = outside
                return negated
            case model.Do():
                return self._after_entry(condition) if in_exit else self._do(condition)
            case model.Sequence():
                return self._sequence(condition)

    def _do(self, do: model.Do) -> Condition:
        by, features = self._for_each, self._features
        for reference in do.selectors:
            self._touch(reference, by)
        summaries = tuple(features.times(reference, by) for reference in do.selectors)
        recents = tuple(features.recent(reference, by) for reference in do.selectors)
        for summary in summaries:
            self._keyed(summary)
            self._sees(summary)
        last = "" if do.last is None else f" in the last {format_duration(do.last)}"
        node = conditions.Do(summaries, recents, do.last, name_list(do.selectors) + last)
        node.own = by is not None
        return node

    def _after_entry(self, do: model.Do) -> Condition:
        bits = 0
        for reference in do.selectors:
            bit = self._touch(reference, self._for_each)
            bits |= 1 << bit
            self.noted_by.add(bit)
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
        node.own = self._for_each is not None
        self._anchors[id(sequence)] = node.anchor
        return node

    def _pair(self, sequence: model.Sequence, by: str | None, per_key: bool, text: str) -> Sequence:
        features = self._features
        first, closing = sequence.steps
        form = [
            "pair",
            features.canon.references(first.selectors),
            features.canon.references(closing.selectors),
            features.by_form(by),
        ]
        feeds = [*((ref, 0) for ref in first.selectors), *((ref, 1) for ref in closing.selectors)]
        summary = features.share(form, PairSummary, feeds, by)
        self._keyed(summary)
        node = PairSequence(summary, closing.span, text, per_key)
        self._sees(summary, node.anchor)
        return node

    def _steps(self, sequence: model.Sequence, by: str | None, per_key: bool, text: str) -> Sequence:
        features = self._features
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
        form = [
            "steps",
            [features.canon.references(references) for references in roles],
            features.by_form(by),
        ]
        feeds = [(reference, role) for role, references in enumerate(roles) for reference in references]
        summary = features.share(form, lambda: StepsSummary(len(roles)), feeds, by)
        self._keyed(summary)
        node = StepSequence(summary, tuple(thens), closing, span, sequence.restart, text, per_key)
        self._sees(summary, node.anchor)
        return node

    # --- expressions -------------------------------------------------------------------------------------------------

    def boolean(self, expression: model.Expression) -> Condition:
        if isinstance(expression, model.Logic):
            parts = tuple(self.boolean(operand) for operand in expression.operands)
            if expression.operator == "not":
                return conditions.Not(parts[0])
            return conditions.All(parts) if expression.operator == "and" else conditions.Either(parts)
        leaf = self._leaf(expression)
        leaf.own = self._for_each is not None and all(map(self._is_own, names_of(expression)))
        text = write(expression)
        if any(function in text for function in CALENDAR):
            leaf.cost = 2
        return leaf

    def _leaf(self, expression: model.Expression) -> Condition:
        match expression:
            case model.Comparison(operator=operator, left=left, right=right):
                return self._comparison(operator, left, right, write(expression))
            case model.Membership(item=item, options=options):
                options_met = tuple(
                    comparisons.Comparison(
                        "==", self.value(item), self.value(option), f"{write(item)} == {write(option)}", False
                    )
                    for option in options
                )
                return comparisons.Member(options_met, write(expression))
            case model.Call(function="exists", arguments=(model.Name() as name,)):
                return comparisons.Exists(self.value(name), write(expression))
            case model.Name(path=path) if path.startswith("segment."):
                return self._member_of(path)
            case _:
                return comparisons.Truth(self.value(expression))

    def _is_own(self, name: model.Name) -> bool:
        """Whether a name is a feature that nothing but events of the key, and time, can change."""
        feature = self._features.definitions.features.get(name.path)
        return (
            feature is not None
            and feature.by == self._for_each
            and feature.aggregate not in ("share", "top")
            and feature.window.kind not in ("session", "since")
        )

    def _comparison(
        self, operator: str, left: model.Expression, right: model.Expression, text: str
    ) -> Condition:
        duration = self._is_duration(left) or self._is_duration(right)
        one, other = self.value(left), self.value(right)
        if isinstance(one, shares.Decay) and isinstance(right, model.Constant):
            assert isinstance(right.value, (int, float))
            return comparisons.Fading(operator, one, right.value, text)
        if isinstance(other, shares.Decay) and isinstance(left, model.Constant):
            assert isinstance(left.value, (int, float))
            return comparisons.Fading(MIRRORED[operator], other, left.value, text)
        if isinstance(one, values.SinceLast) and operator not in ("==", "!=") and self._stands_still(right):
            least = self._least(right) if operator in (">", ">=") else None
            return comparisons.Silence(operator, one, other, text, duration, least)
        if isinstance(other, values.Feature) and isinstance(left, model.Constant):
            operator, one, other = MIRRORED[operator], other, one
        if (
            isinstance(one, values.Count)
            and not isinstance(one, values.Distinct)
            and isinstance(other, values.Constant)
            and operator in (">", ">=")
        ):
            return comparisons.AtLeastCount(operator, one, other, text, duration)
        if (
            isinstance(left, model.Name)
            and isinstance(other, values.Constant)
            and operator in (">", ">=")
            and self._is_lowered_by_others(left)
        ):
            return comparisons.AtLeastShare(operator, one, other, text, duration)
        return comparisons.Comparison(operator, one, other, text, duration)

    def _is_lowered_by_others(self, name: model.Name) -> bool:
        """Whether a name is a share that events of other keys can only make smaller.

        Of a sum they could take away, and of a session they could make a longer run.
        """
        feature = self._features.definitions.features.get(name.path)
        return (
            feature is not None
            and feature.aggregate == "share"
            and feature.by == self._for_each
            and feature.field is None
            and feature.window.kind in ("lifetime", "last", "calendar")
        )

    def _least(self, expression: model.Expression) -> float | None:
        """What a number cannot be below, as far as the expression itself says."""
        match expression:
            case model.Constant(value=int() | float() as value):
                return value
            case model.Call(function="max", arguments=arguments):
                return max((one for one in map(self._least, arguments) if one is not None), default=None)
            case model.Call(function="min" | "coalesce", arguments=arguments):
                known = [one for one in map(self._least, arguments) if one is not None]
                return min(known) if len(known) == len(arguments) else None
            case _:
                return None

    def _is_duration(self, expression: model.Expression) -> bool:
        match expression:
            case model.Constant(kind=kind):
                return kind == "duration"
            case model.Name(path=path):
                feature = self._features.definitions.features.get(path)
                return feature is not None and feature.aggregate in ("since_first", "since_last", "mean_gap")
            case model.Call(function=function, arguments=arguments):
                return function in MOVING or any(map(self._is_duration, arguments))
            case model.Arithmetic(operator=operator, left=left, right=right):
                both = (self._is_duration(left), self._is_duration(right))
                return both[0] != both[1] if operator in "*/" else any(both)
            case _:
                return False

    def _stands_still(self, expression: model.Expression) -> bool:
        """Whether a number never moves by itself."""
        for name in names_of(expression):
            feature = self._features.definitions.features.get(name.path)
            if feature is not None and feature.aggregate in ("since_first", "since_last"):
                return False
        text = write(expression)
        return not any(function in text for function in MOVING)

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
        if function == "time_in":
            return self._time_in(arguments[0], text)
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
                return places.Age(operands[0], timezone, text)
            case "month":
                return places.Month(operands[0], text)
            case "version":
                return versions.Version(operands[0], text)
            case "until_anniversary":
                return places.UntilAnniversary(operands[0], timezone, text)
            case "distance_km":
                return places.Distance(operands, text)
            case _:
                return places.LocalTime(function, timezone)

    def _time_in(self, ladder: model.Expression, text: str) -> Value:
        assert isinstance(ladder, model.Name)
        rule = self._rules[ladder.path.removeprefix("ladder.")]
        self.refers_to.add(rule.index)
        assert isinstance(rule, LadderRule)
        return references.TimeIn(rule, text)

    def _member_of(self, path: str) -> Condition:
        rule = self._rules[path.removeprefix("segment.")]
        self.refers_to.add(rule.index)
        assert isinstance(rule, SegmentRule)
        owner = self._features.definitions.segments[rule.name]
        same_key = self._for_each is not None and owner.for_each == self._for_each
        return references.MemberOf(rule, same_key, path)

    def _name(self, path: str) -> Value:
        head, _, rest = path.partition(".")
        if head == "traits":
            self.reads_traits = True
            return values.Trait(rest)
        if head == "ladder":
            rule = self._rules[rest]
            self.refers_to.add(rule.index)
            assert isinstance(rule, LadderRule)
            return references.TierOf(rule, path)
        if head == "segment":
            return conditions.Asked(self._member_of(path), path)
        feature = self._features.definitions.features[path]
        self._touch(feature.selector, None if feature.aggregate in ("top", "share") else feature.by)
        if feature.window.since is not None:
            self._touch(feature.window.since, None)
        value = self._features.feature(feature)
        summary = value.split()
        if summary is not None:
            self._keyed(summary)
            if summary.is_split and feature.by == self._for_each and self._for_each is not None:
                self._starts.append((summary, None))
        return value


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
