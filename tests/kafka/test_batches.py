"""Record batches are, to the byte, those of aiokafka's builder."""

from __future__ import annotations

from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from stream.runtime.kafka.batches import RecordBatch, encode_headers

LARGEST = 1 << 20
PRODUCER = (2**40, 7, 2**31 - 5)

optional = st.none() | st.binary(max_size=300)
headers = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=5)
times = st.integers(min_value=1_700_000_000_000, max_value=1_900_000_000_000)
records = st.lists(st.tuples(times, optional, optional, headers), min_size=1, max_size=200)


def build(batch: Any) -> bytes:
    batch._set_producer_state(*PRODUCER)
    return b"".join(batch._build())


def fill(given_records: list[Any]) -> RecordBatch:
    batch = RecordBatch(LARGEST)
    for timestamp, key, value, each in given_records:
        assert batch.add(timestamp, key, value, encode_headers(each))
    return batch


@given(records)
def test_it_is_what_aiokafka_builds(given_records: list[Any]) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, *PRODUCER, LARGEST)
    for offset, (timestamp, key, value, each) in enumerate(given_records):
        assert builder.append(offset, timestamp, key, value, each) is not None
    batch = fill(given_records)
    assert batch.record_count() == len(given_records)
    built = build(batch)
    assert built == bytes(builder.build())
    assert len(built) == batch.size()
    assert build(batch) == built, "a batch that is sent again is the same"


def test_large_records_and_many() -> None:
    given_records = [
        (1_800_000_000_000 + n, b"k%d" % n, b"v" * (n * 7), [("a", b"b" * n)]) for n in range(500)
    ]
    read = DefaultRecordBatch(build(fill(given_records)))
    assert read.validate_crc()
    assert (read.producer_id, read.producer_epoch, read.base_sequence) == PRODUCER
    assert [(each.timestamp, each.key, each.value, each.headers) for each in read] == given_records


def test_a_full_batch_takes_no_more() -> None:
    """The first record is taken whatever its size; of others as many as there is room for."""
    none = encode_headers([])
    one = RecordBatch(0)
    assert one.add(1, b"key", b"v" * 100, none)
    first = one.size()
    assert not one.add(1, b"key", b"", none)
    two = RecordBatch(LARGEST)
    assert two.add(1, b"key", b"v" * 100, none)
    assert two.add(1, b"key", b"v" * 30, none)
    whole = two.size()
    batch = RecordBatch(whole)
    assert batch.add(1, b"key", b"v" * 100, none)
    assert not batch.add(1, b"key", b"v" * 31, none)
    assert (batch.size(), batch.record_count()) == (first, 1)
    assert batch.add(1, b"key", b"v" * 30, none)
    assert len(build(batch)) == batch.size() == whole
