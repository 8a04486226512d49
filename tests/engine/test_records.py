"""Change records, to the byte."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from stream.durations import HOUR, MINUTE
from stream.engine.conditions import NULL
from stream.engine.records import plain
from tests.engine.driven import Driven, T, body, clock, happened

DEFINITIONS = """
events: {cart: {type: product_added}, buy: {type: order_completed}}
features: {spend: {sum: buy.value, last: 365d}, silence: {since_last: buy}}
segments:
  cart_abandoned:
    version: 3
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    exit: {do: buy}
    ttl: 24h
    actions: {cooldown: 12h}
ladders:
  loyalty: {tiers: [{name: gold, when: "spend >= 1000"}, {name: silver, when: "spend >= 200"}]}
"""


def run_of(*events: object) -> Driven:
    run = Driven(DEFINITIONS)
    run.feed(*events)  # type: ignore[arg-type]
    run.drain()
    return run


def test_an_entry_by_time_to_the_byte() -> None:
    run = run_of(happened("product_added", T, id="e1", anonymous_id="a-7"), clock(T + HOUR))
    (change,) = run.changes
    hash_ = next(rule.hash for rule in run.plan.rules if rule.name == "cart_abandoned")
    event_id = str(uuid5(uuid5(NAMESPACE_URL, "urn:segstream"), f"cart_abandoned\n{hash_}\nu\n\n1"))
    assert change.value.decode() == (
        f'{{"schema":"segment-change/1","event_id":"{event_id}","type":"entered",'
        f'"segment":{{"key":"cart_abandoned","kind":"segment","version":3,"hash":"{hash_}"}},'
        '"user":{"id":"u","ids":{"anonymous_id":"a-7"}},"seq":1,"effective_at":"2026-11-02T00:30:00.000Z",'
        '"expires_at":"2026-11-03T00:30:00.000Z","cause":"timer",'
        '"reason":[{"leaf":"no buy for 30m since cart","value":"30m","op":">=","bound":"30m",'
        '"evidence":[{"event_id":"e1","time":"2026-11-02T00:00:00.000Z"}]}],'
        '"policy":{"actionable":true,"suppressed_by":[],"entry":1,"not_before":null}}'
    )
    assert (change.offset, change.forget, change.event_id) == (-1, False, event_id)
    assert (change.sort_key, change.member_key) == (
        (T + 30 * MINUTE, "u", "cart_abandoned", "", 1),
        b'["cart_abandoned","u",null]',
    )


def test_a_move_by_an_event() -> None:
    run = run_of(
        happened("order_completed", T, id="e1", value=150),
        happened("order_completed", T + 1, id="e2", value=100.5),
        happened("order_completed", T + 2, id="e3", value=900),
    )
    first, second = map(body, run.changes)
    assert first["segment"]["value"] == "silver"
    assert "previous" not in first["segment"]
    assert (second["type"], second["segment"]["value"], second["segment"]["previous"]) == (
        "moved",
        "gold",
        "silver",
    )
    assert second["trigger"] == {
        "event_id": "e3",
        "type": "order_completed",
        "time": "2026-11-02T00:00:00.002Z",
    }
    assert second["reason"] == [
        {
            "leaf": "spend >= 1000",
            "value": 1150.5,
            "op": ">=",
            "bound": 1000,
            "evidence": [{"event_id": f"e{n + 1}", "time": f"2026-11-02T00:00:00.00{n}Z"} for n in range(3)],
        }
    ]
    assert [change.offset for change in run.changes] == [1, 2]


def test_seq_counts_on_over_everything_of_one_user_and_segment() -> None:
    run = run_of(
        happened("product_added", T), clock(T + HOUR), happened("order_completed", T + HOUR),
        happened("product_added", T + 2 * HOUR), clock(T + 3 * HOUR), happened("order_completed", T + 2 * HOUR + 1),
    )  # fmt: skip
    found = [body(change) for change in run.changes if change.segment == "cart_abandoned"]
    assert [(one["type"], one["seq"]) for one in found] == [
        ("entered", 1),
        ("exited", 2),
        ("entered", 3),
        ("retracted", 4),
    ]
    assert found[3]["retracts"] == found[2]["event_id"]
    assert "policy" not in found[1]


def test_the_other_id_is_the_newest_that_was_seen() -> None:
    run = run_of(
        happened("product_added", T + 5, id="b", anonymous_id="new"),
        happened("product_added", T + 4, id="a", anonymous_id="old"),
        clock(T + HOUR),
    )
    assert body(run.changes[0])["user"] == {"id": "u", "ids": {"anonymous_id": "new"}}


def test_values_as_people_read_them() -> None:
    assert plain(1_800_000, True) == "30m"
    assert plain(-1_800_000.7, True) == "-30m"
    assert plain([1, NULL, None], False) == [1, None, None]
    assert plain(NULL, False) is None
    assert plain("gold", True) == "gold"


def test_an_unknown_leaf_says_null() -> None:
    run = Driven(
        "events: {a: {type: a}}\nsegments: {s: {when: {not: {all: ['traits.n > 5', {not: {do: a}}]}}}}"
    )
    run.feed(happened("a", T))
    reason = body(run.changes[0])["reason"]
    assert reason[-1]["leaf"] == "a"
    assert all(leaf.get("value") is None for leaf in reason)
