"""Topics: planned, compared, created, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from kafka import KafkaAdminClient

from stream.config import KafkaSettings, Settings, TopicSettings
from stream.errors import OperatorError
from stream.runtime.kafka.topics import check_topics, create_topics, plan_topics
from tests.kafka.broker import Broker, free_port


@pytest.fixture
def settings(broker: Broker, unique: Callable[[str], str]) -> Settings:
    names = {role: unique(role) for role in ("events", "changes", "members", "dead_letters", "state")}
    return Settings(kafka=KafkaSettings(brokers=broker.address), topics=TopicSettings(**names), partitions=2)


def test_the_plan() -> None:
    plans = {plan.role: plan for plan in plan_topics(Settings(app="shop", replication_factor=3))}
    assert plans["events"].configs["message.timestamp.type"] == "LogAppendTime"
    assert plans["members"].configs["cleanup.policy"] == "compact"
    state = plans["state"]
    assert (state.name, state.partitions, state.replication_factor) == ("shop-state", 4, 3)
    assert state.configs["min.compaction.lag.ms"] == "3600000"
    assert int(state.configs["max.message.bytes"]) == 8 << 20
    assert state.configs["min.insync.replicas"] == "2"


def test_what_is_missing_is_created_once(settings: Settings) -> None:
    assert {finding.missing for finding in check_topics(settings)} == {True}
    assert len(create_topics(settings)) == 5
    assert create_topics(settings) == []
    (finding,) = check_topics(settings)
    assert (finding.topic, finding.severity) == (settings.topics.state, "warning")
    assert "has 1 copy" in finding.message


def test_partitions_follow_the_events_topic(settings: Settings) -> None:
    _create(settings, settings.topics.events, 3)
    assert {plan.partitions for plan in create_topics(settings)} == {3}


def test_differences_are_told_and_left(settings: Settings) -> None:
    _create(settings, settings.topics.events, 2)
    _create(settings, settings.topics.state, 5, **{"min.compaction.lag.ms": "1000"})
    create_topics(settings)
    found = {(finding.severity, finding.topic, finding.message) for finding in check_topics(settings)}
    errors = "\n".join(message for severity, topic, message in found if severity == "error")
    assert "has 5 partitions, expected 2 like the events topic" in errors
    assert "cleanup.policy is delete, expected compact" in errors
    assert "min.compaction.lag.ms is 1000, expected 3600000; at least 10m is required" in errors
    warnings = "\n".join(message for severity, topic, message in found if severity == "warning")
    assert "message.timestamp.type is CreateTime, expected LogAppendTime" in warnings


def test_no_broker_is_said_so(settings: Settings) -> None:
    client = {"bootstrap_timeout_ms": 500}
    nowhere = replace(settings, kafka=KafkaSettings(brokers=f"127.0.0.1:{free_port()}", client=client))
    with pytest.raises(OperatorError, match="cannot be reached"):
        check_topics(nowhere)


def _create(settings: Settings, name: str, partitions: int, **configs: str) -> None:
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    with KafkaAdminClient(bootstrap_servers=settings.kafka.brokers) as admin:
        admin.create_topics({name: options}, wait_for_metadata=True)
