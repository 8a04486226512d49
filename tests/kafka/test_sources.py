"""Many sources, one engine input: the ingest stage on a real broker, in the worker and in a process of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from faust.types import TP
from kafka import KafkaProducer

from stream.cli import main
from stream.config import Settings, load_settings
from stream.durations import HOUR, SECOND
from stream.errors import ConfigError, DefinitionError
from stream.instants import format_instant
from stream.metrics import Metrics
from stream.replay.partitioner import partition_of
from stream.runtime.kafka.ingest_app import create_ingest_app
from stream.runtime.kafka.raw import SeenEnd
from stream.runtime.kafka.sources import SourceStage, _Done
from stream.runtime.kafka.topics import plan_topics
from tests.kafka.broker import Broker
from tests.kafka.harness import REAL, ROOT, Deployment

DEFINITIONS = """
version: 1
events: {buy: {type: order_completed}}
features: {orders: {count: buy}, spent: {sum: buy.value}}
segments: {complete: {when: "orders == 20 and spent == 190"}}
"""
TILL = """
name: till
rows: {delimiter: ";", columns: [user, at, value, id]}
event:
  type: {const: order_completed}
  time: {path: at, as: ms}
  user_id: user
  value: value
  id: id
"""
INGEST = ("-m", "stream", "ingest", "--config")
START = int(time.time()) * 1000 - HOUR
"""Lately: once in five minutes the broker deletes what is older than the source topics keep."""
USERS = 100

Make = Callable[..., Deployment]


@pytest.fixture
def make(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Make]:
    made: list[Deployment] = []
    definitions, till = tmp_path / "segments.yaml", tmp_path / "till.yaml"
    definitions.write_text(DEFINITIONS)
    till.write_text(TILL)

    def make(**settings: Any) -> Deployment:
        name = unique("sources")
        sources = {f"{name}-clicks": "segment", f"{name}-till": "till.yaml"}
        made.append(
            Deployment(
                broker,
                tmp_path,
                name,
                definitions=[str(definitions)],
                sources=sources,
                partitions=2,
                **settings,
            )
        )
        return made[-1]

    yield make
    for deployment in made:
        deployment.stop()


def produce(deployment: Deployment, topic: str, rows: list[tuple[bytes | None, bytes, int]]) -> None:
    with KafkaProducer(bootstrap_servers=deployment.broker.address, linger_ms=5) as producer:
        for key, value, timestamp in rows:
            producer.send(f"{deployment.name}-{topic}", value, key, timestamp_ms=timestamp)
        producer.flush(timeout=30)


def click(user: int, number: int, at: int) -> tuple[bytes, bytes, int]:
    """A Segment call under a key that says nothing of its user."""
    call = {
        "type": "track",
        "event": "Order Completed",
        "userId": f"u{user}",
        "messageId": f"c-{user}-{number}",
        "timestamp": format_instant(at),
        "properties": {"revenue": number},
    }
    return f"device-{number}".encode(), json.dumps(call).encode(), at + SECOND


def till(user: int, number: int, at: int) -> tuple[None, bytes, int]:
    return None, f"u{user};{at};{number};t-{user}-{number}".encode(), at + SECOND


def test_two_sources_feed_one_engine_through_a_kill(make: Make) -> None:
    """Each user has 10 orders in each source: a lost or a doubled one would show in the segment."""
    deployment = make(time={"idle_after": "off"})
    deployment.create_topics()
    assert [plan.role for plan in plan_topics(deployment.settings)][:3] == ["source", "source", "events"]
    clicks, tills = [], []
    for number in range(10):
        for user in range(USERS):
            at = START + (number * USERS + user) * SECOND
            clicks.append(click(user, number, at))
            tills.append(till(user, 10 + number, at))
    half = len(clicks) // 2
    produce(deployment, "clicks", clicks[:half])
    produce(deployment, "till", [*tills[:half], (None, b"u1;soon;1;x", START)])
    worker = deployment.worker(REAL)
    worker.wait(lambda: deployment.input_size() > 0, "reading the sources")
    worker.kill()
    produce(deployment, "clicks", clicks[half:])
    produce(deployment, "till", tills[half:])
    worker = deployment.worker(REAL)
    worker.wait(lambda: complete(deployment) == {"entered": USERS}, "counting everybody's orders")
    worker.wait(worker.is_done, "reading to the end")
    assert worker.terminate() == 0
    assert complete(deployment) == {"entered": USERS}
    events = deployment.read("events")
    ids = Counter(json.loads(each.value or b"")["id"] for each in events)
    assert len(ids) == 20 * USERS
    assert all(each.partition == partition_of(each.key or b"", 2) for each in events)
    letters = {(dict(each.headers)["reason"], each.value) for each in deployment.read("dead_letters")}
    assert letters == {(b"bad_time", b"u1;soon;1;x")}


def test_a_stage_outlives_its_broker(tmp_path: Path, own_broker: Broker) -> None:
    """kill -9 of the broker while a backlog is written: nothing is lost, order is kept, and the lag says so."""
    (tmp_path / "till.yaml").write_text(f"{TILL}drop: {{value: nothing}}\n")
    deployment = Deployment(
        own_broker,
        tmp_path / "stage",
        "outage",
        sources={"outage-till": str(tmp_path / "till.yaml")},
        ingest="separate",
        partitions=2,
        batch={"max_poll_records": 1_000},
    )
    try:
        deployment.create_topics()
        rows = [till(number % USERS, number // USERS, START + number) for number in range(40 * USERS)]
        rows.append((None, b"u1;1795250000000;nothing;x", START))
        produce(deployment, "till", rows)
        stage = deployment.worker(INGEST)
        stage.wait(lambda: deployment.input_size() > 0, "writing events")
        own_broker.kill()
        time.sleep(3)  # longer than the first tries
        assert stage.process.poll() is None
        assert stage.get("/live")[0] == 200
        own_broker.start()
        produce(deployment, "till", [till(number, 40, START) for number in range(USERS)])

        def is_through() -> bool:
            return stage.metric("segstream_source_events_total") >= 41 * USERS

        stage.wait(is_through, "going on after the outage", patience=90)
        stage.wait(lambda: stage.lags() == [0.0] * len(stage.lags()) != [], "seeing the end", patience=30)
        assert stage.metric("segstream_source_dropped_total") >= 1, "more if it was read again"
        assert stage.terminate() == 0
        events = deployment.read("events")
        values = {
            (event["user_id"], event["value"]) for event in (json.loads(each.value or b"") for each in events)
        }
        assert values == {(f"u{user}", number) for user in range(USERS) for number in range(41)}
        seen: dict[tuple[int, bytes], list[int]] = {}
        for each in events:
            headers = dict(each.headers)
            offsets = seen.setdefault((each.partition, headers["source_partition"]), [])
            if int(headers["source_offset"]) not in offsets:
                offsets.append(int(headers["source_offset"]))
        assert all(offsets == sorted(offsets) for offsets in seen.values()), (
            "of a source partition order is kept"
        )
        assert deployment.read("dead_letters") == []
    finally:
        deployment.stop()


@pytest.fixture
def own_broker(broker: Broker, tmp_path: Path) -> Iterator[Broker]:
    """One that may be killed; `broker` decides whether there can be any."""
    own = Broker(tmp_path / "broker", heap="256m").start()
    yield own
    own.stop()


def test_lag_is_counted_in_records_and_in_time() -> None:
    metrics = Metrics()
    stage = SourceStage(Settings(sources={"clicks": "segment"}), metrics, "g")
    get = metrics.registry.get_sample_value
    labels = {"topic": "clicks", "partition": "1"}
    names = ("segstream_source_lag_records", "segstream_source_lag_seconds")
    here = TP("clicks", 1)

    def lag(end: int | None, seen_at: int, now: float) -> tuple[float | None, ...]:
        stage.ends = {} if end is None else {here: SeenEnd(seen_at, end)}
        stage.set_gauges(now)
        return tuple(get(name, labels) for name in names)

    assert get("segstream_source_events_total", {"topic": "clicks"}) == 0
    stage._done = {here: _Done(10)}
    assert lag(None, 0, 1.0) == (None, None), "nothing was fetched yet: nobody knows"
    assert lag(12, 900_000, 1_000.0) == (2, None), "since when is not known"
    assert lag(10, 1_000_000, 1_000.0) == (0, 0)
    assert lag(15, 1_001_000, 1_030.0) == (5, 30), "they came after nothing waited"
    stage._done[here].next, stage._done[here].newest = 12, 1_025_000
    assert lag(15, 1_031_000, 1_031.0) == (3, 6), "and after the newest that is through"
    asyncio.run(stage.pause())
    assert get(names[0], labels) is None


def complete(deployment: Deployment) -> dict[str, int]:
    """Changes of the segment by type, repeats of one change counted once."""
    found = {json.loads(each.value or b"")["event_id"]: each for each in deployment.read("changes")}
    return dict(Counter(json.loads(each.value or b"")["type"] for each in found.values()))


def test_the_stage_in_a_process_of_its_own_keeps_record_times_and_coordinates(make: Make) -> None:
    deployment = make(ingest="separate")
    deployment.create_topics(create_time=True)
    now = int(time.time() * 1000)
    produce(deployment, "clicks", [click(1, 3, now)])
    clock = {"type": "track", "event": "x"}
    produce(deployment, "clicks", [(None, json.dumps(clock).encode(), now)])
    stage = deployment.worker(INGEST)
    stage.wait_ready()
    stage.wait(lambda: deployment.input_size() == 1, "writing the event")
    stage.wait(lambda: stage.metric("segstream_events_dead_lettered_total") == 1, "writing the dead letter")
    assert stage.metric("segstream_events_consumed_total") == 2
    assert stage.metric("segstream_source_events_total") == 1
    assert stage.metric("segstream_source_dropped_total") == 0
    assert stage.terminate() == 0
    (event,) = deployment.read("events")
    assert event.key == b"u1"
    assert json.loads(event.value or b"")["type"] == "order_completed"
    headers = dict(event.headers)
    assert headers["source_topic"].decode() == f"{deployment.name}-clicks"
    assert headers["source_timestamp"] == b"%d" % (now + SECOND)
    assert headers["source_offset"] == b"0"
    told = command(deployment, "dead-letters", "--resubmit")
    assert "still bad_time" in told
    assert "0 records re-submitted; 1 record still cannot be read" in told
    fixed = json.dumps({**json.loads(click(2, 1, now)[1]), "timestamp": now}).encode()
    produce(deployment, "clicks", [(b"k", fixed, now)])  # a time that the preset does not read
    again = deployment.worker(INGEST)  # goes on from what was committed
    again.wait(lambda: again.metric("segstream_events_dead_lettered_total") == 1, "writing the dead letter")
    again.terminate()
    assert deployment.input_size() == 1
    preset = (ROOT / "stream/ingest/presets/segment.yaml").read_text(encoding="utf-8")
    (deployment.folder / "fixed.yaml").write_text(
        preset.replace("{path: timestamp, as: iso8601}", "timestamp")
    )
    sources = {f"{deployment.name}-clicks": "fixed.yaml", f"{deployment.name}-till": "till.yaml"}
    config = yaml.safe_load(deployment.config.read_text())
    deployment.config.write_text(yaml.safe_dump({**config, "sources": sources}))
    assert "2 dead letters" in command(deployment, "dead-letters")
    assert "1 record re-submitted; 1 record still" in command(deployment, "dead-letters", "--resubmit")
    told = command(deployment, "dead-letters")
    assert "1 dead letter\n" in told, "what was sent back is no longer there"
    assert "1 dead letter re-submitted before" in told
    assert "0 records re-submitted; 1 record still" in command(deployment, "dead-letters", "--resubmit")
    assert "2 dead letters\n" in command(deployment, "dead-letters", "--again")
    last = deployment.worker(INGEST)
    last.wait(lambda: deployment.input_size() == 2, "writing the re-submitted event")


def command(deployment: Deployment, name: str, *options: str) -> str:
    """What a command says."""
    done = CliRunner().invoke(
        main, [name, "--config", str(deployment.config), *options], catch_exceptions=False
    )
    assert done.exit_code == 0
    return done.output


def test_a_stage_that_cannot_work_says_why(tmp_path: Path) -> None:
    (tmp_path / "till.yaml").write_text("event: {type: a}")
    config = tmp_path / "segstream.yaml"
    config.write_text("sources: {till: till.yaml}")
    with pytest.raises(ConfigError, match="set `ingest: separate`"):
        create_ingest_app(load_settings(config, {}))
    config.write_text("{sources: {till: till.yaml}, ingest: separate}")
    with pytest.raises(DefinitionError, match=r"till.yaml:1:8: `time` is missing"):
        create_ingest_app(load_settings(config, {}))
    for wrong, told in (
        ("{sources: {events: segment}}", "is the topic that events are written to"),
        ("{sources: {a: segment}, mapping: otto}", "leave `mapping` out"),
        ("{sources: {a: [x]}}", "expected names and texts"),
    ):
        config.write_text(wrong)
        with pytest.raises(ConfigError, match=told):
            load_settings(config, {})
