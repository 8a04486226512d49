"""The simulated shop: the same every time, in order of arrival, readable, and as untidy as a real one."""

from __future__ import annotations

import hashlib
from collections import Counter

from stream.durations import DAY, MINUTE
from stream.events import Event
from stream.ingest import Ingest
from stream.simulate import START, Shop, simulate

SHOP = Shop(users=400, days=10, seed=3)


def events_of(shop: Shop) -> list[Event]:
    events, errors = Ingest().read_batch((line, 0, None) for line in simulate(shop))
    assert not errors
    return events


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    digests = [
        hashlib.sha256(b"\n".join(simulate(shop))).hexdigest() for shop in (SHOP, SHOP, Shop(400, 10, 4))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_events_come_in_order_of_arrival_within_the_days() -> None:
    arrived = [event.record_time for event in events_of(SHOP)]
    assert arrived == sorted(arrived)
    assert arrived[0] >= START
    assert arrived[-1] < START + 10 * DAY + DAY / 4


def test_the_rate_is_about_what_was_asked_for() -> None:
    for rate in (1.0, 4.0):
        shop = Shop(users=1_000, days=10, rate=rate)
        assert 0.75 < len(events_of(shop)) / (1_000 * 10 * rate) < 1.25


def test_people_do_what_people_do_in_shops() -> None:
    events = events_of(Shop(users=1_500, days=14))
    types = Counter(event.type for event in events)
    carts, orders = types["product_added"], types["order_completed"]
    assert types["product_viewed"] > 5 * carts > 5 * orders > 0
    assert types["order_refunded"] < types["checkout_started"]
    assert types["user_identified"]
    order = next(event for event in events if event.type == "order_completed")
    assert order.value == round(sum(item["price"] * item["quantity"] for item in order.items), 2)


def test_some_come_late_some_twice_some_with_a_wrong_clock_and_some_nameless() -> None:
    events = events_of(Shop(users=1_500, days=14))
    lags = [event.record_time - event.time for event in events]
    assert sum(5 * MINUTE < lag < DAY for lag in lags) > 10, "late"
    assert sum(lag < -5 * MINUTE for lag in lags) > 10, "ahead"
    assert any(lag < -300 * DAY for lag in lags), "a year ahead"
    assert len(events) > len({event.id for event in events}) > 0.9 * len(events), "twice"
    assert {event.user[0] for event in events} == {"u", "a"}
    consents = {event.traits["consent"]["marketing"] for event in events if event.traits}
    assert consents == {True, False}


def test_a_shop_that_begins_at_noon_has_no_events_of_the_morning() -> None:
    noon = START + DAY // 2
    events = events_of(Shop(users=200, days=1, start=noon))
    assert events
    assert min(event.record_time for event in events) >= noon
