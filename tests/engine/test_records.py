"""Change records, to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from stream.changes import (
    Body,
    Evidence,
    Judgement,
    Line,
    Lines,
    Person,
    ReasonLeaf,
    Subject,
    Trigger,
)
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


# --- what is written and what the contract says ----------------------------------------------------------------------

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "segment-change-1.schema.json"
TEXTS = st.text(max_size=12) | st.sampled_from(
    ['"', "\\", "\x00\x1f\x7f", "\u2028", "\U0001f600", "가게", ""]
)
NUMBERS = st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
SIDES = NUMBERS | TEXTS | st.booleans() | st.none() | st.lists(TEXTS | NUMBERS, max_size=3)
EVIDENCE = st.builds(Evidence, TEXTS, TEXTS)
LEAVES = st.builds(
    ReasonLeaf, TEXTS, SIDES, st.sampled_from([">=", "in"]), SIDES, st.lists(EVIDENCE, max_size=3)
) | st.builds(
    ReasonLeaf, TEXTS, st.just(UNSET), st.just(UNSET), st.just(UNSET), st.lists(EVIDENCE, max_size=3)
)
MAYBE = st.none() | TEXTS
BODIES = st.builds(
    Body,
    event_id=TEXTS,
    type=TEXTS,
    segment=st.builds(
        Subject, key=TEXTS, kind=TEXTS, version=st.none() | st.integers(1), hash=TEXTS, value=MAYBE, previous=MAYBE
    ),
    user=st.builds(Person, TEXTS, st.none() | st.fixed_dictionaries({"anonymous_id": TEXTS})),
    instance=MAYBE,
    seq=st.integers(1),
    effective_at=TEXTS,
    expires_at=MAYBE,
    cause=TEXTS,
    trigger=st.none() | st.builds(Trigger, TEXTS, TEXTS, TEXTS, st.booleans()),
    retracts=MAYBE,
    reason=st.lists(LEAVES, max_size=3),
    context=st.none() | st.dictionaries(TEXTS, st.builds(Lines, st.integers(0), NUMBERS, NUMBERS, st.lists(
        st.builds(Line, product_id=TEXTS, name=MAYBE, price=st.none() | NUMBERS, quantity=NUMBERS), max_size=2
    )), min_size=1, max_size=2),
    policy=st.none() | st.builds(
        Judgement, st.booleans(), st.just(UNSET) | TEXTS, st.lists(TEXTS).map(tuple), st.integers(1), MAYBE
    ),
)  # fmt: skip


def left_out(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def plainly(body: Body) -> dict[str, Any]:
    """A change as contract and schema have it, by hand."""
    trigger, policy = body.trigger, body.policy
    return left_out(
        {
            "schema": "segment-change/1",
            "event_id": body.event_id,
            "type": body.type,
            "segment": left_out(
                {
                    name: getattr(body.segment, name)
                    for name in ("key", "kind", "version", "hash", "value", "previous")
                }
            ),
            "user": left_out({"id": body.user.id, "ids": body.user.ids}),
            "instance": body.instance,
            "seq": body.seq,
            "effective_at": body.effective_at,
            "expires_at": body.expires_at,
            "cause": body.cause,
            "trigger": None
            if trigger is None
            else {"event_id": trigger.event_id, "type": trigger.type, "time": trigger.time}
            | ({"clamped": True} if trigger.clamped else {}),
            "retracts": body.retracts,
            "reason": [
                {"leaf": leaf.leaf}
                | ({} if leaf.op is UNSET else {"value": leaf.value, "op": leaf.op, "bound": leaf.bound})
                | {"evidence": [{"event_id": one.event_id, "time": one.time} for one in leaf.evidence]}
                for leaf in body.reason
            ],
            "context": body.context
            and {
                name: {
                    "count": lines.count,
                    "quantity": lines.quantity,
                    "value": lines.value,
                    "items": [
                        left_out({name: getattr(line, name) for name in LINE_FIELDS}) for line in lines.items
                    ],
                }
                for name, lines in body.context.items()
            },
            "policy": policy
            and {"actionable": policy.actionable}
            | ({} if policy.variant is UNSET else {"variant": policy.variant})
            | {
                "suppressed_by": list(policy.suppressed_by),
                "entry": policy.entry,
                "not_before": policy.not_before,
            },
        }
    )


LINE_FIELDS = ("product_id", "name", "category", "brand", "price", "quantity")


@given(BODIES)
def test_a_body_is_written_as_the_plain_object_would_be(body: Body) -> None:
    written = body.encode()
    assert written == msgspec.json.encode(plainly(body))
    assert json.loads(written) == json.loads(json.dumps(plainly(body)))


def test_the_schema_names_the_fields_in_the_order_in_which_they_are_written() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["properties"]
    leaf = schema["reason"]["items"]["properties"]
    parts = {
        ("schema", *Body.__struct_fields__): schema,
        Subject.__struct_fields__: schema["segment"]["properties"],
        Person.__struct_fields__: schema["user"]["properties"],
        Trigger.__struct_fields__: schema["trigger"]["properties"],
        Judgement.__struct_fields__: schema["policy"]["properties"],
        Evidence.__struct_fields__: leaf["evidence"]["items"]["properties"],
    }
    for fields, properties in parts.items():
        assert list(fields) == list(properties)
    assert [name for name in ReasonLeaf.__struct_fields__ if name in leaf] == list(leaf)
