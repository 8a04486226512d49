"""A topic survives the way into a log and back, to the byte."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from stream.errors import OperatorError
from stream.ingest import DeadLetter, load_mapping
from stream.replay import Log
from stream.runtime.kafka.logs import record
from stream.runtime.kafka.produce import outgoing_records, produce
from tests.kafka.broker import Broker
from tests.kafka.harness import Deployment

EVENT = (
    b'{"id":"e1","type":"product_viewed","time":1750000000000,"user_id":"ann","received_at":1750000000500}'
)


@pytest.fixture
def deployment(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> Deployment:
    deployment = Deployment(broker, tmp_path, unique("logs"))
    deployment.create_topics(create_time=True, partitions=2)
    return deployment


def test_a_topic_is_recorded_faithfully(deployment: Deployment, tmp_path: Path) -> None:
    topic = deployment.settings.topics.events
    with KafkaProducer(bootstrap_servers=deployment.broker.address) as producer:
        producer.send(topic, EVENT, b"ann", [("h", b"\xff"), ("i", b"x")], partition=0, timestamp_ms=1_000)
        producer.send(topic, b"\xff\x00not text", None, partition=0, timestamp_ms=2_000)
        producer.send(topic, None, b"\xfe", partition=1, timestamp_ms=3_000)
    out = tmp_path / "log.jsonl.gz"
    assert record(deployment.settings, topic, out) == 3
    lines = sorted(
        map(json.loads, gzip.decompress(out.read_bytes()).splitlines()), key=lambda line: line["timestamp"]
    )
    assert lines[0] == {
        "partition": 0,
        "offset": 0,
        "timestamp": 1_000,
        "key": "ann",
        "value": EVENT.decode(),
        "headers": [["h", None, "/w=="], ["i", "x"]],
    }
    read = sorted(Log(str(out)).records(), key=lambda each: each.record_time or 0)
    assert [each.raw for each in read] == [EVENT, b"\xff\x00not text", None]
    assert [each.key for each in read] == [b"ann", None, b"\xfe"]
    assert [each.partition for each in read] == [0, 0, 1]


def test_a_part_of_a_topic_by_time(deployment: Deployment, tmp_path: Path) -> None:
    topic = deployment.settings.topics.events
    deployment.produce(("u", b"%d" % number, 1_000 * number) for number in range(1, 10))
    assert record(deployment.settings, topic, tmp_path / "part.jsonl", start=3_000, stop=6_000) == 3


def test_produced_records_have_the_log_s_time_and_the_user_as_key(
    deployment: Deployment, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(EVENT + b"\nnot json\n")
    topic = deployment.settings.topics.events
    assert produce(deployment.settings, str(log), topic, close=1_750_000_100_000).records == 2
    recorded = tmp_path / "again.jsonl"
    assert record(deployment.settings, topic, recorded) == 4
    lines = [json.loads(line) for line in recorded.read_bytes().splitlines()]
    (event,) = [line for line in lines if line["key"] == "ann"]
    assert event["timestamp"] == 1_750_000_000_500
    assert event["value"] == EVENT.decode()
    closing = [line for line in lines if "clock_advanced" in line["value"]]
    assert sorted(line["partition"] for line in closing) == [0, 1]
    assert json.loads(closing[0]["value"]) == {"type": "clock_advanced", "time": 1_750_000_100_001}
    assert [line["key"] for line in lines if line["value"] == "not json"] == [None]


def test_a_table_goes_out_as_events(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n")
    (outgoing,) = outgoing_records(Log(str(table)), load_mapping("retailrocket"))
    assert (outgoing.key, outgoing.timestamp) == (b"257597", 1_433_221_332_117)
    assert json.loads(outgoing.value or b"")["type"] == "product_viewed"


def test_a_recorded_log_is_in_order_of_time_over_its_partitions(
    deployment: Deployment, tmp_path: Path
) -> None:
    deployment.produce((f"u{number % 7}", b"%d" % number, 1_000 + number) for number in range(300))
    log = tmp_path / "log.jsonl"
    assert record(deployment.settings, deployment.settings.topics.events, log) == 300
    read = list(Log(str(log)).records())
    assert [each.record_time for each in read] == [1_000 + number for number in range(300)]
    assert {each.partition for each in read} == {0, 1}


def test_a_recorded_log_is_produced_again_with_its_keys_headers_and_timestamps(
    deployment: Deployment, tmp_path: Path
) -> None:
    topic = deployment.settings.topics.events
    clock = b'{"type":"clock_advanced","time":1750000000000}'
    with KafkaProducer(bootstrap_servers=deployment.broker.address) as producer:
        producer.send(topic, EVENT, b"ann", [("h", b"\xff"), ("i", b"x")], timestamp_ms=1_000)
        producer.send(topic, clock, partition=1, timestamp_ms=2_000)
    log, again = tmp_path / "log.jsonl", tmp_path / "again.jsonl"
    assert record(deployment.settings, topic, log) == 2
    other = Deployment(deployment.broker, tmp_path / "other", f"{deployment.name}-other")
    other.create_topics(create_time=True, partitions=2)
    produced = produce(other.settings, str(log), other.settings.topics.events)
    assert (produced.records, produced.warnings) == (2, [])
    record(other.settings, other.settings.topics.events, again)
    assert again.read_bytes() == log.read_bytes()


def test_a_clock_of_a_plain_log_reaches_every_partition(deployment: Deployment, tmp_path: Path) -> None:
    log, again = tmp_path / "log.jsonl", tmp_path / "again.jsonl"
    log.write_text('{"type":"clock_advanced","time":1750000000000}\n')
    topic = deployment.settings.topics.events
    assert produce(deployment.settings, str(log), topic).records == 1
    record(deployment.settings, topic, again)
    assert [each.partition for each in Log(str(again)).records()] == [0, 1]


def test_what_a_mapping_cannot_read_is_counted_and_left_out(deployment: Deployment, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\nyesterday,1,view,2,\n1,2,3,4,5,6\n"
    )
    letters: list[DeadLetter] = []
    produced = produce(
        deployment.settings,
        str(table),
        deployment.settings.topics.events,
        mapping=load_mapping("retailrocket"),
        on_dead_letter=letters.append,
    )
    assert (produced.records, dict(produced.refused)) == (1, {"bad_time": 1, "bad_row": 1})
    assert [letter.coordinates["line"] for letter in letters] == [3, 4]
    assert deployment.input_size() == 1


def test_historic_records_are_warned_of_once(
    deployment: Deployment, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(EVENT + b"\n" + EVENT.replace(b"e1", b"e2") + b"\n")
    kept, appended = unique("kept"), unique("appended")
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        configs = {kept: {"retention.ms": "3600000"}, appended: {"message.timestamp.type": "LogAppendTime"}}
        admin.create_topics(
            {
                name: {"num_partitions": 1, "replication_factor": 1, "configs": config}
                for name, config in configs.items()
            },
            wait_for_metadata=True,
        )
    warned: list[str] = []
    for topic in (kept, appended, deployment.settings.topics.events):
        produce(deployment.settings, str(log), topic, on_warning=warned.append)
    assert len(warned) == 2
    assert "keeps records for 1h" in warned[0]
    assert "retention.ms=-1" in warned[0]
    assert "LogAppendTime" in warned[1]


def test_a_topic_that_is_not_there(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperatorError, match="does not exist"):
        record(deployment.settings, "nowhere", tmp_path / "log")
    log = tmp_path / "shop.jsonl"
    log.write_text('{"type":"a","time":"2026-11-21T09:00:00Z","user_id":"u"}\n', encoding="utf-8")
    monkeypatch.setattr(
        KafkaProducer, "partitions_for", lambda *_: pytest.fail("a producer waits a minute for it")
    )
    with pytest.raises(OperatorError, match="the topic nowhere does not exist"):
        produce(deployment.settings, str(log), "nowhere")
