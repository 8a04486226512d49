"""Definitions change between two starts: what is kept, what starts anew, and what every user is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.definitions import loads
from stream.engine import Engine, Partition, Step, compile_plan
from stream.engine.decisions import HELD, MARK
from stream.errors import OperatorError
from stream.events import Event
from stream.state.memory import MemoryStore

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_788_220_800_000

BASE = """
version: 1
events:
  view: {type: product_viewed}
  buy: {type: order_completed}
  tick: {type: ping}
features:
  orders: {count: buy}
  pings: {count: tick}
segments:
  customer: {when: "orders >= 1"}
  pinged: {when: "pings >= 1000"}
"""


class Shop:
    """One partition that survives its engine."""

    def __init__(self, definitions: str) -> None:
        self.store = MemoryStore()
        self.offset = 0
        self.changes: list[dict[str, Any]] = []
        self.forgotten: list[str] = []
        self.start(definitions)

    def start(self, definitions: str, generation: int | None = None) -> Partition:
        self.engine = Engine(compile_plan(loads(definitions)))
        self.partition = self.engine.open(self.store, self.store.marker(), generation=generation)
        return self.partition

    def keep(self, step: Step) -> list[dict[str, Any]]:
        self.store.write(step.profiles, step.marker)
        self.partition.settle(step)
        found = [json.loads(change.value) for change in step.changes]
        self.forgotten += [change.segment for change in step.changes if change.forget]
        self.changes += found
        return found

    def send(self, after: int, type_: str, user: str = "u", **fields: Any) -> list[dict[str, Any]]:
        time = START + after
        event = Event(type=type_, time=time, id=f"e{self.offset}", user=user, user_id=user, **fields)
        event.record_time, event.offset = time, self.offset
        self.offset += 1
        return self.keep(self.engine.step(self.partition, [event], self.offset))

    def slices(self) -> list[dict[str, Any]]:
        found = []
        while True:
            step = self.engine.tick(self.partition, self.partition.watermark, 1)
            found += self.keep(step)
            if not step.more:
                return found


def told(changes: list[dict[str, Any]]) -> list[tuple[str, str, int, str]]:
    return [(c["segment"]["key"], c["type"], c["seq"], c["cause"]) for c in changes]


def test_the_same_meaning_goes_on_where_it_was() -> None:
    shop = Shop(BASE)
    shop.send(0, "order_completed")
    shop.start(BASE.replace("customer: {when", "customer: {description: said otherwise, when"))
    assert shop.slices() == []
    assert shop.partition.generation == 1


def test_a_changed_threshold_keeps_the_count_and_reviews_everybody() -> None:
    shop = Shop(BASE)
    shop.send(0, "order_completed", user="once")
    shop.send(1, "order_completed", user="twice")
    shop.send(2, "order_completed", user="twice")
    shop.start(BASE.replace("orders >= 1", "orders >= 2"))
    assert told(shop.slices()) == [("customer", "exited", 2, "definition_change")]
    assert shop.partition.members["customer"] == 1
    assert shop.partition.generation == 2


def test_a_member_by_explicit_exit_who_no_longer_qualifies_exits() -> None:
    abandoned = BASE + "  idle: {when: {seq: [{do: view}, {not: buy, for: 30m}]}, exit: {do: buy}}\n"
    shop = Shop(abandoned)
    shop.send(0, "product_viewed")
    shop.send(HOUR, "ping")
    assert told(shop.changes) == [("idle", "entered", 1, "timer")]
    shop.start(abandoned.replace("for: 30m", "for: 3h"))
    assert told(shop.slices()) == [("idle", "exited", 2, "definition_change")]


@pytest.mark.parametrize(("announce", "suppressed"), [(False, ["backfill"]), (True, [])])
def test_new_members_are_not_acted_on_unless_the_file_says_so(announce: bool, suppressed: list[str]) -> None:
    shop = Shop(BASE)
    shop.send(0, "order_completed")
    shop.start(BASE + f"  buyer: {{announce: {str(announce).lower()}, when: 'orders > 0'}}\n")
    (entered,) = shop.slices()
    assert (entered["policy"]["actionable"], entered["policy"]["suppressed_by"]) == (announce, suppressed)


def test_what_is_new_has_seen_nothing_and_says_unknown_rather_than_wrong() -> None:
    shop = Shop(BASE)
    shop.send(0, "order_completed")
    newer = BASE.replace("features:", "features:\n  looks: {count: view, last: 2d}") + (
        "  never_looked: {when: 'looks == 0'}\n  looked: {when: 'looks >= 1'}\n"
    )
    shop.start(newer)
    assert shop.slices() == []
    assert told(shop.send(HOUR, "product_viewed")) == [("looked", "entered", 1, "event")]
    # Two days after the change the window has been seen whole.
    shop.send(4 * DAY, "ping")
    later = {(c["segment"]["key"], c["type"], c["effective_at"]) for c in shop.changes}
    assert ("looked", "exited", "2026-09-03T01:00:00.000Z") in later
    assert ("never_looked", "entered", "2026-09-03T01:00:00.000Z") in later


@pytest.mark.parametrize(("on_feature", "on_file"), [(True, False), (False, True), (False, False)])
def test_history_is_asserted_of_state_that_others_read_too(*, on_feature: bool, on_file: bool) -> None:
    """Whichever comes first in the file, and of a `do` and a sequence where the file says so."""
    shop = Shop(BASE)
    shop.send(0, "order_completed")
    newer = """
version: 1
events:
  view: {type: product_viewed}
  gift: {type: gift_given}
features:
  unasserted: {count: view, last: 2d}
  looks: {count: view, last: 2d, assume_covered: $asserted}
segments:
  first:  {when: "unasserted >= 5"}
  second: {when: "looks == 0"}
  third:  {when: {not: {do: gift, last: 1d}}}
  fourth: {when: {not: {seq: [{do: gift}, {then: view, within: 1h}]}}}
""".replace("$asserted", str(on_feature).lower())
    shop.start(newer.replace("version: 1", "version: 1\nassume_covered: true") if on_file else newer)
    entered = {change["segment"]["key"] for change in shop.slices() if change["type"] == "entered"}
    assert entered == {name for name, is_known in (
        ("second", on_feature or on_file), ("third", on_file), ("fourth", on_file),
    ) if is_known}  # fmt: skip


def test_a_removed_segment_exits_its_members_and_its_seq_goes_on() -> None:
    both = BASE + "  buyer: {when: 'orders > 0'}\n"
    shop = Shop(both)
    shop.send(0, "order_completed")
    shop.start(BASE)
    assert told(shop.slices()) == [("buyer", "exited", 2, "definition_change")]
    assert shop.forgotten == ["buyer"]
    shop.start(both)
    assert told(shop.slices()) == [("buyer", "entered", 3, "definition_change")]
    ids = [change["event_id"] for change in shop.changes]
    assert len(set(ids)) == len(ids)


def test_a_segment_that_splits_by_key_ends_the_whole_and_goes_on_counting() -> None:
    whole = BASE + "  watcher: {when: {do: view}}\n"
    shop = Shop(whole)
    shop.send(0, "product_viewed", props={"product_id": "p1"})
    shop.start(whole.replace("watcher: {when", "watcher: {for_each: product_id, when"))
    assert told(shop.slices()) == [("watcher", "exited", 2, "definition_change")]
    (entered,) = shop.send(1, "product_viewed", props={"product_id": "p1"})
    assert (entered["seq"], entered["instance"]) == (3, "p1")


def test_an_event_finds_its_user_reviewed_whether_or_not_the_slices_came_first() -> None:
    outputs = []
    for slices_first in (True, False):
        shop = Shop(BASE)
        for i in range(5):
            shop.send(i, "order_completed", user=f"u{i}")
        shop.start(BASE.replace("orders >= 1", "orders >= 2"))
        if slices_first:
            shop.slices()
        shop.send(10, "order_completed", user="u3")
        shop.slices()
        outputs.append(sorted(json.dumps(change) for change in shop.changes))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(("away", "found"), [(DAY, True), (8 * DAY, False)])
def test_a_rollback_within_seven_days_finds_the_state_of_a_feature(away: int, found: bool) -> None:
    without = BASE.replace("  orders: {count: buy}\n", "").replace('  customer: {when: "orders >= 1"}\n', "")
    shop = Shop(BASE)
    shop.send(0, "order_completed")
    shop.start(without)
    shop.slices()
    shop.send(away, "ping")
    shop.start(BASE)
    shop.slices()
    # What was missed in between makes the count a lower bound, which is enough for `>=`.
    assert (shop.partition.members["customer"] == 1) is found


def test_an_older_definition_that_is_already_running_is_refused() -> None:
    newer = BASE.replace("orders >= 1", "orders >= 2")
    shop = Shop(BASE)
    shop.send(0, "order_completed")
    running = shop.partition.generation
    shop.start(newer)
    shop.send(1, "order_completed")
    with pytest.raises(OperatorError, match="restart the worker with the newer definitions"):
        shop.start(BASE, generation=running)
    shop.start(BASE)  # a worker that starts now means it: a rollback
    assert shop.partition.generation == 3


LOOKED = """
version: 1
events:
  view: {type: product_viewed}
features:
  looks: {count: view, by: category}
  part: {share: view, by: category}
segments:
  prefers: {for_each: category, when: "looks >= 3 and part >= 0.4"}
"""


def instances(shop: Shop) -> dict[str, Any]:
    """What the one segment holds of each key; False of those that wait."""
    profile = shop.partition.profile("u")
    assert profile is not None
    state = profile.state(0)
    assert state is not None
    held, waiting = state[HELD]
    return {**dict.fromkeys(waiting.split(MARK)[1:-1], False), **held}


def test_a_key_that_waits_for_its_own_events_is_asked_again_when_the_definitions_change() -> None:
    shop = Shop(LOOKED)
    for n, category in enumerate("xxyyz"):
        assert shop.send(n * HOUR, "product_viewed", props={"category": category}) == []
    assert instances(shop) == {"x": False, "y": False, "z": False}
    shop.start(LOOKED.replace("looks >= 3", "looks >= 2"))
    found = shop.slices()
    assert [(c["instance"], c["type"], c["cause"]) for c in found] == [
        ("x", "entered", "definition_change"),
        ("y", "entered", "definition_change"),
    ]
    assert [
        found["instance"] for found in shop.send(6 * HOUR, "product_viewed", props={"category": "z"})
    ] == ["x", "y"]
    assert instances(shop)["z"] is False, "events of other keys only make its share smaller"


@pytest.mark.parametrize(
    ("when", "entered"),
    [
        ('"looks >= 1"', "xy"),
        ("{do: view}", "xy"),
        ('{not: "looks >= 2"}', "xy"),
        ("{all: [{do: view}, {not: {do: buy}}]}", "y"),
        ("{seq: [{do: view}, {not: buy, for: 30m}]}", "y"),
        ("{seq: [{do: view}, {then: buy, within: 1h}]}", "x"),
        ('{any: ["looks >= 5", {not: {do: buy}}]}', "y"),
    ],
)
def test_a_segment_per_key_that_is_new_begins_with_the_keys_that_were_seen(when: str, entered: str) -> None:
    """`z` was only bought: no event of it begins an instance, though `not buy` is kept of it, too."""
    keyed = """
features:
  looks: {count: view, by: product_id}
segments:
"""
    known = """
  a: {for_each: product_id, when: {all: ["looks >= 5", {do: view}, {not: {do: buy}}]}}
  b: {for_each: product_id, when: {all: ["looks >= 5", {seq: [{do: view}, {not: buy, for: 30m}]}]}}
  c: {for_each: product_id, when: {all: ["looks >= 5", {seq: [{do: view}, {then: buy, within: 1h}]}]}}
"""
    events = BASE.partition("features:")[0]
    new = f"  new: {{for_each: product_id, when: {when}}}\n"
    shop = Shop(events + keyed + known)
    for at, type_, key in (
        (0, "product_viewed", "x"),
        (1, "product_viewed", "y"),
        (2, "order_completed", "x"),
    ):
        assert shop.send(at, type_, props={"product_id": key}) == []
    shop.send(3, "order_completed", props={"product_id": "z"})
    shop.send(HOUR, "clock_advanced", user="")
    shop.start(events + keyed + known + new)
    entries = [(change["segment"]["key"], change["type"], change["instance"]) for change in shop.slices()]
    assert entries == [("new", "entered", key) for key in entered]
    assert {tuple(change["policy"]["suppressed_by"]) for change in shop.changes} == {("backfill",)}

    shop.start(events + keyed + known)
    assert [change["type"] for change in shop.slices()] == ["exited"] * len(entered)
    shop.start(events + keyed + known + new)
    assert [change["instance"] for change in shop.slices()] == list(entered)


def test_a_key_waits_for_its_own_events_only_where_the_count_is_by_the_same_field() -> None:
    shop = Shop(LOOKED.replace("looks: {count: view, by: category}", "looks: {count: view}"))
    shop.send(0, "product_viewed", props={"category": "x"})
    assert instances(shop) == {"x": None}
    shop.send(HOUR, "product_viewed", props={"category": "y"})
    assert [
        found["instance"] for found in shop.send(2 * HOUR, "product_viewed", props={"category": "x"})
    ] == ["x"]


def test_a_table_keeps_its_keys_as_features_come_and_go() -> None:
    top = """
version: 1
events:
  view: {type: product_viewed}
features:
  liked: {top: view, by: category}
segments:
  likes: {when: "liked == 'x'"}
"""
    more = top.replace("segments:", "  looks: {count: view, by: category}\nsegments:")
    more += "  prefers: {for_each: category, when: 'looks >= 3'}\n"
    shop = Shop(top)
    for n, category in enumerate("xxy"):
        shop.send(n, "product_viewed", props={"category": category})
    shop.start(more)
    shop.slices()
    (entered,) = shop.send(3, "product_viewed", props={"category": "x"})
    assert (entered["instance"], entered["reason"][0]["value"]) == ("x", 3)
    # Of a key's events only the newest was known before.
    assert [one["event_id"] for one in entered["reason"][0]["evidence"]] == ["e1", "e3"]
    shop.start(top)
    assert told(shop.slices()) == [("prefers", "exited", 2, "definition_change")]
    shop.send(4, "product_viewed", props={"category": "x"})
    shop.start(more)
    (entered,) = shop.slices()
    assert (entered["instance"], entered["reason"][0]["value"]) == ("x", 4)
    assert [one["event_id"] for one in entered["reason"][0]["evidence"]] == ["e1", "e3", "e4"]
