"""Raw records out of aiokafka, and when a partition was last seen to its end.

This is the one place that reaches into aiokafka's private parts; tests/kafka/test_raw.py fails when the pinned release
moves, so that somebody looks here again. Three things are taken that the public API does not give:

* **The parser's own records.** aiokafka wraps each record of its C parser into a `ConsumerRecord`, which cost 16 % of a
  worker's time. A raw record has `offset`, `timestamp`, `key`, `value` and `headers`, which is all that is needed.

* **Where a batch begins and ends.** Offsets of a log have gaps (transaction markers, compaction), so records alone do
  not show whether something between two batches was lost. The positions before and after a fetch do.

* **When a partition's end was known.** A fetch answered at some moment says what the partition held at that moment.
  The worker lets the wall clock move time only as far as it knows that nothing came, so it needs an instant at which
  the log surely held no more than it has read. The moment of *sending* the request is one: the broker answered later.
  (The moment of receiving is none: a process that was stopped for a minute in between would believe a minute of
  silence that it never saw.)
"""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import partial
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.errors import NoOffsetForPartitionError


class RawRecord(Protocol):
    """A record as aiokafka's parser makes it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Fetched(list[RawRecord]):
    """Consecutive records of one partition: all there are from `start` up to, not including, `next_offset`."""

    start: int
    next_offset: int


class SeenEnd(NamedTuple):
    """At `instant` (epoch ms, wall clock of this machine) or later the partition ended at offset `end`."""

    instant: int
    end: int


class _RawResults(OrderedDict[TopicPartition, Any]):
    """The fetcher's shelf of results; what is put on it hands out raw records."""

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult:
            result._partition_records._consumer_record = _as_is
            result.getall = partial(_take, result)
        super().__setitem__(partition, result)


def _as_is(_partition: TopicPartition, record: RawRecord) -> RawRecord:
    return record


def _take(result: Any, max_records: int | None = None) -> list[RawRecord]:
    if not result._assignment.active:
        return []
    state = result._assignment.state_value(result._topic_partition)
    start = state.position
    fetched = Fetched(FetchResult.getall(result, max_records))
    fetched.start, fetched.next_offset = start, state.position
    return fetched


def deliver_raw_records(consumer: AIOKafkaConsumer) -> None:
    """Makes a started consumer give `Fetched` raw records from `getmany` and from its fetcher."""
    consumer._fetcher._records = _RawResults()


def watch_ends(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, SeenEnd]) -> None:
    """Makes a started consumer note in `ends` what each answered fetch says about the end of its partitions."""
    fetcher = consumer._fetcher
    proceed = fetcher._proc_fetch_request

    async def proceed_and_note(assignment: Any, node: int, request: Any) -> bool:
        sent = int(time.time() * 1000)
        before = {tp: assignment.state_value(tp).timestamp for tp in assignment.tps}
        wake: bool = await proceed(assignment, node, request)
        if assignment.active:
            for topic, partitions in request.topics:
                for partition, *_ in partitions:
                    tp = TopicPartition(topic, partition)
                    state = assignment.state_value(tp)
                    if state.timestamp != before[tp]:
                        ends[tp] = SeenEnd(sent, state.highwater)
        return wake

    fetcher._proc_fetch_request = proceed_and_note


def seek(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    """Moves to `offsets`, and forgets that there may have been no committed ones: those are never asked for."""
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)
        result = consumer._fetcher._records.get(partition)
        if type(result) is FetchError and isinstance(result._error, NoOffsetForPartitionError):
            del consumer._fetcher._records[partition]
