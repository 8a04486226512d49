"""The ingest stage: topics of other shapes → canonical events, keyed by user, in the events topic.

    source topic ─ batch ─▶ mapping ─▶ events topic (key: the user), dead letters ─▶ acknowledged ─▶ group offset

A source's records lie in any partition under any key, but a user's events must lie in one partition: so they are
written once more. Each keeps the record time of its source as its Kafka timestamp (a topic with LogAppendTime puts its
own in that place, as for every producer) and carries where it comes from in headers: `source_topic`,
`source_partition`, `source_offset` and `source_timestamp`.

Here the group's committed offsets are what counts, unlike for the engine's input: a position is committed after all
that came before it was acknowledged. A crash in between makes some records come twice, with the same ids, and the
engine drops them as repeats. Order is kept: of a source partition one batch is under way at a time.

While Kafka takes no events, a batch is tried again and nothing more is taken; what waits shows as lag.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from itertools import chain, repeat
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from stream.config import Settings
from stream.errors import OperatorError, RecordError
from stream.events import CLOCK_ADVANCED
from stream.ingest import DeadLetter, Ingest, load_mapping
from stream.metrics import Metrics
from stream.replay.partitioner import partition_of
from stream.runtime.kafka.batches import Outgoing, encode_headers
from stream.runtime.kafka.connection import aiokafka_options
from stream.runtime.kafka.producers import abandon_producer, start_producer
from stream.runtime.kafka.publish import MAX_BATCH_BYTES, Publisher, PublishError, send_records
from stream.runtime.kafka.raw import Fetched, RawRecord, SeenEnd

log = logging.getLogger(__name__)

_SLICE = 500
"""Records mapped at once: the event loop waits no longer than for these."""
_PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds between tries while Kafka does not take events."""
_DRAIN_SECONDS = 15.0
_GAUGE_SECONDS = 1.0


class _Done:
    """How far a source partition is through."""

    __slots__ = ("caught_up", "newest", "next")

    def __init__(self, next_: int) -> None:
        self.next = next_
        self.newest = 0
        """Kafka's timestamp of the last record that is through, epoch ms."""
        self.caught_up = 0
        """When nothing waited, the last time, epoch ms."""


class SourceStage:
    """One process's share of the source topics. DefinitionError if a mapping does not hold."""

    def __init__(self, settings: Settings, metrics: Metrics, group: str) -> None:
        self.topics = tuple(settings.sources)
        self.positions: dict[TP, int] = {}
        """Where each assigned partition goes on."""
        self.ends: Mapping[Any, SeenEnd] = {}
        """What fetches told of the ends of partitions."""
        self._settings = settings
        self._metrics = metrics
        metrics.prepare_sources(self.topics)
        self._done: dict[TP, _Done] = {}
        self._telling: asyncio.Task[None] | None = None
        self._group = group
        self._options = aiokafka_options(settings)
        self._ingests = {
            topic: Ingest(load_mapping(mapping), max_event_bytes=settings.max_event_bytes)
            for topic, mapping in settings.sources.items()
        }
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0
        self.running = False
        self._taking = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Connects the producer and looks at the topics; OperatorError if something is missing."""
        try:
            self._producer = await start_producer(self._options, MAX_BATCH_BYTES)
        except KafkaError as error:
            where = self._settings.kafka.brokers
            raise OperatorError(f"Kafka at {where} cannot be reached: {error}") from error
        cluster: Any = await self._producer.client.fetch_all_metadata()
        names = (*self.topics, self._settings.topics.events, self._settings.topics.dead_letters)
        missing = [name for name in names if not cluster.partitions_for_topic(name)]
        if missing:
            raise OperatorError(
                f"topics are missing: {', '.join(missing)}. Create them with `segstream topics --create`"
            )
        self._partitions = len(cluster.partitions_for_topic(self._settings.topics.events))
        self._telling = asyncio.create_task(self._tell())

    async def stop(self) -> None:
        """Waits for what is under way."""
        await self.pause()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def assign(self, partitions: Iterable[TP], ends: Mapping[Any, SeenEnd]) -> None:
        """These partitions are ours until the next pause: from the committed offsets, else from the beginning.

        `ends` is kept up to date by whoever fetches.
        """
        self.ends = ends
        wanted = {
            tp: TopicPartition(tp.topic, tp.partition) for tp in partitions if tp.topic in self._ingests
        }
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            try:
                self.positions = await self._committed(wanted)
            except KafkaError as error:
                log.warning("positions could not be asked for, again in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)
            else:
                break
        self._done = {tp: _Done(at) for tp, at in self.positions.items()}
        log.info(
            "sources: they go on at %s",
            {f"{tp.topic}-{tp.partition}": at for tp, at in self.positions.items()},
        )
        self.running = True

    async def _committed(self, wanted: Mapping[TP, TopicPartition]) -> dict[TP, int]:
        consumer = AIOKafkaConsumer(**self._options, group_id=self._group, enable_auto_commit=False)
        try:
            await consumer.start()
            begins = await consumer.beginning_offsets(list(wanted.values()))
            return {tp: max(await consumer.committed(at) or 0, begins[at]) for tp, at in wanted.items()}
        finally:
            await consumer.stop()

    async def pause(self) -> None:
        """Takes nothing more, and waits a while until what was taken is acknowledged; what is not comes again."""
        self.running = False
        self._done = {}
        self._metrics.forget_sources()
        try:
            await asyncio.wait_for(self._idle.wait(), _DRAIN_SECONDS)
        except TimeoutError:
            log.warning("not everything that was taken is acknowledged: it comes again")

    async def take(self, event: Any, topic: str, partition: int, batch: Fetched) -> None:
        """A batch from Faust: its events are in the events topic when this returns, or it was not acknowledged."""
        if not self.running:
            return  # it comes again from the committed offset
        self._taking += 1
        self._idle.clear()
        try:
            rows: dict[int, list[Outgoing]] = {}
            letters: list[DeadLetter] = []
            taken = fruitful = 0
            newest: int | None = None
            while records := batch.take(_SLICE):
                taken += len(records)
                newest = records[-1].timestamp
                fruitful += self._map(topic, partition, records, rows, letters)
                await asyncio.sleep(0)
            if not await self._deliver(rows, letters):
                return
            metrics = self._metrics
            metrics.consumed.labels(topic).inc(taken)
            metrics.source_events.labels(topic).inc(sum(map(len, rows.values())))
            metrics.source_dropped.labels(topic).inc(taken - fruitful - len(letters))
            for letter in letters:
                metrics.dead_lettered.labels(letter.reason).inc()
            done = self._done.get(TP(topic, partition))
            if done is not None:
                done.next = batch.next_offset
                done.newest = done.newest if newest is None else newest
            event.ack()
        finally:
            self._taking -= 1
            if not self._taking:
                self._idle.set()

    def _map(
        self,
        topic: str,
        partition: int,
        records: Iterable[RawRecord],
        rows: dict[int, list[Outgoing]],
        letters: list[DeadLetter],
    ) -> int:
        """Adds what records become. Returns how many became events."""
        ingest = self._ingests[topic]
        fruitful = 0
        for record in records:
            try:
                made = ingest.canonical(record.value, record_time=record.timestamp, origin=record)
            except RecordError as error:
                place = {"topic": topic, "partition": partition, "offset": record.offset}
                letters.append(
                    DeadLetter.of(
                        error,
                        record.value or b"",
                        record.key,
                        record.headers,
                        **place,
                        timestamp=record.timestamp,
                    )
                )
                continue
            fruitful += bool(made)
            headers = encode_headers(
                [
                    ("source_topic", topic.encode()),
                    ("source_partition", b"%d" % partition),
                    ("source_offset", b"%d" % record.offset),
                    ("source_timestamp", b"%d" % record.timestamp),
                ]
            )
            for event, value in made:
                if event.type == CLOCK_ADVANCED:  # it speaks of the source, not of a user
                    for every in range(self._partitions):
                        rows.setdefault(every, []).append(Outgoing(record.timestamp, None, value, headers))
                else:
                    key = event.user.encode("utf-8", "replace")
                    to = partition_of(key, self._partitions)
                    rows.setdefault(to, []).append(Outgoing(record.timestamp, key, value, headers))
        return fruitful

    async def _tell(self) -> None:
        while True:
            self.set_gauges(time.time())
            await asyncio.sleep(_GAUGE_SECONDS)

    def set_gauges(self, now: float) -> None:
        """Lag in records and in time, of the partitions whose ends are known; `now` is a Unix time."""
        for tp, done in self._done.items():
            seen = self.ends.get(tp)
            if seen is None:
                continue
            lag = max(0, seen.end - done.next)
            if lag == 0:
                done.caught_up = seen.instant
            self._metrics.source_lag.labels(*tp).set(lag)
            # What waits came after the newest record that is through, and after everything last was.
            since = max(done.caught_up, done.newest)
            if lag == 0 or since:
                waits = max(0.0, now - since / 1000) if lag else 0.0
                self._metrics.source_lag_seconds.labels(*tp).set(waits)

    async def _deliver(self, rows: Mapping[int, list[Outgoing]], letters: list[DeadLetter]) -> bool:
        """Until Kafka has acknowledged all, or the stage is paused. What arrived of a failed try comes twice."""
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            producer = self._producer
            try:
                if producer is None:
                    producer = self._producer = await start_producer(self._options, MAX_BATCH_BYTES)
                if letters:
                    await Publisher(producer, self._settings.topics, self._partitions).dead_letters(letters)
                await asyncio.gather(*(self._send(producer, to, each) for to, each in rows.items()))
                return True
            except (KafkaError, PublishError) as error:
                log.warning("events could not be written, again in %.1f s: %r", pause, error)
                self._metrics.source_retries.inc()
                if producer is not None:  # its batches have an outcome that nobody knows: none is sent again
                    self._producer = None
                    await abandon_producer(producer)
                await asyncio.sleep(pause)
            if not self.running:
                break
        return False

    async def _send(self, producer: AIOKafkaProducer, partition: int, rows: list[Outgoing]) -> None:
        topic = self._settings.topics.events
        for acknowledgement in await send_records(producer, topic, partition, rows):
            await acknowledgement
