"""The values of a topic of changes, as lines: what the benchmark compares.

python benchmarks/read_changes.py BROKERS TOPIC OUT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition


async def read(brokers: str, topic: str, out: Path) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, isolation_level="read_committed")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        with out.open("wb") as file:
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    file.writelines(record.value + b"\n" for record in records)
    finally:
        await consumer.stop()


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    await consumer._client.force_metadata_update()
    while not (found := consumer.partitions_for_topic(topic)):
        await consumer.topics()
    return sorted(found)


def main() -> None:
    brokers, topic, out = sys.argv[1:]
    asyncio.run(read(brokers, topic, Path(out)))


if __name__ == "__main__":
    main()
