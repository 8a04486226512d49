"""Gauges: sums over what is owned, and two ways to count lag."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stream.metrics import Metrics
from stream.runtime.kafka.gauges import set_gauges
from stream.runtime.kafka.raw import SeenEnd


def partition(*, committed: int, newest: int | None, watermark: int = 0, members: int = 0) -> Any:
    state = SimpleNamespace(
        users=2,
        timers_pending=1,
        members={"vip": members},
        tiers={("tier", "gold"): members},
        watermark=watermark,
        last_record_time=newest,
    )
    store = SimpleNamespace(size=lambda: 100)
    return SimpleNamespace(state=state, store=store, committed=committed, caught_up=0)


def test_gauges_are_sums_over_what_is_owned_and_fall_when_it_shrinks(tmp_path: Path) -> None:
    metrics = Metrics()
    get = metrics.registry.get_sample_value
    owned = {
        0: partition(committed=0, newest=None, members=3),
        1: partition(committed=0, newest=None, members=4),
    }
    set_gauges(metrics, owned, {}, "events", tmp_path, 0.0)
    names = ("segstream_state_users", "segstream_timers_pending", "segstream_state_size_bytes")
    assert [get(name) for name in names] == [4, 2, 200]
    assert get("segstream_segment_members", {"segment": "vip"}) == 7
    set_gauges(metrics, {}, {}, "events", tmp_path, 0.0)
    assert [get(name) for name in names] == [0, 0, 0]
    assert get("segstream_segment_members", {"segment": "vip"}) == 0
    assert get("segstream_ladder_members", {"ladder": "tier", "tier": "gold"}) == 0


def test_lag_in_records_and_in_time(tmp_path: Path) -> None:
    metrics = Metrics()
    each = partition(committed=10, newest=1_000_000, watermark=990_000)

    def lag(end: int | None, seen_at: int, now: float) -> tuple[float | None, float | None]:
        metrics.forget_partitions()
        metrics.add_partition(0)
        ends = {} if end is None else {("events", 0): SeenEnd(seen_at, end)}
        set_gauges(metrics, {0: each}, ends, "events", tmp_path, now)
        labels = {"partition": "0"}
        get = metrics.registry.get_sample_value
        assert get("segstream_watermark_timestamp_seconds", labels) == 990
        assert get("segstream_input_timestamp_seconds", labels) == 1_000
        return get("segstream_consumer_lag_records", labels), get("segstream_consumer_lag_seconds", labels)

    assert lag(None, 0, 1_001.0) == (None, None)  # nothing was fetched yet: nobody knows
    assert lag(25, 1_001_000, 1_001.0) == (15, 1.0)  # behind since the start: as old as the newest that is in
    assert lag(10, 5_000_000, 5_001.0) == (0, 0.0)
    # Quiet for an hour, then one record: it has waited two seconds, not an hour.
    assert lag(11, 5_002_000, 5_002.0) == (1, 2.0)


def test_a_partition_without_records_has_a_lag_and_no_times(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.add_partition(0)
    ends = {("events", 0): SeenEnd(1, 5)}
    set_gauges(metrics, {0: partition(committed=0, newest=None)}, ends, "events", tmp_path, 10.0)
    get, labels = metrics.registry.get_sample_value, {"partition": "0"}
    assert get("segstream_consumer_lag_records", labels) == 5
    assert get("segstream_consumer_lag_seconds", labels) is None
    assert math.isnan(get("segstream_watermark_timestamp_seconds", labels) or 0)
