"""Raw records out of aiokafka, and when a partition was last seen to its end.

This is the one place that reaches into aiokafka's private parts; tests/kafka/test_raw.py fails when the pinned release
moves, so that somebody looks here again. Three things are taken that the public API does not give:

* **The parser's own records.** aiokafka wraps each record of its C parser into a `ConsumerRecord`, which cost 16 % of a
  worker's time, and walks over them one by one in two more loops, another 8 %. A raw record has `offset`, `timestamp`,
  `key`, `value` and `headers`, which is all that is needed, and a record batch gives them one after the other. Which
  batches count (checksums, control batches, aborted transactions) is asked for each batch here, of aiokafka's own
  answers, and so is whether it can be decompressed; its records are unpacked where they are stepped.

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
import sys
import time
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable
from itertools import chain, islice
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.errors import CorruptRecordException, NoOffsetForPartitionError

_OFFSET = attrgetter("offset")


class RawRecord(Protocol):
    """A record as aiokafka's parser makes it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Fetched:
    """Consecutive records of one partition: all there are from `start` up to, not including, `next_offset`.

    They lie there as the broker sent them until they are taken, a few at a time: what was unpacked a moment ago is
    still in the processor's cache, and takes the memory of the few before it.
    """

    __slots__ = ("_records", "next_offset", "start")

    def __init__(self, pieces: Iterable[Iterable[RawRecord]], start: int, next_offset: int) -> None:
        self._records = chain.from_iterable(pieces)
        self.start = start
        self.next_offset = next_offset

    def __len__(self) -> int:
        """How many offsets that is, no fewer than there are records; some were passed, were it only markers and
        aborted records of transactions."""
        return self.next_offset - self.start

    def take(self, most: int) -> list[RawRecord]:
        """The next records; fewer than `most` when there are no more."""
        return list(islice(self._records, most))

    def clear(self) -> None:
        """Forgets what was not taken, and the bytes that it was to be unpacked from."""
        self._records = chain()


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

    def __call__(self, max_records: int | None = None) -> Fetched:
        result, partition = self._result, self._result._topic_partition
        if not (result._assignment.active and result.check_assignment(partition) and result.has_more()):
            return Fetched((), 0, 0)
        state, parts = result._assignment.state_value(partition), result._partition_records
        start = position = state.position
        end = sys.maxsize if max_records is None else start + max_records
        pieces: list[Iterable[RawRecord]] = []
        while position < end:
            piece: Iterable[RawRecord] | None
            if self._rest:
                piece, after, self._rest = self._rest, self._after_rest, []
            else:
                piece, after = _next_piece(parts, position), parts.next_fetch_offset
            if piece is None:
                result._partition_records = None
                position = after
                break
            if after > end:
                records = list(piece)
                at = bisect_left(records, end, key=_OFFSET)
                piece, self._rest, self._after_rest, after = records[:at], records[at:], after, end
            pieces.append(piece)
            position = after
        parts.next_fetch_offset = position
        state.consumed_to(position)
        fetched = Fetched(pieces, start, position)
        self._shelf.taken[partition] += len(fetched)
        return fetched


def _next_piece(parts: Any, position: int) -> Iterable[RawRecord] | None:
    """The next batch with records for us, and moves past it; None at the end of the fetch.

    Does for a batch what aiokafka's `PartitionRecords` does for each record: for a live one, which holds one or two,
    even that was a sixth of what fetching cost. Its records are unpacked when somebody takes them.
    """
    batches = parts._records
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {parts._tp}")
        parts.next_fetch_offset = batch.next_offset
        if batch.is_control_batch:
            _end_transaction(parts, batch)
        elif not _is_aborted(parts, batch):
            records: Iterable[RawRecord] = iter(batch)  # decompresses it, which may fail
            if batch.base_offset < position:  # it was fetched whole
                return [record for record in records if record.offset >= position]
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
