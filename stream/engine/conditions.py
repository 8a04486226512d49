"""Conditions as functions of time, in three-valued logic (Kleene: true, false, unknown as None).

A node answers `test(profile, instant, key)` with (verdict, until): the verdict at the instant, and the first later
instant at which it could be another one if no event came. That one number per node is all that windows, absence,
expiry, decay, midnights and birthdays need: nothing here polls.

`until` may be early (waking without a change moves nothing) but never late. Composite nodes stop at the first operand
that settles the verdict: as long as that one holds, the others do not matter.

Of somebody who is not a member only one thing is asked: is it true, or when could it become true? `holds` answers that.
It is `test` with false and unknown taken together, and so may stop earlier and wake later: a count within a window does
not rise by waiting, and who was here a minute ago is not silent for a week, whatever their rhythm.

`explain` walks the same nodes with the same `test` and keeps what each said.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, floor, isfinite
from typing import Any

from stream.durations import MINUTE, format_duration
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import EVIDENCE, CellSummary, RecentSummary, last_time
from stream.engine.values import NUMBERS, Answer, Decay, Feature, Value, covered_from

Verdict = tuple[bool | None, int]
ALWAYS: Verdict = (True, FOREVER)
NEVER: Verdict = (False, FOREVER)
NOBODY_KNOWS: Verdict = (None, FOREVER)

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(slots=True)
class Explanation:
    """What a node said, and why."""

    text: str
    verdict: bool | None
    until: int
    value: Any = None
    operator: str | None = None
    bound: Any = None
    duration: bool = False
    """Whether `value` and `bound` are durations in milliseconds."""
    evidence: list[tuple[int, str]] = field(default_factory=list)
    """(time, id) of the events behind it, oldest first."""
    parts: list[Explanation] = field(default_factory=list)
    why: str | None = None
    """Why the verdict is unknown, if it is."""

    def deciding(self) -> list[Explanation]:
        """The leaves that made the verdict what it is."""
        if not self.parts:
            return [self]
        same = [part for part in self.parts if part.verdict is self.verdict]
        if self.text == "not":
            same = self.parts
        return [leaf for part in same for leaf in part.deciding()]


class Condition:
    """A verdict about one user (and key) that may change with time. `text` is how the author would say it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        """(verdict, until) at an instant."""
        raise AssertionError("every condition defines this")

    def holds(self, profile: Profile, instant: int, key: str | None) -> tuple[bool, int]:
        """(whether it is true, the next instant at which that could be otherwise)."""
        verdict, until = self.test(profile, instant, key)
        return verdict is True, until

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        """The same with everything that led to it."""
        raise AssertionError("every condition defines this")


class Composite(Condition):
    """Conditions joined."""

    __slots__ = ("_operands",)

    def __init__(self, operands: tuple[Condition, ...], text: str) -> None:
        super().__init__(text)
        self._operands = operands

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        parts = [operand.explain(profile, instant, key) for operand in self._operands]
        return Explanation(self.text, verdict, until, parts=parts)


class Null:
    """The tier of somebody who has none: a known value, unlike what is unknown."""

    def __repr__(self) -> str:
        return "null"


NULL = Null()


class TierOf(Value):
    """`ladder.x`: the name of the user's tier, or null."""

    __slots__ = ("_tier_of",)

    def __init__(self, tier_of: Callable[[Profile], str | None], text: str) -> None:
        super().__init__(text)
        self._tier_of = tier_of

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        tier = self._tier_of(profile)
        return (NULL if tier is None else tier), 0, FOREVER


class MemberOf(Condition):
    """`segment.x`: true while member. Of a segment with memberships per key: of any, or of the same key inside one."""

    __slots__ = ("_is_member", "_same_key")

    def __init__(self, is_member: Callable[[Profile, str | None], bool], same_key: bool, text: str) -> None:
        super().__init__(text)
        self._is_member = is_member
        self._same_key = same_key

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return self._is_member(profile, key if self._same_key else None), FOREVER

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        return Explanation(self.text, verdict, until, verdict, "==", True)


class Asked(Value):
    """A condition read as a value: true, false or unknown."""

    __slots__ = ("_condition",)

    def __init__(self, condition: Condition, text: str) -> None:
        super().__init__(text)
        self._condition = condition

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        verdict, until = self._condition.test(profile, instant, key)
        return verdict, 0, until


# --- comparisons -----------------------------------------------------------------------------------------------------


def comparable(left: Any, right: Any) -> bool:
    """Whether two known values are of one class: numbers, texts, or booleans."""
    if type(left) is type(right):
        return True
    return type(left) in NUMBERS and type(right) in NUMBERS


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
        if left is NULL or right is NULL:
            return {"==": left is right, "!=": left is not right}.get(self._operator)
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
        if not isinstance(self._left, Feature) or type(right) not in NUMBERS:
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

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        left = self._left.value(profile, instant, key)[0]
        right = self._right.value(profile, instant, key)[0]
        why = None
        if verdict is None:
            unknown = [
                side.text for side, value in ((self._left, left), (self._right, right)) if value is None
            ]
            why = " and ".join(unknown) + " is unknown" if unknown else "the two sides are not of one kind"
            if isinstance(self._left, Feature):
                why = history_of(self._left.missing_history(profile, instant, key), instant) or why
        return Explanation(
            self.text,
            verdict,
            until,
            left,
            self._operator,
            right,
            self._duration,
            evidence_of(profile, self._left, instant, key),
            why=why,
        )


class AtLeastCount(Comparison):
    """`count >= n` or `count > n` over a window that only loses events by waiting."""

    __slots__ = ()

    def holds(self, profile: Profile, instant: int, key: str | None) -> tuple[bool, int]:
        verdict, until = self.test(profile, instant, key)
        return (True, until) if verdict is True else (False, until if verdict is None else FOREVER)


class Silence(Comparison):
    """`since_last(…) op x` with an x that stands still: the one comparison that nearly every event re-evaluates."""

    __slots__ = ("_least",)

    def __init__(
        self, operator_: str, left: Value, right: Value, text: str, duration: bool, least: float | None
    ) -> None:
        super().__init__(operator_, left, right, text, duration)
        self._least = least
        """What x cannot be below, whatever it is read from; only for > and >=."""

    def holds(self, profile: Profile, instant: int, key: str | None) -> tuple[bool, int]:
        if self._least is not None:
            left = self._left.value(profile, instant, key)[0]
            if left is not None and left < self._least:
                return False, instant - left + ceil(self._least)
        return super().holds(profile, instant, key)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        left, _, left_until = self._left.value(profile, instant, key)
        right, _, right_until = self._right.value(profile, instant, key)
        until = min(right_until, left_until)
        if left is None or type(right) not in NUMBERS:
            return None, until
        verdict = self._apply(left, right)
        # `left` grows by one a millisecond: > and <= flip past the bound, >= and < at it, and only once.
        past = floor(right) + 1 if self._operator in (">", "<=") else ceil(right)
        if left < past:
            until = min(until, instant - left + past)
        return verdict, until


def evidence_of(profile: Profile, value: Value, instant: int, key: str | None) -> list[tuple[int, str]]:
    """Newest events behind a value that is a feature, as far as its window reaches back."""
    recent = getattr(value, "recent", None)
    if recent is None:
        return []
    reach = value.reach(profile, instant) if isinstance(value, Feature) else -FOREVER
    return [entry for entry in recent.read(profile, key) if entry[0] >= reach]


def history_of(missing: tuple[int, int] | None, instant: int) -> str | None:
    """`history covers 3d of 30d`, where it does not cover all."""
    if missing is None:
        return None
    start, reach = missing
    seen = format_duration(max(0, instant - start) // MINUTE * MINUTE)
    return f"history covers {seen}" + (
        f" of {format_duration(instant - reach + 1)}" if reach > -FOREVER else ""
    )


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

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        weight = self._decay.value(profile, instant, key)[0]
        why = f"{self._decay.text} is unknown" if verdict is None else None
        evidence = evidence_of(profile, self._decay, instant, key)
        return Explanation(
            self.text, verdict, until, weight, self._operator, self._bound, evidence=evidence, why=why
        )


class Member(Condition):
    """`item in [a, b]`: true if equal to one, unknown if only an unknown comparison stands against false."""

    __slots__ = ("_options",)

    def __init__(self, comparisons: tuple[Comparison, ...], text: str) -> None:
        super().__init__(text)
        self._options = Either(comparisons)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return self._options.test(profile, instant, key)

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        whole = self._options.explain(profile, instant, key)
        first = whole.parts[0]
        bound = [part.bound for part in whole.parts]
        return Explanation(
            self.text,
            whole.verdict,
            whole.until,
            first.value,
            "in",
            bound,
            first.duration,
            first.evidence,
            why=first.why,
        )


class Truth(Condition):
    """A value that stands for itself (`traits.vip`): true or false if it is a boolean, else unknown."""

    __slots__ = ("_value",)

    def __init__(self, value: Value) -> None:
        super().__init__(value.text)
        self._value = value

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        value, _, until = self._value.value(profile, instant, key)
        return (value if type(value) is bool else None), until

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        value = self._value.value(profile, instant, key)[0]
        why = f"{self.text} is no true or false" if verdict is None else None
        return Explanation(
            self.text,
            verdict,
            until,
            value,
            "==",
            True,
            False,
            evidence_of(profile, self._value, instant, key),
            why=why,
        )


class Exists(Condition):
    """`exists(x)`: whether x is known."""

    __slots__ = ("_value",)

    def __init__(self, value: Value, text: str) -> None:
        super().__init__(text)
        self._value = value

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        value, _, until = self._value.value(profile, instant, key)
        return value is not None, until

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        value = self._value.value(profile, instant, key)[0]
        return Explanation(
            self.text, verdict, until, value, evidence=evidence_of(profile, self._value, instant, key)
        )


# --- composites ------------------------------------------------------------------------------------------------------


class All(Composite):
    """True if all are, false if one is."""

    __slots__ = ()

    def __init__(self, operands: tuple[Condition, ...]) -> None:
        super().__init__(operands, "all")

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        verdict: bool | None = True
        until = FOREVER
        for operand in self._operands:
            one, end = operand.test(profile, instant, key)
            if one is False:
                return False, end
            if one is None:
                verdict = None
            if end < until:
                until = end
        return verdict, until

    def holds(self, profile: Profile, instant: int, key: str | None) -> tuple[bool, int]:
        until = FOREVER
        for operand in self._operands:
            one, end = operand.holds(profile, instant, key)
            if not one:
                return False, end
            if end < until:
                until = end
        return True, until


class Either(Composite):
    """True if one is, false if all are."""

    __slots__ = ()

    def __init__(self, operands: tuple[Condition, ...]) -> None:
        super().__init__(operands, "any")

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        verdict: bool | None = False
        until = FOREVER
        for operand in self._operands:
            one, end = operand.test(profile, instant, key)
            if one:
                return True, end
            if one is None:
                verdict = None
            if end < until:
                until = end
        return verdict, until

    def holds(self, profile: Profile, instant: int, key: str | None) -> tuple[bool, int]:
        until = FOREVER
        for operand in self._operands:
            one, end = operand.holds(profile, instant, key)
            if one:
                return True, end
            if end < until:
                until = end
        return False, until


class AtLeast(Composite):
    """True if n are true, false if no n can be."""

    __slots__ = ("_n",)

    def __init__(self, n: int, operands: tuple[Condition, ...]) -> None:
        super().__init__(operands, f"at least {n}")
        self._n = n

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        true = unknown = 0
        until = FOREVER
        for operand in self._operands:
            one, end = operand.test(profile, instant, key)
            if one:
                true += 1
            elif one is None:
                unknown += 1
            if end < until:
                until = end
        if true >= self._n:
            return True, until
        return (None if true + unknown >= self._n else False), until


class Not(Composite):
    """True if the operand is false."""

    __slots__ = ()

    def __init__(self, operand: Condition) -> None:
        super().__init__((operand,), "not")

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        verdict, until = self._operands[0].test(profile, instant, key)
        return (None if verdict is None else not verdict), until


# --- events ----------------------------------------------------------------------------------------------------------


class Do(Condition):
    """`{do: sel, last: D}`: at least one event (in (τ − D, τ])."""

    __slots__ = ("_last", "_recents", "_summaries")

    def __init__(
        self,
        summaries: tuple[CellSummary, ...],
        recents: tuple[RecentSummary, ...],
        last: int | None,
        text: str,
    ) -> None:
        super().__init__(text)
        self._summaries = summaries
        self._recents = recents
        self._last = last

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        newest = -FOREVER
        for summary in self._summaries:
            newest = max(newest, last_time(summary.state(profile, key)))
        if newest > -FOREVER:
            if self._last is None:
                return ALWAYS
            if newest > instant - self._last:
                return True, newest + self._last
        start = self._covered_from(profile, key)
        if start == -FOREVER:
            return NEVER
        if self._last is None:
            return NOBODY_KNOWS
        covered = start + self._last - 1
        return NEVER if instant >= covered else (None, covered)

    def _covered_from(self, profile: Profile, key: str | None) -> int:
        return max(covered_from(summary, profile, key) for summary in self._summaries)

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        reach = -FOREVER if self._last is None else instant - self._last + 1
        recent = sorted(
            entry for recent in self._recents for entry in recent.read(profile, key) if entry[0] >= reach
        )[-EVIDENCE:]
        why = None
        if verdict is None:
            why = history_of((self._covered_from(profile, key), reach), instant)
        return Explanation(self.text, verdict, until, evidence=recent, why=why)


class AfterEntry(Condition):
    """`{do: sel}` in an exit: an event added after the entry was decided, not older than the membership's anchor.

    Such a fact is the membership's, not the user's: `profile.facts` lends those of the membership that is being asked.
    """

    __slots__ = ("_index",)

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self._index = index

    def _fact(self, profile: Profile) -> list[Any] | None:
        fact: list[Any] | None = profile.facts[self._index] if profile.facts else None
        return fact

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return NEVER if self._fact(profile) is None else ALWAYS

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        verdict, until = self.test(profile, instant, key)
        fact = self._fact(profile)
        return Explanation(self.text, verdict, until, evidence=[] if fact is None else [(fact[0], fact[1])])
