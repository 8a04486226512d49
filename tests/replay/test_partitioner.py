"""The partitioner is Kafka's."""

from __future__ import annotations

import pytest

from stream.replay.partitioner import murmur2, partition_of

# From the tests of Kafka's Java client (signed there).
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), VECTORS.items())
def test_murmur2_gives_what_kafka_gives(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


def test_partitions_are_in_range_and_all_used() -> None:
    used = {partition_of(f"user-{number}".encode(), 7) for number in range(500)}
    assert used == set(range(7))
