"""What a user costs, measured: the formula of `stream.engine.cost` against real encodings."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec
import pytest

from stream.definitions import load, loads
from stream.durations import DAY, HOUR
from stream.engine import compile_plan
from stream.engine.cells import SETS
from stream.engine.cost import EVENTS, KEYS, Cost, summaries_cost, user_cost
from stream.engine.profile import Profile, blank_profile
from stream.engine.summaries import Bundle, NewestSummary, StepsSummary
from stream.events import Event
from stream.ingest import Ingest
from stream.packs import pack_path
from stream.runtime.embedded import EmbeddedRuntime
from stream.simulate import Shop, simulate
from stream.state import MemoryStore

NOW = 1_790_000_000_000
DEFINITIONS = """
version: 1
events:
  view: {type: view}
  cart: {type: cart}
  buy: {type: buy}
features:
  f01: {count: view}
  f02: {sum: view.value}
  f03: {max: view.value}
  f04: {last_value: view.value}
  f05: {count: view, last: 30d}
  f06: {sum: view.value, last: 30d}
  f07: {min: view.value, last: 30d}
  f08: {first_value: view.value, last: 30d}
  f09: {distinct: view.order_id, last: 30d}
  f10: {days: view, last: 30d}
  f11: {count: view, half_life: 7d}
  f12: {count: view, calendar: year}
  f13: {count: view, last: 30d, by: product_id, max_keys: 20}
  f14: {distinct: view.order_id, between: [60d, 1h]}
segments:
  all_of_them:
    when:
      all:
        - "f01 > 1 and f02 > 1 and f03 > 1 and exists(f04) and f05 > 1 and f06 > 1 and f07 > 1 and exists(f08)"
        - "f09 > 1 and f10 > 1 and f11 > 1 and f12 > 1 and f14 > 1"
  waiting: {when: {seq: [{do: view}, {not: buy, for: 30m}]}}
  longer: {when: {seq: [{do: view}, {then: cart, within: 1d}, {not: buy, for: 30m}]}}
  per_key: {for_each: product_id, when: "f13 > 3"}
  told: {when: {do: view}, attach: {seen: {collect: view}}}
"""
PLAN = compile_plan(loads(DEFINITIONS))
BUNDLES = [
    pytest.param(bundle, id="-".join([str(bundle.number), *(type(one).__name__ for one in bundle.members)]))
    for bundle in PLAN.bundles
]


def event(number: int, time: int, key: str) -> Event:
    line = {
        "product_id": key,
        "name": "A thing to buy",
        "category": "things",
        "brand": "Thingmakers",
        "price": 19.9,
    }
    made = Event(type="view", time=time, id=str(UUID(int=number + 2**120)), order_id=f"order-{number:09}")
    made.items, made.value, made.user = [line], 19.9, "u"
    return made


def fed(bundle: Bundle, times: Iterator[int], keys: int) -> int:
    """Bytes of the bundle's unit after an event per time and key."""
    profile: Profile = blank_profile("u")
    summary = bundle.members[0]
    number = 0
    for time in times:
        profile.clock = max(profile.clock, time)
        for key in range(keys if bundle.keys_of is not None else 1):
            for role in range(summary.roles if isinstance(summary, StepsSummary) else 1):
                number += 1
                one = event(number, time, f"product-{key:07}")
                bundle.add(profile, one, time, one.id, role)
                if not isinstance(summary, StepsSummary) and type(summary).__name__ == "PairSummary":
                    bundle.add(profile, one, time, one.id, 1)
    table = profile.table(bundle.number) if bundle.keys_of is not None else None
    return len(msgspec.msgpack.encode(profile.units.get(bundle.number) if table is None else table.packed()))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_typical_state_takes_what_is_said(bundle: Bundle) -> None:
    measured = fed(bundle, iter(range(NOW - (EVENTS - 1) * DAY, NOW + 1, DAY)), KEYS)
    told = summaries_cost(bundle.members).typical
    assert 0.75 * measured - 8 <= told <= 1.35 * measured + 8, (measured, told)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_state_takes_more_than_the_most(bundle: Bundle) -> None:
    times = [*range(NOW - 450 * DAY, NOW - 9 * DAY, DAY // 2), *range(NOW - 9 * DAY, NOW - HOUR, HOUR // 4)]
    times += range(NOW - HOUR, NOW, HOUR // 100)
    keys = 1 if bundle.keys_of is None else bundle.max_keys
    if keys > 20:
        times = times[-80:]
    measured = fed(bundle, iter(times), keys)
    assert measured <= summaries_cost(bundle.members).most
    samples = any(
        isinstance(one, NewestSummary) or getattr(one, "shape", None) is SETS for one in bundle.members
    )
    if keys == 1 and not samples:
        assert measured >= 0.4 * summaries_cost(bundle.members).most


def test_real_users_stay_below_the_most_and_are_about_typical() -> None:
    plan = compile_plan(load([pack_path("retail")]))
    store = MemoryStore()
    runtime = EmbeddedRuntime(plan, store=lambda partition: store)
    lines = list(simulate(Shop(users=40, days=30, seed=5)))
    events, errors = Ingest().read_batch([(line, offset, None) for offset, line in enumerate(lines)])
    assert not errors
    runtime.feed(0, events)
    sizes = sorted(len(raw) for _, raw in store.scan())
    told = user_cost(plan)
    assert sizes[-1] <= told.most
    assert told.typical / 3 <= sizes[len(sizes) // 2] <= told.typical * 3


def test_costs_add_up() -> None:
    assert Cost(1, 2) + Cost(3, 4) == Cost(4, 6)
