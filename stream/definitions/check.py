"""Meaning of names: what definitions say must exist, fit together and be computable.

Kinds of expressions are checked in `stream.definitions.kinds`; what is legal but surely not meant is a matter of
`stream.definitions.advice`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from stream.definitions.formulas import Formulas
from stream.definitions.kinds import KindChecker, Scope
from stream.definitions.model import (
    Arithmetic,
    AtLeast,
    Call,
    Collection,
    Comparison,
    Condition,
    Definitions,
    Do,
    Expression,
    Feature,
    Formula,
    Ladder,
    Logic,
    Membership,
    Name,
    Not,
    Reference,
    Segment,
    Selector,
    Sequence,
    Test,
)
from stream.definitions.names import Names
from stream.definitions.nodes import is_broken
from stream.definitions.reader import FileReader
from stream.definitions.sameness import same_meaning
from stream.definitions.source import Problems, suggest

Named = TypeVar("Named", Selector, Feature, Formula, Segment, Ladder)


def check(readers: Iterable[FileReader], problems: Problems) -> Definitions:
    """All files together, if `problems` stays free of errors; else whatever could be built."""
    return _Checker(list(readers), problems).check()


class _Checker:
    def __init__(self, readers: list[FileReader], problems: Problems) -> None:
        self._problems = problems
        features = self._unique((one for reader in readers for one in reader.features), "feature", {})
        formulas = (one for reader in readers for one in reader.formulas)
        self._formulas = Formulas(self._unique(formulas, "feature", features), problems)
        segments = self._unique(
            (self._formulas.in_segment(one) for reader in readers for one in reader.segments), "segment", {}
        )
        ladders = (self._formulas.in_ladder(one) for reader in readers for one in reader.ladders)
        self._names = Names(
            self._unique((one for reader in readers for one in reader.selectors), "selector", {}),
            features,
            segments,
            self._unique(ladders, "ladder", segments),
            _joined(readers),
            frozenset(section for reader in readers for section in reader.unread),
            frozenset(name for reader in readers for name in reader.incomplete),
        )
        self._kinds = KindChecker(self._names, problems)

    def check(self) -> Definitions:
        names = self._names
        for selector in names.selectors.values():
            if selector.where is not None:
                self._kinds.boolean(selector.where, Scope("event"), "where")
        for feature in names.features.values():
            self._feature(feature)
        for formula in self._formulas.unused():
            features = [names.features.get(name.path) for name in names_of(formula.expression)]
            key = next((one.by for one in features if one is not None and one.by is not None), None)
            self._kinds.anything(formula.expression, Scope("user", key))
            self._problems.warn(formula.at, f"feature `{formula.name}` is read by nothing")
        for segment in names.segments.values():
            self._segment(segment)
        for ladder in names.ladders.values():
            self._ladder(ladder)
        return Definitions(names.selectors, names.features, names.segments, names.ladders, self._order())

    def _unique(self, found: Iterable[Named], what: str, others: Mapping[str, Any]) -> dict[str, Named]:
        """By name. What several files name alike for the same meaning is one: each can then be used alone, too."""
        named: dict[str, Named] = {}
        for item in found:
            first = named.get(item.name) or others.get(item.name)
            if first is not None:
                if item.at.file != first.at.file and same_meaning(item, first):
                    continue
                at = f"{first.at.file}:{first.at.line}"
                message = f"the {what} name `{item.name}` is taken by {at}; names are unique"
                self._problems.error(item.at, message)
            else:
                named[item.name] = item
        return named

    # --- what refers to what -----------------------------------------------------------------------------------------

    def _selector(self, reference: Reference) -> None:
        self._names.check_selector(reference, self._problems)

    def _feature(self, feature: Feature) -> None:
        self._selector(feature.selector)
        if feature.window.since is not None:
            self._selector(feature.window.since)
        if feature.window.kind == "half_life" and feature.aggregate not in ("count", "sum", "share"):
            message = f"`half_life` weighs a count, sum or share; `{feature.aggregate}` has no weighted form"
            self._problems.error(feature.at, message)

    def _segment(self, segment: Segment) -> None:
        scope = Scope("user", segment.for_each)
        self._condition(segment.when, scope)
        if segment.exit is not None:
            self._condition(segment.exit, scope)
        if not any(is_broken(name) for name in _names_in(segment.when)):
            self._anchor(segment)
            self._starts(segment)
        self._collections(segment.attach)

    def _starts(self, segment: Segment) -> None:
        """A membership per key needs something in `when` that tells of a key."""
        if segment.for_each is not None and not any(self._positive(segment.when, segment.for_each)):
            message = (
                f"segment `{segment.name}` starts a membership per `{segment.for_each}`, but nothing in `when` can "
                "start one: it needs a `do` or a `then` outside every `not`, or a feature with "
                f"`by: {segment.for_each}`"
            )
            self._problems.error(segment.at, message)

    def _ladder(self, ladder: Ladder) -> None:
        tiers = [tier.name for tier in ladder.tiers]
        for tier in ladder.tiers:
            self._condition(tier.when, Scope("user", owner="ladder"))
            for reference in tier.from_ or ():
                known = [*tiers, "none"]
                if reference.name not in known and ladder.name not in self._names.incomplete:
                    hint = (
                        suggest(reference.name, known) or f"; it has {', '.join(tiers)}, and none for no tier"
                    )
                    message = f"unknown tier `{reference.name}` of ladder `{ladder.name}`{hint}"
                    self._problems.error(reference.at, message)
        self._collections(ladder.attach)

    def _collections(self, collections: tuple[Collection, ...]) -> None:
        for collection in collections:
            for reference in (collection.collect, collection.since, collection.remove):
                if reference is not None:
                    self._selector(reference)

    def _anchor(self, segment: Segment) -> None:
        sequences = list(sequences_of(segment.when))
        names = [sequence.name for sequence in sequences if sequence.name]
        for index, sequence in enumerate(sequences):
            if sequence.name and sequence.name in [other.name for other in sequences[:index]]:
                message = f"two sequences of `{segment.name}` are named `{sequence.name}`"
                self._problems.error(sequence.at, message)
        if segment.anchor is not None:
            if segment.anchor.name not in names:
                hint = suggest(segment.anchor.name, names)
                message = f"no sequence in `when` is named `{segment.anchor.name}`{hint}"
                self._problems.error(segment.anchor.at, message)
        elif len(sequences) > 1:
            exits = segment.exit is not None and any(isinstance(c, Do) for c in conditions_of(segment.exit))
            needs = [
                word
                for word, used in (("exit: {do}", exits), ("ttl", segment.ttl), ("renew", segment.renew))
                if used
            ]
            if needs:
                message = (
                    f"`when` of `{segment.name}` has {len(sequences)} sequences, and `{needs[0]}` counts from one of "
                    "them: name that one (`name: x`) and say `anchor: x`"
                )
                self._problems.error(segment.at, message)

    def _positive(self, condition: Condition, field: str) -> Iterator[bool]:
        """True for every event that starts a membership: of a feature wherever it stands, else outside every `not`."""
        if isinstance(condition, AtLeast):
            for operand in condition.operands:
                yield from self._positive(operand, field)
        elif isinstance(condition, (Do, Sequence)):
            yield True
        for part in conditions_of(condition) if isinstance(condition, (Test, Not)) else ():
            if isinstance(part, Test):
                for name in names_of(part.expression):
                    feature = self._names.features.get(name.path)
                    if self._names.may_be("features", name.path) if feature is None else feature.by == field:
                        yield True

    # --- conditions --------------------------------------------------------------------------------------------------

    def _condition(self, condition: Condition, scope: Scope) -> None:
        match condition:
            case Test(expression=expression):
                self._kinds.boolean(expression, scope, "a condition")
            case AtLeast(operands=operands):
                for operand in operands:
                    self._condition(operand, scope)
            case Not(operand=operand):
                self._condition(operand, scope)
            case Do(selectors=selectors):
                for reference in selectors:
                    self._selector(reference)
            case Sequence(steps=steps, by=by):
                if by is not None and scope.for_each is not None and by != scope.for_each:
                    message = (
                        f"inside `for_each: {scope.for_each}` a sequence cannot run `by: {by}`; drop `by`"
                    )
                    self._problems.error(condition.at, message)
                for step in steps:
                    for reference in (*step.selectors, *step.without):
                        self._selector(reference)

    # --- order -------------------------------------------------------------------------------------------------------

    def _order(self) -> tuple[str, ...]:
        """Segments and ladders so that each follows what it refers to; a cycle is reported with its members."""
        segments, ladders = self._names.segments, self._names.ladders
        needs = {name: self._references(segment) for name, segment in segments.items()}
        needs.update((name, self._references(ladder)) for name, ladder in ladders.items())
        order: list[str] = []
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                cycle = " → ".join((*path[path.index(name) :], name))
                at = (segments.get(name) or ladders[name]).at
                message = f"segments refer to each other in a circle: {cycle}"
                self._problems.error(at, f"`{name}` refers to itself" if path[-1] == name else message)
                done.add(name)
            if name in done:
                return
            for other in needs[name]:
                visit(other, (*path, name))
            if name not in done:
                done.add(name)
                order.append(name)

        for name in needs:
            visit(name, ())
        return tuple(order)

    def _references(self, owner: Segment | Ladder) -> list[str]:
        found = []
        for condition in conditions_of_owner(owner):
            for name in _names_in(condition):
                head, _, rest = name.path.partition(".")
                if (head == "segment" and rest in self._names.segments) or (
                    head == "ladder" and rest in self._names.ladders
                ):
                    found.append(rest)
        return list(dict.fromkeys(found))


def _joined(readers: list[FileReader]) -> dict[str, set[str]]:
    """The names that all files declare, by section."""
    declared: dict[str, set[str]] = {}
    for reader in readers:
        for section, names in reader.declared.items():
            declared.setdefault(section, set()).update(names)
    return declared


def conditions_of(condition: Condition) -> Iterator[Condition]:
    """The condition and all conditions inside it."""
    yield condition
    if isinstance(condition, AtLeast):
        for operand in condition.operands:
            yield from conditions_of(operand)
    elif isinstance(condition, Not):
        yield from conditions_of(condition.operand)


def conditions_of_owner(owner: Segment | Ladder) -> Iterator[Condition]:
    """All conditions of a segment (`when`, `exit`) or a ladder (its tiers)."""
    if isinstance(owner, Ladder):
        for tier in owner.tiers:
            yield from conditions_of(tier.when)
        return
    yield from conditions_of(owner.when)
    if owner.exit is not None:
        yield from conditions_of(owner.exit)


def sequences_of(condition: Condition) -> Iterator[Sequence]:
    """The sequences in a condition that can anchor a membership, in the order they are written.

    One below a `not` cannot: it is not what made the condition true.
    """
    if isinstance(condition, Sequence):
        yield condition
    elif isinstance(condition, AtLeast):
        for operand in condition.operands:
            yield from sequences_of(operand)


def names_of(expression: Expression) -> Iterator[Name]:
    """The names in an expression."""
    match expression:
        case Name():
            yield expression
        case Call(arguments=parts) | Logic(operands=parts):
            for part in parts:
                yield from names_of(part)
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            yield from names_of(left)
            yield from names_of(right)
        case Membership(item=item, options=options):
            for part in (item, *options):
                yield from names_of(part)


def _names_in(condition: Condition) -> Iterator[Name]:
    """The names in all expressions of a condition."""
    for part in conditions_of(condition):
        if isinstance(part, Test):
            yield from names_of(part.expression)
