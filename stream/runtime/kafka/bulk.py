"""Record batches out of aiokafka, for who reads a log of millions of records and wants keys and values.

Like `raw`, this reaches into aiokafka's private parts, and tests/kafka/test_raw.py fails when the pinned release moves.
A fetch's result is asked for its batches, not yet parsed, instead of its records one by one. Whoever takes them parses
one at a time, in C, and lets go of it: millions of records that live together keep Python's collector busy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException

from stream.runtime.kafka.raw import RawRecord


class Batch(Protocol):
    """Records that one producer appended at once, less those that compaction has removed; can be gone through once.

    Kafka fetches batches whole: the first may begin before the position that was asked for.
    """

    @property
    def base_offset(self) -> int:
        """No record of the batch is before it."""

    def __iter__(self) -> Iterator[RawRecord]: ...


class _BatchResults(OrderedDict[TopicPartition, Any]):
    """The fetcher's shelf of results; what is put on it hands out batches."""

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult:
            result.getall = partial(_take, result)
        super().__setitem__(partition, result)


def deliver_batches(consumer: AIOKafkaConsumer) -> None:
    """Makes a started consumer give lists of `Batch` from `getmany`."""
    consumer._fetcher._records = _BatchResults()


def _take(result: Any, _max_records: int | None = None) -> list[Batch]:
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    fetched = result._partition_records
    records = fetched._records
    batches: list[Batch] = []
    while records.has_next():
        batch = records.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {result._topic_partition}")
        if not batch.is_control_batch:
            batches.append(batch)
        fetched.next_fetch_offset = batch.next_offset
    result._update_position()
    result._partition_records = None
    fetched._records_iterator = (
        None  # refers to what it belongs to: all that was fetched would wait for the collector
    )
    return batches
