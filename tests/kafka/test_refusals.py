"""What cannot be repaired is refused, naming the fix; what can be is restored without a word of harm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from tests.kafka.broker import Broker
from tests.kafka.harness import Deployment, WorkerProcess
from tests.kafka.test_protocol import check_output, events


@pytest.fixture
def deployment(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Deployment]:
    """A deployment that has run once and was stopped."""
    deployment = Deployment(broker, tmp_path, unique("refusal"), time={"idle_after": "off"}, partitions=2)
    deployment.create_topics(create_time=True, partitions=2)
    deployment.produce(events(2_000))
    worker = deployment.worker()
    worker.wait(worker.is_done, "reading the input")
    assert worker.terminate() == 0
    yield deployment
    deployment.stop()


def refused(worker: WorkerProcess, *words: str) -> None:
    assert worker.process.wait(60) == 3, worker.tail()
    for word in words:
        assert word in worker.tail()


def test_input_trimmed_above_the_state(deployment: Deployment) -> None:
    deployment.produce(events(4_000)[2_000:])
    topic = deployment.settings.topics.events
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        admin.delete_records({TopicPartition(topic, 0): -1})
    refused(deployment.worker(), f"{topic}-0 holds offsets", "deleted by retention", "another `app` name")


def test_input_made_anew(deployment: Deployment) -> None:
    topic = deployment.settings.topics.events
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        admin.delete_topics([topic])
    deployment.create_topics(create_time=True, partitions=2)
    refused(deployment.worker(), f"{topic}-", "the topic was made anew")


def test_partitions_added_to_the_input(deployment: Deployment) -> None:
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        admin.create_partitions({deployment.settings.topics.events: 3})
    refused(deployment.worker(), "has 2 partitions and", "has 3", "must be the same")


def test_changelog_trimmed(deployment: Deployment) -> None:
    topic = deployment.settings.topics.state
    shutil.rmtree(deployment.state)
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        policy = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": "delete"})
        admin.alter_configs([policy])
        admin.delete_records({TopicPartition(topic, 0): -1})
    refused(deployment.worker(), f"{topic}-0 begins at offset", "must be compacted, not deleted from")


def test_changelog_lost_and_the_input_too_short_to_begin_again(deployment: Deployment) -> None:
    topics = deployment.settings.topics
    shutil.rmtree(deployment.state)
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        admin.delete_records({TopicPartition(topics.events, 0): 100})
        admin.delete_topics([topics.state])
    refused(deployment.worker(), "topics are missing", topics.state, "segstream topics --create")
    deployment.create_topics()
    refused(deployment.worker(), f"{topics.state}-0 holds no state", "Restore the topic", "another `app`")


def test_something_else_writes_to_the_changelog(deployment: Deployment) -> None:
    with KafkaProducer(bootstrap_servers=deployment.broker.address) as producer:
        producer.send(deployment.settings.topics.state, b"who?", b"u:me", partition=0)
    refused(deployment.worker(), "has no epoch: something else writes to this topic")


def test_a_key_that_is_not_the_user(deployment: Deployment) -> None:
    stranger = json.dumps({"id": "s", "type": "product_viewed", "time": 1_760_000_000_000, "user_id": "ann"})
    deployment.produce([("session-7", stranger.encode(), None)])
    refused(deployment.worker(), "key is b'session-7' and its user is 'ann'", "produce with the user")


def test_two_workers_share_a_state_folder(deployment: Deployment) -> None:
    first = deployment.worker()
    first.wait_ready()
    deployment.worker(env={"SEGSTREAM_HTTP_PORT": "0"})
    first.wait(lambda: json.loads(first.get("/ready")[1])["partitions"] in ([0], [1]), "sharing")
    deployment.produce(events(4_000)[2_000:])
    first.wait(lambda: first.consumed() > 0 and first.is_done(), "reading")
    deployment.stop()
    last = deployment.worker()
    last.wait(last.is_done, "reading the rest")
    assert last.terminate() == 0
    check_output(deployment)


def test_damaged_local_state_is_restored(deployment: Deployment) -> None:
    for file in deployment.state.rglob("*.sst"):
        data = bytearray(file.read_bytes())
        for position in range(0, len(data), 64):
            data[position] ^= 0xFF
        file.write_bytes(data)
    deployment.produce(events(4_000)[2_000:])
    worker = deployment.worker()
    worker.wait(worker.is_done, "restoring and reading")
    assert worker.terminate() == 0
    assert "restored from the changelog" in worker.tail()
    check_output(deployment)


def test_state_of_another_changelog_is_wiped(deployment: Deployment) -> None:
    """The topic was deleted and made anew: the local store is ahead of it, and everything begins again."""
    topic = deployment.settings.topics.state
    with KafkaAdminClient(bootstrap_servers=deployment.broker.address) as admin:
        admin.delete_topics([topic])
    deployment.create_topics()
    worker = deployment.worker()
    worker.wait(worker.is_done, "reading again")
    assert worker.consumed() == 2_000
    assert worker.terminate() == 0
    check_output(deployment)
