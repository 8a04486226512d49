"""Fetching in the quick way, on a real broker: every record once and in order, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka import KafkaAdminClient

from stream.runtime.kafka import quick
from stream.runtime.kafka.handover import Handover
from stream.runtime.kafka.quick import fetch_quickly
from stream.runtime.kafka.raw import SeenEnd, deliver_raw_records, seek
from tests.kafka.broker import Broker

_MOST = 50
"""Records taken at once."""


class _Reader:
    """Takes what is handed over, be it fetched in the quick way or in aiokafka's, as a worker does."""

    def __init__(self, consumer: AIOKafkaConsumer, handover: Handover, at: dict[TopicPartition, int]) -> None:
        self.handover, self.at = handover, at
        self._fetcher = consumer._fetcher

    async def ask(self) -> None:
        """Asks aiokafka, again and again."""
        while True:
            self.handover.give(await self._fetcher.fetched_records([], timeout=0.3, max_records=_MOST))

    async def read_to(self, ends: dict[TopicPartition, int]) -> None:
        async with asyncio.timeout(30):
            while any(self.at[tp] < end for tp, end in ends.items()):
                for tp, fetched in (await self.handover.take(self.at)).items():
                    assert fetched.start == self.at[tp]
                    taken = fetched.take(2 * _MOST)
                    assert [each.offset for each in taken] == [*range(fetched.start, fetched.next_offset)]
                    assert [each.value for each in taken] == [b"%d" % each.offset for each in taken]
                    self.at[tp] = fetched.next_offset
        assert self.at == self.at | ends


def test_every_record_once_and_in_order(
    broker: Broker, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine: a stretch ends for what happens, not because its time is over.
    monkeypatch.setattr(quick, "_STRETCH_SECONDS", 60.0)
    topic = unique("quick")
    with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    asyncio.run(_live(broker.address, TopicPartition(topic, 0), TopicPartition(topic, 1)))


async def _live(address: str, one: TopicPartition, other: TopicPartition) -> None:
    ends: dict[TopicPartition, SeenEnd] = {}
    produced = {one: 0, other: 0}
    handover = Handover(asyncio.get_running_loop())
    usual: list[int] = []
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        max_poll_records=_MOST,
    )
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await asyncio.gather(consumer.start(), producer.start())

    async def produce(tp: TopicPartition, count: int) -> None:
        for _ in range(count):
            await producer.send(tp.topic, b"%d" % produced[tp], partition=tp.partition)
            produced[tp] += 1
        await producer.flush()

    try:
        deliver_raw_records(consumer)
        _count(consumer._fetcher, usual)
        fetch_quickly(consumer, handover, ends, 0.005)
        consumer.assign([one, other])
        seek(consumer, dict(produced))
        reader = _Reader(consumer, handover, dict(produced))
        asking = asyncio.create_task(reader.ask())
        for _ in range(30):
            await produce(one, 2)
            await produce(other, 1)
            await reader.read_to(produced)
        assert len(usual) < 10, "for as long as nothing happens but records, each fetch is a quick one"

        await produce(one, 3 * _MOST)  # more than is taken at once
        await produce(other, 3 * _MOST)
        await reader.read_to(produced)

        consumer.pause(other)
        await produce(one, 5)
        await produce(other, 5)
        await reader.read_to({one: produced[one]})
        await asyncio.sleep(0.5)
        assert reader.at[other] == produced[other] - 5
        consumer.resume(other)
        await reader.read_to(produced)

        seek(consumer, {one: 7})
        handover.clear()
        reader.at[one] = 7
        await reader.read_to(produced)

        await asyncio.sleep(0.3)
        assert {tp: seen.end for tp, seen in ends.items()} == produced
        earlier = ends[one].instant
        await asyncio.sleep(0.5)
        assert ends[one].instant > earlier, "an empty fetch says that the end is still the end"
        asking.cancel()
    finally:
        await asyncio.gather(consumer.stop(), producer.stop())


def _count(fetcher: Any, usual: list[int]) -> None:
    """Notes each fetch that aiokafka does in its own way."""
    proceed = fetcher._proc_fetch_request

    async def count_and_proceed(assignment: Any, node: int, request: Any) -> bool:
        usual.append(node)
        wake: bool = await proceed(assignment, node, request)
        return wake

    fetcher._proc_fetch_request = count_and_proceed


def test_a_lost_connection_is_made_again(
    broker: Broker, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "_STRETCH_SECONDS", 60.0)
    topic = unique("lost")
    with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    asyncio.run(_lose(broker.address, TopicPartition(topic, 0)))


async def _lose(address: str, tp: TopicPartition) -> None:
    handover = Handover(asyncio.get_running_loop())
    usual: list[int] = []
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, fetch_max_wait_ms=100)
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await asyncio.gather(consumer.start(), producer.start())
    try:
        deliver_raw_records(consumer)
        _count(consumer._fetcher, usual)
        fetch_quickly(consumer, handover, {}, 0.005)
        consumer.assign([tp])
        seek(consumer, {tp: 0})
        reader = _Reader(consumer, handover, {tp: 0})
        asking = asyncio.create_task(reader.ask())
        for number in range(20):
            await producer.send_and_wait(tp.topic, b"%d" % number, partition=0)
            await reader.read_to({tp: number + 1})
            if number % 5 == 4:
                for connection in list(consumer._client._conns.values()):
                    connection.close()
        assert len(usual) < 20, "of what came, not all was fetched in the usual way"
        asking.cancel()
    finally:
        await asyncio.gather(consumer.stop(), producer.stop())
