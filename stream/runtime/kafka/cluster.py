"""What a worker asks Kafka about its topics before it reads or writes any."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

USUAL_LAG_SECONDS = 3_600.0
"""`min.compaction.lag.ms` of a changelog as `segstream topics` makes it."""


class Bounds(NamedTuple):
    """The offsets that a partition of the input holds, and what the group has committed of it."""

    begin: int
    end: int
    committed: int | None


class Cluster:
    """The topics of one deployment. All questions raise KafkaError while nobody answers."""

    def __init__(self, options: dict[str, Any], settings: Settings, state_topic: str) -> None:
        self._options = options
        self._topics = settings.topics
        self._group = settings.app
        self._state_topic = state_topic

    async def check_topics(self, producer: AIOKafkaProducer) -> int:
        """Partitions of the input, once all topics are there; OperatorError if they are not as they must be."""
        cluster: Any = await producer.client.fetch_all_metadata()
        topics = self._topics
        names = [topics.events, topics.changes, topics.members, topics.dead_letters, self._state_topic]
        missing = [name for name in names if not cluster.partitions_for_topic(name)]
        if missing:
            raise OperatorError(
                f"topics are missing, or may not be seen by this user: {', '.join(missing)}. Create them with "
                "`segstream topics --create`, and see docs/security.md for permissions"
            )
        count = len(cluster.partitions_for_topic(topics.events))
        logged = len(cluster.partitions_for_topic(self._state_topic))
        if logged != count:
            raise OperatorError(
                f"{self._state_topic} has {logged} partitions and {topics.events} has {count}: they must be the same. "
                "Start over under another `app` name, or restore the topic"
            )
        return count

    async def input_bounds(self, numbers: Iterable[int]) -> dict[int, Bounds]:
        """Of each partition of the events topic."""
        tps = [TopicPartition(self._topics.events, number) for number in numbers]
        async with self._consumer(group_id=self._group) as consumer:
            consumer.assign(tps)
            begins = await consumer.beginning_offsets(tps)
            ends = await consumer.end_offsets(tps)
            return {tp.partition: Bounds(begins[tp], ends[tp], await consumer.committed(tp)) for tp in tps}

    async def log_ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """Where the changelog of each partition ends."""
        tps = [TopicPartition(self._state_topic, number) for number in numbers]
        async with self._consumer() as consumer:
            ends = await consumer.end_offsets(tps)
        return {tp.partition: ends[tp] for tp in tps}

    async def compaction_lag(self) -> float:
        """Seconds for which the changelog's records are surely kept as they were written."""
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
            resource = ConfigResource(ConfigResourceType.TOPIC, self._state_topic)
            (response,) = await admin.describe_configs([resource])
            entries = response.resources[0][4]
            (lag,) = [int(entry[1]) for entry in entries if entry[0] == "min.compaction.lag.ms"]
            return lag / 1000
        except (KafkaError, ValueError) as error:  # a worker need not be allowed to look at topics
            log.info("min.compaction.lag.ms of %s is not known: %r", self._state_topic, error)
            return USUAL_LAG_SECONDS
        finally:
            await admin.close()

    @asynccontextmanager
    async def _consumer(self, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(**self._options, enable_auto_commit=False, **options)
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()
