"""Ladders, as stories: the first tier that holds, down only after a while."""

from __future__ import annotations

from typing import Any

import pytest

from stream.durations import DAY, HOUR
from tests.engine.driven import Driven, T, body, clock, happened

EVENTS = """
events: {buy: {type: buy}, visit: {type: visit}}
features:
  spend: {sum: buy.value, last: 10d}
  orders: {count: buy}
"""
THREE = """
      - {name: gold, when: "spend >= 100"GOLD}
      - {name: silver, when: "spend >= 20"SILVER}
      - {name: bronze, when: "orders >= 1"BRONZE}
"""


def ladder(demote_after: str = "", **more: str) -> Driven:
    tiers = THREE
    for name in ("GOLD", "SILVER", "BRONZE"):
        tiers = tiers.replace(name, f", {more[name.lower()]}" if name.lower() in more else "")
    demote = f"\n    demote_after: {demote_after}" if demote_after else ""
    return Driven(f"{EVENTS}\nladders:\n  l:\n    tiers:{tiers}{demote}")


def story(run: Driven, *words: str) -> list[str]:
    """`buy 3 50` spends 50 on day 3; `time 9` moves the watermark."""
    said = []
    for number, word in enumerate(words):
        kind, day, *value = word.split()
        time = T + round(float(day) * DAY)
        event = (
            clock(time)
            if kind == "time"
            else happened(kind, time, id=f"e{number}", value=float((value or [0])[0]))
        )
        said += run.feed(event) + run.drain()
    return [line.removeprefix("l ") for line in said]


def test_up_at_once_and_down_at_once_without_a_delay() -> None:
    assert story(ladder(), "buy 0 5", "buy 1 15", "buy 2 80", "time 30") == [
        "entered bronze @ 00:00",
        "moved silver @ 1d00:00",
        "moved gold @ 2d00:00",
        "moved silver @ 10d00:00 (timer)",
        "moved bronze @ 12d00:00 (timer)",
    ]


def test_down_after_a_while_and_to_the_answer_of_that_instant() -> None:
    assert story(ladder("3d"), "buy 0 20", "buy 2 80", "time 30") == [
        "entered silver @ 00:00",
        "moved gold @ 2d00:00",
        "moved bronze @ 13d00:00 (timer)",  # below gold since day 10, below silver since day 12
    ]


def test_who_returns_in_time_stays() -> None:
    assert story(ladder("3d"), "buy 0 100", "buy 12.9 100", "time 14") == ["entered gold @ 00:00"]
    assert story(ladder("3d"), "buy 0 100", "buy 13 100", "time 14") == ["entered gold @ 00:00"], (
        "in the very instant"
    )
    assert story(ladder("3d"), "buy 0 100", "buy 13.1 100", "time 14") == [
        "entered gold @ 00:00",
        "moved bronze @ 13d00:00 (timer)",
        "moved gold @ 13d02:24",
    ]


def test_upwards_does_not_wait_for_a_fall_that_is_pending() -> None:
    run = Driven(
        f"""{EVENTS}
ladders:
  l:
    tiers:
      - {{name: gold, when: "orders >= 3"}}
      - {{name: silver, when: "spend >= 20"}}
      - {{name: bronze, when: "orders >= 1"}}
    demote_after: 5d
"""
    )
    assert story(run, "buy 0 20", "buy 11 1", "buy 12 1") == [
        "entered silver @ 00:00",
        "moved gold @ 12d00:00",
    ]


def test_out_is_an_exit() -> None:
    run = Driven(
        f"{EVENTS}\nladders: {{l: {{tiers: [{{name: silver, when: 'spend >= 20'}}], demote_after: 1d}}}}"
    )
    assert story(run, "buy 0 20", "time 30", "buy 40 20") == [
        "entered silver @ 00:00",
        "exited @ 11d00:00 (timer)",
        "entered silver @ 40d00:00",
    ]
    entered, exited, _ = map(body, run.changes)
    assert entered["segment"]["value"] == exited["segment"]["previous"] == "silver"
    assert "value" not in exited["segment"]


def test_from_says_where_a_tier_may_be_reached_from() -> None:
    assert story(ladder(gold="from: silver"), "buy 0 100") == [
        "entered silver @ 00:00",
        "moved gold @ 00:00",  # asked again in the same evaluation
    ]
    assert story(ladder(gold="from: silver", silver="from: bronze"), "buy 0 100") == [
        "entered bronze @ 00:00",
        "moved silver @ 00:00",
        "moved gold @ 00:00",
    ]
    assert story(ladder(gold="from: none"), "buy 0 20", "buy 1 90") == ["entered silver @ 00:00"]
    assert story(ladder(gold="from: none"), "buy 0 100", "buy 1 90", "time 2") == ["entered gold @ 00:00"], (
        "one may stay"
    )


def test_a_ttl_counts_from_entering_the_tier_and_bars_it_until_its_condition_was_not_true() -> None:
    run = ladder(gold="ttl: 2d")
    assert story(run, "buy 0 100", "buy 1 1", "time 5", "buy 6 1", "time 12", "buy 20 100") == [
        "entered gold @ 00:00",
        "moved silver @ 2d00:00 (timer)",
        "moved bronze @ 10d00:00 (timer)",
        "moved gold @ 20d00:00",
    ]
    assert body(run.changes[0])["expires_at"] == "2026-11-04T00:00:00.000Z"


def test_a_ttl_does_not_wait_for_demote_after() -> None:
    assert story(ladder("5d", gold="ttl: 2d"), "buy 0 100", "time 4") == [
        "entered gold @ 00:00",
        "moved silver @ 2d00:00 (timer)",
    ]


def test_an_unknown_tier_is_skipped_unless_one_stands_on_it() -> None:
    run = Driven(
        """
events: {a: {type: a}}
ladders: {l: {tiers: [{name: high, when: "traits.n > 10"}, {name: low, when: "traits.n > 0"}]}}
"""
    )
    told: list[list[str]] = []
    values: tuple[Any, ...] = (5, 20, None, 5, None, "x", 0)
    for day, value in enumerate(values):
        told.append(run.feed(happened("a", T + day * HOUR, traits={"n": value})))
    assert told == [
        ["l entered low @ 00:00"],
        ["l moved high @ 01:00"],
        [],
        ["l moved low @ 03:00"],
        [],
        [],
        ["l exited @ 06:00"],
    ]


@pytest.mark.parametrize("demote_after", ["", "3d"])
def test_a_late_event_moves_a_ladder_and_never_retracts(demote_after: str) -> None:
    run = Driven(
        f"{EVENTS}\nladders: {{l: {{tiers: [{{name: few, when: 'orders < 3'}}, {{name: many, when: 'orders >= 3'}}]"
        + (f", demote_after: {demote_after}}}}}" if demote_after else "}}")
    )
    said = story(run, "buy 1", "buy 2", "buy 0", "time 9")
    moved = "moved many @ 5d00:00 (timer)" if demote_after else "moved many @ 2d00:00 (late_event)"
    assert said == ["entered few @ 1d00:00", moved]


def test_the_reason_of_a_fall_is_why_the_old_tier_no_longer_holds_and_why_the_new_one_does() -> None:
    run = ladder()
    story(run, "buy 0 20", "time 30")
    reason = [(leaf["leaf"], leaf["value"]) for leaf in body(run.changes[-1])["reason"]]
    assert reason == [("spend >= 20", 0), ("orders >= 1", 1)]
