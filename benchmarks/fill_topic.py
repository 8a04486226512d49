"""A log of canonical events into a topic, made if it is new, as fast as the broker takes it.

    python benchmarks/fill_topic.py BROKERS TOPIC PARTITIONS LOG

The topic keeps the events' own times: records carry `received_at` as CreateTime, as a recorded topic would, and no
retention deletes what is old. (A topic for live events has LogAppendTime; for a backlog of last month that would make
every event's record time today, and a phone whose clock is a year ahead would take its partition's watermark along.)
Users go to partitions as by Kafka's default partitioner. Record batches are built here, not by `send()`, which is ten
times slower.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from stream.instants import parse_instant
from stream.replay.partitioner import partition_of

BATCH_BYTES = 256 * 1024


def create(brokers: str, topic: str, partitions: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    configs = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    if topic not in admin.list_topics():
        admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    admin.close()


async def fill(brokers: str, topic: str, partitions: int, log: Path) -> int:
    """Produces the log; how many records it was."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=BATCH_BYTES, acks="all")
    await producer.start()
    builders = [producer.create_batch() for _ in range(partitions)]
    sent = []
    count = 0
    try:
        with log.open("rb") as lines:
            for line in lines:
                value = line.rstrip(b"\n")
                event = json.loads(value)
                key = (event.get("user_id") or event["anonymous_id"]).encode()
                partition = partition_of(key, partitions)
                timestamp = parse_instant(event["received_at"])
                if builders[partition].append(key=key, value=value, timestamp=timestamp) is None:
                    sent.append(await producer.send_batch(builders[partition], topic, partition=partition))
                    builders[partition] = producer.create_batch()
                    builders[partition].append(key=key, value=value, timestamp=timestamp)
                count += 1
        for partition, builder in enumerate(builders):
            if builder.record_count():
                sent.append(await producer.send_batch(builder, topic, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return count


def main() -> None:
    brokers, topic, partitions, log = sys.argv[1:]
    create(brokers, topic, int(partitions))
    count = asyncio.run(fill(brokers, topic, int(partitions), Path(log)))
    print(f"{count} records in {topic}")


if __name__ == "__main__":
    main()
