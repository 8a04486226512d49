"""Batches as the broker sent them, out of a fetch: whole ones, and no damaged ones."""

from __future__ import annotations

import gc
import struct
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from stream.runtime.kafka.bulk import deliver_batches

TP = TopicPartition("changelog", 0)
CRC, ATTRIBUTES = 17, 21  # where they stand in a RecordBatch
CONTROL = 0x20


def appended(offset: int, count: int, attributes: int = 0) -> bytes:
    """A RecordBatch as the log has it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for number in range(count):
        builder.append(number, 1_000, b"k%d" % (offset + number), b"v", [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, offset)
    data[ATTRIBUTES + 1] |= attributes
    struct.pack_into(">I", data, CRC, calc_crc32c(bytes(data[ATTRIBUTES:])))
    return bytes(data)


def fetch(data: bytes, *, active: bool = True) -> tuple[Any, Any]:
    """A fetch's result as aiokafka puts it on the shelf, and the state of its partition."""
    consumer: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records=None))
    deliver_batches(consumer)
    state = SimpleNamespace(position=0, paused=False)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    assignment: Any = SimpleNamespace(active=active, state_value=lambda _: state)
    parts = PartitionRecords(TP, MemoryRecords(data), [], 0, None, None, True, 0)
    result = FetchResult(TP, assignment=assignment, partition_records=parts, backoff=0)
    consumer._fetcher._records[TP] = result
    return consumer._fetcher._records[TP], state


def test_every_batch_of_a_fetch_is_handed_out_once() -> None:
    result, state = fetch(appended(0, 2) + appended(2, 1, CONTROL) + appended(3, 3))
    batches = result.getall()
    assert [(batch.base_offset, [record.key for record in batch]) for batch in batches] == [
        (0, [b"k0", b"k1"]),
        (3, [b"k3", b"k4", b"k5"]),
    ]
    assert state.position == 6
    assert not result.has_more()


def test_what_was_fetched_does_not_wait_for_the_collector() -> None:
    result, _ = fetch(appended(0, 2))
    gone = weakref.ref(result._partition_records)
    gc.disable()
    try:
        assert len(result.getall()) == 1
        assert gone() is None
    finally:
        gc.enable()


def test_a_control_batch_alone_moves_the_position() -> None:
    result, state = fetch(appended(0, 1, CONTROL))
    assert (result.getall(), state.position) == ([], 1)


def test_a_damaged_batch_is_not_taken() -> None:
    damaged = bytearray(appended(0, 2) + appended(2, 2))
    damaged[-1] ^= 1
    result, state = fetch(bytes(damaged))
    with pytest.raises(CorruptRecordException, match="CRC"):
        result.getall()
    assert state.position == 0


def test_a_fetch_for_partitions_that_are_not_ours_any_more_gives_nothing() -> None:
    result, _ = fetch(appended(0, 2), active=False)
    assert result.getall() == []
