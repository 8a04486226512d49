"""The peers' job on Quix Streams, as its documentation has it: a StreamingDataFrame with a stateful `apply`.

* State lies in RocksDB with a changelog topic (`use_changelog_topics`, the default), at-least-once, checkpoints every
  five seconds (the default). One state key holds all of a user: one read and one write per event that matters.
* Events that do not matter are filtered out before the stateful step, which costs more than the filter.
* JSON is Quix's own (orjson). The key of a record is the user already, so nothing is regrouped.
* Fetch sizes and batches are those of our worker; librdkafka's own defaults prefetch more than it can process.
* The engine calls nothing when time passes without a message, so what is due is told with the user's next event: with
  the right instant, but late, and never for those who do not come back.

Settings come from the environment: BROKERS, EVENTS_TOPIC, CHANGES_TOPIC, APP, STATE_DIR, PROGRESS.
"""

from __future__ import annotations

import os
from typing import Any

from job import MATTERS, apply, instant_of, user_of
from progress import Progress
from quixstreams import Application, State

progress = Progress()


def matters(event: dict[str, Any]) -> bool:
    progress.events += 1
    return event["type"] in MATTERS


def watch(event: dict[str, Any], state: State) -> list[dict[str, Any]]:
    user = user_of(event)
    after, changes = apply(state.get("user"), event["type"], instant_of(event["time"]))
    if after is not None:
        state.set("user", after)
    progress.changes += len(changes)
    return [{"user": user, "segment": segment, "type": type_, "at": at} for segment, type_, at in changes]


app = Application(
    broker_address=os.environ["BROKERS"],
    consumer_group=os.environ["APP"],
    state_dir=os.environ["STATE_DIR"],
    auto_offset_reset="earliest",
    loglevel="WARNING",
    consumer_extra_config={"max.partition.fetch.bytes": 4 << 20, "fetch.max.bytes": 50 << 20},
)
events = app.dataframe(
    app.topic(os.environ["EVENTS_TOPIC"], value_deserializer="json", key_deserializer="str")
)
changes = events.filter(matters).apply(watch, stateful=True, expand=True)
changes.to_topic(app.topic(os.environ["CHANGES_TOPIC"], value_serializer="json", key_serializer="str"))

if __name__ == "__main__":
    app.run()
