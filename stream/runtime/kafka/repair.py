"""Undoes what a writer that was replaced has left in the changelog.

A worker that sleeps through its replacement may wake up with a batch on its way. Kafka appends it: it knows nothing of
our epochs. Readers skip it, for its epoch is below one before it. Compaction does not: for it the newest record of a
key is the key's value. So whoever owns the partition writes its own value (or tombstone) again for every key of such a
batch, with a marker, long before compaction may look (`min.compaction.lag.ms`).

The owner meets such a batch when its own next one lands further than expected, and at the latest a quarter of the
compaction lag later, because it writes a marker that often even if nothing happens. Who restores a partition finds it
while reading.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.runtime.kafka.changelog import (
    MAX_BATCH_BYTES,
    Anchor,
    Changelog,
    Marker,
    SupersededError,
    epoch_of,
)
from stream.runtime.kafka.raw import RawRecord, deliver_raw_records
from stream.runtime.kafka.waypoints import Passing, Waypoint, nobody
from stream.state import USER

log = logging.getLogger(__name__)

Values = Callable[[list[str]], list[bytes | None]]
"""What the owner says of users."""


class Repairer:
    """Repairs partitions of one changelog topic."""

    def __init__(self, options: dict[str, Any], topic: str, passing: Passing = nobody) -> None:
        self._options = options
        self._topic = topic
        self._passing = passing

    async def repair(self, changelog: Changelog, marker: Marker, values: Values) -> Anchor | None:
        """After an append: undoes what stood where it should have landed. SupersededError if that was a newer owner's.

        `marker` is that append's, `values` what holds after it. None if nothing was in the way.
        """
        anchor = None
        while changelog.foreign:
            foreign = changelog.foreign
            records = await self._read(changelog.partition, foreign)
            epoch = max((epoch_of(record.headers) for record in records), default=0)
            if epoch > changelog.epoch:
                raise SupersededError(
                    f"{self._topic}-{changelog.partition} was taken by another worker (epoch {epoch}, here "
                    f"{changelog.epoch}). This worker stops; start it again"
                )
            log.warning(
                "%s-%d: offsets %d to %d were written by a worker that was replaced; what they overwrote is written "
                "again",
                self._topic,
                changelog.partition,
                foreign.start,
                foreign.stop - 1,
            )
            await self._passing(Waypoint.FOREIGN)
            changelog.foreign = range(0)
            anchor = await self.write_again(changelog, marker, users_of(records), values)
        return anchor

    async def write_again(
        self, changelog: Changelog, marker: Marker | None, users: Iterable[str], values: Values
    ) -> Anchor | None:
        """The owner's values of `users`, and its marker."""
        anchor = None
        names = sorted(users)
        for profiles in _cut(names, values(names)):
            anchor = await changelog.append_marker(profiles, marker)
        await self._passing(Waypoint.REPAIRED)
        return anchor

    async def _read(self, partition: int, offsets: range) -> list[RawRecord]:
        """What the log holds at `offsets`; some may be gone already."""
        tp = TopicPartition(self._topic, partition)
        consumer = AIOKafkaConsumer(**self._options, enable_auto_commit=False, auto_offset_reset="none")
        await consumer.start()
        try:
            deliver_raw_records(consumer)
            consumer.assign([tp])
            consumer.seek(tp, offsets.start)
            records: list[RawRecord] = []
            while await consumer.position(tp) < offsets.stop:
                for fetched in (await consumer.getmany(tp, timeout_ms=1000)).values():
                    taken = fetched.take(len(fetched))
                    records += [record for record in taken if record.offset < offsets.stop]
            return records
        finally:
            await consumer.stop()


def users_of(records: Iterable[RawRecord]) -> set[str]:
    """The users whose profiles are among `records`."""
    skip = len(USER)
    return {record.key[skip:].decode() for record in records if record.key and record.key.startswith(USER)}


def _cut(users: list[str], values: list[bytes | None]) -> Iterable[Mapping[str, bytes | None]]:
    """As many at once as a batch surely holds; at least one, empty, for the marker's sake."""
    part: dict[str, bytes | None] = {}
    size = 0
    for user, value in zip(users, values, strict=True):
        part[user] = value
        size += 64 + len(user) * 4 + len(value or b"")
        if size > MAX_BATCH_BYTES // 4:
            yield part
            part, size = {}, 0
    if part or not users:
        yield part
