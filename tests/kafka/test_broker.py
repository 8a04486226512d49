"""The broker of the tests is a real one."""

from __future__ import annotations

from collections.abc import Callable

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from tests.kafka.broker import Broker


def test_what_is_sent_can_be_read(broker: Broker, unique: Callable[[str], str]) -> None:
    topic = unique("hello")
    with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
        admin.create_topics([NewTopic(topic, 2, 1)])
    with KafkaProducer(bootstrap_servers=broker.address) as producer:
        producer.send(topic, b"value", b"key").get(timeout=20)
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest")
    record = next(iter(consumer))
    consumer.close()
    assert (record.key, record.value) == (b"key", b"value")
