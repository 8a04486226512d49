"""The peers' job as a Bytewax dataflow: Kafka in, `stateful_flat_map` by user, Kafka out, with recovery on.

* State lives in memory; with recovery on, what changed is written to SQLite (one database per partition of the
  recovery store, made by `python -m bytewax.recovery`) with every epoch of ten seconds (the default), together with
  Kafka's offsets. That is local durability, at least once from the last epoch; there is no changelog in Kafka, so it is
  less than what the others promise.
* Events that do not matter are dropped while decoding, before the exchange by key.
* `batch_size` is 10,000, like our worker's; orjson decodes. One worker: one core.
* What is due is told with the user's next event: with the right instant, but late, and never for those who do not come
  back. (`notify_at` of the lower-level operator goes by the wall clock, of which a log of last month knows nothing.)

    python -m bytewax.run bytewax_flow -r RECOVERY_DIR -s 10 -b 0

Settings come from the environment: BROKERS, EVENTS_TOPIC, CHANGES_TOPIC, PROGRESS.
"""

from __future__ import annotations

import os
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from job import MATTERS, Change, State, apply, instant_of, user_of
from progress import Progress

BROKERS = os.environ["BROKERS"].split(",")
Event = tuple[str, int]
progress = Progress()


def decode(message: Any) -> tuple[str, Event] | None:
    progress.events += 1
    event = orjson.loads(message.value)
    if event["type"] not in MATTERS:
        return None
    return user_of(event), (event["type"], instant_of(event["time"]))


def watch(state: State | None, event: Event) -> tuple[State | None, list[Change]]:
    return apply(state, *event)


def encode(told: tuple[str, Change]) -> KafkaSinkMessage[bytes, bytes]:
    user, (segment, type_, at) = told
    progress.changes += 1
    value = {"user": user, "segment": segment, "type": type_, "at": at}
    return KafkaSinkMessage(user.encode(), orjson.dumps(value))


flow = Dataflow("peers_job")
source = KafkaSource(
    BROKERS,
    [os.environ["EVENTS_TOPIC"]],
    batch_size=10_000,
    add_config={"max.partition.fetch.bytes": str(4 << 20)},
)
events = op.filter_map("decode", op.input("events", flow, source), decode)
changes = op.stateful_flat_map("watch", events, watch)
op.output("changes", op.map("encode", changes, encode), KafkaSink(BROKERS, os.environ["CHANGES_TOPIC"]))
