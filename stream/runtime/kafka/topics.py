"""The topics a deployment needs: planned from the settings, compared with what is there, created where missing.

What exists is never changed. A difference is a finding: an *error* where the worker would refuse or lose data, a
*warning* where it would do less well than planned. Partition counts follow the events topic once it exists, for users
must meet their state and their changes in the same partition number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from stream.config import Settings
from stream.durations import DAY, HOUR, MINUTE, format_duration
from stream.errors import OperatorError
from stream.runtime.kafka.connection import kafka_python_options

STATE_MESSAGE_BYTES = 8 << 20
LEAST_COMPACTION_LAG = 10 * MINUTE
SAFE_REPLICAS = 3

Role = Literal["source", "events", "changes", "members", "dead_letters", "state"]


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it should be."""

    role: Role
    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]
    """Topic configuration that differs from the broker's defaults, as Kafka names it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between the plan and the cluster."""

    topic: str
    severity: Literal["error", "warning"]
    message: str
    missing: bool = False

    def __str__(self) -> str:
        return f"{self.severity}: {self.topic}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Actual:
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


def plan_topics(settings: Settings, partitions: int | None = None) -> list[TopicPlan]:
    """All topics of a deployment. `partitions`: those of an events topic that exists already."""
    topics = settings.topics
    count = partitions or settings.partitions
    safe = {"min.insync.replicas": "2"} if settings.replication_factor >= SAFE_REPLICAS else {}

    def plan(role: Role, name: str, **configs: object) -> TopicPlan:
        named = {key.replace("_", "."): str(value) for key, value in configs.items()}
        return TopicPlan(role, name, count, settings.replication_factor, safe | named)

    return [
        *(plan("source", name) for name in settings.sources),
        plan("events", topics.events, message_timestamp_type="LogAppendTime", retention_ms=7 * DAY),
        plan("changes", topics.changes, cleanup_policy="delete", retention_ms=30 * DAY),
        plan("members", topics.members, cleanup_policy="compact"),
        plan(
            "dead_letters",
            topics.dead_letters,
            cleanup_policy="delete",
            retention_ms=30 * DAY,
            max_message_bytes=STATE_MESSAGE_BYTES,
        ),
        plan(
            "state",
            topics.state or f"{settings.app}-state",
            cleanup_policy="compact",
            max_message_bytes=STATE_MESSAGE_BYTES,
            min_compaction_lag_ms=HOUR,
            delete_retention_ms=DAY,
        ),
    ]


def check_topics(settings: Settings) -> list[Finding]:
    """Everything that differs, for people and for exit codes. OperatorError if the brokers cannot be asked."""
    with _admin(settings) as admin:
        return _check(admin, settings)


def create_topics(settings: Settings) -> list[TopicPlan]:
    """Creates what is missing and returns it."""
    with _admin(settings) as admin:
        missing = [plan for plan, actual in _compare(admin, settings) if actual is None]
        if missing:
            wanted = {
                plan.name: {
                    "num_partitions": plan.partitions,
                    "replication_factor": plan.replication_factor,
                    "configs": dict(plan.configs),
                }
                for plan in missing
            }
            try:
                admin.create_topics(wanted, wait_for_metadata=True)
            except KafkaError as error:
                raise OperatorError(
                    f"the topics {', '.join(wanted)} could not be created: {error}"
                ) from error
        return missing


def _admin(settings: Settings) -> KafkaAdminClient:
    try:
        return KafkaAdminClient(**kafka_python_options(settings))
    except KafkaError as error:
        raise OperatorError(f"Kafka at {settings.kafka.brokers} cannot be reached: {error}") from error


def _compare(admin: KafkaAdminClient, settings: Settings) -> list[tuple[TopicPlan, _Actual | None]]:
    there = _describe(admin, [plan.name for plan in plan_topics(settings)])
    events = there.get(settings.topics.events)
    count = events.partitions if events is not None else None
    return [(plan, there.get(plan.name)) for plan in plan_topics(settings, count)]


def _describe(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, _Actual]:
    try:
        known = set(admin.list_topics())
        wanted = [name for name in names if name in known]
        if not wanted:
            return {}
        described: list[dict[str, Any]] = admin.describe_topics(wanted)
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
        configs: dict[str, Any] = admin.describe_configs(resources, config_filter="all")["topic"]
    except KafkaError as error:
        raise OperatorError(f"the topics could not be looked at: {error}") from error
    return {
        topic["name"]: _Actual(
            len(topic["partitions"]),
            min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
            {key: entry["value"] for key, entry in configs[topic["name"]].items()},
        )
        for topic in described
    }


def _check(admin: KafkaAdminClient, settings: Settings) -> list[Finding]:
    findings: list[Finding] = []
    for plan, actual in _compare(admin, settings):
        if actual is None:
            findings.append(
                Finding(plan.name, "error", "does not exist; `segstream topics --create` makes it", True)
            )
        else:
            findings += _differences(plan, actual)
    return findings


def _differences(plan: TopicPlan, actual: _Actual) -> Iterable[Finding]:
    name, has = plan.name, actual.configs
    if plan.role == "source":
        return  # somebody else's: whatever it is like, it can be read
    if actual.partitions != plan.partitions:
        severity: Literal["error", "warning"] = "error" if plan.role == "state" else "warning"
        wanted = f"{plan.partitions} like the events topic" if plan.role != "events" else str(plan.partitions)
        yield Finding(name, severity, f"has {actual.partitions} partitions, expected {wanted}")
    if plan.role == "state" and actual.replication_factor < SAFE_REPLICAS:
        yield Finding(name, "warning", _replicas(actual.replication_factor))
    for key, value in plan.configs.items():
        if has.get(key) != value and (finding := _config_difference(plan, key, value, has.get(key))):
            yield finding


def _replicas(count: int) -> str:
    copies = "copy" if count == 1 else "copies"
    return f"has {count} {copies}: in production use {SAFE_REPLICAS}, with min.insync.replicas 2, or state can be lost"


def _config_difference(plan: TopicPlan, key: str, wanted: str, value: str | None) -> Finding | None:
    """What a differing value means; None where it is as good."""
    told = f"{key} is {value}, expected {wanted}"
    if key == "cleanup.policy":
        return Finding(plan.name, "error" if plan.role in ("state", "members") else "warning", told)
    if key == "message.timestamp.type":
        why = "with CreateTime a phone's wrong clock can move time; fine for recorded data"
        return Finding(plan.name, "warning", f"{told}: {why}")
    number = int(value) if value is not None else 0
    if key == "min.compaction.lag.ms":
        if number >= int(wanted):
            return None
        least = f"at least {format_duration(LEAST_COMPACTION_LAG)} is required"
        refused = number < LEAST_COMPACTION_LAG
        return Finding(plan.name, "error" if refused else "warning", f"{told}; {least}" if refused else told)
    if key in ("max.message.bytes", "delete.retention.ms", "min.insync.replicas"):
        if number >= int(wanted):
            return None
        return Finding(plan.name, "error" if key == "max.message.bytes" else "warning", told)
    return Finding(plan.name, "warning", told)
