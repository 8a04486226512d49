"""Meaning of names and kinds: what a definitions file says must exist, fit together and be computable.

Expressions have static kinds. `number`, `duration`, `string`, `boolean` and `tier` are known; `any` is a value that
only events tell (a trait, a field, a first or last value). A number is *moving* when it grows or shrinks with time by
itself (the `since_` aggregates, `until_anniversary`): what is moving may be added, scaled and compared, but a product
or quotient of two moving numbers bends, and the engine knows its next change only for straight lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from stream.definitions.model import (
    Arithmetic,
    AtLeast,
    Call,
    Collection,
    Comparison,
    Condition,
    Constant,
    Definitions,
    Do,
    Expression,
    Feature,
    Ladder,
    Logic,
    Membership,
    Name,
    Not,
    Place,
    Reference,
    Segment,
    Selector,
    Sequence,
    Test,
)
from stream.definitions.source import Problems, suggest

Named = TypeVar("Named", Selector, Feature, Segment, Ladder)

_DURATIONS = {"since_first", "since_last", "mean_gap"}
_VALUES = {"first_value", "last_value"}
_NUMERIC = {"number", "duration", "any"}
_CLASS = {
    "number": "a number",
    "duration": "a number",
    "string": "text",
    "tier": "text",
    "boolean": "true or false",
}
_LINE_FUNCTIONS = ("any", "all", "sum", "count")
_FUNCTIONS = {
    "min": (2, 99),
    "max": (2, 99),
    "abs": (1, 1),
    "coalesce": (2, 99),
    "exists": (1, 1),
    "local_hour": (0, 0),
    "local_weekday": (0, 0),
    "local_date": (0, 0),
    "until_anniversary": (1, 1),
    "age": (1, 1),
    "distance_km": (4, 4),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Static kind of an expression."""

    name: str
    moving: bool = False

    @property
    def numeric(self) -> bool:
        return self.name in _NUMERIC


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean in an expression: `event` inside `where`, `line` inside `any(items, …)`, else `user`."""

    where: str
    for_each: str | None = None


def check(
    selectors: Iterable[Selector],
    features: Iterable[Feature],
    segments: Iterable[Segment],
    ladders: Iterable[Ladder],
    problems: Problems,
) -> Definitions:
    """The whole, if `problems` stays free of errors; else whatever could be built."""
    return _Checker(problems).check(selectors, features, segments, ladders)


class _Checker:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._selectors: dict[str, Selector] = {}
        self._features: dict[str, Feature] = {}
        self._segments: dict[str, Segment] = {}
        self._ladders: dict[str, Ladder] = {}
        self._used: set[str] = set()

    def check(
        self,
        selectors: Iterable[Selector],
        features: Iterable[Feature],
        segments: Iterable[Segment],
        ladders: Iterable[Ladder],
    ) -> Definitions:
        self._selectors = self._unique(selectors, "selector", {})
        self._features = self._unique(features, "feature", {})
        self._segments = self._unique(segments, "segment", {})
        self._ladders = self._unique(ladders, "ladder", self._segments)
        for selector in self._selectors.values():
            if selector.where is not None:
                self._boolean(selector.where, Scope("event"), "where")
        for feature in self._features.values():
            self._feature(feature)
        for segment in self._segments.values():
            self._segment(segment)
        for ladder in self._ladders.values():
            self._ladder(ladder)
        order = self._order()
        for name, selector in self._selectors.items():
            if name not in self._used:
                self._problems.warn(selector.at, f"selector `{name}` is used by nothing and matches nothing")
        return Definitions(
            self._selectors,
            self._features,
            self._segments,
            self._ladders,
            order,
            tuple(self._problems.warnings),
        )

    def _unique(self, found: Iterable[Named], what: str, others: Mapping[str, Any]) -> dict[str, Named]:
        named: dict[str, Named] = {}
        for item in found:
            first = named.get(item.name) or others.get(item.name)
            if first is not None:
                at = f"{first.at.file}:{first.at.line}"
                self._problems.error(
                    item.at, f"the {what} name `{item.name}` is taken by {at}; names are unique"
                )
            else:
                named[item.name] = item
        return named

    # --- references --------------------------------------------------------------------------------------------------

    def _selector(self, reference: Reference) -> None:
        self._used.add(reference.name)
        if reference.name not in self._selectors:
            hint = suggest(reference.name, self._selectors)
            self._problems.error(
                reference.at, f"unknown selector `{reference.name}`{hint}; selectors stand in `events:`"
            )

    def _feature(self, feature: Feature) -> None:
        self._selector(feature.selector)
        if feature.window.since is not None:
            self._selector(feature.window.since)
        if feature.window.kind == "half_life" and feature.aggregate not in ("count", "sum", "share", "top"):
            message = f"`half_life` weighs a count, sum, share or top; `{feature.aggregate}` has no weighted form"
            self._problems.error(feature.at, message)

    def _segment(self, segment: Segment) -> None:
        scope = Scope("user", segment.for_each)
        self._condition(segment.when, scope)
        if segment.exit is not None:
            self._condition(segment.exit, scope)
        self._anchor(segment)
        if segment.for_each is not None and not any(self._positive(segment.when, segment.for_each)):
            message = (
                f"segment `{segment.name}` starts a membership per `{segment.for_each}`, but nothing in `when` can "
                f"start one: it needs a `do`, a `then` or a feature with `by: {segment.for_each}`"
            )
            self._problems.error(segment.at, message)
        self._collections(segment.attach)

    def _ladder(self, ladder: Ladder) -> None:
        names = {tier.name for tier in ladder.tiers}
        for tier in ladder.tiers:
            self._condition(tier.when, Scope("user"))
            for reference in tier.from_ or ():
                if reference.name not in names | {"none"}:
                    hint = suggest(reference.name, names | {"none"})
                    self._problems.error(
                        reference.at, f"unknown tier `{reference.name}` of ladder `{ladder.name}`{hint}"
                    )
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
            if sequence.name and sequence.name in names[:index]:
                self._problems.error(
                    sequence.at, f"two sequences of `{segment.name}` are named `{sequence.name}`"
                )
        if segment.anchor is not None:
            if segment.anchor.name not in names:
                hint = suggest(segment.anchor.name, names)
                self._problems.error(
                    segment.anchor.at, f"no sequence in `when` is named `{segment.anchor.name}`{hint}"
                )
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
        for part in conditions_of(condition):
            if isinstance(part, (Do, Sequence)):
                yield True
            elif isinstance(part, Test):
                for name in names_of(part.expression):
                    feature = self._features.get(name.path)
                    if feature is not None and feature.by == field:
                        yield True

    # --- conditions --------------------------------------------------------------------------------------------------

    def _condition(self, condition: Condition, scope: Scope) -> None:
        match condition:
            case Test(expression=expression):
                self._boolean(expression, scope, "a condition")
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
                    message = f"inside `for_each: {scope.for_each}` a sequence cannot run `by: {by}`"
                    self._problems.error(condition.at, message)
                for step in steps:
                    for reference in (*step.selectors, *step.without):
                        self._selector(reference)

    # --- expressions -------------------------------------------------------------------------------------------------

    def _boolean(self, expression: Expression, scope: Scope, what: str) -> None:
        kind = self._kind(expression, scope)
        if kind.name not in ("boolean", "any"):
            self._problems.error(
                expression.at, f"{what} must be true or false, but this is {_describe(kind)}; compare it"
            )

    def _kind(self, expression: Expression, scope: Scope) -> Kind:
        match expression:
            case Constant(kind=name):
                return Kind(name)
            case Name():
                return self._name(expression, scope)
            case Call():
                return self._call(expression, scope)
            case Arithmetic():
                return self._arithmetic(expression, scope)
            case Comparison():
                self._comparison(expression, scope)
            case Membership(item=item, options=options):
                kind = self._kind(item, scope)
                if not options:
                    self._problems.error(expression.at, "`in []` is never true; name at least one value")
                for option in options:
                    self._comparable(kind, self._kind(option, scope), option.at)
                    self._tier(item, option)
            case Logic(operator=operator, operands=operands):
                for operand in operands:
                    self._boolean(operand, scope, f"what `{operator}` joins")
        return Kind("boolean")

    def _name(self, name: Name, scope: Scope) -> Kind:
        if scope.where != "user":
            return Kind("any")
        head, _, rest = name.path.partition(".")
        if head == "traits" and rest:
            return Kind("any")
        if head == "segment" and rest:
            return self._known(name, rest, self._segments, "segment", Kind("boolean"))
        if head == "ladder" and rest:
            return self._known(name, rest, self._ladders, "ladder", Kind("tier"))
        feature = self._features.get(name.path)
        if feature is None:
            known = [
                *self._features,
                *(f"segment.{s}" for s in self._segments),
                *(f"ladder.{n}" for n in self._ladders),
            ]
            self._problems.error(name.at, f"unknown feature `{name.path}`{suggest(name.path, known)}")
            return Kind("any")
        if feature.by is not None and feature.aggregate != "top" and feature.by != scope.for_each:
            where = (
                f"`for_each: {scope.for_each}`"
                if scope.for_each
                else f"a segment without `for_each: {feature.by}`"
            )
            message = f"feature `{feature.name}` has a value per `{feature.by}` (`by:`) and cannot be read in {where}"
            self._problems.error(name.at, message)
        if feature.aggregate in _VALUES:
            return Kind("any")
        if feature.aggregate == "top":
            return Kind("string")
        if feature.window.kind == "half_life" and feature.aggregate != "share":
            return Kind("decay")
        if feature.aggregate in _DURATIONS:
            return Kind("duration", moving=feature.aggregate != "mean_gap")
        return Kind("number")

    def _known(self, name: Name, target: str, known: Mapping[str, object], what: str, kind: Kind) -> Kind:
        if target not in known:
            self._problems.error(name.at, f"unknown {what} `{target}`{suggest(target, known)}")
            return Kind("any")
        return kind

    def _call(self, call: Call, scope: Scope) -> Kind:
        if scope.where == "event" and call.function in _LINE_FUNCTIONS:
            return self._line_call(call)
        if call.function not in _FUNCTIONS:
            known = [*_FUNCTIONS, *(_LINE_FUNCTIONS if scope.where == "event" else ())]
            self._problems.error(
                call.at, f"unknown function `{call.function}`{suggest(call.function, known)}"
            )
            return Kind("any")
        least, most = _FUNCTIONS[call.function]
        if not least <= len(call.arguments) <= most:
            takes = f"{least}" if least == most else f"at least {least}"
            self._problems.error(
                call.at, f"`{call.function}` takes {takes} arguments, not {len(call.arguments)}"
            )
            return Kind("any")
        if scope.where != "user" and call.function.startswith(("local_", "until_", "age")):
            self._problems.error(
                call.at, f"`{call.function}` asks about an instant; `where` sees only the event"
            )
        kinds = [self._kind(argument, scope) for argument in call.arguments]
        moving = any(kind.moving for kind in kinds)
        match call.function:
            case "min" | "max" | "abs":
                self._numbers(call.arguments, kinds, f"`{call.function}`")
                return Kind("duration" if any(k.name == "duration" for k in kinds) else "number", moving)
            case "coalesce":
                for argument, kind in zip(call.arguments[1:], kinds[1:], strict=True):
                    self._comparable(kinds[0], kind, argument.at)
                known_kinds = [kind for kind in kinds if kind.name != "any"]
                return Kind(known_kinds[0].name if known_kinds else "any", moving)
            case "exists":
                if not isinstance(call.arguments[0], Name):
                    self._problems.error(call.arguments[0].at, "`exists` takes a name")
                return Kind("boolean")
            case "distance_km":
                self._numbers(call.arguments, kinds, "`distance_km`")
                if moving:
                    self._problems.error(
                        call.at, "`distance_km` takes places, not numbers that move with time"
                    )
                return Kind("number")
            case "until_anniversary":
                self._date(call, kinds)
                return Kind("duration", moving=True)
            case "age":
                self._date(call, kinds)
                return Kind("number")
            case "local_date":
                return Kind("string")
        return Kind("number")

    def _line_call(self, call: Call) -> Kind:
        if len(call.arguments) != 2 or not (
            isinstance(call.arguments[0], Name) and call.arguments[0].path == "items"
        ):
            form = f"{call.function}(items, {'price' if call.function == 'sum' else 'price > 50'})"
            self._problems.error(
                call.at, f"`{call.function}` takes the lines and what to ask of each: `{form}`"
            )
            return Kind("any")
        inner = call.arguments[1]
        if call.function == "sum":
            self._numbers((inner,), [self._kind(inner, Scope("line"))], "`sum`")
            return Kind("number")
        self._boolean(inner, Scope("line"), f"what `{call.function}` asks of a line")
        return Kind("number" if call.function == "count" else "boolean")

    def _arithmetic(self, node: Arithmetic, scope: Scope) -> Kind:
        left, right = self._kind(node.left, scope), self._kind(node.right, scope)
        self._numbers((node.left, node.right), [left, right], f"`{node.operator}`")
        moving = left.moving or right.moving
        if node.operator == "*" and left.moving and right.moving:
            self._problems.error(
                node.at, "a product of two numbers that both move with time has no exact next change"
            )
        if node.operator == "/" and right.moving:
            message = "a quotient by a number that moves with time has no exact next change; multiply the other side"
            self._problems.error(node.at, message)
        durations = [kind.name for kind in (left, right)].count("duration")
        is_duration = durations == 1 if node.operator in "*/" else durations > 0
        return Kind("duration" if is_duration else "number", moving)

    def _comparison(self, node: Comparison, scope: Scope) -> None:
        left, right = self._kind(node.left, scope), self._kind(node.right, scope)
        if "decay" in (left.name, right.name):
            other, expression = (right, node.right) if left.name == "decay" else (left, node.left)
            if not isinstance(expression, Constant) or not other.numeric:
                self._problems.error(
                    node.at, "a `half_life` feature can only be compared with a constant number"
                )
            return
        self._comparable(left, right, node.at)
        self._tier(node.left, node.right)
        self._tier(node.right, node.left)
        for one, other_kind, side in ((node.left, right, left), (node.right, left, right)):
            plain = isinstance(one, Constant) and one.kind == "number" and one.value != 0
            if plain and other_kind.name == "duration" and side.name == "number":
                assert isinstance(one, Constant)
                self._problems.warn(
                    one.at, f"a duration is compared with the plain number {one.text}, read as milliseconds"
                )

    def _comparable(self, left: Kind, right: Kind, at: Place) -> None:
        if left.name == "decay" or right.name == "decay":
            self._problems.error(at, "a `half_life` feature can only be compared with a constant number")
            return
        if "any" in (left.name, right.name):
            return
        if "null" in (left.name, right.name):
            if "tier" not in (left.name, right.name):
                self._problems.error(at, "only a ladder's tier can be null; ask `exists(x)` of anything else")
            return
        if _CLASS[left.name] != _CLASS[right.name]:
            message = f"{_describe(left)} is compared with {_describe(right)}: this can never be true"
            self._problems.error(at, message)

    def _tier(self, name: Expression, value: Expression) -> None:
        """A ladder compared with a text that is none of its tiers can only be a slip."""
        if not (isinstance(name, Name) and name.path.startswith("ladder.") and isinstance(value, Constant)):
            return
        ladder = self._ladders.get(name.path.removeprefix("ladder."))
        if ladder is None or value.kind != "string":
            return
        names = [tier.name for tier in ladder.tiers]
        if value.value not in names:
            hint = suggest(str(value.value), names)
            self._problems.error(value.at, f"ladder `{ladder.name}` has no tier `{value.value}`{hint}")

    def _numbers(self, expressions: Iterable[Expression], kinds: Iterable[Kind], what: str) -> None:
        for expression, kind in zip(expressions, kinds, strict=True):
            if kind.name == "decay":
                self._problems.error(
                    expression.at, "a `half_life` feature can only be compared with a constant number"
                )
            elif not kind.numeric:
                self._problems.error(expression.at, f"{what} needs numbers, but this is {_describe(kind)}")

    def _date(self, call: Call, kinds: list[Kind]) -> None:
        if kinds[0].name not in ("any", "string"):
            message = (
                f"`{call.function}` needs a date like traits.birthday, but this is {_describe(kinds[0])}"
            )
            self._problems.error(call.at, message)

    # --- order -------------------------------------------------------------------------------------------------------

    def _order(self) -> tuple[str, ...]:
        """Segments and ladders so that each follows what it refers to; a cycle is reported with its members."""
        needs = {name: self._references(segment) for name, segment in self._segments.items()}
        needs.update((name, self._references(ladder)) for name, ladder in self._ladders.items())
        order: list[str] = []
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                cycle = " → ".join((*path[path.index(name) :], name))
                at = (self._segments.get(name) or self._ladders[name]).at
                self._problems.error(at, f"segments refer to each other in a circle: {cycle}")
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
            if isinstance(condition, Test):
                for name in names_of(condition.expression):
                    head, _, rest = name.path.partition(".")
                    if (head == "segment" and rest in self._segments) or (
                        head == "ladder" and rest in self._ladders
                    ):
                        found.append(rest)
        return list(dict.fromkeys(found))


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


def _describe(kind: Kind) -> str:
    names = {"number": "a number", "duration": "a duration", "string": "text", "tier": "a tier's name",
             "boolean": "true or false", "null": "null", "decay": "a decaying number", "any": "a value"}  # fmt: skip
    return names[kind.name]
