"""Explanations: what they say is what the engine does, now and next."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.changes import Change
from stream.definitions import load, loads
from stream.durations import DAY, HOUR, MINUTE
from stream.engine import Engine, Explainer, Plan, compile_plan
from stream.engine.explain import Explained, UnknownError, to_fields
from stream.events import Event
from stream.ingest import Ingest
from stream.instants import format_instant
from stream.packs import pack_path
from stream.runtime.embedded import EmbeddedRuntime
from stream.simulate import Shop, simulate
from stream.state import MemoryStore

T0 = 1_790_000_000_000
SHOP = """
version: 1
events:
  view: {type: product_viewed}
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  spend: {sum: buy.value, last: 30d}
  views: {count: view, by: product_id, last: 2h}
  last_order: {last_value: buy.value}
segments:
  cart_abandoned:
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    exit: {any: [{do: buy}, "spend > 100"]}
    ttl: 24h
    min_dwell: 1h
  seoul_spender: {when: "traits.city == 'Seoul' and spend > 10"}
  looked: {for_each: product_id, when: "views >= 2"}
  never: {when: "last_order > 5"}
ladders:
  loyalty:
    tiers:
      - {name: gold, when: "spend >= 100"}
      - {name: silver, when: "spend >= 10"}
    demote_after: 7d
"""


class Shopper:
    """One user's events through the embedded runtime, to be explained."""

    def __init__(self, text: str = SHOP) -> None:
        self.plan = compile_plan(loads(text))
        self.store = MemoryStore()
        self.runtime = EmbeddedRuntime(self.plan, store=lambda partition: self.store)
        self.events = 0

    def does(self, type_: str, at: int, **fields: Any) -> None:
        self.events += 1
        event = Event(type=type_, time=at, id=f"e{self.events}", **fields)
        event.user, event.record_time = "u", at
        self.runtime.feed(0, [event])

    def explain(self, segment: str, **options: Any) -> list[Explained]:
        return explainer(self.plan, self.store, "u").explain([segment], **options)


def explainer(plan: Plan, store: MemoryStore, user: str) -> Explainer:
    raw, marker = store.get_many([user])[0], store.marker()
    assert raw is not None
    assert marker is not None
    return Explainer(Engine(plan), user, raw, marker)


def told(change: Change | None) -> tuple[str, int] | None:
    return None if change is None else (change.type, change.effective_at)


def test_before_the_wait_is_over_the_entry_is_foreseen() -> None:
    shopper = Shopper()
    shopper.does("product_added", T0)
    (one,) = shopper.explain("cart_abandoned")
    assert (one.member, one.armed, one.at) == (False, True, T0)
    assert [(name, said.verdict) for name, said in one.conditions] == [("when", False), ("exit", False)]
    assert one.next_at == T0 + 30 * MINUTE
    assert told(one.then) == ("entered", T0 + 30 * MINUTE)


def test_a_membership_tells_since_when_and_until_when() -> None:
    shopper = Shopper()
    shopper.does("product_added", T0)
    (one,) = shopper.explain("cart_abandoned", at=T0 + 40 * MINUTE)
    assert one.member
    assert one.since == one.effective_at == T0 + 30 * MINUTE
    assert one.stays_until == T0 + 90 * MINUTE
    assert one.expires_at == T0 + 30 * MINUTE + 24 * HOUR
    assert told(one.then) == ("exited", one.expires_at)
    (one,) = shopper.explain("cart_abandoned", at=T0 + 2 * DAY)
    assert (one.member, one.armed, one.then) == (False, False, None)


def test_the_state_is_not_touched() -> None:
    shopper = Shopper()
    shopper.does("product_added", T0)
    before = (shopper.store.get_many(["u"]), shopper.store.marker())
    shopper.explain("cart_abandoned", at=T0 + 10 * DAY)
    assert (shopper.store.get_many(["u"]), shopper.store.marker()) == before


def test_unknowns_say_why() -> None:
    shopper = Shopper()
    shopper.does("product_viewed", T0)
    (one,) = shopper.explain("seoul_spender")
    first, second = one.conditions[0][1].parts
    assert (first.verdict, second.verdict) == (None, False)
    assert first.why == "traits.city was never told"
    (one,) = shopper.explain("never")
    assert one.conditions[0][1].why == "last_order has no event"


def test_each_key_is_explained_by_itself() -> None:
    shopper = Shopper()
    for offset, product in enumerate(["a", "b", "a"]):
        shopper.does("product_viewed", T0 + offset, props={"product_id": product})
    a, b = shopper.explain("looked")
    assert [(one.instance, one.member) for one in (a, b)] == [("a", True), ("b", False)]
    assert told(a.then) == ("exited", T0 + 2 * HOUR)
    (c,) = shopper.explain("looked", instance="c")
    assert (c.instance, c.member, c.conditions[0][1].value) == ("c", False, 0)


def test_a_ladder_tells_its_tier_and_when_it_falls() -> None:
    shopper = Shopper()
    shopper.does("order_completed", T0, value=150)
    (one,) = shopper.explain("loyalty", at=T0 + 31 * DAY)
    assert (one.tier, one.since) == ("gold", T0)
    assert [(name, said.verdict) for name, said in one.conditions] == [("gold", False), ("silver", False)]
    assert one.falls_at == T0 + 37 * DAY
    assert told(one.then) == ("exited", T0 + 37 * DAY)


def test_as_json_it_is_whole_and_has_nothing_else() -> None:
    shopper = Shopper()
    shopper.does("product_added", T0)
    (one,) = shopper.explain("cart_abandoned", at=T0 + 40 * MINUTE)
    fields = json.loads(json.dumps(to_fields(one)))
    assert fields["then"] == {
        "at": format_instant(T0 + 30 * MINUTE + DAY),
        "type": "exited",
        "reason": ["ttl 1d"],
    }
    assert fields["when"] == {
        "text": "no buy for 30m since cart",
        "verdict": True,
        "value": "40m",
        "op": ">=",
        "bound": "30m",
        "until": None,
        "evidence": [{"event_id": "e1", "time": format_instant(T0)}],
    }
    assert "armed" not in fields
    assert "tiers" not in fields


def test_what_is_not_there_is_not_explained() -> None:
    shopper = Shopper()
    shopper.does("product_added", T0)
    with pytest.raises(
        UnknownError, match="there is no segment or ladder `cart_abandonned`; did you mean `cart_abandoned`"
    ):
        shopper.explain("cart_abandonned")
    with pytest.raises(UnknownError, match="what was before is no longer known"):
        shopper.explain("cart_abandoned", at=T0 - 1)


def test_what_is_foreseen_happens() -> None:
    """Of every user of a simulated shop: members are members, and the next change is the next change."""
    plan = compile_plan(load([pack_path("retail")]))
    store = MemoryStore()
    runtime = EmbeddedRuntime(plan, store=lambda partition: store)
    lines = list(simulate(Shop(users=40, days=20, seed=11)))
    ingest = Ingest(event_type=plan.event_type)
    events, _ = ingest.read_batch([(line, offset, None) for offset, line in enumerate(lines)])
    runtime.feed(0, events)
    users = [user for user, _ in store.scan()]
    segments = plan.definitions.segments
    per_key = {name for name, segment in segments.items() if segment.for_each is not None}
    names = [rule.name for rule in plan.rules if rule.name not in per_key]
    foreseen = {
        (user, one.segment): one for user in users for one in explainer(plan, store, user).explain(names)
    }
    members = sum(one.member for one in foreseen.values() if one.kind == "segment")
    assert members == sum(n for name, n in runtime.partitions[0].members.items() if name not in per_key)
    happened: dict[tuple[str, str], Change] = {}
    for change in runtime.finish(T0 + 10_000 * DAY):
        if change.segment in per_key:
            continue
        happened.setdefault((change.user, change.segment), change)
    assert len(happened) > 40
    for place, one in foreseen.items():
        assert told(one.then) == told(happened.get(place)), place
        if one.then is not None:
            assert one.next_at is not None
            assert one.next_at <= one.then.effective_at


def test_what_others_bring_about_is_foreseen() -> None:
    shopper = Shopper("""
version: 1
events: {view: {type: product_viewed}}
segments:
  fresh: {when: {do: view, last: 1h}}
  stale: {when: "not segment.fresh"}
  outer: {for_each: product_id, when: {all: [{do: view}, "segment.stale and ladder.rank == null"]}}
ladders:
  rank: {tiers: [{name: top, when: {do: view, last: 2h}}]}
""")
    shopper.does("product_viewed", T0, props={"product_id": "p"})
    (stale,), (outer,) = shopper.explain("stale"), shopper.explain("outer")
    assert (stale.next_at, told(stale.then)) == (T0 + HOUR, ("entered", T0 + HOUR))
    assert (outer.next_at, told(outer.then)) == (T0 + HOUR, ("entered", T0 + 2 * HOUR))


def test_what_is_asked_every_day_is_not_taken_up_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile is decoded and encoded for each span of time, not for each of the thousands of days in it."""
    shopper = Shopper("""
version: 1
events: {view: {type: product_viewed}}
features: {silence: {since_last: view}}
segments:
  waits: {when: "local_date() == '1999-01-01'"}
  quiet: {when: "silence >= 200d and local_hour() == 9"}
""")
    shopper.does("product_viewed", T0)
    spans = []
    finish = Engine.finish
    monkeypatch.setattr(Engine, "finish", lambda *arguments: spans.append(1) or finish(*arguments))
    raw, marker = shopper.store.get_many(["u"])[0], shopper.store.marker()
    assert raw is not None
    assert marker is not None
    waits, quiet = Explainer(Engine(shopper.plan), "u", raw, marker).explain(["waits", "quiet"])
    assert waits.then is None
    nine = (T0 + 200 * DAY) // DAY * DAY + 9 * HOUR
    assert told(quiet.then) == ("entered", nine if nine >= T0 + 200 * DAY else nine + DAY)
    assert len(spans) < 30
