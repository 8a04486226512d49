"""What is taken from the private parts of the pinned releases is still there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.record._crecords import DefaultRecord
from kafka import KafkaAdminClient, KafkaProducer

from stream.runtime.kafka.raw import Fetched, SeenEnd, deliver_raw_records, rest_after_few, seek, watch_ends
from tests.kafka.broker import Broker

NOW = int(time.time() * 1000)  # what is older than the retention of a topic is deleted any time


def test_the_pins_have_not_moved() -> None:
    """If this fails: read stream/runtime/kafka/raw.py and transport.py against the new release, then change it here."""
    assert version("aiokafka").startswith("0.14.")
    assert version("faust-streaming") == "0.15.3"


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_raw_records_and_the_end(
    broker: Broker, unique: Callable[[str], str], compression: str | None
) -> None:
    topic = unique("raw")
    with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    with KafkaProducer(bootstrap_servers=broker.address, compression_type=compression) as producer:
        for number in range(10):
            headers = [("n", b"%d" % number)]
            producer.send(topic, b"v%d" % number, b"k", headers=headers, timestamp_ms=NOW + number)
    asyncio.run(_read(broker.address, TopicPartition(topic, 0)))


async def _read(address: str, tp: TopicPartition) -> None:
    ends: dict[TopicPartition, SeenEnd] = {}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=100
    )
    await consumer.start()
    try:
        deliver_raw_records(consumer)
        watch_ends(consumer, ends)
        consumer.assign([tp])
        await asyncio.sleep(0.3)  # without a position the fetcher notes an error, which seeking must clear
        seek(consumer, {tp: 3})
        fetched: list[Fetched] = []
        while sum(map(len, fetched)) < 7:
            batches = await asyncio.wait_for(consumer.getmany(tp, timeout_ms=500, max_records=4), 20)
            fetched += batches.values()
        assert [(each.start, each.next_offset) for each in fetched] == [(3, 7), (7, 10)]
        records = [each.take(2) + each.take(10) + each.take(1) for each in fetched]
        assert [[record.offset for record in each] for each in records] == [[3, 4, 5, 6], [7, 8, 9]]
        record = records[0][0]
        assert type(record) is DefaultRecord
        assert (record.offset, record.timestamp, record.key, record.value) == (3, NOW + 3, b"k", b"v3")
        assert record.headers == [("n", b"3")]
        for position, most, taken in ((9, 1, 1), (0, 10, 10), (0, 11, 10), (5, None, 5)):
            seek(consumer, {tp: position})
            (batch,) = (await consumer.getmany(tp, timeout_ms=5_000, max_records=most)).values()
            assert (batch.start, len(batch), batch.next_offset) == (position, taken, position + taken)
            assert [each.offset for each in batch.take(most or 99)] == [*range(position, position + taken)]
        assert ends[tp].end == 10
        earlier = ends[tp].instant
        await asyncio.sleep(0.5)
        assert ends[tp].instant > earlier, "an empty fetch says that the end is still the end"
    finally:
        await consumer.stop()


def test_a_rest_is_counted_from_the_request_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to one node after the other, whatever was taken in between; the clock stands but for what is said."""
    now, slept, asked = [100.0], list[float](), list[int]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    async def proceed(assignment: Any, node: int, request: Any) -> bool:
        asked.append(node)
        return True

    taken_of = Counter[tuple[str, int]]()
    fetcher = SimpleNamespace(_records=SimpleNamespace(taken=taken_of), _proc_fetch_request=proceed)
    rest_after_few(cast(AIOKafkaConsumer, SimpleNamespace(_fetcher=fetcher)), 200, 6.0)
    monkeypatch.setattr("stream.runtime.kafka.raw.asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr("stream.runtime.kafka.raw.time", SimpleNamespace(monotonic=lambda: now[0]))

    async def fetch(node: int, *, taken: int, later: float) -> None:
        now[0] += later
        taken_of["events", node] = taken - 1
        taken_of["events", node + 10] = 1
        taken_of["events", 99] = 500  # another node's
        request = SimpleNamespace(topics=[("events", [(node, 0, 1), (node + 10, 0, 1)])])
        assert await fetcher._proc_fetch_request(None, node, request)
        assert taken_of == {("events", 99): 500}

    async def work() -> None:
        await fetch(1, taken=20, later=0.0)  # the first of its node
        await fetch(1, taken=20, later=1.0)
        await fetch(2, taken=20, later=1.0)
        await fetch(1, taken=20, later=7.0)
        await fetch(1, taken=500, later=0.0)  # more is waiting
        await fetch(1, taken=0, later=0.0)

    asyncio.run(work())
    assert slept == [pytest.approx(5.0)]
    assert asked == [1, 1, 2, 1, 1, 1]
