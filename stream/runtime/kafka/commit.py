"""One round's way through the acknowledgements: dead letters, changelog, changes and members, store, consumer.

The order is what makes a crash harmless at any point:

* Dead letters are published before the step that leaves them behind is in the log, so none can be lost.
* The step is in the log before a change is published, so what was published is never decided anew, otherwise.
* Changes are acknowledged before the partition's next step is in the log, so the last marker names all that may be
  missing from the output, and publishing those again is enough.
* The local store is written last: it never leads the log.

Order and atomicity are per partition; a round only shares the waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from stream.metrics import Metrics
from stream.runtime.kafka.changelog import Anchor, Marker, encode
from stream.runtime.kafka.owned import Draft, Owned
from stream.runtime.kafka.publish import Publisher
from stream.runtime.kafka.pulse import Pulse
from stream.runtime.kafka.repair import Repairer
from stream.runtime.kafka.together import together
from stream.runtime.kafka.waypoints import Passing, Waypoint

_LIVE_MS = 600_000
"""Latencies are measured for records younger than this: a backlog's age says nothing about the worker."""
_LIVE_TIMERS_MS = 3_600_000
"""Delays are measured for due instants younger than this: those of recorded days say nothing."""


class Committer:
    """Takes rounds to their end, one at a time."""

    def __init__(
        self,
        publisher: Publisher,
        repairer: Repairer,
        metrics: Metrics,
        pulse: Pulse,
        passing: Passing,
        *,
        topic: str,
        partitions: int,
    ) -> None:
        self._publisher = publisher
        self._repairer = repairer
        self._metrics = metrics
        self._pulse = pulse
        self._passing = passing
        self._partitions = partitions
        self._counters: tuple[tuple[Callable[[float], None], Callable[[Any], int]], ...] = (
            (metrics.consumed.labels(topic).inc, attrgetter("consumed")),
            (metrics.duplicate.inc, attrgetter("duplicates")),
            (metrics.evicted.inc, attrgetter("evicted")),
            (metrics.clamped.inc, attrgetter("clamped")),
            (metrics.late.labels("applied").inc, attrgetter("late_applied")),
            (metrics.late.labels("expired").inc, attrgetter("late_expired")),
        )
        self.rounds = 0
        """That came to their end."""

    async def commit(self, drafts: Sequence[tuple[Owned, Draft]]) -> None:
        """Raises what Kafka or the store raises: how far the round came is then unknown."""
        passing = self._passing
        await passing(Waypoint.DECIDED)
        self._pulse.beat()
        dead = [letter for _, draft in drafts for letter in draft.dead]
        if dead:
            await self._publisher.dead_letters(dead)
            await passing(Waypoint.BURIED)
        anchors = await together(self._log(owned, draft) for owned, draft in drafts)
        await passing(Waypoint.LOGGED)
        self._pulse.beat()
        pending = [(owned.number, draft.pending) for owned, draft in drafts if draft.pending]
        if pending:
            await self._publisher.changes(pending)
            await passing(Waypoint.PUBLISHED)
        for (owned, draft), anchor in zip(drafts, anchors, strict=True):
            owned.store.write(draft.profiles, encode(anchor))
            owned.unflushed = True
            await passing(Waypoint.PARTLY_STORED)
            owned.committed = draft.next_offset
            for step in draft.steps:
                owned.state.settle(step)
            for event in draft.acknowledge:
                event.ack()
        self._count([draft for _, draft in drafts])
        self.rounds += 1
        await passing(Waypoint.ACKNOWLEDGED)

    async def _log(self, owned: Owned, draft: Draft) -> Anchor:
        log, profiles = owned.changelog, draft.profiles
        marker = Marker("", 0, draft.next_offset, self._partitions, draft.marker, draft.pending)
        anchor = await log.append(profiles, marker)
        owned.marked_at = time.monotonic()
        await self._passing(Waypoint.PARTLY_LOGGED)

        def values(users: list[str]) -> list[bytes | None]:
            stored = zip(users, owned.store.get_many(users), strict=True)
            return [profiles.get(user, value) for user, value in stored]

        if log.foreign:
            self._metrics.foreign.inc()
        return await self._repairer.repair(log, marker, values) or anchor

    def _count(self, drafts: Sequence[Draft]) -> None:
        """Once a round, and only what is not nothing: to touch a metric costs as much as an event."""
        metrics = self._metrics
        now = time.time() * 1000
        counts = [step.counts for draft in drafts for step in draft.steps]
        for add, of in self._counters:
            if number := sum(map(of, counts)):
                add(number)
        for draft in drafts:
            for letter in draft.dead:
                metrics.dead_lettered.labels(letter.reason).inc()
            for labels, number in draft.changes.items():
                metrics.changes.labels(*labels).inc(number)
            for (segment, reason), number in draft.suppressed.items():
                metrics.suppressed.labels(segment, reason).inc(number)
            for segment, lasted in draft.ended:
                metrics.membership_duration.observe([lasted / 1000], segment)
            if draft.triggered:
                metrics.latency.observe(_ages(now, draft.triggered, _LIVE_MS))
            if draft.fired:
                metrics.timer_delay.observe(_ages(now, draft.fired, _LIVE_TIMERS_MS))
        metrics.changelog_bytes.inc(sum([draft.size for draft in drafts]))


def _ages(now: float, instants: list[int], live: int) -> list[float]:
    """Seconds since each of `instants` that is not older than `live`; a clock ahead of ours makes 0."""
    return [max(0.0, now - instant) / 1000 for instant in instants if now - instant < live]
