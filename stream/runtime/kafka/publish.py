"""Puts changes, memberships and dead letters where the world reads them.

A change goes to two topics: `changes` (key: the user) and `members` (key: the membership, compacted, so that its last
change remains). Both copies of a user go to the partition that the user hashes to as any producer would hash them, so
the order of a user's changes and of a membership's is kept. Where the topic has as many partitions as the input, that
is the input's own partition number: the topics are co-partitioned.

Records go in batches (`batches`; `send()` takes 10 µs a record) by an idempotent producer of its own, so that outputs
never queue behind the changelog and a retry never doubles or reorders them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from stream.config import TopicSettings
from stream.errors import OperatorError
from stream.ingest import DeadLetter
from stream.runtime.kafka.batches import Outgoing, RecordBatch, encode_headers
from stream.runtime.kafka.changelog import Pending
from stream.runtime.kafka.together import together
from stream.runtime.kafka.waypoints import Passing, Waypoint, nobody

MAX_BATCH_BYTES = 900_000
"""Below the default `max.message.bytes` of a topic (1 MiB)."""


class PublishError(OperatorError):
    """Changes, memberships or dead letters that Kafka did not take."""


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
        now = int(time.time() * 1000)
        counts = await self._partitions(self._topics.changes), await self._partitions(self._topics.members)
        for partition, pending in by_partition:
            for change in pending:
                to = [self._place(change.user, partition, count) for count in counts]
                changes.setdefault(to[0], []).append(Outgoing(now, change.user, change.value, change.headers))
                member = Outgoing(now, change.member, None if change.forget else change.value, change.headers)
                members.setdefault(to[1], []).append(member)
        await together(
            self._tell(topic, to, records)
            for topic, outgoing in ((self._topics.changes, changes), (self._topics.members, members))
            for to, records in outgoing.items()
        )

    async def dead_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Publishes records that could not be read: their bytes and key, and why and where from as headers."""
        count = await self._partitions(self._topics.dead_letters)
        now = int(time.time() * 1000)
        by_partition: dict[int, list[Outgoing]] = {}
        for letter in letters:
            kept = letter.bounded()
            to = letter.coordinates["partition"] % count
            headers = encode_headers(kept.to_headers())
            by_partition.setdefault(to, []).append(Outgoing(now, kept.key, kept.raw, headers))
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
        for acknowledgement in await send_records(self._producer, topic, partition, records):
            metadata: Any = await acknowledgement
            if metadata is None or metadata.offset < 0:
                raise PublishError(f"{topic}-{partition}: the broker did not say where changes were written")


async def send_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Iterable[Outgoing]
) -> list[asyncio.Future[Any]]:
    """Hands records to a producer, in batches: the acknowledgement of each, to wait for."""
    acknowledgements: list[asyncio.Future[Any]] = []
    batch = RecordBatch(MAX_BATCH_BYTES)

    async def send() -> None:
        acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))

    for record in records:
        if not batch.add(*record):
            await send()
            batch = RecordBatch(MAX_BATCH_BYTES)
            batch.add(*record)
    await send()
    return acknowledgements
