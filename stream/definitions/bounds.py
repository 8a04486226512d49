"""What must hold where a condition is true, as far as its constants tell: enough to find those that never can be.

`needs` answers a limit for each term (a feature, a trait, …) that the condition compares with constants, or None where
no user and no instant could satisfy it. It knows little on purpose: what it does not understand, it lets pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any

from stream.definitions.model import (
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
    Test,
)
from stream.definitions.text import names, write
from stream.durations import DAY, WEEK

MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
WHOLE = {"count", "distinct", "days", "weeks", "months"}

SHORTEST = {"days": DAY, "weeks": WEEK, "months": 28 * DAY}
"""How long one of them lasts at least. A window touches at most two more than fit into it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Values that a term may have: an interval of numbers, or some values of any kind."""

    low: float = -inf
    high: float = inf
    low_open: bool = False
    high_open: bool = False
    whole: bool = False
    """Only whole numbers."""
    values: frozenset[Any] | None = None

    @property
    def is_empty(self) -> bool:
        if self.values is not None:
            return not self.values
        if self.whole and self.low > -inf and self.high < inf:
            first = floor(self.low) + 1 if self.low_open else ceil(self.low)
            last = ceil(self.high) - 1 if self.high_open else floor(self.high)
            return first > last
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def meet(self, other: Limit) -> Limit:
        """The values that both allow."""
        values = self.values if other.values is None else other.values
        if self.values is not None and other.values is not None:
            values = self.values & other.values
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Limit(low, high, low_open, not high_closed, self.whole or other.whole, values)

    def hull(self, other: Limit) -> Limit | None:
        """The values that one of both allows, if a limit can say that."""
        if self.values is not None and other.values is not None:
            return Limit(values=self.values | other.values)
        if self.values is not None or other.values is not None:
            return None
        low, low_open = min((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = max((self.high, not self.high_open), (other.high, not other.high_open))
        return Limit(low, high, low_open, not high_closed, self.whole and other.whole)

    def within(self, other: Limit) -> bool:
        """Whether every value that this allows is allowed by the other."""
        if other.values is not None:
            return self.values is not None and self.values <= other.values
        return (self.low, self.low_open) >= (other.low, other.low_open) and (
            self.high,
            not self.high_open,
        ) <= (
            other.high,
            not other.high_open,
        )


Needs = dict[str, Limit] | None
"""Limit of each term; None: never true."""


class Bounds:
    """What conditions need. `features` is empty for the expressions of `where`, whose names are fields of events."""

    def __init__(self, features: dict[str, Feature]) -> None:
        self._features = features

    def needs(self, condition: Condition | Expression, negated: bool = False) -> Needs:
        """What must hold where the condition (or, `negated`, its opposite) is true."""
        match condition:
            case Test(expression=expression):
                return self.needs(expression, negated)
            case Not(operand=operand):
                return self.needs(operand, not negated)
            case Logic(operator="not", operands=(operand,)):
                return self.needs(operand, not negated)
            case AtLeast(form=form, n=n, operands=operands):
                found = [self.needs(operand, negated) for operand in operands]
                if form == "at_least":
                    least = len(operands) - n + 1 if negated else n
                    return None if sum(need is not None for need in found) < least else {}
                return _any(found) if (form == "any") is not negated else _all(found)
            case Logic(operator=operator, operands=operands):
                found = [self.needs(operand, negated) for operand in operands]
                return _any(found) if (operator == "or") is not negated else _all(found)
            case Do(selectors=selectors, last=last):
                return {f"do {names(selectors)} {last}": Limit(values=frozenset([not negated]))}
            case Comparison(operator=operator, left=left, right=right):
                return self._comparison(_NEGATED[operator] if negated else operator, left, right)
            case Membership(item=item, options=options) if not negated and options:
                return self._one_of(item, options)
            case Constant(value=value):
                return {} if value is not negated else None
            case Name(path=path):
                return {path: Limit(values=frozenset([not negated]))}
            case _:
                return {}

    def never_false(self, condition: Condition | Expression) -> bool:
        """Whether the condition holds whenever it is known."""
        return self.needs(condition, negated=True) is None

    def _comparison(self, operator: str, left: Expression, right: Expression) -> Needs:
        if isinstance(left, Constant) and not isinstance(right, Constant):
            left, right, operator = right, left, MIRRORED[operator]
        if not isinstance(right, Constant):
            return {}
        value = right.value
        if isinstance(left, Constant):
            return {} if _holds(operator, left.value, value) else None
        if type(value) not in (int, float):
            return {write(left): Limit(values=frozenset([value]))} if operator == "==" else {}
        assert isinstance(value, (int, float))
        limit = {
            "==": Limit(value, value),
            "<": Limit(high=value, high_open=True),
            "<=": Limit(high=value),
            ">": Limit(low=value, low_open=True),
            ">=": Limit(low=value),
        }.get(operator, Limit())
        return _all([{write(left): limit.meet(self.natural(left))}])

    def _one_of(self, item: Expression, options: tuple[Expression, ...]) -> Needs:
        values = [option.value for option in options if isinstance(option, Constant)]
        if len(values) < len(options) or isinstance(item, Constant):
            return {}
        numbers = [value for value in values if type(value) in (int, float)]
        if not numbers:
            return {write(item): Limit(values=frozenset(values))}
        if len(numbers) < len(values):
            return {}
        limit = Limit(min(numbers), max(numbers))  # type: ignore[type-var, arg-type]
        return _all([{write(item): limit.meet(self.natural(item))}])

    def natural(self, expression: Expression) -> Limit:
        """The values that a term can have at all."""
        match expression:
            case Name(path=path) if path in self._features:
                return _natural(self._features[path])
            case Call(function="time_in"):
                return Limit(0)
            case Call(function="local_hour"):
                return Limit(0, 23, whole=True)
            case Call(function="local_weekday"):
                return Limit(1, 7, whole=True)
            case Call(function="local_month" | "month"):
                return Limit(1, 12, whole=True)
            case Call(function="until_anniversary"):
                return Limit(0, 366 * DAY + DAY // 24)
            case Call(function="distance_km"):
                return Limit(0, 20_038)
            case Call(function="abs"):
                return Limit(0)
            case _:
                return Limit()


def _natural(feature: Feature) -> Limit:
    window = feature.window
    if feature.aggregate == "share":
        return Limit(0, 1)
    if window.kind == "half_life":
        return Limit(0) if feature.aggregate == "count" else Limit()
    if feature.aggregate in ("since_first", "since_last"):
        if window.kind == "last":
            return Limit(0, window.length, high_open=True)
        if window.kind == "between":
            return Limit(window.until, window.length, high_open=True)
        if window.kind == "session" and feature.aggregate == "since_last":
            return Limit(0, window.length)
        return Limit(0)
    if feature.aggregate == "mean_gap":
        return Limit(0, window.length, high_open=True) if window.kind == "last" else Limit(0)
    if feature.aggregate in SHORTEST and window.kind == "last":
        return Limit(0, window.length // SHORTEST[feature.aggregate] + 2, whole=True)
    if feature.aggregate in WHOLE:
        return Limit(0, whole=True)
    return Limit()


def _holds(operator: str, left: Any, right: Any) -> bool:
    if type(left) is str or type(right) is str or left is None or right is None:
        return bool((left == right) == (operator == "==")) if operator in ("==", "!=") else True
    return bool(
        {
            "==": left == right,
            "!=": left != right,
            "<": left < right,
            "<=": left <= right,
            ">": left > right,
            ">=": left >= right,
        }[operator]
    )


def _all(found: Iterable[Needs]) -> Needs:
    joined: dict[str, Limit] = {}
    for needs in found:
        if needs is None:
            return None
        for term, limit in needs.items():
            joined[term] = joined[term].meet(limit) if term in joined else limit
            if joined[term].is_empty:
                return None
    return joined


def _any(found: Iterable[Needs]) -> Needs:
    possible = [needs for needs in found if needs is not None]
    if not possible:
        return None
    joined = possible[0]
    for needs in possible[1:]:
        hulls = {term: joined[term].hull(limit) for term, limit in needs.items() if term in joined}
        joined = {term: hull for term, hull in hulls.items() if hull is not None}
    return joined
