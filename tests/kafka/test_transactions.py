"""Producers may write events in transactions: what they abort never happened, and their markers hold nothing up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kafka import KafkaProducer

from tests.kafka.broker import Broker
from tests.kafka.harness import Deployment
from tests.kafka.test_protocol import events


def test_aborted_events_never_happened(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> None:
    deployment = Deployment(broker, tmp_path, unique("transactions"), partitions=2)
    deployment.create_topics(create_time=True, partitions=2)
    rows = events(900)
    try:
        worker = deployment.worker()
        with KafkaProducer(bootstrap_servers=broker.address, transactional_id=deployment.name) as producer:
            producer.init_transactions()
            for number, commit in enumerate((True, False, True)):
                producer.begin_transaction()
                for key, value, timestamp in rows[number * 300 : (number + 1) * 300]:
                    producer.send(
                        deployment.settings.topics.events,
                        value,
                        (key or "").encode(),
                        timestamp_ms=timestamp,
                    )
                producer.flush()
                producer.commit_transaction() if commit else producer.abort_transaction()
        worker.wait(lambda: worker.consumed() == 600 and worker.is_done(), "reading what was committed")
        assert deployment.input_size() > 900, "with the transactions' markers"
        assert worker.terminate() == 0
        worker = deployment.worker()
        worker.wait(worker.is_done, "going on behind the last marker")
        assert worker.consumed() == 0
        assert worker.metric("segstream_events_skipped_total") == 0
        assert worker.terminate() == 0
    finally:
        deployment.stop()
