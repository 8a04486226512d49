"""Values: every aggregate on a few events, arithmetic with lines, clocks, dates and places."""

from __future__ import annotations

from typing import Any

import pytest

from stream.durations import DAY, HOUR, MINUTE
from stream.engine import places
from stream.engine.profile import FOREVER, Profile, blank_profile
from stream.engine.summaries import WindowSummary
from stream.engine.values import Absolute, Answer, Arithmetic, Coalesce, Constant, Extreme, Value
from tests.engine.driven import T, at, compiled, gather, happened, states_of, worth

BOUGHT = [
    happened("a", T, id="b", value=10, channel="web", product_id="p"),
    happened("a", T, id="a", value=0.1, channel="ios"),
    happened("a", T + HOUR, value=0.2, product_id="q"),
    happened("a", T + 4 * HOUR, id="late", value="30", product_id="p"),  # text is no value
]
NOW = T + 5 * HOUR


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("{count: a}", 4),
        ("{count: a, min_n: 4}", 4),
        ("{count: a, min_n: 5}", None),
        ("{sum: a.value}", 10.3),
        ("{mean: a.value}", 10_300_000 / 3_000_000),  # the exact sum, divided and rounded once
        ("{min: a.value}", 0.1),
        ("{max: a.value}", 10),
        ("{max: a.value, min_n: 4}", None),  # events without the field are skipped, also here
        ("{first_value: a.channel}", "ios"),  # at the earliest (time, id)
        ("{last_value: a.channel}", "web"),
        ("{first_value: a.value, last: 5h}", 0.2),
        ("{distinct: a.product_id}", 2),
        ("{days: a}", 1),
        ("{since_first: a}", 5 * HOUR),
        ("{since_last: a}", HOUR),
        ("{mean_gap: a}", 4 * HOUR / 3),
        ("{mean_gap: a, last: 2h}", None),  # one event has no gap
        ("{top: a, by: product_id}", "p"),
        ("{top: a.value, by: product_id}", "p"),
        ("{top: a, by: product_id, last: 5h}", "p"),  # one of each: the most recent
        ("{top: a, by: product_id, min_n: 4}", None),  # three events have a key
    ],
)
def test_aggregates(feature: str, value: Any) -> None:
    assert worth(feature, BOUGHT, NOW) == value


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        *[(f"{{{kind}: a}}", 0) for kind in ("count", "days")],
        *[(f"{{{kind}: a.value}}", 0) for kind in ("sum", "distinct")],
        *[(f"{{{kind}: a.value}}", None) for kind in ("mean", "min", "max", "first_value", "last_value")],
        *[(f"{{{kind}: a}}", None) for kind in ("since_first", "since_last", "mean_gap")],
        ("{top: a, by: product_id}", None),
        ("{count: a, min_n: 1}", None),
    ],
)
def test_of_nothing(feature: str, value: Any) -> None:
    assert worth(feature, [happened("b", T)], NOW) == value


@pytest.mark.parametrize(
    ("feature", "key", "value"),
    [
        ("{share: a, by: product_id}", "p", 2 / 3),
        ("{share: a, by: product_id}", "q", 1 / 3),
        ("{share: a, by: product_id}", "z", 0),
        ("{share: a.value, by: product_id}", "q", 0.2 / 10.2),
        ("{share: a, by: product_id, min_n: 4}", "p", None),
        ("{share: a, by: product_id, last: 30m}", "p", None),  # the total is 0
        ("{count: a, by: product_id}", "p", 2),
        ("{count: a}", "p", 4),  # without `by` it is the user's
    ],
)
def test_of_keys(feature: str, key: str, value: Any) -> None:
    assert worth(feature, BOUGHT, NOW, key) == pytest.approx(value)


def test_an_event_with_several_keys_is_one_pair_for_each() -> None:
    events = [happened("a", T, items=[{"product_id": "p"}, {"product_id": "q"}, {"product_id": "p"}])]
    assert worth("{share: a, by: product_id}", events, T, "p") == 0.5
    assert worth("{count: a, by: product_id}", events, T, "p") == 1
    assert worth("{top: a, by: product_id}", events, T) == "p", "all alike: the smaller key"


def test_whole_numbers_are_keys_as_text() -> None:
    events = [
        happened("a", T, product_id=17),
        happened("a", T + 1, product_id="17"),
        happened("a", T + 2, product_id=1.5),
    ]
    assert worth("{count: a, by: product_id}", events, T, "17") == 2


# --- lines -----------------------------------------------------------------------------------------------------------


class Line(Value):
    """value + slope · (τ − T), until an instant."""

    def __init__(self, value: Any, slope: float = 0, until: int = FOREVER) -> None:
        super().__init__("line")
        self._at = (value, slope, until)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, slope, until = self._at
        return (None if value is None else value + slope * (instant - T), slope, until)


NOBODY = blank_profile("")


def ask(value: Value, instant: int = T) -> Answer:
    return value.value(NOBODY, instant, None)


@pytest.mark.parametrize(
    ("operator", "left", "right", "answer"),
    [
        ("+", Line(1, 1, T + 9), Line(2, -3, T + 7), (3, -2, T + 7)),
        ("-", Line(1, 1), Line(2, -3), (-1, 4, FOREVER)),
        ("*", Line(5, 1), Line(2), (10, 2, FOREVER)),
        ("*", Line(5), Line(2, 3), (10, 15, FOREVER)),
        ("/", Line(5, 1), Line(2), (2.5, 0.5, FOREVER)),
        ("/", Line(5), Line(0, 0, T + 3), (None, 0, T + 3)),
        ("+", Line(None, 0, T + 3), Line(1), (None, 0, T + 3)),
        ("+", Constant("x", "'x'"), Line(1), (None, 0, FOREVER)),
        ("+", Constant(True, "true"), Line(1), (None, 0, FOREVER)),
        ("*", Line(1e308), Line(10), (None, 0, FOREVER)),
    ],
)
def test_arithmetic(operator: str, left: Value, right: Value, answer: Answer) -> None:
    value, slope, until = ask(Arithmetic(operator, left, right, ""))
    assert (value, until) == (answer[0], answer[2])
    assert value is None or slope == answer[1]


def test_max_holds_until_the_steeper_line_takes_over() -> None:
    higher = Extreme(1, (Line(100), Line(90, 1)), "")
    assert ask(higher) == (100, 0, T + 10)
    assert ask(higher, T + 10)[:2] == (100, 1)
    assert ask(higher, T + 11) == (101, 1, FOREVER)
    lower = Extreme(-1, (Line(100), Line(90, 1)), "")
    assert ask(lower) == (90, 1, T + 10)
    assert ask(lower, T + 12) == (100, 0, FOREVER)
    assert ask(Extreme(1, (Line(100), Line(None, 0, T + 5)), "")) == (None, 0, T + 5)


def test_abs_turns_around_at_zero() -> None:
    assert ask(Absolute(Line(-10, 2), "")) == (10, -2, T + 5)
    assert ask(Absolute(Line(-10, 2), ""), T + 5)[:2] == (0, 2)
    assert ask(Absolute(Line(10, 2), "")) == (10, 2, FOREVER)
    assert ask(Absolute(Line(0, -1), "")) == (0, 1, FOREVER)


def test_coalesce_takes_the_first_known_and_lasts_until_one_before_it_is_known() -> None:
    assert ask(Coalesce((Line(None, 0, T + 5), Line(2, 1, T + 9), Line(3)), "")) == (2, 1, T + 5)
    assert ask(Coalesce((Line(None), Line(None, 0, T + 9)), "")) == (None, 0, T + 9)


# --- time and place --------------------------------------------------------------------------------------------------


def clock_value(function: str, zone: str, instant: int) -> Answer:
    return places.LocalTime(function, zone).value(NOBODY, instant, None)


def test_what_the_wall_clock_shows() -> None:
    assert clock_value("local_hour", "Asia/Seoul", T) == (9, 0, T + HOUR)
    assert clock_value("local_weekday", "Asia/Seoul", T + 15 * HOUR - 1) == (1, 0, T + 15 * HOUR)
    assert clock_value("local_weekday", "Asia/Seoul", T + 15 * HOUR) == (2, 0, T + 39 * HOUR)
    assert clock_value("local_month", "Asia/Seoul", T) == (11, 0, T + 28 * DAY + 15 * HOUR)
    assert clock_value("local_date", "America/New_York", T) == ("2026-11-01", 0, T + 5 * HOUR)
    # The hour from 2 to 3 comes twice on 25 October in Berlin and lasts two hours.
    assert clock_value("local_hour", "Europe/Berlin", at("2026-10-25T00:30:00")) == (
        2,
        0,
        at("2026-10-25T02:00:00"),
    )


@pytest.mark.parametrize(
    ("born", "now", "age", "wait"),
    [
        ("1990-05-17", "2026-05-16T14:59:59.999", 35, 1),
        ("1990-05-17", "2026-05-16T15:00:00", 36, 0),
        ("1990-05-17", "2026-05-17T14:59:59.999", 36, 0),
        ("1990-05-17", "2026-05-17T15:00:00", 36, 364 * DAY),
        ("2000-02-29", "2027-02-28T14:59:00", 26, MINUTE),
        ("2000-02-29", "2027-02-28T15:00:00", 27, 0),  # 1 March where there is no 29 February
        ("2000-02-29", "2028-02-28T15:00:00", 28, 0),
    ],
)
def test_birthdays_begin_at_local_midnight(born: str, now: str, age: int, wait: int) -> None:
    date, instant = Constant(born, born), at(now)
    years, _, _ = places.Age(date, "Asia/Seoul", "").value(NOBODY, instant, None)
    left, slope, until = places.UntilAnniversary(date, "Asia/Seoul", "").value(NOBODY, instant, None)
    assert (years, left) == (age, wait)
    if wait:
        assert (slope, until) == (-1, instant + wait)
    else:
        assert (slope, until) == (0, instant - (instant - 15 * HOUR) % DAY + DAY)


def test_dates_that_are_none_are_unknown() -> None:
    for value in ("soon", 5, None):
        assert places.Age(Constant(value, ""), "UTC", "").value(NOBODY, T, None)[0] is None
        assert places.UntilAnniversary(Constant(value, ""), "UTC", "").value(NOBODY, T, None)[0] is None


def test_distances_are_those_on_the_sphere() -> None:
    assert places.distance_km(0, 0, 0, 180) == pytest.approx(6371.0088 * 3.141592653589793)
    assert places.distance_km(0, 10, 0, 11) == pytest.approx(111.195, abs=0.001)  # a degree of the equator
    assert places.distance_km(60, 10, 60, 11) == pytest.approx(55.59, abs=0.02)  # cos 60° of it
    assert places.distance_km(10, 20, 10, 20) == 0


def test_features_of_one_form_share_one_state() -> None:
    plan = compiled(
        """
events: {a: {type: a}, same: {type: a}, b: {type: b}}
features:
  n: {count: a, last: 1d}
  again: {count: same, last: 24h, min_n: 3}
  other: {count: a, last: 2d}
segments:
  one: {when: "n >= 1"}
  two: {when: "again >= 2"}
  three: {when: "other >= 2"}
"""
    )
    assert len(states_of(plan, gather(plan, [happened("a", T)]), WindowSummary)) == 2
