"""Static kinds of expressions: whether what is compared, added and asked can be.

`number`, `duration`, `string`, `boolean` and `tier` are known; `any` is a value that only events tell (a trait, a
field, a first or last value). A number is *moving* when it grows or shrinks with time by itself (the `since_`
aggregates, `until_anniversary`): what is moving may be added, scaled and compared, but a product or quotient of two
moving numbers bends, and the engine knows its next change only for straight lines. A `decay` is the one curve.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stream.definitions.model import (
    AGGREGATES,
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Expression,
    Logic,
    Membership,
    Name,
)
from stream.definitions.names import Names
from stream.definitions.nodes import is_broken
from stream.definitions.source import Problems, suggest
from stream.definitions.text import write

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
_DESCRIPTIONS = {
    "number": "a number",
    "duration": "a duration",
    "string": "text",
    "tier": "a tier's name",
    "boolean": "true or false",
    "null": "null",
    "decay": "a decaying number",
    "any": "a value",
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
    "local_month": (0, 0),
    "local_date": (0, 0),
    "month": (1, 1),
    "until_anniversary": (1, 1),
    "age": (1, 1),
    "time_in": (1, 1),
    "distance_km": (4, 4),
    "version": (1, 1),
}
_ONLY_CONSTANTS = "a `half_life` feature can only be compared with a constant number"


@dataclass(frozen=True, slots=True)
class Kind:
    """Static kind of an expression."""

    name: str
    moving: bool = False

    @property
    def numeric(self) -> bool:
        return self.name in _NUMERIC

    def __str__(self) -> str:
        return _DESCRIPTIONS[self.name]


ANY = Kind("any")
BOOLEAN = Kind("boolean")
NUMBER = Kind("number")


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean in an expression: `event` inside `where`, `line` inside `any(items, …)`, else `user`."""

    where: str
    for_each: str | None = None
    owner: str = "segment"


class KindChecker:
    """Finds the kinds of expressions and reports what does not fit."""

    def __init__(self, names: Names, problems: Problems) -> None:
        self._names = names
        self._problems = problems

    def boolean(self, expression: Expression, scope: Scope, what: str) -> None:
        """Reports an expression that cannot be true or false."""
        kind = self._kind(expression, scope)
        if kind.name not in ("boolean", "any"):
            self._problems.error(
                expression.at,
                f"{what} must be true or false, but `{write(expression)}` is {kind}; compare it",
            )

    def anything(self, expression: Expression, scope: Scope) -> None:
        """Reports what is wrong with an expression that may be of any kind."""
        self._kind(expression, scope)

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
                    message = f"`{write(expression)}` is never true; name at least one value"
                    self._problems.error(expression.at, message)
                for option in options:
                    self._comparable(kind, self._kind(option, scope), expression)
                    self._tier(item, option)
            case Logic(operator=operator, operands=operands):
                for operand in operands:
                    self.boolean(operand, scope, f"what `{operator}` joins")
        return BOOLEAN

    # --- names -------------------------------------------------------------------------------------------------------

    def _name(self, name: Name, scope: Scope) -> Kind:
        if scope.where != "user" or is_broken(name):
            return ANY
        head, _, rest = name.path.partition(".")
        if head == "traits" and rest:
            return ANY
        if head in ("segment", "ladder") and rest:
            return self._outcome(name, head, rest)
        feature = self._names.features.get(name.path)
        if feature is None:
            if not self._names.may_be("features", name.path):
                self._problems.error(name.at, self._names.unknown_feature(name))
            return ANY
        if feature.by is not None and feature.aggregate != "top" and feature.by != scope.for_each:
            where = f"`for_each: {scope.for_each}`"
            if scope.for_each is None:
                where = (
                    "a ladder" if scope.owner == "ladder" else f"a segment without `for_each: {feature.by}`"
                )
            message = f"feature `{feature.name}` has a value per `{feature.by}` (`by:`) and cannot be read in {where}"
            self._problems.error(name.at, message)
        if feature.aggregate in _VALUES:
            return ANY
        if feature.aggregate == "top":
            return Kind("string")
        if feature.window.kind == "half_life" and feature.aggregate != "share":
            return Kind("decay")
        if feature.aggregate in _DURATIONS:
            return Kind("duration", moving=feature.aggregate != "mean_gap")
        return NUMBER

    def _outcome(self, name: Name, kind: str, target: str) -> Kind:
        names = self._names
        if target not in (names.segments if kind == "segment" else names.ladders):
            if names.may_be(f"{kind}s", target):
                return ANY
            self._problems.error(name.at, names.unknown_outcome(kind, target))
            return ANY
        return BOOLEAN if kind == "segment" else Kind("tier")

    # --- functions ---------------------------------------------------------------------------------------------------

    def _call(self, call: Call, scope: Scope) -> Kind:
        if scope.where == "event" and call.function in _LINE_FUNCTIONS:
            return self._line_call(call)
        if call.function not in _FUNCTIONS:
            self._problems.error(call.at, self._unknown_function(call.function, scope))
            return ANY
        least, most = _FUNCTIONS[call.function]
        given = len(call.arguments)
        if not least <= given <= most:
            takes = {0: "no arguments", 1: "one argument"}.get(least, f"{least} arguments")
            takes = takes if least == most else f"at least {takes}"
            self._problems.error(call.at, f"`{call.function}` takes {takes}, not {given}")
            return ANY
        local = call.function.startswith("local_") or call.function == "until_anniversary"
        if scope.where == "line" and local:
            message = f"`{call.function}` asks about the event; say it outside of what is asked of its lines"
            self._problems.error(call.at, message)
        elif scope.where != "user" and call.function in ("age", "time_in"):
            message = f"`{call.function}` asks about an instant; `where` sees only the event"
            self._problems.error(call.at, message)
            return ANY
        elif call.function == "time_in":
            return self._time_in(call.arguments[0], scope)
        kinds = [self._kind(argument, scope) for argument in call.arguments]
        moving = any(kind.moving for kind in kinds)
        match call.function:
            case "min" | "max" | "abs":
                self._numbers(call.arguments, kinds, f"`{call.function}`")
                return Kind("duration" if any(k.name == "duration" for k in kinds) else "number", moving)
            case "coalesce":
                for kind in kinds[1:]:
                    self._comparable(kinds[0], kind, call)
                known_kinds = [kind for kind in kinds if kind.name != "any"]
                return Kind(known_kinds[0].name if known_kinds else "any", moving)
            case "exists":
                if not isinstance(call.arguments[0], Name):
                    self._problems.error(
                        call.arguments[0].at, "`exists` takes a name, like exists(traits.city)"
                    )
                return BOOLEAN
            case "distance_km":
                self._numbers(call.arguments, kinds, "`distance_km`")
                if moving:
                    message = "`distance_km` takes places, not numbers that move with time"
                    self._problems.error(call.at, message)
                return NUMBER
            case "until_anniversary":
                self._date(call, kinds)
                return Kind("duration", moving=scope.where == "user")
            case "age" | "month":
                self._date(call, kinds)
                return NUMBER
            case "version":
                self._version(call, kinds[0])
            case "local_date":
                return Kind("string")
        return NUMBER

    def _time_in(self, ladder: Expression, scope: Scope) -> Kind:
        if isinstance(ladder, Name) and ladder.path.startswith("ladder."):
            self._kind(ladder, scope)
        else:
            self._problems.error(ladder.at, "`time_in` takes a ladder, like time_in(ladder.loyalty)")
        return Kind("duration", moving=True)

    def _unknown_function(self, function: str, scope: Scope) -> str:
        said = f"unknown function `{function}`"
        if function in _LINE_FUNCTIONS and scope.where == "line":
            return f"{said} of a line; the lines have no lines of their own"
        near = suggest(function, [*_FUNCTIONS, *(_LINE_FUNCTIONS if scope.where == "event" else ())])
        if function in AGGREGATES and scope.where == "user":
            return f"{said}; it is an aggregate: define a feature {{{function}: …}} and use its name"
        if function in _LINE_FUNCTIONS:
            return f"{said} here; it asks about the lines of an event, in the `where` of a selector"
        return said + (near or f"; there are {', '.join(_FUNCTIONS)}")

    def _line_call(self, call: Call) -> Kind:
        if len(call.arguments) != 2 or not (
            isinstance(call.arguments[0], Name) and call.arguments[0].path == "items"
        ):
            form = f"{call.function}(items, {'price' if call.function == 'sum' else 'price > 50'})"
            message = f"`{call.function}` takes the lines and what to ask of each: `{form}`"
            self._problems.error(call.at, message)
            return ANY
        inner = call.arguments[1]
        if call.function == "sum":
            self._numbers((inner,), [self._kind(inner, Scope("line"))], "`sum`")
            return NUMBER
        self.boolean(inner, Scope("line"), f"what `{call.function}` asks of a line")
        return NUMBER if call.function == "count" else BOOLEAN

    # --- arithmetic and comparisons ----------------------------------------------------------------------------------

    def _arithmetic(self, node: Arithmetic, scope: Scope) -> Kind:
        left, right = self._kind(node.left, scope), self._kind(node.right, scope)
        self._numbers((node.left, node.right), [left, right], f"`{node.operator}`")
        moving = left.moving or right.moving
        if node.operator == "*" and left.moving and right.moving:
            message = f"`{write(node)}` multiplies two numbers that move with time: its next change has no exact time"
            self._problems.error(node.at, message)
        if node.operator == "/" and right.moving:
            message = (
                f"`{write(node)}` divides by a number that moves with time: its next change has no exact time; "
                "multiply the other side"
            )
            self._problems.error(node.at, message)
        if node.operator == "/" and isinstance(node.right, Constant) and node.right.value == 0:
            self._problems.error(node.right.at, f"`{write(node)}` divides by zero, which is always unknown")
        durations = [kind.name for kind in (left, right)].count("duration")
        is_duration = durations == 1 if node.operator in "*/" else durations > 0
        return Kind("duration" if is_duration else "number", moving)

    def _comparison(self, node: Comparison, scope: Scope) -> None:
        left, right = self._kind(node.left, scope), self._kind(node.right, scope)
        if "decay" in (left.name, right.name):
            other, expression = (right, node.right) if left.name == "decay" else (left, node.left)
            if not isinstance(expression, Constant) or not other.numeric:
                self._problems.error(node.at, f"`{write(node)}`: {_ONLY_CONSTANTS}")
            return
        if not self._comparable(left, right, node):
            return
        for kind in (left, right):
            if kind.name in ("boolean", "null") and node.operator not in ("==", "!="):
                message = f"`{write(node)}`: {kind} can be compared with == and != only"
                self._problems.error(node.at, message)
                return
        self._tier(node.left, node.right)
        self._tier(node.right, node.left)
        if {left.name, right.name} == {"duration", "number"}:
            self._mixed(node, left)

    def _mixed(self, node: Comparison, left: Kind) -> None:
        number, duration = (node.right, node.left) if left.name == "duration" else (node.left, node.right)
        if isinstance(number, Constant):
            if number.value != 0:
                message = f"a duration is compared with the plain number {number.text}, read as milliseconds"
                self._problems.warn(number.at, message)
        elif isinstance(duration, Constant):
            message = f"a plain number is compared with the duration {duration.text}, read as milliseconds"
            self._problems.warn(duration.at, message)

    def _comparable(self, left: Kind, right: Kind, whole: Expression) -> bool:
        """Whether two kinds can be equal; a problem if not."""
        message = ""
        if left.name == "decay" or right.name == "decay":
            message = f"`{write(whole)}`: {_ONLY_CONSTANTS}"
        elif "any" in (left.name, right.name):
            self._compared_with_null(whole, left, right)
            return True
        elif "null" in (left.name, right.name):
            if "tier" not in (left.name, right.name):
                message = (
                    f"`{write(whole)}`: only a ladder's tier can be null; ask `exists(x)` of anything else"
                )
        elif _CLASS[left.name] != _CLASS[right.name]:
            message = f"`{write(whole)}` compares {left} with {right}, which can never be true"
        if message:
            self._problems.error(whole.at, message)
        return not message

    def _compared_with_null(self, whole: Expression, left: Kind, right: Kind) -> None:
        """What is not there is unknown, and so is whatever compares it: `x != null` lets nobody through."""
        if "null" not in (left.name, right.name) or not isinstance(whole, Comparison):
            return
        name = whole.left if right.name == "null" else whole.right
        if isinstance(name, Name):
            meant = f"exists({name.path})" if whole.operator == "!=" else f"not exists({name.path})"
            self._problems.warn(whole.at, f"`{write(whole)}` is always unknown; write `{meant}`")

    def _tier(self, name: Expression, value: Expression) -> None:
        """A ladder compared with a text that is none of its tiers can only be a slip."""
        if not (isinstance(name, Name) and name.path.startswith("ladder.") and isinstance(value, Constant)):
            return
        ladder = self._names.ladders.get(name.path.removeprefix("ladder."))
        if ladder is None or value.kind != "string" or ladder.name in self._names.incomplete:
            return
        tiers = [tier.name for tier in ladder.tiers]
        if value.value not in tiers:
            hint = suggest(str(value.value), tiers) or f"; it has {', '.join(tiers)}"
            self._problems.error(value.at, f"ladder `{ladder.name}` has no tier `{value.value}`{hint}")

    def _numbers(self, expressions: Iterable[Expression], kinds: Iterable[Kind], what: str) -> None:
        for expression, kind in zip(expressions, kinds, strict=True):
            if kind.name == "decay":
                self._problems.error(expression.at, f"`{write(expression)}`: {_ONLY_CONSTANTS}")
            elif not kind.numeric:
                self._problems.error(
                    expression.at, f"{what} needs numbers, but `{write(expression)}` is {kind}"
                )

    def _version(self, call: Call, kind: Kind) -> None:
        argument = call.arguments[0]
        if kind.name not in ("any", "string"):
            written = write(argument)
            hint = f"; write '{written}' in quotes" if kind.name == "number" and written[:1].isdigit() else ""
            message = f"`version` needs a text like '2.10', but `{written}` is {kind}{hint}"
            self._problems.error(call.at, message)
        elif isinstance(argument, Constant) and not re.match(r"[vV]?[0-9]", str(argument.value)):
            message = f"`{write(argument)}` is no version like '2.10', so nothing compares with it"
            self._problems.warn(argument.at, message)

    def _date(self, call: Call, kinds: list[Kind]) -> None:
        if kinds[0].name not in ("any", "string"):
            given = f"`{write(call.arguments[0])}` is {kinds[0]}"
            message = f"`{call.function}` needs a date like traits.birthday, but {given}"
            self._problems.error(call.at, message)
