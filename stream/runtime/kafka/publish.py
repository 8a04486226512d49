"""Puts changes, memberships and dead letters where the world reads them.

A change goes to two topics: `changes` (key: the user) and `members` (key: the membership, compacted, so that its last
change remains). Both copies of a user go to the partition that the user hashes to as any producer would hash them, so
the order of a user's changes and of a membership's is kept. Where the topic has as many partitions as the input, that
is the input's own partition number: the topics are co-partitioned.

Records are packed into batches here (1 µs a record against 10 µs for `send()`) by an idempotent producer of its own, so
that outputs never queue behind the changelog and a retry never doubles or reorders them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from stream.config import TopicSettings
from stream.errors import OperatorError
from stream.ingest import DeadLetter
from stream.runtime.kafka.changelog import Headers, Pending
from stream.runtime.kafka.together import together
from stream.runtime.kafka.waypoints import Passing, Waypoint, nobody

MAX_BATCH_BYTES = 900_000
"""Below the default `max.message.bytes` of a topic (1 MiB)."""


class PublishError(OperatorError):
    """Changes, memberships or dead letters that Kafka did not take."""


class Outgoing(NamedTuple):
    """A record on its way out."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Publisher:
    """The outputs of a worker."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topics: TopicSettings,
        source_partitions: int,
        passing: Passing = nobody,
    ) -> None:
        self._producer = producer
        self._topics = topics
        self._source_partitions = source_partitions
        self._passing = passing

    async def changes(self, by_partition: Iterable[tuple[int, list[Pending]]]) -> None:
        """Publishes changes of input partitions, in order; returns when all are acknowledged."""
        changes: dict[int, list[Outgoing]] = {}
        members: dict[int, list[Outgoing]] = {}
        counts = await self._partitions(self._topics.changes), await self._partitions(self._topics.members)
        for partition, pending in by_partition:
            for change in pending:
                to = [self._place(change.user, partition, count) for count in counts]
                changes.setdefault(to[0], []).append(Outgoing(change.user, change.value, change.headers))
                member = Outgoing(change.member, None if change.forget else change.value, change.headers)
                members.setdefault(to[1], []).append(member)
        await together(
            self._tell(topic, to, records)
            for topic, outgoing in ((self._topics.changes, changes), (self._topics.members, members))
            for to, records in outgoing.items()
        )

    async def dead_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Publishes records that could not be read: their bytes and key, and why and where from as headers."""
        count = await self._partitions(self._topics.dead_letters)
        by_partition: dict[int, list[Outgoing]] = {}
        for letter in letters:
            kept = letter.bounded()
            to = letter.coordinates["partition"] % count
            by_partition.setdefault(to, []).append(Outgoing(kept.key, kept.raw, kept.to_headers()))
        await together(
            self._send(self._topics.dead_letters, to, records) for to, records in by_partition.items()
        )

    async def _tell(self, topic: str, partition: int, records: list[Outgoing]) -> None:
        await self._send(topic, partition, records)
        await self._passing(Waypoint.PARTLY_PUBLISHED)

    def _place(self, user: bytes, partition: int, count: int) -> int:
        if count == self._source_partitions:
            return partition
        hashed: int = murmur2(user)
        return (hashed & 0x7FFFFFFF) % count

    async def _partitions(self, topic: str) -> int:
        return len(await self._producer.partitions_for(topic))

    async def _send(self, topic: str, partition: int, records: list[Outgoing]) -> None:
        producer = self._producer
        now = int(time.time() * 1000)
        acknowledgements = []
        builder: Any = producer.create_batch()
        for record in records:
            if (
                builder.append(timestamp=now, key=record.key, value=record.value, headers=record.headers)
                is None
            ):
                builder.close()
                acknowledgements.append(await producer.send_batch(builder, topic, partition=partition))
                builder = producer.create_batch()
                builder.append(timestamp=now, key=record.key, value=record.value, headers=record.headers)
        builder.close()
        acknowledgements.append(await producer.send_batch(builder, topic, partition=partition))
        for acknowledgement in acknowledgements:
            metadata: Any = await acknowledgement
            if metadata is None or metadata.offset < 0:
                raise PublishError(f"{topic}-{partition}: the broker did not say where changes were written")
