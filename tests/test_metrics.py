"""Metrics: whole from the first scrape, nothing stale, and what promtool thinks of the names."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from stream.metrics import DELAYS, LATENCIES, Distribution, Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.prepare("events", ["abandoned"], {"tier": ["gold", "silver"]})
    return metrics


def test_what_is_known_beforehand_begins_at_zero(metrics: Metrics) -> None:
    assert value(metrics, "segstream_events_consumed_total", topic="events") == 0
    assert value(metrics, "segstream_events_dead_lettered_total", reason="bad_json") == 0
    assert value(metrics, "segstream_events_late_total", action="expired") == 0
    entered = {"segment": "abandoned", "type": "entered", "cause": "timer"}
    assert value(metrics, "segstream_changes_total", **entered) == 0
    assert value(metrics, "segstream_changes_total", segment="tier", type="moved", cause="event") == 0
    assert value(metrics, "segstream_actions_suppressed_total", segment="abandoned", reason="cap") == 0
    assert value(metrics, "segstream_segment_members", segment="abandoned") == 0
    assert value(metrics, "segstream_ladder_members", ladder="tier", tier="gold") == 0
    assert value(metrics, "segstream_membership_duration_seconds_count", segment="abandoned") == 0
    assert value(metrics, "segstream_event_to_change_latency_seconds_count") == 0
    assert value(metrics, "segstream_failures_total", kind="changelog") == 0
    assert value(metrics, "segstream_definitions_reload_total", result="failed") == 0
    assert value(metrics, "segstream_worker_ready") == 0


def test_members_of_partitions_that_went_away_are_not_shown_any_more(metrics: Metrics) -> None:
    metrics.set_members({"abandoned": 3, "older": 2}, {("tier", "gold"): 1})
    metrics.set_members({"abandoned": 1}, {})
    assert value(metrics, "segstream_segment_members", segment="abandoned") == 1
    assert value(metrics, "segstream_segment_members", segment="older") == 0
    assert value(metrics, "segstream_ladder_members", ladder="tier", tier="gold") == 0


def test_a_partition_s_gauges_come_and_go_with_it(metrics: Metrics) -> None:
    metrics.add_partition(3)
    metrics.lag.labels(3).set(7)
    assert math.isnan(value(metrics, "segstream_watermark_timestamp_seconds", partition="3") or 0)
    assert value(metrics, "segstream_restore_remaining_records", partition="3") == 0
    metrics.forget_partitions()
    assert 'partition="' not in metrics.exposition().decode()


def test_the_disk_is_looked_at(metrics: Metrics, tmp_path: Path) -> None:
    metrics.look_at_disk(tmp_path)
    free = value(metrics, "segstream_state_disk_free_bytes")
    size = value(metrics, "segstream_state_disk_size_bytes")
    assert free is not None
    assert size is not None
    assert 0 < free <= size


def test_a_distribution_counts_as_prometheus_does() -> None:
    registry = CollectorRegistry()
    distribution = Distribution("waited", "How long", (0.5, 1, 2), registry, "who")
    distribution.observe([0.5, 0.6, 1, 9], "ann")
    found = {
        bound: registry.get_sample_value("waited_bucket", {"who": "ann", "le": bound})
        for bound in ("0.5", "1", "2", "+Inf")
    }
    assert found == {"0.5": 1, "1": 3, "2": 3, "+Inf": 4}
    assert registry.get_sample_value("waited_sum", {"who": "ann"}) == pytest.approx(11.1)


def test_targets_are_bounds_of_the_histograms(metrics: Metrics) -> None:
    assert {0.01, 0.025, 0.06} < set(LATENCIES)
    assert 1.0 in DELAYS


def test_names_and_units_are_as_promtool_wants_them(metrics: Metrics, promtool: str) -> None:
    metrics.add_partition(0)
    metrics.definitions.info({"hash": "0"})
    metrics.build.info({"version": "0"})
    text = metrics.exposition()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    # The names of process metrics are Prometheus' own convention, which its checker does not know.
    told = [line for line in (done.stdout + done.stderr).decode().splitlines() if "process_" not in line]
    assert done.returncode in (0, 3), told
    assert not told


def test_every_family_has_the_prefix_or_is_of_the_process(metrics: Metrics) -> None:
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    assert families
    for family in families:
        assert re.match(r"(segstream|process)_", family.name), family.name
        assert family.documentation, family.name
