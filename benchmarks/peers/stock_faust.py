"""The peers' job as an ordinary Faust program: what a team writes who follows Faust's own documentation.

It is meant to be the best honest form of the usual program, not a straw man:

* a `Table` on RocksDB (the rocksdict driver, the same library that our worker uses) with its changelog topic: state
  survives the loss of the machine, as ours does. A plain table, not Faust's windowed one: that one answers in buckets
  of its own step, and a count that is exact to the millisecond would need one of its tables per millisecond;
* values are plain lists, decoded by Faust's JSON codec over orjson: a typed `faust.Record` costs more;
* one table read and one table write per event that matters; other event types touch nothing;
* Faust's settings that matter for throughput are raised above their defaults (`stream_buffer_maxsize`,
  `broker_max_poll_records`, `consumer_max_fetch_size`, `producer_linger`), and changes are sent with `send_soon`, which
  does not wait for each acknowledgement;
* it runs on uvloop, as our worker does (`faust -L uvloop`); `stream_wait_empty` and the web server are off, logging is
  at warnings;
* deadlines wait in a heap in memory, rebuilt from the table after a restart: scanning the table for them every second,
  as the usual recipe does, would make it slower.

Where it does less than our worker: time is the largest event time of the partition that is furthest behind, so that a
partition without events holds all deadlines up, they are looked at once a second, and there is no retraction, no
deduplication, no reason and no deterministic id; after a crash events may count twice. It stands here for its speed.

Settings come from the environment: BROKERS, EVENTS_TOPIC, CHANGES_TOPIC, APP, STATE_DIR, PARTITIONS, PROGRESS.
"""

from __future__ import annotations

import os
from heapq import heapify, heappop, heappush
from typing import Any

import faust
from job import MATTERS, Change, State, advance, apply, instant_of, next_due, user_of
from progress import Progress

PARTITIONS = int(os.environ["PARTITIONS"])

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
    consumer_max_fetch_size=4 << 20,
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
users = app.Table("users", partitions=PARTITIONS, options={"driver": "rocksdict"})

progress = Progress()
deadlines: list[tuple[int, str]] = []
clocks = dict.fromkeys(range(PARTITIONS), 0)
"""The largest event time of each partition: a deadline has passed when no partition can bring an earlier event."""


def tell(user: str, changes: list[Change]) -> None:
    for segment, type_, at in changes:
        progress.changes += 1
        changes_topic.send_soon(key=user, value={"user": user, "segment": segment, "type": type_, "at": at})


def wait_for(user: str, state: State) -> None:
    due = next_due(state)
    if due is not None:
        heappush(deadlines, (due, user))


@app.agent(events_topic)
async def watch(events: faust.StreamT[dict[str, Any]]) -> None:
    async for event in events:
        progress.events += 1
        time = instant_of(event["time"])
        partition = events.current_event.message.partition
        if time > clocks[partition]:
            clocks[partition] = time
        if event["type"] in MATTERS:
            user = user_of(event)
            before = users.get(user)
            due = None if before is None else next_due(before)
            state, changes = apply(before, event["type"], time)
            if state is not None:
                users[user] = state
                if next_due(state) != due:
                    wait_for(user, state)
            if changes:
                tell(user, changes)


@app.timer(interval=1.0)
async def look_at_deadlines() -> None:
    clock = min(clocks.values())
    while deadlines and deadlines[0][0] < clock:
        due, user = heappop(deadlines)
        overdue_topic.send_soon(key=user, value=due)


@app.agent(overdue_topic)
async def tell_of_those_who_do_not_return(overdue: faust.StreamT[float]) -> None:
    """In a stream of its own, because a table cannot be written from a timer."""
    async for user, due in overdue.items():
        state = users.get(user)
        if state and next_due(state) == due:
            tell(user, advance(state, int(due) + 1))
            users[user] = state
            wait_for(user, state)


@users.on_recover
async def rebuild_deadlines() -> None:
    deadlines[:] = [(due, user) for user, state in users.items() if (due := next_due(state)) is not None]
    heapify(deadlines)


if __name__ == "__main__":
    app.main()
