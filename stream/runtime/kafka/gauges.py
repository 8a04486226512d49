"""Gauges of a worker, set about once a second from what it owns.

Lag is counted in two ways. In records: from the end of the partition, as the last answered fetch told it, to what is
acknowledged. In time: since when records have been waiting, at most. Both are the worker's own count: the group's
committed offsets trail behind the state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.metrics import Metrics
from stream.runtime.kafka.owned import Owned
from stream.runtime.kafka.raw import SeenEnd


def set_gauges(
    metrics: Metrics,
    owned: Mapping[int, Owned],
    ends: Mapping[Any, SeenEnd],
    topic: str,
    folder: Path,
    now: float,
) -> None:
    """`ends`: what is known of each (topic, partition); `folder` holds the state; `now` is a Unix time."""
    states = [each.state for each in owned.values()]
    metrics.state_users.set(sum(state.users for state in states))
    metrics.timers_pending.set(sum(state.timers_pending for state in states))
    metrics.state_size.set(sum(each.store.size() for each in owned.values()))
    metrics.look_at_disk(folder)
    members: Counter[str] = Counter()
    tiers: Counter[tuple[str, str]] = Counter()
    for state in states:
        members.update(state.members)
        tiers.update(state.tiers)
    metrics.set_members(members, tiers)
    for number, each in owned.items():
        state = each.state
        if state.watermark > 0:
            metrics.watermark.labels(number).set(state.watermark / 1000)
        newest = state.last_record_time
        if newest is not None:
            metrics.input.labels(number).set(newest / 1000)
        seen = ends.get((topic, number))
        if seen is None:
            continue
        lag = max(0, seen.end - each.committed)
        metrics.lag.labels(number).set(lag)
        if lag == 0:
            each.caught_up = seen.instant
        # What waits came after the newest record in the state, and after the state last held everything.
        since = max(each.caught_up, newest or 0)
        if lag == 0 or since:
            metrics.lag_seconds.labels(number).set(max(0.0, now - since / 1000) if lag else 0)
