"""What a condition says once nothing has happened for so long that every window is empty.

A mean of the last 30 days is unknown when there was nothing in them, and unknown ends no membership: whoever is in
`mean_30d >= 50` when the last order leaves the window stays, although nothing holds any more. Sums and counts are 0
then, and end it.

Conditions are evaluated with sets of verdicts: what is not told by the definitions (traits, other segments, values of
all time) may be true or false. There are three moments: `AFTER`, when the windows are empty for good; the moment
`BEFORE` they are; and `AS_IF`, after, but as if what became unknown had kept a value. A membership is stuck if it can
hold before, be unknown after, and would not hold as if. The last condition lets pass what silence itself makes true:
`silence > max(3 * rhythm, 7d)` goes on being meant when the rhythm is no longer known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import product
from math import inf, isnan
from operator import add, eq, ge, gt, le, lt, mul, ne, sub, truediv
from typing import Any

from stream.definitions.model import (
    Arithmetic,
    AtLeast,
    Call,
    Comparison,
    Condition,
    Constant,
    Do,
    Expression,
    Feature,
    Logic,
    Membership,
    Name,
    Not,
    Sequence,
    Test,
)

_COMPARE = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_COMPUTE = {"+": add, "-": sub, "*": mul, "/": truediv}
_ADDING = {"count", "sum", "distinct", "days", "weeks", "months"}
"""0 of nothing."""
_SINCE = {"since_first", "since_last"}
_ENDING = {"last", "between", "calendar", "session"}
"""Windows that time alone empties."""
_OPEN: frozenset[bool | None] = frozenset({True, False})
Verdicts = frozenset[bool | None]
"""The verdicts that a condition may have; None is unknown."""


class _Moment(Enum):
    BEFORE = "before"
    AFTER = "after"
    AS_IF = "as if"


class _Value(Enum):
    """Values that are no constants."""

    UNKNOWN = "unknown"
    FINITE = "a number, or a text"
    """Less than infinite."""


def becomes_unknown(feature: Feature) -> bool:
    """Whether time alone makes the feature unknown, by emptying its window."""
    if feature.window.kind not in _ENDING:
        return False
    return feature.aggregate not in _ADDING or feature.min_n > 0


def stuck(condition: Condition, features: dict[str, Feature]) -> bool:
    """Whether a membership can outlive its windows because the condition becomes unknown instead of false."""
    after = _verdicts(condition, features, _Moment.AFTER)
    if None not in after:
        return False
    before, as_if = (_verdicts(condition, features, moment) for moment in (_Moment.BEFORE, _Moment.AS_IF))
    return True in before and False in as_if


def always_unknown(condition: Condition, features: dict[str, Feature]) -> bool:
    """Whether a condition can be nothing but unknown once the windows are empty."""
    return _verdicts(condition, features, _Moment.AFTER) == frozenset({None})


# --- conditions ------------------------------------------------------------------------------------------------------


def _verdicts(condition: Condition, features: dict[str, Feature], moment: _Moment) -> Verdicts:
    match condition:
        case Test(expression=expression):
            return _truth(expression, features, moment)
        case Not(operand=operand):
            return _opposite(_verdicts(operand, features, moment))
        case AtLeast(n=n, operands=operands):
            return _at_least(n, [_verdicts(operand, features, moment) for operand in operands])
        case Do(last=last):
            return _OPEN if last is None or moment is _Moment.BEFORE else frozenset({False})
        case Sequence():
            return _OPEN


def _truth(expression: Expression, features: dict[str, Feature], moment: _Moment) -> Verdicts:
    match expression:
        case Logic(operator="not", operands=(operand,)):
            return _opposite(_truth(operand, features, moment))
        case Logic(operator=operator, operands=operands):
            found = [_truth(operand, features, moment) for operand in operands]
            return _at_least(len(found) if operator == "and" else 1, found)
        case Comparison(operator=operator, left=left, right=right):
            return _compared(operator, _value(left, features, moment), _value(right, features, moment))
        case Membership(item=item, options=options):
            value = _value(item, features, moment)
            return _at_least(1, [_compared("==", value, _value(one, features, moment)) for one in options])
        case Call(function="exists", arguments=(argument,)):
            return frozenset({False}) if _value(argument, features, moment) is _Value.UNKNOWN else _OPEN
        case _:
            value = _value(expression, features, moment)
            if value is _Value.UNKNOWN:
                return frozenset({None})
            return frozenset({value}) if isinstance(value, bool) else _OPEN


def _opposite(verdicts: Verdicts) -> Verdicts:
    return frozenset(None if each is None else not each for each in verdicts)


def _at_least(n: int, operands: Iterable[Verdicts]) -> Verdicts:
    """Kleene's, of every combination of verdicts: how many are true, and how many may be."""
    counts = {(0, 0)}
    for verdicts in operands:
        counts = {
            (true + (verdict is True), possible + (verdict is not False))
            for (true, possible), verdict in product(counts, verdicts)
        }
    return frozenset(True if true >= n else None if possible >= n else False for true, possible in counts)


# --- values ----------------------------------------------------------------------------------------------------------


def _value(expression: Expression, features: dict[str, Feature], moment: _Moment) -> Any:
    match expression:
        case Constant(value=value):
            return value
        case Name(path=path):
            feature = features.get(path)
            return _Value.FINITE if feature is None else _of_feature(feature, moment)
        case Arithmetic(operator=operator, left=left, right=right):
            return _computed(operator, _value(left, features, moment), _value(right, features, moment))
        case Call(function=function, arguments=arguments):
            return _called(function, [_value(argument, features, moment) for argument in arguments])
        case _:
            return _Value.FINITE


def _of_feature(feature: Feature, moment: _Moment) -> Any:
    window = feature.window
    if window.kind == "lifetime" and feature.aggregate in _SINCE:
        return _Value.FINITE if moment is _Moment.BEFORE else inf
    if window.kind == "half_life" and feature.aggregate in _ADDING and moment is not _Moment.BEFORE:
        return 0 if not feature.min_n else _Value.FINITE
    if window.kind not in _ENDING:
        return _Value.FINITE
    if moment is _Moment.BEFORE:
        # The last event is as old then as the window is long.
        is_age = feature.aggregate == "since_last" and window.kind in ("last", "between", "session")
        return window.length if is_age else _Value.FINITE
    if not becomes_unknown(feature):
        return 0
    return _Value.UNKNOWN if moment is _Moment.AFTER else _Value.FINITE


def _computed(operator: str, left: Any, right: Any) -> Any:
    if _Value.UNKNOWN in (left, right):
        return _Value.UNKNOWN
    if not all(map(_is_number, (left, right))):
        # An infinite side stays the larger one.
        return left if operator in "+-" and left == inf else _Value.FINITE
    try:
        found = _COMPUTE[operator](left, right)
    except ZeroDivisionError:
        return _Value.UNKNOWN
    return _Value.FINITE if isnan(found) else found


def _called(function: str, values: list[Any]) -> Any:
    if function == "coalesce":
        return next((value for value in values if value is not _Value.UNKNOWN), _Value.UNKNOWN)
    if function not in ("min", "max", "abs"):
        return _Value.FINITE
    if _Value.UNKNOWN in values:
        return _Value.UNKNOWN
    numbers = [value for value in values if _is_number(value)]
    if function == "max" and inf in numbers:
        return inf
    if len(numbers) < len(values):
        return _Value.FINITE
    return abs(numbers[0]) if function == "abs" else (min if function == "min" else max)(numbers)


def _compared(operator: str, left: Any, right: Any) -> Verdicts:
    if _Value.UNKNOWN in (left, right):
        return frozenset({None})
    if _Value.FINITE in (left, right):
        if left == inf:
            return frozenset({operator in (">", ">=", "!=")})
        if right == inf:
            return frozenset({operator in ("<", "<=", "!=")})
        return _OPEN
    if _is_number(left) and _is_number(right):
        return frozenset({bool(_COMPARE[operator](left, right))})
    if type(left) is type(right) and operator in ("==", "!="):
        return frozenset({bool(_COMPARE[operator](left, right))})
    return _OPEN


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def unknown_names(condition: Condition, features: dict[str, Feature]) -> Iterator[Name]:
    """The names in a condition of what becomes unknown."""
    match condition:
        case Test(expression=expression):
            yield from _names(expression, features)
        case Not(operand=operand):
            yield from unknown_names(operand, features)
        case AtLeast(operands=operands):
            for operand in operands:
                yield from unknown_names(operand, features)


def _names(expression: Expression, features: dict[str, Feature]) -> Iterator[Name]:
    match expression:
        case Name(path=path) if path in features and becomes_unknown(features[path]):
            yield expression
        case Call(function="coalesce" | "exists"):
            return
        case Call(arguments=parts) | Logic(operands=parts):
            for part in parts:
                yield from _names(part, features)
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            yield from _names(left, features)
            yield from _names(right, features)
        case Membership(item=item, options=options):
            for part in (item, *options):
                yield from _names(part, features)
