"""A partition: timers, the marker, and what is decided but not yet stored."""

from __future__ import annotations

import msgspec
import pytest

from stream.durations import HOUR, MINUTE
from stream.errors import OperatorError
from stream.state import MemoryStore
from tests.engine.driven import Driven, T, clock, compiled, happened

CART = """
events: {cart: {type: cart}, buy: {type: buy}}
features: {spend: {sum: buy.value}}
segments: {abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}}}
ladders: {level: {tiers: [{name: gold, when: "spend >= 100"}, {name: silver, when: "spend >= 10"}]}}
"""


def test_a_user_is_queued_at_the_earliest_instant_and_found_once() -> None:
    partition = Driven(CART).partition
    for user, due in (("a", 30), ("b", 20), ("a", 10), ("a", 40)):
        partition.schedule(user, due)
    assert (partition.next_due, partition.timers_pending) == (10, 2)
    assert partition.take_due(20, 9) == ["a"], "strictly before"
    assert partition.take_due(100, 9) == ["b"]
    assert (partition.next_due, partition.timers_pending, partition.take_due(100, 9)) == (None, 0, [])


def test_users_of_one_instant_come_in_order_and_as_many_as_wanted() -> None:
    partition = Driven(CART).partition
    for user in ("c", "a", "b"):
        partition.schedule(user, 5)
    assert [partition.take_due(6, 2), partition.take_due(6, 2)] == [["a", "b"], ["c"]]


def test_a_marker_brings_everything_back() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T), happened("buy", T, "v", value=50), happened("buy", T + 1, "w", value=500))
    run.feed(clock(T + 10 * MINUTE))
    again = Driven(CART, store=run.store).partition
    first = run.partition
    for name in (
        "next_offset",
        "watermark",
        "last_record_time",
        "users",
        "members",
        "tiers",
        "next_due",
        "timers_pending",
    ):
        assert getattr(again, name) == getattr(first, name), name
    assert first.tiers == {("level", "silver"): 1, ("level", "gold"): 1}
    assert (first.next_offset, first.next_due) == (4, T + 30 * MINUTE)


def test_members_are_counted() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T), happened("cart", T, "v"), clock(T + HOUR))
    run.drain()
    assert run.partition.members == {"abandoned": 2}
    run.feed(happened("buy", T + HOUR, "v", value=100), happened("buy", T + HOUR, "w", value=10))
    assert run.partition.members == {"abandoned": 1}
    assert {tier: n for tier, n in run.partition.tiers.items() if n} == {
        ("level", "gold"): 1,
        ("level", "silver"): 1,
    }


def test_steps_that_are_not_stored_yet_are_answered_from_memory() -> None:
    run = Driven(CART)
    steps = []
    for offset, event in enumerate(
        (happened("cart", T), happened("buy", T + MINUTE, value=20), happened("cart", T + 2 * MINUTE))
    ):
        event.offset = offset
        steps.append(run.engine.step(run.partition, [event], offset + 1))
    assert [len(step.changes) for step in steps] == [0, 1, 0]
    assert list(run.store.scan()) == []
    for step in steps:
        run.keep(step)
    assert run.profile().clock == T + 2 * MINUTE
    assert dict(run.store.scan()) == steps[-1].profiles


def test_dues_gathered_elsewhere_are_those_that_a_scan_finds() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T), happened("cart", T + 7, "v"), happened("buy", T + HOUR, "w", value=5))
    found = run.engine.open(run.store, run.store.marker())
    assert (found.users, found.next_due is not None) == (3, True)
    profiles = dict(run.store.scan())
    dues = run.engine.gather_dues()
    dues.note([("v", profiles["w"]), ("gone", profiles["v"])])
    dues.note([("gone", None), ("never", None), *profiles.items()])
    empty = MemoryStore()
    opened = run.engine.open(empty, run.store.marker(), dues=dues)
    assert (opened.users, opened.timers_pending, opened.next_due) == (3, found.timers_pending, found.next_due)
    assert opened.take_due(2**60, 9) == found.take_due(2**60, 9)


def test_state_of_an_unknown_marker_version_is_refused() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T))
    marker = msgspec.msgpack.decode(run.store.marker() or b"")
    marker[0] = 99
    run.store.write({}, msgspec.msgpack.encode(marker))
    with pytest.raises(OperatorError, match="version 99"):
        run.engine.open(run.store, run.store.marker())


def test_the_plan_names_its_definitions() -> None:
    plan = compiled(CART)
    assert plan.hash == compiled(CART.replace("{cart:", "{   cart:")).hash
    assert plan.hash != compiled(CART.replace("30m", "31m")).hash
    assert plan.hash != compiled(CART.replace("level:", "tier:")).hash, "what can be seen in the output"
