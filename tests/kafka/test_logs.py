"""A topic survives the way into a log and back, to the byte."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer

from stream.errors import OperatorError
from stream.ingest import load_mapping
from stream.replay import Log
from stream.runtime.kafka.logs import outgoing_records, produce, record
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
    assert produce(deployment.settings, str(log), topic, close=1_750_000_100_000) == 2
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


def test_a_topic_that_is_not_there(deployment: Deployment, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="does not exist"):
        record(deployment.settings, "nowhere", tmp_path / "log")
