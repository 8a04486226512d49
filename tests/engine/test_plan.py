"""What the plan says of the events it needs."""

from __future__ import annotations

from itertools import islice

import pytest

from stream.definitions import load, loads
from stream.engine import compile_plan
from stream.events import event_type
from stream.ingest import Ingest
from stream.packs import pack_names, pack_path
from stream.runtime.embedded import EmbeddedRuntime
from stream.simulate import Shop, simulate
from stream.state import MemoryStore

EVENTS = """version: 1
events:
  a: {type: product_viewed}
  b: {type: order_completed}
  web: {type: product_viewed, where: "channel == 'web'"}
  dear: {type: product_viewed, where: "any(items, price > 5)"}
  red: {type: product_viewed, where: "colour == 'red'"}
  phone: {type: product_viewed, where: "context.device == 'phone'"}
features:
  spent: {sum: b.value}
"""


@pytest.mark.parametrize(
    ("segment", "reads", "extra"),
    [
        ("{when: {seq: [{do: a}, {not: b, for: 30m}]}}", set(), set()),
        ("{when: 'spent > 5'}", {"value"}, set()),
        ("{when: {do: web}}", {"channel"}, set()),
        ("{when: {do: dear}}", {"items"}, {"price"}),  # inside of lines: one too many costs little
        ("{when: {do: red}}", {"props"}, {"colour"}),
        ("{when: {do: phone}}", {"context"}, set()),
        ("{for_each: session_id, when: {do: a}}", {"session_id", "items"}, set()),
        ("{for_each: items.brand, when: {do: a}}", {"items"}, set()),
        (
            "{when: {do: a}, attach: {cart: {collect: a, max: 3}}}",
            {"items", "props"},
            {"product_id", "name", "category", "brand", "price", "quantity"},
        ),
    ],
)
def test_the_fields_that_definitions_read(segment: str, reads: set[str], extra: set[str]) -> None:
    plan = compile_plan(loads(f"{EVENTS}segments:\n  s: {segment}\n"))
    assert plan.extra_fields == extra
    # What a name without a field of the envelope reads is props, and one field too many is only a little slower.
    assert plan.read_fields - {"props"} == reads - {"props"}
    assert plan.read_fields >= reads


def test_decoding_only_what_is_read_changes_nothing() -> None:
    """Changes and profiles of every pack, byte for byte, with all fields of the events and with those it reads."""
    log = list(islice(simulate(Shop(users=60, days=20, rate=4)), 4_000))
    told = set()
    for pack in pack_names():
        plan = compile_plan(load([pack_path(pack)]))
        seen = []
        for kind in (event_type(plan.extra_fields), plan.event_type):
            events, errors = Ingest(event_type=kind).read_batch([(line, 0, None) for line in log])
            assert not errors
            store = MemoryStore()
            changes = EmbeddedRuntime(plan, store=lambda number, store=store: store).feed(0, events)
            seen.append(([change.value for change in changes], dict(store.scan())))
        assert seen[0] == seen[1]
        if seen[0][0]:
            told.add(pack)
    assert told >= {"retail", "grocery", "journey"}, "those that are about a shop"
