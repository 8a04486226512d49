"""Steps into a changelog, one after the other, as the worker writes them.

    python benchmarks/write_changelog.py BROKERS TOPIC RECORDS

Prints seconds of wall clock and of CPU for all of them, connecting not included.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.runtime.kafka.changelog import MAX_BATCH_BYTES, Changelog, Marker
from stream.runtime.kafka.producers import start_producer

STEP = 2_000


async def write(brokers: str, topic: str, records: int) -> tuple[float, float]:
    profiles = [(f"user-{number:07d}", os.urandom(300)) for number in range(STEP)]
    producer = await start_producer({"bootstrap_servers": brokers}, MAX_BATCH_BYTES)
    try:
        await producer.partitions_for(topic)
        end = await end_of(brokers, topic)
        log = await Changelog.claim(producer, topic, 0, log=None, epoch=0, end=end, seq=0)
        assert log is not None
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, records, STEP):
            step = dict(profiles[: min(STEP, records - start)])
            await log.append(step, Marker("", 0, start + len(step), 1, None, []))
        return time.perf_counter() - wall, time.process_time() - cpu
    finally:
        await producer.stop()


async def end_of(brokers: str, topic: str) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        ends: dict[TopicPartition, int] = await consumer.end_offsets([partition])
        return ends[partition]
    finally:
        await consumer.stop()


def main() -> None:
    brokers, topic, records = sys.argv[1:]
    print(*asyncio.run(write(brokers, topic, int(records))))


if __name__ == "__main__":
    main()
