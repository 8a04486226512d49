"""Raw records out of aiokafka, and when a partition was last seen to its end.

This is the one place that reaches into aiokafka's private parts; tests/kafka/test_raw.py fails when the pinned release
moves, so that somebody looks here again. Three things are taken that the public API does not give:

* **The parser's own records.** aiokafka wraps each record of its C parser into a `ConsumerRecord`, which cost 16 % of a
  worker's time, and walks over them one by one in two more loops, another 8 %. A raw record has `offset`, `timestamp`,
  `key`, `value` and `headers`, which is all that is needed, and a record batch gives them all at once. Which batches
  count (checksums, control batches, aborted transactions) is asked for each batch here, of aiokafka's own answers.

* **Where a batch begins and ends.** Offsets of a log have gaps (transaction markers, compaction), so records alone do
  not show whether something between two batches was lost. The positions before and after a fetch do.

* **When a partition's end was known.** A fetch answered at some moment says what the partition held at that moment.
  The worker lets the wall clock move time only as far as it knows that nothing came, so it needs an instant at which
  the log surely held no more than it has read. The moment of *sending* the request is one: the broker answered later.
  (The moment of receiving is none: a process that was stopped for a minute in between would believe a minute of
  silence that it never saw.)
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.errors import CorruptRecordException, NoOffsetForPartitionError


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

    def __bool__(self) -> bool:
        """Something was passed, were it only markers and aborted records of transactions."""
        return self.next_offset > self.start


class SeenEnd(NamedTuple):
    """At `instant` (epoch ms, wall clock of this machine) or later the partition ended at offset `end`."""

    instant: int
    end: int


class _RawResults(OrderedDict[TopicPartition, Any]):
    """The fetcher's shelf of results; what is put on it hands out raw records."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: Counter[tuple[str, int]] = Counter()
        """Records taken off it, by partition, until somebody takes them out of here."""

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult:
            self.make_raw(result)
        super().__setitem__(partition, result)

    def make_raw(self, result: Any) -> None:
        """Makes it hand out raw records, if it does not yet."""
        if not isinstance(result.getall, _RawRecords):
            result.getall = _RawRecords(result, self)


class _RawRecords:
    """`FetchResult.getall`, by the record batch. What is left of one when enough was given waits for the next call."""

    def __init__(self, result: Any, shelf: _RawResults) -> None:
        self._result = result
        self._shelf = shelf
        self._rest: list[RawRecord] = []
        self._after_rest = 0
        """Where the batch that was cut ends."""

    def __call__(self, max_records: int | None = None) -> list[RawRecord]:
        result, partition = self._result, self._result._topic_partition
        if not (result._assignment.active and result.check_assignment(partition) and result.has_more()):
            return []
        state, parts = result._assignment.state_value(partition), result._partition_records
        start = state.position
        if self._rest:
            parts.next_fetch_offset = self._after_rest
        fetched, self._rest = Fetched(self._rest), []
        while max_records is None or len(fetched) < max_records:
            records = _next_records(parts)
            if records is None:
                result._partition_records = None
                break
            fetched += records
        else:
            self._rest = fetched[max_records:]
            if self._rest:
                del fetched[max_records:]
                self._after_rest = parts.next_fetch_offset
                parts.next_fetch_offset = fetched[-1].offset + 1
        state.consumed_to(parts.next_fetch_offset)
        fetched.start, fetched.next_offset = start, state.position
        self._shelf.taken[partition] += len(fetched)
        return fetched


def _next_records(parts: Any) -> list[RawRecord] | None:
    """The records of the next batch that holds any for us, and moves past it; None at the end of the fetch.

    Does for a batch what aiokafka's `PartitionRecords` does for each record: for a live one, which holds one or two,
    even that was a sixth of what fetching cost.
    """
    batches = parts._records
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {parts._tp}")
        records: list[RawRecord] = []
        if not (batch.is_control_batch or _is_aborted(parts, batch)):
            records = list(batch)
            if records and records[0].offset < parts.next_fetch_offset:  # a batch is fetched whole
                records = [record for record in records if record.offset >= parts.next_fetch_offset]
        elif batch.is_control_batch:
            _end_transaction(parts, batch)
        parts.next_fetch_offset = batch.next_offset
        if records:
            return records
    return None


def _is_aborted(parts: Any, batch: Any) -> bool:
    """Whether it belongs to a transaction that was given up; its end is told by a marker."""
    if not batch.is_transactional:
        return False
    parts._consume_aborted_up_to(batch.base_offset)
    return batch.producer_id in parts._aborted_producers


def _end_transaction(parts: Any, batch: Any) -> None:
    """What the producer of an abort marker writes from here on counts again."""
    parts._consume_aborted_up_to(batch.base_offset)
    if parts._contains_abort_marker(batch):
        parts._aborted_producers.discard(batch.producer_id)


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


def rest_after_few(consumer: AIOKafkaConsumer, records: int, seconds: float) -> None:
    """Makes a started consumer fetch no sooner than `seconds` after its last fetch if fewer than `records` were taken.

    A fetch, a step and its acknowledgements cost the same for one record and for a hundred. The rest must come before
    the fetch: a record that comes meanwhile waits at the broker for half of it, on average, and is then taken at once;
    what was fetched before resting would wait for all of it. It is counted from the request before, so that a machine
    which is slow, or busy, does not rest on top of that.
    """
    fetcher = consumer._fetcher
    proceed = fetcher._proc_fetch_request
    sent: dict[int, float] = {}

    async def rest_and_proceed(assignment: Any, node: int, request: Any) -> bool:
        # Of this node's partitions only: others' fetches rest by themselves.
        forget = fetcher._records.taken.pop
        asked = [(topic, partition) for topic, partitions in request.topics for partition, *_ in partitions]
        taken = sum([forget(partition, 0) for partition in asked])
        if 0 < taken < records:
            left = sent.get(node, 0.0) + seconds - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
        sent[node] = time.monotonic()
        wake: bool = await proceed(assignment, node, request)
        return wake

    fetcher._proc_fetch_request = rest_and_proceed


def seek(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    """Moves to `offsets`, and forgets that there may have been no committed ones: those are never asked for."""
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)
        result = consumer._fetcher._records.get(partition)
        if type(result) is FetchError and isinstance(result._error, NoOffsetForPartitionError):
            del consumer._fetcher._records[partition]
