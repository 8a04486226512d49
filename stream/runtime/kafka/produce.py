"""A log to a topic: for loading a cluster with recorded events, and for load tests.

Keys decide where records go, as with any producer. A clock_advanced record has no key: from a plain log it goes to
every partition, since it speaks of the source; from a recorded one to the partition that it was recorded from.

Historic events meet two settings of a topic that are right for live ones. With `message.timestamp.type=LogAppendTime`
Kafka puts its own clock in the place of the log's record times. With CreateTime, records older than `retention.ms` are
deleted as soon as Kafka looks, perhaps before anybody has read them. Both are told when the first such record leaves.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from stream.config import Settings
from stream.durations import MINUTE, format_duration
from stream.errors import OperatorError, RecordError
from stream.events import CLOCK_ADVANCED
from stream.ingest import DeadLetter, Ingest, Mapping
from stream.instants import format_instant
from stream.replay.logs import Log, LogRecord
from stream.runtime.kafka.connection import kafka_python_options

_PATIENCE_SECONDS = 60.0
_HISTORIC = 10 * MINUTE
"""Older than that, a record is not live any more."""

Progress = Callable[[int, int | None], object]
"""Is told how many records were sent so far, and how many bytes of the log were read, if anybody knows."""


class Outgoing(NamedTuple):
    """A record to be produced."""

    key: bytes | None
    value: bytes | None
    timestamp: int | None
    """Epoch milliseconds; None where nobody knows: the producer's clock."""
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    """Where it lay when it was recorded."""
    is_clock: bool = False


@dataclass
class Produced:
    """What was sent, and what could not be."""

    records: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Records that the mapping cannot read, by reason: they were not sent."""
    warnings: list[str] = field(default_factory=list)


def produce(
    settings: Settings,
    path: str,
    topic: str,
    *,
    mapping: Mapping | None = None,
    rate: float | None = None,
    speed: float | None = None,
    close: int | None = None,
    on_dead_letter: Callable[[DeadLetter], object] = lambda letter: None,
    on_warning: Callable[[str], object] = lambda message: None,
    progress: Progress = lambda done, position: None,
) -> Produced:
    """Sends a log to a topic.

    The Kafka timestamp is the recorded one, else `received_at`, else the event time; the key is the recorded one, else
    the user; recorded headers go along. With a `mapping`, rows become canonical events on the way, and what it cannot
    read is counted and handed to `on_dead_letter`. `rate` limits records a second; `speed` keeps the log's own pace,
    that many times faster. `close` ends the log like a replay `--until`: each partition gets a `clock_advanced` just
    above that instant, so that all that is due up to it, inclusive, fires.
    """
    produced = Produced()
    pace = _Pace(rate, speed)
    log = Log(path, mapping)

    def refuse(letter: DeadLetter) -> None:
        produced.refused[letter.reason] += 1
        on_dead_letter(letter)

    def warn(message: str) -> None:
        produced.warnings.append(message)
        on_warning(message)

    try:
        keeps = _Keeping(settings, topic)
        with KafkaProducer(
            **kafka_python_options(settings),
            linger_ms=10,
            batch_size=256 << 10,
            allow_auto_create_topics=False,
        ) as producer:
            numbers = producer.partitions_for(topic)
            if not numbers:
                raise OperatorError(f"the topic {topic} does not exist; `segstream topics --create` makes it")
            sender = _Sender(producer, topic, sorted(numbers))
            for outgoing in outgoing_records(log, mapping, refuse):
                if (
                    outgoing.timestamp is not None
                    and keeps.matters
                    and (told := keeps.judge(outgoing.timestamp))
                ):
                    warn(told)
                pace.wait(produced.records, outgoing.timestamp)
                sender.send(outgoing)
                produced.records += 1
                progress(produced.records, log.position)
            if close is not None:
                value = msgspec.json.encode({"type": CLOCK_ADVANCED, "time": close + 1})
                sender.send(Outgoing(None, value, close + 1, is_clock=True))
            sender.finish()
    except KafkaError as error:
        raise OperatorError(f"{path} could not be sent to {topic}: {error}") from error
    return produced


def outgoing_records(
    log: Log,
    mapping: Mapping | None = None,
    on_dead_letter: Callable[[DeadLetter], object] = lambda letter: None,
) -> Iterator[Outgoing]:
    """The records of a log as they go to a topic.

    Without a mapping, what cannot be read goes as it is: the reader's dead letters tell. With one there is nothing to
    send: it becomes a dead letter here.
    """
    ingest = Ingest()
    source = None if mapping is None else Ingest(mapping)
    for line in log.records():
        try:
            values = _values(line, source)
        except RecordError as error:
            on_dead_letter(line.dead_letter(error, log.path))
            continue
        if mapping is not None:
            line = line._replace(key=None)  # that of its source; an event's key is its user
        for value in values:
            yield _outgoing(ingest, line, value)


def _outgoing(ingest: Ingest, line: LogRecord, value: bytes | None) -> Outgoing:
    key, timestamp, is_clock = line.key, line.record_time, False
    if line.error is None and (key is None or timestamp is None):
        try:
            event = ingest.read(value, offset=0)
        except RecordError:
            pass  # goes out as it is: what is wrong with it is the reader's to say
        else:
            is_clock = event.type == CLOCK_ADVANCED
            key = key if key is not None or not event.user else event.user.encode()
            timestamp = event.record_time if timestamp is None else timestamp
    return Outgoing(key, value, timestamp, line.headers, line.partition, is_clock)


def _values(line: LogRecord, source: Ingest | None) -> list[bytes | None]:
    """The values that a record of a log becomes; RecordError where the mapping cannot read it."""
    if source is None:
        return [line.raw if line.row is None or line.error is not None else msgspec.json.encode(line.row)]
    if line.error is not None:
        raise line.error
    made = source.canonical(line.raw, row=line.row, record_time=line.record_time, origin=line)
    return [value for _, value in made]


class _Sender:
    """Sends, and remembers the first record that Kafka did not take."""

    def __init__(self, producer: KafkaProducer, topic: str, partitions: list[int]) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._failed: BaseException | None = None

    def send(self, outgoing: Outgoing) -> None:
        if not outgoing.is_clock:
            self._send(outgoing, None)
        elif outgoing.partition is None:
            for partition in self._partitions:
                self._send(outgoing, partition)
        else:
            self._send(outgoing, self._partitions[outgoing.partition % len(self._partitions)])

    def finish(self) -> None:
        """KafkaError if anything was not taken."""
        self._producer.flush(timeout=_PATIENCE_SECONDS)
        self._check()

    def _send(self, outgoing: Outgoing, partition: int | None) -> None:
        self._check()
        future = self._producer.send(
            self._topic,
            outgoing.value,
            outgoing.key,
            list(outgoing.headers),
            partition=partition,
            timestamp_ms=outgoing.timestamp,
        )
        future.add_errback(self._fail)

    def _fail(self, error: BaseException) -> None:
        self._failed = self._failed or error

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed


class _Keeping:
    """What a topic does with records that are not of today."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
        self._now = int(time.time() * 1000)
        configs = _configs(settings, topic)
        self._appends = configs.get("message.timestamp.type") == "LogAppendTime"
        retention = int(configs.get("retention.ms") or -1)
        deletes = "delete" in configs.get("cleanup.policy", "")
        self._retention = retention if retention >= 0 and deletes and not self._appends else None
        self.matters = self._appends or self._retention is not None
        """Whether a record could still be told of."""

    def judge(self, timestamp: int) -> str | None:
        """What is wrong with sending a record with this timestamp; told once."""
        age = self._now - timestamp
        told = None
        if self._retention is not None and age > self._retention:
            told = (
                f"{self._topic} keeps records for {format_duration(self._retention)}, and this log has them from "
                f"{format_instant(timestamp)}: Kafka may delete them before they are read. Give the topic "
                "retention.ms=-1 while it is loaded and read"
            )
        elif self._appends and age > _HISTORIC:
            told = (
                f"{self._topic} has message.timestamp.type=LogAppendTime: record times of this log, as "
                f"{format_instant(timestamp)}, become the present. For recorded events make a topic with "
                "message.timestamp.type=CreateTime and retention.ms=-1, and run the worker with time.idle_after: off"
            )
        if told is not None:
            self.matters = False
        return told


def _configs(settings: Settings, topic: str) -> dict[str, str]:
    """A topic's settings; none where we may not ask for them. For a missing one a producer would wait a minute."""
    with KafkaAdminClient(**kafka_python_options(settings)) as admin:
        if topic not in admin.list_topics():
            raise OperatorError(
                f"the topic {topic} does not exist; `segstream topics --create` makes those of the settings"
            )
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            found: dict[str, Any] = admin.describe_configs([resource], config_filter="all")["topic"]
        except KafkaError:
            return {}
    return {key: entry["value"] for key, entry in found.get(topic, {}).items()}


class _Pace:
    """Waits so that records leave at the wanted rate, or as fast as they once came."""

    def __init__(self, rate: float | None, speed: float | None) -> None:
        self._rate = rate
        self._speed = speed
        self._began = time.monotonic()
        self._first: int | None = None

    def wait(self, done: int, timestamp: int | None) -> None:
        due = 0.0
        if self._rate:
            due = done / self._rate
        if self._speed and timestamp is not None:
            self._first = timestamp if self._first is None else self._first
            due = max(due, (timestamp - self._first) / 1000 / self._speed)
        ahead = self._began + due - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
