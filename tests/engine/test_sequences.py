"""Sequences, step by step: what matches, what forbids, which start counts."""

from __future__ import annotations

import pytest

from stream.durations import MINUTE
from stream.engine.profile import FOREVER
from stream.engine.sequences import unmatched
from stream.engine.summaries import StepsSummary
from stream.events import Event
from tests.engine.driven import Driven, T, compiled, gather, happened, states_of

EVENTS = """
events:
  a: {type: [a, ab, ac]}
  b: {type: [b, ab, bc]}
  c: {type: [c, ac, bc]}
"""
PAIR = "{seq: [{do: a}, {not: c, for: 30m}]}"
THEN = "{seq: [{do: a}, {then: b, within: 30m}]}"
WITHOUT = "{seq: [{do: a}, {then: b, within: 30m, without: c}]}"
LONG = "{seq: [{do: a}, {then: b, within: 30m}, {not: c, for: 10m}]}"
FIRST = "{seq: [{do: a}, {not: c, for: 30m}], restart: first}"
FIRST_LONG = "{seq: [{do: a}, {then: b, within: 30m}, {not: c, for: 10m}], restart: first}"
SELF = "{seq: [{do: a}, {then: a, within: 30m}, {then: a, within: 30m}]}"


def events_of(text: str) -> list[Event]:
    """`a0 b5 c5.1`: types at minutes, with an id after the dot where it matters."""
    found = []
    for number, word in enumerate(text.split()):
        kind = word.rstrip("0123456789.")
        minute, _, event_id = word.removeprefix(kind).partition(".")
        found.append(happened(kind, T + int(minute) * MINUTE, id=event_id or f"e{number}"))
    return found


@pytest.mark.parametrize(
    ("sequence", "events", "minute", "true", "anchor"),
    [
        (PAIR, "a0", 29, False, 0),
        (PAIR, "a0", 30, True, 0),
        (PAIR, "a0 a10", 30, False, 10),
        (PAIR, "a0 a10", 40, True, 10),
        (PAIR, "a0 c5", 60, False, 0),
        (PAIR, "a0 c0", 60, False, 0),  # in [p, τ]: its own millisecond counts
        (PAIR, "c0 a5", 60, True, 5),
        (PAIR, "a0 c40", 60, False, 0),  # an order after the half hour makes it false again
        (PAIR, "ac0", 60, True, 0),  # the event itself never counts as its C
        (PAIR, "ac0 ac0", 60, False, 0),  # but another of the same millisecond does
        (PAIR, "ac0 ac5", 60, True, 5),
        (PAIR, "a5 ac0", 60, True, 5),
        (THEN, "a0 b30", 30, True, 0),
        (THEN, "a0 b31", 60, False, 0),
        (THEN, "a0 b0", 60, True, 0),
        (THEN, "b0 a1", 60, False, 1),
        (THEN, "a0 b5 a10", 60, True, 0),  # the newest a that can be completed
        (THEN, "a0 b5 a10 b15", 60, True, 10),
        (THEN, "ab0", 60, False, 0),  # another event
        (THEN, "ab0 b5", 60, True, 0),
        (WITHOUT, "a0 c5 b10", 60, False, 0),
        (WITHOUT, "a0 b10 c10", 60, False, 0),  # both ends are inside
        (WITHOUT, "c0 a0 b10", 60, False, 0),
        (WITHOUT, "a0 b10 c11", 60, True, 0),
        (WITHOUT, "ac0 bc10", 60, True, 0),  # what it matched itself never forbids
        (WITHOUT, "a0 b10 a15 c20 b25", 60, True, 0),
        (LONG, "a0 b5", 14, False, 0),
        (LONG, "a0 b5", 15, True, 0),
        (LONG, "a0 b5 c16", 20, False, 0),
        (LONG, "a0 c3 b5", 15, True, 0),  # c is forbidden from the last match on
        (LONG, "a0 b5 b12", 15, True, 0),  # the earliest b that fits counts
        (LONG, "a0 b5 a8", 15, True, 0),
        (LONG, "a0 b5 a8 b12", 15, False, 8),
        (FIRST, "a0 a10", 30, True, 0),
        (FIRST, "a0 c5 a10 a20", 39, False, 10),
        (FIRST, "a0 c5 a10 a20", 40, True, 10),
        (FIRST, "a0 c5 a5", 60, False, None),  # strictly later than the newest c
        (FIRST, "a0 c5", 60, False, None),
        (FIRST_LONG, "a0 a40 b45", 55, True, 40),  # the oldest a from which the steps complete
        (SELF, "a0 a10 a20", 20, True, 0),
        (SELF, "a0 a10", 60, False, 10),
        (SELF, "a0 a0 a0", 0, True, 0),
        (SELF, "a0 a31 a40 a50", 60, True, 31),
    ],
)
def test_runs(sequence: str, events: str, minute: int, true: bool, anchor: int | None) -> None:
    plan = compiled(f"{EVENTS}\nsegments: {{s: {{when: {sequence}}}}}")
    profile = gather(plan, events_of(events))
    rule = plan.rules[0]
    instant = T + minute * MINUTE
    assert rule._when.test(profile, instant, None)[0] is true  # type: ignore[attr-defined]
    found = rule._anchor(profile, instant, None)  # type: ignore[attr-defined]
    assert found == (None if anchor is None else T + anchor * MINUTE)


def test_nothing_is_false_and_stays_so() -> None:
    plan = compiled(f"{EVENTS}\nsegments: {{s: {{when: {PAIR}}}, t: {{when: {LONG}}}}}")
    profile = gather(plan, [])
    assert [rule._when.test(profile, T, None) for rule in plan.rules] == [(False, FOREVER)] * 2  # type: ignore[attr-defined]


def test_what_counts_twice_is_matched_once_and_occurs_once() -> None:
    flat = [1, "x", 1, "x", 2, "y"]
    assert list(unmatched(flat, 1, [(1, "x")])) == [(1, "x"), (2, "y")]
    assert list(unmatched(flat, 2, [(2, "y")])) == []


def test_steps_are_matched_over_the_newest_64_and_older_events_expire() -> None:
    run = Driven(f"{EVENTS}\nsegments: {{s: {{when: {LONG}}}}}")
    run.feed(*(happened("a", T + n * MINUTE) for n in range(1, 66)))
    run.feed(happened("a", T, id="older than all 64"))
    assert (run.counts["late_applied"], run.counts["late_expired"]) == (0, 1)
    profile = run.profile()
    (state,) = states_of(run.plan, profile, StepsSummary)
    assert [len(role) for role in state] == [128, 0, 0]
    assert state[0][0] == T + 2 * MINUTE


def test_per_key_outside_for_each_any_key_will_do_and_the_newest_true_anchor_speaks() -> None:
    plan = compiled(
        f"{EVENTS}\nsegments: {{s: {{when: {{seq: [{{do: a}}, {{not: c, for: 30m}}], by: product_id}}}}}}"
    )
    profile = gather(
        plan,
        [
            happened("a", T, product_id="p"),
            happened("a", T + 5 * MINUTE, product_id="q"),
            happened("c", T + 6 * MINUTE, product_id="q"),
            happened("a", T + 10 * MINUTE, product_id="r"),
            happened("c", T + 11 * MINUTE),  # without a key: ignored
        ],
    )
    rule = plan.rules[0]
    for minute, true, anchor in ((29, False, None), (30, True, 0), (40, True, 10)):
        instant = T + minute * MINUTE
        assert rule._when.test(profile, instant, None)[0] is true  # type: ignore[attr-defined]
        expected = None if anchor is None else T + anchor * MINUTE
        assert rule._anchor(profile, instant, None) == expected  # type: ignore[attr-defined]
