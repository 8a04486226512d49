"""All packs in one worker on a real broker: every story comes out as told, undisturbed by the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from stream.instants import format_instant
from stream.packs import PREFIX, pack_names
from stream.runtime.kafka.produce import produce
from tests.kafka.broker import Broker
from tests.kafka.harness import REAL, Deployment
from tests.packs.stories import all_stories, told_of

PARTITIONS = 3


def test_every_story_comes_out_as_told(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> None:
    packs = pack_names()
    events, end = all_stories(packs)
    log = tmp_path / "stories.jsonl"
    # A record's time is that of its event, as in a recorded log.
    lines = (
        json.dumps({**event, "received_at": event.get("received_at", event["time"])}) for event in events
    )
    log.write_text("\n".join(lines), "utf-8")
    deployment = Deployment(
        broker,
        tmp_path,
        unique("packs"),
        definitions=[f"{PREFIX}{pack}" for pack in packs],
        time={"idle_after": "off"},
    )
    deployment.create_topics(create_time=True, partitions=PARTITIONS)
    try:
        produce(deployment.settings, str(log), deployment.settings.topics.events, close=end)
        worker = deployment.worker(REAL)
        worker.wait(worker.is_done, "playing the stories", patience=120)
        assert worker.terminate() == 0
        records = [json.loads(record.value or b"") for record in deployment.read("changes")]
    finally:
        deployment.stop()
    assert len({record["event_id"] for record in records}) == len(records)
    for pack in packs:
        told, found = told_of(pack, records)
        assert found == told, f"{pack}, until {format_instant(end)}"
