"""A live shop at a steady rate, and how long its changes take: produced → change consumed.

    python benchmarks/live_load.py BROKERS EVENTS_TOPIC CHANGES_TOPIC LOG RATE SECONDS WARM_UP

Events of the log (canonical JSON) are sent at RATE a second with the present as their time, every two milliseconds what
is due, as a collector would. Every change that an event caused (`cause: event`) is matched with that event by its id
when it is consumed; its latency runs from the instant at which the event was due to be sent. Changes of timers count by
their `effective_at`: how late they were consumed. Events of the first WARM_UP seconds count for nothing.

Prints one JSON object when `warm` (so that the caller can look at CPU times) and one with the figures at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from stream.instants import format_instant, parse_instant
from stream.replay.partitioner import partition_of

TICK_SECONDS = 0.002
DRAIN_SECONDS = 1.5


class Load:
    """What was sent and what came back."""

    def __init__(self, lines: list[bytes], rate: float, seconds: float, warm_up: float) -> None:
        self.events = [json.loads(line) for line in lines]
        self.rate, self.seconds, self.warm_up = rate, seconds, warm_up
        self.sent: dict[str, float] = {}
        self.latencies: list[float] = []
        self.delays: list[float] = []
        self.begun = 0.0

    async def send(self, producer: AIOKafkaProducer, topic: str) -> None:
        partitions = len(await producer.partitions_for(topic))
        self.begun = time.time()
        count, told = 0, False
        total = int(self.rate * (self.seconds + self.warm_up))
        while count < total:
            now = time.time()
            due = min(total, int((now - self.begun) * self.rate))
            batches: dict[int, list[tuple[bytes, bytes, int]]] = {}
            for number in range(count, due):
                event = self.events[number % len(self.events)]
                at = self.begun + number / self.rate
                stamp = format_instant(int(at * 1000))
                event |= {"id": f"live-{number}", "time": stamp, "received_at": stamp}
                key = (event.get("user_id") or event["anonymous_id"]).encode()
                self.sent[event["id"]] = at
                batches.setdefault(partition_of(key, partitions), []).append(
                    (key, json.dumps(event, separators=(",", ":")).encode(), int(at * 1000))
                )
            count = due
            for partition, records in batches.items():
                builder = producer.create_batch()
                for key, value, at_ms in records:
                    builder.append(key=key, value=value, timestamp=at_ms)
                builder.close()
                await producer.send_batch(builder, topic, partition=partition)
            if not told and now - self.begun >= self.warm_up:
                told = True
                print(json.dumps({"warm": True}), flush=True)
            await asyncio.sleep(TICK_SECONDS)

    def take(self, value: bytes) -> None:
        now = time.time()
        change: dict[str, Any] = json.loads(value)
        if change.get("cause") == "timer":
            due = parse_instant(change["effective_at"]) / 1000
            if due >= self.begun:
                self.delays.append(now - due)
            return
        sent = self.sent.get(change.get("trigger", {}).get("event_id", ""))
        if sent is not None and sent >= self.begun + self.warm_up:
            self.latencies.append(now - sent)

    def figures(self) -> dict[str, float]:
        return {
            "changes": len(self.latencies),
            **{f"p{part}": percentile(self.latencies, part) * 1000 for part in (50, 99)},
            "timers": len(self.delays),
            **{f"timer_p{part}": percentile(self.delays, part) * 1000 for part in (50, 99, 100)},
        }


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part / 100))] if values else 0.0


async def run(brokers: str, events: str, changes: str, load: Load) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks=1)
    consumer = AIOKafkaConsumer(changes, bootstrap_servers=brokers, fetch_max_wait_ms=500)
    await producer.start()
    await consumer.start()
    await consumer.seek_to_end()

    async def consume() -> None:
        async for record in consumer:
            load.take(record.value)

    consuming = asyncio.create_task(consume())
    try:
        await load.send(producer, events)
        await asyncio.sleep(DRAIN_SECONDS)
    finally:
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        await consumer.stop()
        await producer.stop()


def main() -> None:
    brokers, events, changes, log, rate, seconds, warm_up = sys.argv[1:]
    load = Load(Path(log).read_bytes().splitlines(), float(rate), float(seconds), float(warm_up))
    asyncio.run(run(brokers, events, changes, load))
    print(json.dumps(load.figures()), flush=True)


if __name__ == "__main__":
    main()
