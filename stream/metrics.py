"""What a worker tells Prometheus.

One registry of its own, so that nothing of the process leaks in and tests can have several. Names are a contract
(docs/metrics.md); labels are bounded: segments, types, reasons and partitions, never a user. Everything is touched
once per batch of records, not once per record.

A rate needs two points, so what is counted begins at 0: `prepare` makes the series that will surely be asked for. A
partition's gauges are there while it is this worker's and go when it goes (`forget_partitions`); what is not known of
it yet is NaN, which every comparison answers with no.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import disk_usage
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

LATENCIES: Final = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.04, 0.06),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0),
)
"""Bounds at and around what is promised: a median of 10 ms, 99 % within 25 or 60 ms."""
DELAYS: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0)
"""Bounds around the promise for timers: a second."""
DAYS: Final = (
    60.0,
    600.0,
    3_600.0,
    21_600.0,
    *(86_400.0 * days for days in (1, 2, 3, 7, 14, 30, 90, 180, 365)),
)
"""Bounds for how long memberships last."""

REASONS: Final = (
    *("bad_json", "not_an_object", "bad_type", "bad_time"),
    *("bad_user", "bad_id", "bad_row", "no_match", "too_large"),
)
FAILURES: Final = ("bug", "changelog", "kafka", "operator", "publish", "state")
RELOADS: Final = ("loaded", "pending", "failed")
SUPPRESSIONS: Final = ("backfill", "cap", "consent", "cooldown", "holdout", "priority")
_NAN: Final = float("nan")


class Distribution(Collector):
    """A histogram that takes the values of a whole batch at once, with at most one label."""

    def __init__(
        self,
        name: str,
        text: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        label: str | None = None,
    ) -> None:
        self.name = name
        self.labels = () if label is None else (label,)
        self._text = text
        self._bounds = tuple(bounds)
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self.prepare([""] if label is None else [])
        registry.register(self)

    def prepare(self, labels: Iterable[str]) -> None:
        """Makes the series of these labels, with nothing in them."""
        for label in labels:
            self._counts.setdefault(label, [0] * (len(self._bounds) + 1))
            self._sums.setdefault(label, 0.0)

    def observe(self, values: Sequence[float], label: str = "") -> None:
        """Adds `values`, seconds."""
        self.prepare([label])
        counts = self._counts[label]
        for value in values:
            counts[bisect_left(self._bounds, value)] += 1
        self._sums[label] += sum(values)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For the registry."""
        family = HistogramMetricFamily(self.name, self._text, labels=self.labels)
        for label, counts in self._counts.items():
            total, buckets = 0, []
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(total)))
            family.add_metric([label] if self.labels else [], buckets, self._sums[label])
        yield family


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"segstream_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"segstream_{name}", text, labels, registry=registry)

        def distribution(
            name: str, text: str, bounds: Sequence[float], label: str | None = None
        ) -> Distribution:
            return Distribution(f"segstream_{name}", text, bounds, registry, label)

        self.consumed = counter(
            "events_consumed", "Records of the input that became part of the state", "topic"
        )
        self.skipped = counter(
            "events_skipped", "Records read again below the state's own offset, and dropped"
        )
        self.dead_lettered = counter("events_dead_lettered", "Records that could not be read", "reason")
        self.late = counter("events_late", "Events older than their user's clock", "action")
        self.duplicate = counter("events_duplicate", "Events whose id was seen before")
        self.evicted = counter("keys_evicted", "Keys of users that had to make room for newer ones")
        self.clamped = counter("events_clamped", "Events from the future, set to their record time")
        self.changes = counter("changes", "Segment changes published", "segment", "type", "cause")
        self.suppressed = counter(
            "actions_suppressed", "Changes that must not be acted upon, by why", "segment", "reason"
        )
        self.segment_members = gauge("segment_members", "Members of a segment", "segment")
        self.ladder_members = gauge("ladder_members", "Users on a tier of a ladder", "ladder", "tier")
        self.membership_duration = distribution(
            "membership_duration_seconds", "Entry to exit, event time", DAYS, "segment"
        )
        self.watermark = gauge("watermark_timestamp_seconds", "The partition's watermark", "partition")
        self.input = gauge(
            "input_timestamp_seconds",
            "Record time of the partition's newest record in the state",
            "partition",
        )
        self.lag = gauge(
            "consumer_lag_records", "Records of the partition that are not in the state", "partition"
        )
        self.lag_seconds = gauge(
            "consumer_lag_seconds", "Since when records of the partition have waited, at most", "partition"
        )
        self.step_duration = Histogram(
            "segstream_step_duration_seconds",
            "Computing one slice of a batch",
            buckets=LATENCIES,
            registry=registry,
        )
        self.latency = distribution(
            "event_to_change_latency_seconds",
            "Record time to its change published, wall clock, live events only",
            LATENCIES,
        )
        self.timers_pending = gauge("timers_pending", "Users with a due instant ahead")
        self.timer_delay = distribution(
            "timer_delay_seconds", "Due instant to its change published, wall clock, live only", DELAYS
        )
        self.state_users = gauge("state_users", "Users with a profile")
        self.state_size = gauge("state_size_bytes", "Local state")
        self.disk_free = gauge("state_disk_free_bytes", "Free space where the local state lies")
        self.disk_size = gauge("state_disk_size_bytes", "All space where the local state lies")
        self.changelog_bytes = counter("changelog_bytes", "Profiles and markers written to the changelog")
        self.restore_remaining = gauge(
            "restore_remaining_records", "Changelog records still to be read", "partition"
        )
        self.foreign = counter(
            "changelog_foreign_batches",
            "Batches of workers that were replaced, found in the changelog and made up for",
        )
        self.rebalances = counter("rebalances", "Assignments of partitions to this worker")
        self.ready = gauge("worker_ready", "1 while the worker serves all of its partitions")
        self.source_events = counter(
            "source_events", "Events of a source written to the events topic", "topic"
        )
        self.source_dropped = counter(
            "source_dropped", "Records of a source of which its mapping makes no event", "topic"
        )
        self.source_retries = counter(
            "source_retries", "Batches of sources that Kafka did not take, tried again"
        )
        self.source_lag = gauge(
            "source_lag_records",
            "Records of a source that are not in the events topic",
            *("topic", "partition"),
        )
        self.source_lag_seconds = gauge(
            "source_lag_seconds",
            "Since when records of a source have waited, at most",
            *("topic", "partition"),
        )
        self.failures = counter(
            "failures", "Errors that ended a round or the worker; kept over restarts", "kind"
        )
        self.lateness = gauge("lateness_seconds", "How long the watermark waits by design: time.lateness")
        self.definitions = Info("segstream_definitions", "The definitions in force", registry=registry)
        self.definitions_reload = counter(
            "definitions_reload", "Definition files read: at the start, and when they change", "result"
        )
        self.build = Info("segstream_build", "The version that runs", registry=registry)
        ProcessCollector(registry=registry)
        self._by_partition = (
            *(self.watermark, self.input, self.lag),
            *(self.lag_seconds, self.restore_remaining),
        )
        self._shown: list[tuple[Gauge, set[tuple[str, ...]]]] = [
            (self.segment_members, set()),
            (self.ladder_members, set()),
        ]
        for reason in REASONS:
            self.dead_lettered.labels(reason)
        for action in ("applied", "expired"):
            self.late.labels(action)
        for kind in FAILURES:
            self.failures.labels(kind)
        for result in RELOADS:
            self.definitions_reload.labels(result)

    def prepare(self, topic: str, segments: Iterable[str], ladders: Mapping[str, Iterable[str]]) -> None:
        """Makes the series of these names. `ladders` gives each one's tiers."""
        self.consumed.labels(topic)
        segments = list(segments)
        for names, types in ((segments, ("entered", "exited")), (ladders, ("entered", "moved", "exited"))):
            for name in names:
                for type_ in types:
                    for cause in ("event", "timer"):
                        self.changes.labels(name, type_, cause)
                for reason in SUPPRESSIONS:
                    self.suppressed.labels(name, reason)
        for name in segments:
            self.changes.labels(name, "retracted", "late_event")
        self.membership_duration.prepare(segments)
        members, tiers = (known for _, known in self._shown)
        members.update((name,) for name in segments)
        tiers.update((name, tier) for name, names in ladders.items() for tier in names)
        self.set_members({}, {})

    def prepare_sources(self, topics: Iterable[str]) -> None:
        """Makes the series of these sources."""
        for topic in topics:
            for each in (self.consumed, self.source_events, self.source_dropped):
                each.labels(topic)

    def forget_sources(self) -> None:
        """No partition of a source is this process's any more."""
        self.source_lag.clear()
        self.source_lag_seconds.clear()

    def set_members(self, members: Mapping[str, int], tiers: Mapping[tuple[str, str], int]) -> None:
        """All counts anew: what was shown before and is not named now has none."""
        counts: list[dict[tuple[str, ...], int]] = [
            {(name,): count for name, count in members.items()},
            {(ladder, tier): count for (ladder, tier), count in tiers.items()},
        ]
        for (gauge, known), now in zip(self._shown, counts, strict=True):
            known.update(now)
            for labels in known:
                gauge.labels(*labels).set(now.get(labels, 0))

    def add_partition(self, number: int) -> None:
        """The partition is this worker's now; nothing is known of it yet."""
        self.restore_remaining.labels(number).set(0)
        for gauge in (self.watermark, self.input):
            gauge.labels(number).set(_NAN)

    def forget_partitions(self) -> None:
        """None is this worker's any more: somebody else tells about them now."""
        for gauge in self._by_partition:
            gauge.clear()

    def look_at_disk(self, folder: Path) -> None:
        """Space where the state lies."""
        usage: Any = disk_usage(folder)
        self.disk_free.set(usage.free)
        self.disk_size.set(usage.total)

    def exposition(self, names: Collection[str] = ()) -> bytes:
        """The text that Prometheus scrapes; of the metrics called `names` alone, where some are named."""
        return generate_latest(self.registry.restricted_registry(names) if names else self.registry)
