"""Conditions: three-valued logic as tables, crossings to the millisecond, and how long an answer holds."""

from __future__ import annotations

from typing import Any

import pytest

from stream.durations import DAY, HOUR, MINUTE
from stream.engine.comparisons import Comparison, Exists, Member, Truth
from stream.engine.conditions import NULL, All, AtLeast, Condition, Either, Explanation, Not, Verdict
from stream.engine.profile import FOREVER, Profile
from stream.engine.values import Constant, Value
from tests.engine.driven import Driven, T, compiled, gather, happened
from tests.engine.test_values import NOBODY, Line


class Fixed(Condition):
    """A verdict until an instant."""

    def __init__(self, verdict: bool | None, until: int = FOREVER) -> None:
        super().__init__("fixed")
        self._at = (verdict, until)

    def test(self, profile: Profile, instant: int, key: str | None) -> Verdict:
        return self._at

    def explain(self, profile: Profile, instant: int, key: str | None) -> Explanation:
        return Explanation(self.text, *self._at)


KNOWN = {"T": True, "F": False, "?": None}


def verdict(condition: Condition, instant: int = T) -> bool | None:
    found = condition.test(NOBODY, instant, None)[0]
    assert condition.holds(NOBODY, instant, None)[0] is (found is True)
    return found


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (All, "TTT TFF T?? FTF FFF F?F ?T? ?FF ???"),
        (Either, "TTT TFT T?T FTT FFF F?? ?TT ?F? ???"),
    ],
)
def test_kleene(kind: type[All] | type[Either], table: str) -> None:
    for left, right, expected in table.split():
        operands = (Fixed(KNOWN[left]), Fixed(KNOWN[right]))
        assert verdict(kind(operands)) is KNOWN[expected], (left, right)


def test_not() -> None:
    assert [verdict(Not(Fixed(value))) for value in (True, False, None)] == [False, True, None]


@pytest.mark.parametrize(
    ("n", "given", "expected"),
    [
        (2, "TTF", "T"), (2, "TT?", "T"), (2, "T?F", "?"), (2, "TFF", "F"), (2, "??F", "?"), (2, "?FF", "F"),
        (1, "FFF", "F"), (1, "FF?", "?"), (3, "TTT", "T"), (3, "TT?", "?"),
    ],
)  # fmt: skip
def test_at_least(n: int, given: str, expected: str) -> None:
    assert verdict(AtLeast(n, tuple(Fixed(KNOWN[one]) for one in given))) is KNOWN[expected]


def test_a_composite_waits_for_whatever_keeps_it_what_it_is() -> None:
    early, late = T + 1, T + 2
    assert All((Fixed(True, late), Fixed(True, early))).test(NOBODY, T, None) == (True, early)
    assert All((Fixed(False, late), Fixed(False, early))).test(NOBODY, T, None) == (False, late)
    assert Either((Fixed(True, late), Fixed(True, early))).test(NOBODY, T, None) == (True, late)
    assert Either((Fixed(False, late), Fixed(None, early))).test(NOBODY, T, None) == (None, early)
    assert Not(Fixed(None, early)).test(NOBODY, T, None) == (None, early)
    assert AtLeast(1, (Fixed(True, late), Fixed(False, early))).test(NOBODY, T, None) == (True, early)


# --- comparisons -----------------------------------------------------------------------------------------------------


def constant(value: Any) -> Value:
    return Constant(value, repr(value))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1.0, "== <= >="), (1, 2, "!= < <="), ("a", "b", "!= < <="), ("b", "a", "!= > >="),
        (True, True, "=="), (True, False, "!="), (NULL, NULL, "=="), ("gold", NULL, "!="), (NULL, "gold", "!="),
    ],
)  # fmt: skip
def test_values_of_one_kind(left: Any, right: Any, expected: str) -> None:
    true = [op for op in ("==", "!=", "<", "<=", ">", ">=") if verdict(compare(op, left, right))]
    assert sorted(true) == sorted(expected.split())


def compare(operator: str, left: Any, right: Any) -> Comparison:
    sides = [side if isinstance(side, Value) else constant(side) for side in (left, right)]
    return Comparison(operator, *sides, f"x {operator} y", False)


@pytest.mark.parametrize(
    ("left", "right"), [(1, "1"), (True, 1), ("true", True), (None, 1), (1, None), (None, None)]
)
def test_what_is_unknown_or_of_another_kind_compares_as_unknown(left: Any, right: Any) -> None:
    assert {verdict(compare(op, left, right)) for op in ("==", "!=", "<", ">=")} == {None}


def test_booleans_have_no_order() -> None:
    assert verdict(compare("<", False, True)) is None


def test_in_exists_and_truth() -> None:
    def one_of(item: Any, *options: Any) -> bool | None:
        return verdict(Member(tuple(compare("==", item, option) for option in options), ""))

    assert (one_of("a", "b", "a"), one_of("c", "b", "a"), one_of(None, "a")) == (True, False, None)
    assert one_of("a", "a", None) is True
    assert one_of("b", "a", None) is None
    assert [verdict(Exists(constant(value), "")) for value in (0, False, None)] == [True, True, False]
    assert [verdict(Truth(constant(value))) for value in (True, False, None, 1, "true")] == [
        True,
        False,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("operator", "line", "bound", "flip"),
    [
        (">", Line(0, 1), 10, T + 11),
        (">=", Line(0, 1), 10, T + 10),
        ("<", Line(0, 1), 10, T + 10),
        ("<=", Line(0, 1), 10, T + 11),
        ("==", Line(0, 1), 10, T + 10),
        ("==", Line(10, 1), 10, T + 1),
        ("!=", Line(0, 1), 10, T + 10),
        (">", Line(0, 3), 10, T + 4),
        ("==", Line(0, 3), 10, FOREVER),  # it passes between two milliseconds
        (">", Line(20, -1), 10, T + 10),
        (">", Line(0, 1, T + 5), 10, T + 5),  # the line ends before it crosses
        (">", Line(0, 1), Line(5, 0.5), T + 11),
        (">", Line(0, 1), Line(5, 1), FOREVER),
        (">", Line(0, 1), 10.5, T + 11),
        (">", Line(11, 1), 10, FOREVER),
    ],
)
def test_a_comparison_flips_at_the_millisecond_at_which_the_lines_have_crossed(
    operator: str, line: Value, bound: Any, flip: int
) -> None:
    node = compare(operator, line, bound)
    before, until = node.test(NOBODY, T, None)
    assert until == flip
    if flip < FOREVER and line._at[2] == FOREVER:  # type: ignore[attr-defined]
        assert verdict(node, flip - 1) is before
        assert verdict(node, flip) is not before


# --- leaves that read events -----------------------------------------------------------------------------------------

EVENTS = """
events: {a: {type: a}, b: {type: b}}
features:
  silence: {since_last: a}
  age: {since_first: a}
  heat: {count: a, half_life: 1h}
  n: {count: a, last: 1h}
segments: {s: {when: WHEN}}
"""


def leaf(when: str) -> Condition:
    return compiled(EVENTS.replace("WHEN", when)).rules[0]._when  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("when", "verdict_now", "until"),
    [
        ("silence > 7d", False, T + 7 * DAY + 1),
        ("silence >= 7d", False, T + 7 * DAY),
        ("silence <= 7d", True, T + 7 * DAY + 1),
        ("7d <= silence", False, T + 7 * DAY),
        ("age > 2 * 30m", False, T + HOUR + 1),
        ("heat >= 0.5", True, T + HOUR + 1),
        ("heat > 0.5", True, T + HOUR),
        ("0.25 > heat", False, T + 2 * HOUR + 1),
        ("heat > 2", False, FOREVER),
        ("n == 1", True, T + HOUR),
        ("{do: a}", True, FOREVER),
        ("{do: b}", False, FOREVER),
        ("{do: [b, a], last: 30m}", True, T + 30 * MINUTE),
        ("{seq: [{do: a}, {not: b, for: 30m}]}", False, T + 30 * MINUTE),
        ("{not: {do: a, last: 30m}}", False, T + 30 * MINUTE),
        ("silence > traits.x * 1d", None, FOREVER),
    ],
)
def test_leaves_know_the_first_instant_at_which_they_differ(when: str, verdict_now: Any, until: int) -> None:
    when = when if when.startswith("{") else f'"{when}"'
    plan = compiled(EVENTS.replace("WHEN", when))
    node = plan.rules[0]._when  # type: ignore[attr-defined]
    profile = gather(plan, [happened("a", T)])
    assert node.test(profile, T, None) == (verdict_now, until)
    if until < FOREVER:
        assert node.test(profile, until - 1, None) == (verdict_now, until)
        assert node.test(profile, until, None)[0] is (not verdict_now)


def test_silence_of_a_week_at_least_is_not_asked_for_earlier() -> None:
    plan = compiled(
        """
events: {a: {type: a}}
features: {silence: {since_last: a}, rhythm: {mean_gap: a, min_n: 3}}
segments: {churn: {when: "silence > max(3 * rhythm, 7d)"}}
"""
    )
    node = plan.rules[0]._when  # type: ignore[attr-defined]
    profile = gather(plan, [happened("a", T)])
    assert node.test(profile, T, None)[0] is None, "no rhythm yet"
    held, until, _ = node.holds(profile, T, None)
    assert (held, T < until <= T + 7 * DAY + 1) == (False, True)


@pytest.mark.parametrize(
    "when",
    ["silence > traits.x * 1d", "max(silence, traits.x * 1d) > 3d", "abs(silence - traits.x * 1d) > 3d"],
)
def test_what_is_beyond_all_numbers_is_unknown(when: str) -> None:
    run = Driven(EVENTS.replace("WHEN", f'"{when}"'))
    assert run.feed(happened("a", T, traits={"x": 1e308})) == []
    assert run.finish(T + 30 * DAY) == []
    assert run.leaves("s", T + 30 * DAY)[0].verdict is None
