"""Fetching a few records at a time, at a fraction of what it costs aiokafka.

At a low rate it is the fetch that costs, not its records: in aiokafka thirteen turns of the event loop, a request and
an answer described field by field, and tasks that wake each other. Here a task that aiokafka started for one fetch goes
on fetching: it rests, asks, and gives what came to who works (`Handover`), four turns of the loop in all.

It does so for as long as nothing happens but records. Whatever else comes, it ends, and aiokafka's own fetch is the
next: an assignment that changes, partitions that are paused, resumed or led by another broker, errors of brokers and of
connections, transactions that were given up, more records than there is room for. An answer that is not plain is
dropped before anything of it was taken, and asked for again. Now and then it ends without a reason, so that one which
it should have seen holds nothing up for long.

Like `raw`, this reaches into aiokafka's private parts, and tests/kafka/test_raw.py fails when the pinned release moves.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.record.memory_records import MemoryRecords

from stream.runtime.kafka.handover import Handover
from stream.runtime.kafka.raw import Fetched, SeenEnd
from stream.runtime.kafka.wire import Part, QuickRequest, can_be_asked, send_quickly

_STRETCH_SECONDS = 1.0
"""After so long aiokafka looks around once."""
_SMALL_BYTES = 2**18
"""An answer of fewer bytes may wait for who works, and is rested after; a larger one is only taken when waited for."""


def fetch_quickly(
    consumer: AIOKafkaConsumer,
    handover: Handover,
    ends: dict[TopicPartition, SeenEnd],
    rest_seconds: float,
) -> None:
    """Makes a started consumer, one that delivers raw records, fetch in this way, and note in `ends` what it sees.

    After a small fetch that brought any records the next begins no sooner than `rest_seconds` after its beginning (see
    `rest_after_few`). The broker could hold it for as long, which saves waking up here, but it answers 2 ms late.
    """
    fetcher = consumer._fetcher
    proceed = fetcher._proc_fetch_request
    next_is_usual: set[int] = set()

    async def proceed_quickly(assignment: Any, node: int, request: Any) -> bool:
        connection = fetcher._client._conns.get((node, ConnectionGroup.DEFAULT))
        if node in next_is_usual or connection is None or not can_be_asked(connection):
            next_is_usual.discard(node)
            wake: bool = await proceed(assignment, node, request)
            return wake
        next_is_usual.add(node)
        stretch = _Stretch(fetcher, assignment, node, connection, handover, ends, consumer._max_poll_records)
        try:
            return await stretch.run(rest_seconds)
        except asyncio.CancelledError:  # the assignment has changed, or the consumer is closed
            return False

    fetcher._proc_fetch_request = proceed_quickly


class _Stretch:
    """Fetches from one broker, one after the other, until something happens."""

    def __init__(
        self,
        fetcher: Any,
        assignment: Any,
        node: int,
        connection: Any,
        handover: Handover,
        ends: dict[TopicPartition, SeenEnd],
        most: int | None,
    ) -> None:
        self._fetcher = fetcher
        self._assignment = assignment
        self._node = node
        self._connection = connection
        self._handover = handover
        self._ends = ends
        self._most = sys.maxsize if most is None else most

    async def run(self, rest_seconds: float) -> bool:
        """Whether something was left on the fetcher's shelf."""
        connection = self._connection
        late = _STRETCH_SECONDS + connection._request_timeout
        alarm = asyncio.get_running_loop().call_later(late, connection.close, CloseReason.CONNECTION_TIMEOUT)
        try:
            return await self._run(rest_seconds)
        except KafkaError:  # the connection is gone: told and dealt with when it happens to aiokafka
            return False
        finally:
            alarm.cancel()

    async def _run(self, rest_seconds: float) -> bool:
        fetcher = self._fetcher
        until = time.monotonic() + _STRETCH_SECONDS
        asked = self._positions()
        partitions = asked.keys()
        while asked and asked.keys() == partitions:
            began, sent = time.monotonic(), int(time.time() * 1000)
            parts = await send_quickly(self._connection, self._request(asked))
            if parts is None or not self._is_current():
                return False
            results = self._results(parts, asked, sent)
            if results is None:
                return False
            is_small = sum([len(part.records) for part in parts]) < _SMALL_BYTES
            if results:
                if not (self._handover.is_wanted or (is_small and self._handover.has_room)):
                    for tp, result in results.items():
                        fetcher._records[tp] = result
                    return True
                if not self._take(results):
                    return bool(fetcher._records)
            if time.monotonic() >= until:
                return False
            if is_small and results and (left := began + rest_seconds - time.monotonic()) > 0:
                await asyncio.sleep(left)
            asked = self._positions()
        return False

    def _is_current(self) -> bool:
        fetcher = self._fetcher
        return bool(
            self._assignment.active
            and not fetcher._closed
            and not fetcher._subscriptions.reassignment_in_progress
        )

    def _positions(self) -> dict[TopicPartition, int]:
        """What aiokafka would ask this broker for, of that what is wanted, and from where on."""
        if not self._is_current():
            return {}
        fetcher, assignment = self._fetcher, self._assignment
        return {
            tp: state.position
            for tp in assignment.tps
            if (state := assignment.state_value(tp)).has_valid_position
            and not state.paused
            and self._handover.wants(tp)
            and tp not in fetcher._records
            and fetcher._select_read_replica(tp) == self._node
        }

    def _request(self, asked: dict[TopicPartition, int]) -> QuickRequest:
        fetcher = self._fetcher
        topics = defaultdict[str, list[tuple[int, int, int]]](list)
        for (topic, partition), position in asked.items():
            topics[topic].append((partition, position, fetcher._max_partition_fetch_bytes))
        return QuickRequest(
            fetcher._fetch_max_wait_ms,
            fetcher._fetch_min_bytes,
            fetcher._fetch_max_bytes,
            fetcher._isolation_level,
            list(topics.items()),
        )

    def _results(
        self, parts: list[Part], asked: dict[TopicPartition, int], sent: int
    ) -> dict[TopicPartition, Any] | None:
        """Those that hold anything and are still wanted from there on, like aiokafka's; None if one cannot be read."""
        fetcher, assignment = self._fetcher, self._assignment
        now = int(time.time() * 1000)
        results = {}
        for part in parts:
            tp = TopicPartition(part.topic, part.partition)
            state = assignment.state_value(tp)
            if not state.has_valid_position or state.position != asked[tp]:
                continue  # moved meanwhile
            if part.records:
                records = MemoryRecords(part.records)
                if not records.has_next():
                    return None  # larger than a fetch may be
                found = PartitionRecords(
                    tp, records, None, asked[tp], None, None, fetcher._check_crcs, fetcher._isolation_level
                )
                results[tp] = FetchResult(
                    tp, partition_records=found, assignment=assignment, backoff=fetcher._prefetch_backoff
                )
            state.highwater, state.lso, state.timestamp = part.highwater, part.last_stable, now
            self._ends[tp] = SeenEnd(sent, part.highwater)
        return results

    def _take(self, results: dict[TopicPartition, Any]) -> bool:
        """Gives them to who works; False if some were left or cannot be read."""
        shelf = self._fetcher._records
        given: dict[TopicPartition, Fetched] = {}
        left, is_whole = self._most, True
        for tp, result in results.items():
            if left <= 0:
                shelf[tp] = result
                continue
            shelf.make_raw(result)
            try:
                records = result.getall(left)
            except KafkaError:  # raised once more when aiokafka has fetched it
                is_whole = False
                continue
            if result.has_more():
                shelf[tp] = result
            if records:
                given[tp] = records
                left -= len(records)
        if given:
            self._handover.give(given)
        return is_whole and not shelf.keys() & results.keys()
