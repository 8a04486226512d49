"""Cart abandonment as an ordinary Faust program: what a team writes who follows Faust's own documentation.

    when   something was put into the cart and nothing was bought for 30 minutes of event time
    out    {"user", "type": "entered" | "exited", "at"} to a topic, keyed by user

It is meant to be the best honest form of the usual program, not a straw man:

* a `Table` on RocksDB (the rocksdict driver, the same library that our worker uses) with its changelog topic: the same
  durability as ours, state survives the loss of the machine;
* values are plain dictionaries, decoded by Faust's JSON codec over orjson: a typed `faust.Record` costs more;
* one table read and at most one table write per event that matters; other event types touch nothing;
* Faust's settings that matter for throughput are raised above their defaults (`stream_buffer_maxsize`,
  `broker_max_poll_records`, `producer_linger`), and changes are sent with `send_soon`, which does not wait for each
  acknowledgement;
* `stream_wait_empty` and the web server are off, logging is at warnings.

* deadlines wait in a heap in memory, rebuilt from the table after a restart: scanning the table for them every second,
  as the usual recipe does, would make it slower.

Where it does less than our worker: time is the largest event time that this worker has seen, deadlines are looked at
once a second, and there is no retraction, no deduplication, no reason and no deterministic id; after a crash events may
count twice. So its changes are less exact than ours; it stands here for its speed.

Settings come from the environment: BROKERS, EVENTS_TOPIC, CHANGES_TOPIC, APP, STATE_DIR, PARTITIONS, PROGRESS (a file
to which the number of processed events is written four times a second, for the benchmark).
"""

from __future__ import annotations

import os
from datetime import datetime
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any

import faust

PARTITIONS = int(os.environ["PARTITIONS"])
ABANDONED_AFTER = 30 * 60.0
ADDED = "product_added"
BOUGHT = "order_completed"

app = faust.App(
    os.environ["APP"],
    broker=f"kafka://{os.environ['BROKERS']}",
    store="rocksdb://",
    datadir=os.environ["STATE_DIR"],
    value_serializer="json",
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    table_standby_replicas=0,
    stream_buffer_maxsize=16_384,
    broker_max_poll_records=10_000,
    consumer_auto_offset_reset="earliest",
    producer_linger=0.02,
    stream_wait_empty=False,
    web_enabled=False,
)
events_topic = app.topic(
    os.environ["EVENTS_TOPIC"], value_type=bytes, value_serializer="json", key_serializer="raw"
)
changes_topic = app.topic(os.environ["CHANGES_TOPIC"], value_serializer="json", partitions=PARTITIONS)
overdue_topic = app.topic(
    f"{os.environ['APP']}-overdue",
    key_type=str,
    value_type=float,
    value_serializer="json",
    partitions=PARTITIONS,
    internal=True,
)
carts = app.Table("carts", partitions=PARTITIONS, options={"driver": "rocksdict"})

deadlines: list[tuple[float, str]] = []
progress = {"events": 0, "changes": 0, "clock": 0.0}


def seconds_of(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def user_of(event: dict[str, Any]) -> str:
    return str(event.get("user_id") or event["anonymous_id"])


def tell(user: str, type_: str, at: float) -> None:
    progress["changes"] += 1
    changes_topic.send_soon(key=user, value={"user": user, "type": type_, "at": at})


@app.agent(events_topic)
async def watch_carts(events: faust.StreamT[dict[str, Any]]) -> None:
    async for event in events:
        progress["events"] += 1
        time = seconds_of(event)
        progress["clock"] = max(progress["clock"], time)
        if event["type"] == ADDED:
            user = user_of(event)
            cart = carts.get(user)
            abandoned = bool(cart and cart["told"])
            if cart and not abandoned and time - cart["at"] > ABANDONED_AFTER:
                tell(user, "entered", cart["at"] + ABANDONED_AFTER)
                abandoned = True
            carts[user] = {"at": time, "told": abandoned}
            if not abandoned:
                heappush(deadlines, (time + ABANDONED_AFTER, user))
        elif event["type"] == BOUGHT:
            user = user_of(event)
            cart = carts.get(user)
            if cart:
                abandoned = cart["told"]
                if not abandoned and time - cart["at"] > ABANDONED_AFTER:
                    tell(user, "entered", cart["at"] + ABANDONED_AFTER)
                    abandoned = True
                if abandoned:
                    tell(user, "exited", time)
                carts.pop(user)


@app.timer(interval=1.0)
async def look_at_deadlines() -> None:
    while deadlines and deadlines[0][0] < progress["clock"]:
        due, user = heappop(deadlines)
        overdue_topic.send_soon(key=user, value=due)


@app.agent(overdue_topic)
async def tell_of_those_who_do_not_return(overdue: faust.StreamT[float]) -> None:
    """In a stream of its own, because a table cannot be written from a timer."""
    async for user, due in overdue.items():
        cart = carts.get(user)
        if cart and not cart["told"] and cart["at"] + ABANDONED_AFTER == due:
            tell(user, "entered", due)
            carts[user] = {"at": cart["at"], "told": True}


@carts.on_recover
async def rebuild_deadlines() -> None:
    deadlines[:] = [(cart["at"] + ABANDONED_AFTER, user) for user, cart in carts.items() if not cart["told"]]
    heapify(deadlines)


@app.timer(interval=0.25)
async def report_progress() -> None:
    target = Path(os.environ["PROGRESS"])
    staging = target.with_suffix(".new")
    staging.write_text(f"{progress['events']} {progress['changes']}", encoding="utf-8")
    staging.replace(target)


if __name__ == "__main__":
    app.main()
