"""Comparisons: the leaves of expressions, and when each of them flips.

A comparison of lines is solved for its crossing; the estimate is checked by the comparison itself at the milliseconds
around it, so that "first true at" is what the comparison says, not what the estimate does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import ceil, floor, isfinite
from typing import Any

from stream.changes import Evidence
from stream.engine.conditions import NOBODY_KNOWS, NULL, Condition, Either, Held, Leaf, Verdict
from stream.engine.profile import FOREVER, Profile
from stream.engine.shares import Decay
from stream.engine.summaries import RecentSummary
from stream.engine.unknowns import why_unknown
from stream.engine.values import Constant, Count, Feature, Value

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparable(left: Any, right: Any) -> bool:
    """Whether two known values are of one class: numbers, texts, or booleans."""
    if type(left) is type(right):
        return True
    return is_number(left) and is_number(right)


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return type(value) is int or type(value) is float


class Comparison(Condition):
    """`left op right`; unknown if either side is, or if they are not of one class."""

    __slots__ = ("_apply", "_duration", "_left", "_operator", "_right")

    def __init__(self, operator_: str, left: Value, right: Value, text: str, duration: bool) -> None:
        super().__init__(text)
        self._operator = operator_
        self._apply = OPERATORS[operator_]
        self._left = left
        self._right = right
        self._duration = duration

    def _holds(self, left: Any, right: Any) -> bool | None:
        if left is None or right is None:
            return None
        if is_number(left) and is_number(right):
            return self._apply(left, right)
        if left is NULL or right is NULL:
            if self._operator == "==":
                return left is right
            return left is not right if self._operator == "!=" else None
        if not comparable(left, right):
            return None
        if type(left) is bool and self._operator not in ("==", "!="):
            return None
        return self._apply(left, right)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        left, left_slope, left_until = self._left.value(profile, instant, key)
        right, right_slope, right_until = self._right.value(profile, instant, key)
        verdict = self._holds(left, right)
        until = min(right_until, left_until)
        slope = left_slope - right_slope
        if verdict is None:
            return (self._from_floor(profile, instant, key, right) if left is None else None), until
        if slope:
            return verdict, self._flip(profile, instant, key, verdict, until, (right - left) / slope)
        return verdict, until

    def _from_floor(self, profile: Profile, instant: int, key: str | None, right: Any) -> bool | None:
        """What a lower bound of the left side settles, where not all of its window was seen."""
        if not isinstance(self._left, Feature) or not is_number(right):
            return None
        floor_ = self._left.floor(profile, instant, key)
        if floor_ is None:
            return None
        if self._operator in (">=", ">"):
            return True if self._apply(floor_, right) else None
        if self._operator in ("<", "<="):
            return None if self._apply(floor_, right) else False
        return None if floor_ <= right else self._operator == "!="

    def _flip(
        self, profile: Profile, instant: int, key: str | None, verdict: bool, until: int, distance: float
    ) -> int:
        """The first instant after `instant` at which the two lines, which cross at `distance`, compare otherwise.

        The crossing is an estimate in doubles; the comparison itself, made at the milliseconds around it, decides.
        """
        if not isfinite(distance) or distance < -2 or instant + distance > until + 2:
            return until
        crossing = instant + floor(distance)
        for candidate in range(max(crossing - 2, instant + 1), crossing + 4):
            if candidate >= until:
                break
            left = self._left.value(profile, candidate, key)[0]
            right = self._right.value(profile, candidate, key)[0]
            if self._holds(left, right) is not verdict:
                return candidate
        return until

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        return Leaf(
            self.text,
            evidence_behind(profile, self._left, instant, key),
            self._left.value(profile, instant, key)[0],
            self._operator,
            self._right.value(profile, instant, key)[0],
            self._duration,
        )

    def doubt(self, profile: Profile, instant: int, key: str | None) -> str | None:
        sides = (why_unknown(side, profile, instant, key) for side in (self._left, self._right))
        return " and ".join(filter(None, sides)) or "the two sides are not of one kind"


class AtLeastShare(Comparison):
    """`share >= x` or `share > x` of a share that events of other keys only make smaller, as long as it is known."""

    __slots__ = ()

    def holds(self, profile: Profile, instant: int, key: str | None) -> Held:
        verdict, until = self.test(profile, instant, key)
        return verdict is True, until, verdict is False


class AtLeastCount(Comparison):
    """`count >= n` or `count > n`: true of nobody of whom fewer events are kept."""

    __slots__ = ("_count", "_least", "_only_falls")

    def __init__(self, operator_: str, count: Count, bound: Constant, text: str, duration: bool) -> None:
        super().__init__(operator_, count, bound, text, duration)
        self.cost = 0
        self._count = count
        self._only_falls = count.only_falls()
        """Whether the window only loses events by waiting."""
        number = bound.answer[0]
        self._least = (floor(number) + 1 if operator_ == ">" else ceil(number)) if is_number(number) else 0
        """The smallest count for which it is true."""

    def holds(self, profile: Profile, instant: int, key: str | None) -> Held:
        if self._least > 0 and self._count.stays_below(profile, key, self._least):
            return False, FOREVER, self.own
        verdict, until = self.test(profile, instant, key)
        if verdict is False and self._only_falls:
            until = FOREVER
        return verdict is True, until, self.own


class Silence(Comparison):
    """`since_last(…) op x` with an x that stands still: the one comparison that nearly every event re-evaluates."""

    __slots__ = ("_flips_past", "_least")

    def __init__(
        self, operator_: str, left: Value, right: Value, text: str, duration: bool, least: float | None
    ) -> None:
        super().__init__(operator_, left, right, text, duration)
        self._flips_past = operator_ in (">", "<=")
        self._least = None if least is None else ceil(least)
        """Whole milliseconds that x cannot be below, whatever it is read from; only for > and >=."""

    def holds(self, profile: Profile, instant: int, key: str | None) -> Held:
        least = self._least
        if least is not None:
            left = self._left.value(profile, instant, key)[0]
            if left is not None:
                silent: int = left
                if silent < least:
                    return False, instant - silent + least, self.own
        return super().holds(profile, instant, key)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        left, _, left_until = self._left.value(profile, instant, key)
        right, _, right_until = self._right.value(profile, instant, key)
        until = min(right_until, left_until)
        if left is None or not is_number(right):
            return None, until
        verdict = self._apply(left, right)
        # `left` grows by one a millisecond: > and <= flip past the bound, >= and < at it, and only once.
        silent: int = left
        past = floor(right) + 1 if self._flips_past else ceil(right)
        if silent < past:
            until = min(until, instant - silent + past)
        return verdict, until


def evidence_behind(profile: Profile, value: Value, instant: int, key: str | None) -> list[Evidence]:
    """Newest events behind a value that is a feature, as far as its window reaches back."""
    recent: RecentSummary | None = getattr(value, "recent", None)
    if recent is None:
        return []
    reach = value.reach(profile, instant) if isinstance(value, Feature) else -FOREVER
    return recent.evidence(profile, key, reach)


class Fading(Condition):
    """A `half_life` value against a constant: it fades towards zero, and crosses a bound at a logarithm of time."""

    __slots__ = ("_apply", "_bound", "_decay", "_operator")

    def __init__(self, operator_: str, decay: Decay, bound: float, text: str) -> None:
        super().__init__(text)
        self._operator = operator_
        self._apply = OPERATORS[operator_]
        self._decay = decay
        self._bound = bound

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        weight = self._decay.value(profile, instant, key)[0]
        if weight is None:
            return NOBODY_KNOWS
        verdict = self._apply(weight, self._bound)
        if weight == 0 or weight * self._bound <= 0 or abs(weight) < abs(self._bound):
            return verdict, FOREVER
        distance = self._decay.reaches(weight, self._bound)
        return verdict, self._flip(profile, instant, key, verdict, instant + floor(distance))

    def _flip(self, profile: Profile, instant: int, key: str | None, verdict: bool, crossing: int) -> int:
        """The first later instant at which the comparison itself, made on both sides of the estimate, is another."""
        for candidate in range(max(crossing - 2, instant + 1), crossing + 5):
            weight = self._decay.value(profile, candidate, key)[0]
            if self._apply(weight, self._bound) is not verdict:
                return candidate
        return FOREVER

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        weight = self._decay.value(profile, instant, key)[0]
        evidence = evidence_behind(profile, self._decay, instant, key)
        return Leaf(self.text, evidence, weight, self._operator, self._bound)

    def doubt(self, profile: Profile, instant: int, key: str | None) -> str | None:
        return why_unknown(self._decay, profile, instant, key)


class Member(Condition):
    """`item in [a, b]`: true if equal to one, unknown if only an unknown comparison stands against false."""

    __slots__ = ("_comparisons", "_options")

    def __init__(self, comparisons: tuple[Comparison, ...], text: str) -> None:
        super().__init__(text)
        self._comparisons = comparisons
        self._options = Either(comparisons)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return self._options.test(profile, instant, key)

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        leaves = [option.leaf(profile, instant, key, verdict) for option in self._comparisons]
        bound = [leaf.bound for leaf in leaves]
        return Leaf(self.text, leaves[0].evidence, leaves[0].value, "in", bound, leaves[0].duration)

    def doubt(self, profile: Profile, instant: int, key: str | None) -> str | None:
        for option in self._comparisons:
            if option.test(profile, instant, key)[0] is None:
                return option.doubt(profile, instant, key)
        return None


class Truth(Condition):
    """A value that stands for itself (`traits.vip`): true or false if it is a boolean, else unknown."""

    __slots__ = ("_value",)

    def __init__(self, value: Value) -> None:
        super().__init__(value.text)
        self._value = value

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        value, _, until = self._value.value(profile, instant, key)
        return (value if type(value) is bool else None), until

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        value = self._value.value(profile, instant, key)[0]
        return Leaf(self.text, evidence_behind(profile, self._value, instant, key), value, "==", True)

    def doubt(self, profile: Profile, instant: int, key: str | None) -> str | None:
        return why_unknown(self._value, profile, instant, key) or f"{self.text} is neither true nor false"


class Exists(Condition):
    """`exists(x)`: whether x is known."""

    __slots__ = ("_value",)

    def __init__(self, value: Value, text: str) -> None:
        super().__init__(text)
        self._value = value

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        value, _, until = self._value.value(profile, instant, key)
        return value is not None, until

    def leaf(self, profile: Profile, instant: int, key: str | None, verdict: bool | None) -> Leaf:
        value = self._value.value(profile, instant, key)[0]
        return Leaf(self.text, evidence_behind(profile, self._value, instant, key), value)
