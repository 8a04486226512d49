"""A changelog that a worker would have written, restored without a local store and with one.

    python benchmarks/restore_changelog.py BROKERS TOPIC PARTITIONS USERS UPDATES EVENTS FOLDER

Writes UPDATES times the profiles of USERS users, in steps of 2,000, into the new changelog TOPIC; each has a timer and
remembers EVENTS events. Restores all its partitions at once and opens the engine on them, as a worker does before it
reads its first event; writes a tenth more, and restores what the local stores in FOLDER lack.

Prints one JSON object: records read, seconds of wall clock and of CPU (RocksDB's threads included), timers, bytes of a
profile, for `cold` and `warm`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from random import Random

from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from stream.definitions import load
from stream.engine import Engine, compile_plan
from stream.ingest import Ingest
from stream.runtime.embedded import EmbeddedRuntime
from stream.runtime.kafka.changelog import MAX_BATCH_BYTES, Changelog, Marker, encode
from stream.runtime.kafka.producers import start_producer
from stream.runtime.kafka.restore import Restored, Restorer, open_rocks
from stream.state import MemoryStore
from stream.state.rocks import Memory

STEP = 2_000
MINUTE_MS = 60_000


class Carts:
    """Profiles of people with something in their cart, of whom each comes up in a different minute."""

    def __init__(self, events: int) -> None:
        """`events`: how many each of them remembers."""
        definitions = Path(__file__).with_name("live.yaml")
        plan = compile_plan(load([definitions]))
        store = MemoryStore()
        runtime = EmbeddedRuntime(plan, store=lambda partition: store)
        lines = [
            json.dumps(
                {
                    "id": f"c-{number:07d}",
                    "type": "product_added",
                    "time": 1_760_000_000_000 + number,
                    "user_id": "million-0000000",
                }
            ).encode()
            for number in range(events)
        ]
        runtime.feed(0, Ingest().read_batch([(line, 0, None) for line in lines])[0])
        ((_, self._raw),) = store.scan()
        self._due = int.from_bytes(self._raw[5:13], "big")
        self.size = len(self._raw)
        self.engine = Engine(plan)
        self.marker = self.engine.open(MemoryStore()).marker()

    def profile(self, number: int) -> bytes:
        return self._raw[:5] + (self._due + number % 600 * MINUTE_MS).to_bytes(8, "big") + self._raw[13:]

    def marker_of(self, partitions: int) -> Marker:
        return Marker("", 0, 0, partitions, self.marker, [])


def create(brokers: str, topic: str, partitions: int) -> None:
    configs = {"cleanup.policy": "compact", "max.message.bytes": str(8 << 20)}
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    admin.close()


async def write(changelog: Changelog, carts: Carts, numbers: list[int], partitions: int) -> None:
    for start in range(0, len(numbers), STEP):
        step = {f"million-{number:07d}": carts.profile(number) for number in numbers[start : start + STEP]}
        await changelog.append(step, carts.marker_of(partitions))


async def restore(
    brokers: str, topic: str, partitions: int, folder: Path, carts: Carts, producer: AIOKafkaProducer
) -> tuple[list[Restored], dict[str, float]]:
    restorer = Restorer(
        {"bootstrap_servers": brokers},
        topic,
        open_rocks(folder, Memory()),
        gather_dues=carts.engine.gather_dues,
    )
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    restored = await restorer.restore(list(range(partitions)), producer)
    timers = 0
    for each in restored:
        assert each.marker is not None
        assert each.anchor is not None
        each.store.write({}, encode(each.anchor))
        timers += carts.engine.open(each.store, each.marker.engine, dues=each.dues).timers_pending
    figures = {
        "records": sum(each.read for each in restored),
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "timers": timers,
        "bytes": carts.size,
    }
    return restored, figures


async def run(
    brokers: str, topic: str, partitions: int, users: int, updates: int, events: int, folder: Path
) -> dict[str, dict[str, float]]:
    carts = Carts(events)
    create(brokers, topic, partitions)
    producer = await start_producer({"bootstrap_servers": brokers}, MAX_BATCH_BYTES)
    try:
        await producer.partitions_for(topic)
        for partition in range(partitions):
            changelog = await Changelog.claim(producer, topic, partition, log=None, epoch=0, end=0, seq=0)
            assert changelog is not None
            numbers = list(range(partition, users, partitions))
            for update in range(updates):
                Random(partition + update).shuffle(numbers)
                await write(changelog, carts, numbers, partitions)
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)  # as the worker does
        restored, cold = await restore(brokers, topic, partitions, folder, carts, producer)
        for each in restored:
            await write(
                each.changelog, carts, list(range(each.partition, users // 10, partitions)), partitions
            )
            each.store.close()
        restored.clear()
        restored, warm = await restore(brokers, topic, partitions, folder, carts, producer)
        for each in restored:
            each.store.close()
        return {"cold": cold, "warm": warm}
    finally:
        await producer.stop()


def main() -> None:
    brokers, topic, *numbers, folder = sys.argv[1:]
    partitions, users, updates, events = map(int, numbers)
    print(json.dumps(asyncio.run(run(brokers, topic, partitions, users, updates, events, Path(folder)))))


if __name__ == "__main__":
    main()
