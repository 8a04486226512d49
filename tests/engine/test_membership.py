"""Membership, as stories: enter, end, arm, dwell, renew, retract."""

from __future__ import annotations

import pytest

from stream.durations import DAY, HOUR, MINUTE
from stream.engine import TimeSettings
from stream.engine.decisions import MARK
from stream.events import Event
from tests.engine.driven import Driven, T, body, clock, happened

EVENTS = """
events:
  cart: {type: cart}
  buy: {type: buy}
  view: {type: view}
  active: {type: [cart, buy, view]}
features:
  carts: {count: cart, last: 1h}
  all_carts: {count: cart}
  spend: {sum: buy.value}
  silence: {since_last: active}
"""
ABANDONED = "when: {seq: [{do: cart}, {not: buy, for: 30m}]}"


def story(segment: str, *words: str, settings: TimeSettings | None = None) -> list[str]:
    """What happens when events come: `cart 5` a cart at minute 5, `time 90` the watermark at minute 90, `cart 5 p`
    one of product p."""
    run = Driven(f"{EVENTS}\nsegments:\n  s: {{{segment}}}", settings)
    said = []
    for number, word in enumerate(words):
        kind, minute, *key = word.split()
        time = T + round(float(minute) * MINUTE)
        event: Event = clock(time) if kind == "time" else happened(kind, time, id=f"e{number}", value=10)
        if key:
            event.props = {"product_id": key[0]}
        said += run.feed(event) + run.drain()
    return [line.removeprefix("s ").removeprefix("s") for line in said]


# --- enter and end ---------------------------------------------------------------------------------------------------


def test_a_membership_ends_when_its_condition_is_false() -> None:
    assert story("when: 'carts >= 2'", "cart 0", "cart 10", "time 200") == [
        "entered @ 00:10",
        "exited @ 01:00 (timer)",
    ]


def test_unknown_neither_enters_nor_ends() -> None:
    run = Driven(
        "events: {a: {type: a}}\nsegments: {s: {when: 'traits.n > 5'}, t: {when: 'not (traits.n > 5)'}}"
    )
    assert run.feed(happened("a", T)) == []
    assert run.feed(happened("a", T + 1, traits={"n": 6})) == ["s entered @ 00:00:00.001"]
    assert run.feed(happened("a", T + 2, traits={"n": None})) == []
    assert run.feed(happened("a", T + 3, traits={"n": "many"})) == []
    assert run.feed(happened("a", T + 4, traits={"n": 5})) == [
        "s exited @ 00:00:00.004",
        "t entered @ 00:00:00.004",
    ]


def test_with_an_explicit_exit_only_that_ends_it() -> None:
    assert story(f"{ABANDONED}, exit: {{do: buy}}", "cart 0", "cart 31", "time 40", "buy 50") == [
        "entered @ 00:30 (timer)",
        "exited @ 00:50",
    ]


def test_an_exit_that_holds_keeps_out() -> None:
    assert story("when: 'all_carts >= 1', exit: 'spend >= 10'", "buy 0", "cart 5") == []


def test_an_exit_by_an_event_never_counts_what_was_seen_before_the_entry() -> None:
    """Neither an event before it nor the one that decided it."""
    assert story("when: 'spend >= 20', exit: {do: buy}", "buy 0", "buy 5", "buy 10") == [
        "entered @ 00:05",
        "exited @ 00:10",
    ]


def test_an_event_added_after_the_entry_counts_from_the_anchor_on() -> None:
    """The cart of minute 0 is the anchor: a late purchase before it ends nothing."""
    segment = "when: {seq: [{do: cart}, {then: view, within: 1h}]}, exit: {do: buy}"
    assert story(segment, "cart 10", "view 20", "buy 9") == ["entered @ 00:20"]
    assert story(segment, "cart 10", "view 20", "buy 10") == [
        "entered @ 00:20",
        "retracted @ 00:20 (late_event)",
    ]
    assert story("when: 'carts >= 1', exit: {do: buy}", "cart 10", "buy 9", "buy 10") == [
        "entered @ 00:10",
        "exited @ 00:10",
    ]


# --- arming ----------------------------------------------------------------------------------------------------------


def test_it_is_armed_again_when_its_condition_is_not_true() -> None:
    segment = "when: 'carts >= 1', exit: {do: buy}"
    assert story(segment, "cart 0", "buy 5", "cart 10", "cart 75") == [
        "entered @ 00:00",
        "exited @ 00:05",
        "entered @ 01:15",  # the carts had left the window at 01:10
    ]


def test_it_is_armed_again_by_another_anchor() -> None:
    segment = f"{ABANDONED}, exit: {{do: view}}"
    assert story(segment, "cart 0", "view 40", "view 41", "cart 45", "time 90") == [
        "entered @ 00:30 (timer)",
        "exited @ 00:40",
        "entered @ 01:15 (timer)",
    ]


def test_without_another_anchor_it_is_not() -> None:
    assert story(f"{ABANDONED}, ttl: 10m", "cart 0", "time 300") == [
        "entered @ 00:30 (timer)",
        "exited @ 00:40 (timer)",
    ]


# --- ttl and min_dwell -----------------------------------------------------------------------------------------------


def test_ttl_counts_from_the_entry_and_is_said_beforehand() -> None:
    run = Driven(f"{EVENTS}\nsegments: {{s: {{{ABANDONED}, ttl: 1h}}}}")
    run.feed(happened("cart", T), clock(T + DAY))
    assert run.drain() == ["s entered @ 00:30 (timer)", "s exited @ 01:30 (timer)"]
    entered, exited = map(body, run.changes)
    assert entered["expires_at"] == exited["effective_at"] == "2026-11-02T01:30:00.000Z"
    assert exited["reason"] == [{"leaf": "ttl 1h", "value": "1h", "op": ">=", "bound": "1h", "evidence": []}]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("buy 35", "time 200"), "00:50 (timer)"),  # the purchase is remembered, and acts when it may
        (("buy 50", "time 200"), "00:50"),
        (("buy 51", "time 200"), "00:51"),
    ],
)
def test_min_dwell_holds_until_it_is_over(words: tuple[str, ...], left: str) -> None:
    segment = f"{ABANDONED}, exit: {{do: buy}}, min_dwell: 20m"
    assert story(segment, "cart 0", "time 31", *words) == ["entered @ 00:30 (timer)", f"exited @ {left}"]


def test_what_became_true_again_within_the_dwell_stays() -> None:
    segment = "when: 'carts >= 2', min_dwell: 2h"
    assert story(segment, "cart 0", "cart 1", "cart 70", "cart 100", "time 125") == ["entered @ 00:01"]
    assert story(segment, "cart 0", "cart 1", "time 125")[1:] == ["exited @ 02:01 (timer)"]


def test_min_dwell_does_not_hold_back_a_retraction() -> None:
    assert story(f"{ABANDONED}, min_dwell: 1h", "cart 0", "time 31", "buy 10") == [
        "entered @ 00:30 (timer)",
        "retracted @ 00:30 (late_event)",
    ]


# --- retraction ------------------------------------------------------------------------------------------------------


def test_a_retraction_takes_back_the_entry_by_its_id() -> None:
    run = Driven(f"{EVENTS}\nsegments: {{s: {{{ABANDONED}}}}}")
    run.feed(happened("cart", T), clock(T + HOUR))
    run.drain()
    run.feed(happened("buy", T + 10 * MINUTE))
    entered, retracted = map(body, run.changes)
    assert retracted["retracts"] == entered["event_id"]
    assert (retracted["effective_at"], retracted["seq"], retracted["cause"]) == (
        entered["effective_at"],
        2,
        "late_event",
    )


@pytest.mark.parametrize(
    ("late", "kind"),
    [
        ("buy 29.9", "retracted"),
        ("buy 30", "retracted"),  # ≤ the membership's effective time
        ("buy 31", "exited"),
    ],
)
def test_a_late_event_at_or_before_the_entry_retracts(late: str, kind: str) -> None:
    # The view at minute 45 moves the clock, so that all of these are late.
    found = story(
        "when: {all: [{seq: [{do: cart}, {not: buy, for: 30m}]}, 'silence >= 0s']}",
        "cart 0",
        "view 45",
        late,
    )
    assert found == ["entered @ 00:30 (timer)", f"{kind} @ 00:45 (late_event)"]


def test_a_moved_anchor_takes_the_entry_back_and_it_comes_again_when_due() -> None:
    """A cart of minute 20 arrives late: the entry of minute 30 was early."""
    assert story(ABANDONED, "cart 0", "time 31", "cart 20", "time 60") == [
        "entered @ 00:30 (timer)",
        "retracted @ 00:30 (late_event)",
        "entered @ 00:50 (timer)",
    ]
    both = story(f"{ABANDONED}, exit: {{do: buy}}", "cart 0", "time 31", "cart 20", "time 60")
    assert both[1:] == ["retracted @ 00:30 (late_event)", "entered @ 00:50 (timer)"]


def test_an_exit_that_was_held_back_is_not_what_moved_the_anchor() -> None:
    """The view was there before the late purchase, which only showed that the entry came too early."""
    segment = "when: {seq: [{do: buy}, {then: buy, within: 1d}]}, exit: {do: view}, min_dwell: 3h"
    assert story(segment, "buy 0", "buy 180", "view 185", "buy 60") == [
        "entered @ 03:00",
        "retracted @ 03:05 (late_event)",
        "entered @ 03:05 (late_event)",
    ]


def test_a_late_event_that_moves_no_anchor_later_leaves_it() -> None:
    assert story(ABANDONED, "cart 10", "time 45", "cart 5") == ["entered @ 00:40 (timer)"]


# --- renewal ---------------------------------------------------------------------------------------------------------


def test_a_newer_anchor_renews() -> None:
    segment = "when: {seq: [{do: cart}, {then: view, within: 1h}]}, renew: true, ttl: 40m"
    assert story(segment, "cart 0", "view 5", "view 6", "cart 10", "view 20", "time 120") == [
        "entered @ 00:05",
        "renewed @ 00:20",
        "exited @ 01:00 (timer)",  # the ttl counts from the renewal
    ]


def test_without_a_sequence_every_matching_event_renews_while_true() -> None:
    segment = "when: {all: [{do: cart}, 'spend < 20']}, renew: true"
    assert story(segment, "cart 0", "view 1", "cart 2", "buy 3", "cart 4", "buy 5", "cart 6") == [
        "entered @ 00:00",
        "renewed @ 00:02",
        "renewed @ 00:04",
        "exited @ 00:05",
    ]


def test_an_event_before_the_renewed_anchor_no_longer_ends_it() -> None:
    segment = "when: {seq: [{do: cart}, {then: view, within: 1h}]}, renew: true, exit: {do: buy}"
    assert story(segment, "cart 0", "view 5", "cart 10", "view 20", "buy 8") == [
        "entered @ 00:05",
        "renewed @ 00:20",
    ]


# --- for each key ----------------------------------------------------------------------------------------------------

EACH = "for_each: product_id, when: {seq: [{do: view}, {not: [cart, buy], for: 45m}]}"


def test_every_key_has_a_membership_of_its_own() -> None:
    assert story(EACH, "view 0 p", "view 5 q", "cart 10 q", "view 20", "time 60", "cart 70 p") == [
        "[p] entered @ 00:45 (timer)",
        "[p] exited @ 01:10",
    ]


def test_keys_that_change_together_do_so_in_their_order_and_count_on() -> None:
    run = Driven(f"{EVENTS}\nsegments: {{s: {{{EACH}}}}}")
    run.feed(*(happened("view", T, id=key, product_id=key) for key in ("q", "r", "p")), clock(T + HOUR))
    assert run.drain() == [f"s[{key}] entered @ 00:45 (timer)" for key in ("p", "q", "r")]
    assert [change.seq for change in run.changes] == [1, 2, 3]
    assert run.changes[0].member_key == b'["s","u","p"]'


def test_an_exit_is_of_the_key() -> None:
    segment = "for_each: product_id, when: {do: cart}, exit: {do: buy}"
    assert story(segment, "cart 0 p", "cart 1 q", "buy 2 p", "buy 3") == [
        "[p] entered @ 00:00",
        "[q] entered @ 00:01",
        "[p] exited @ 00:02",
    ]


def test_what_is_the_users_concerns_all_keys() -> None:
    segment = "for_each: product_id, when: {all: [{do: view}, 'spend < 20']}"
    assert story(segment, "view 0 p", "view 1 q", "buy 2", "buy 3") == [
        "[p] entered @ 00:00",
        "[q] entered @ 00:01",
        "[p] exited @ 00:03",
        "[q] exited @ 00:03",
    ]


def shares(part: str, *words: str) -> list[str]:
    """A membership per key for a share of a half. `2 q 30` is a view of q at minute 2 with a value of 30."""
    run = Driven(
        f"""{EVENTS.replace("features:", f"features:{chr(10)}  part: {part}")}
segments: {{s: {{for_each: product_id, when: "part >= 0.5"}}}}
"""
    )
    said = []
    for number, word in enumerate(words):
        minute, key, value = word.split()
        time = T + int(minute) * MINUTE
        event = happened("view", time, id=f"e{number}", product_id=key, value=int(value))
        event.record_time = T + DAY
        said += run.feed(event)
    return said + run.finish(T + DAY)


def test_events_of_other_keys_only_make_a_share_smaller_once_it_is_known() -> None:
    part = "{share: view, by: product_id, last: 1h}"
    assert shares(part, "0 q 0", "1 q 0", "2 q 0", "30 p 0", "40 r 0") == [
        "s[q] entered @ 00:00",
        "s[q] exited @ 01:01 (timer)",
        "s[p] entered @ 01:02 (timer)",
        "s[r] entered @ 01:02 (timer)",
        "s[p] exited @ 01:30 (timer)",
    ]


def test_an_event_of_another_key_can_make_a_share_known() -> None:
    part = "{share: view, by: product_id, min_n: 3}"
    assert shares(part, "0 p 0", "1 p 0", "2 q 0") == ["s[p] entered @ 00:02"]


def test_an_event_of_another_key_can_make_the_share_of_a_sum_larger() -> None:
    part = "{share: view.value, by: product_id}"
    assert shares(part, "0 q 30", "1 p 10", "2 q -25") == [
        "s[q] entered @ 00:00",
        "s[p] entered @ 00:02",
        "s[q] exited @ 00:02",
    ]


def test_an_event_of_another_key_can_make_the_run_of_a_session_longer() -> None:
    part = "{share: view, by: product_id, session: 10m}"
    assert shares(part, "0 p 0", "1 p 0", "2 p 0", "15 q 0", "16 q 0", "8 r 0") == [
        "s[p] entered @ 00:00",
        "s[p] exited @ 00:15",
        "s[q] entered @ 00:15",
        "s[p] entered @ 00:16 (late_event)",
        "s[q] retracted @ 00:16 (late_event)",
    ]


# --- references ------------------------------------------------------------------------------------------------------


def test_who_refers_to_a_segment_follows_in_the_same_evaluation() -> None:
    run = Driven(
        f"""{EVENTS}
segments:
  watched: {{when: "segment.base and carts >= 1"}}
  lost: {{when: "not segment.base", exit: segment.base}}
  base: {{when: "carts >= 2"}}
"""
    )
    assert run.feed(happened("cart", T)) == ["lost entered @ 00:00"]
    assert run.feed(happened("cart", T + MINUTE)) == [
        "base entered @ 00:01",
        "watched entered @ 00:01",
        "lost exited @ 00:01",
    ]
    run.feed(clock(T + DAY))
    assert run.drain()[:1] == ["base exited @ 01:00 (timer)"]


def test_a_key_with_the_mark_of_those_that_wait_is_a_key_like_others() -> None:
    run = Driven(
        "events: {a: {type: a}}\nfeatures: {n: {count: a, by: product_id}}\n"
        "segments: {s: {for_each: product_id, when: 'n >= 2'}}"
    )
    keys = ("x", f"x{MARK}y", "y", MARK)
    for n, key in enumerate(keys):
        assert run.feed(happened("a", T + n, product_id=key)) == []
    assert len(run.leaves("s", T + 9, key="x")) == 1
    for n, key in enumerate(keys):
        assert run.feed(happened("a", T + 10 + n, product_id=key)) == [
            f"s[{key}] entered @ 00:00:00.{10 + n:03}"
        ]
    assert run.partition.members == {"s": 4}
