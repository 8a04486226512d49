"""What a worker tells Prometheus.

One registry of its own, so that nothing of the process leaks in and tests can have several. Names are a contract
(docs/metrics.md); labels are bounded: segments, types, reasons and partitions, never a user. Everything is touched
once per batch of records, not once per record.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DELAYS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300, 3600, 86400)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"segstream_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"segstream_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"segstream_{name}", text, buckets=buckets, registry=registry)

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
        self.segment_members = gauge("segment_members", "Members of a segment", "segment")
        self.ladder_members = gauge("ladder_members", "Users on a tier of a ladder", "ladder", "tier")
        self.watermark = gauge("watermark_timestamp_seconds", "The partition's watermark", "partition")
        self.lag = gauge(
            "consumer_lag_records", "Records of the partition that are not in the state", "partition"
        )
        self.step_duration = histogram("step_duration_seconds", "Computing one slice of a batch", _SECONDS)
        self.latency = histogram(
            "event_to_change_latency_seconds",
            "Record time to change published, wall clock, live events only",
            _SECONDS,
        )
        self.timers_pending = gauge("timers_pending", "Users with a due instant ahead")
        self.timer_delay = histogram(
            "timer_delay_seconds", "Due instant to its evaluation, live only", _DELAYS
        )
        self.state_users = gauge("state_users", "Users with a profile")
        self.state_size = gauge("state_size_bytes", "Local state")
        self.changelog_bytes = counter("changelog_bytes", "Profiles and markers written to the changelog")
        self.restore_remaining = gauge(
            "restore_remaining_records", "Changelog records still to be read", "partition"
        )
        self.rebalances = counter("rebalances", "Assignments of partitions to this worker")
        self.definitions = Info("segstream_definitions", "The definitions in force", registry=registry)
        self.definitions_reload = counter("definitions_reload", "Definitions loaded", "result")
        self.build = Info("segstream_build", "The version that runs", registry=registry)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
