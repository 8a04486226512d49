"""A topic to a log, and a log to a topic.

A recorded log has one JSON object per line, in the order of each partition:

    {"partition": 3, "offset": 17, "timestamp": 1750000000000, "key": "u1", "value": "{\\"id\\": …}",
     "headers": [["ce_id", "…"]]}

`value` is the record's value as text, to the byte; what is not UTF-8 stands in `value_base64` instead, and so do
`key_base64` and a header's third element. A null value, key or header is null. `timestamp` is Kafka's, in epoch
milliseconds: the record time of docs/definitions.md. `segstream replay` reads such a log with the partitions it was
recorded from, and gives the changes that the worker gave.
"""

from __future__ import annotations

import base64
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
import zstandard
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError, RecordError
from stream.events import CLOCK_ADVANCED
from stream.ingest import Ingest, Mapping
from stream.replay.logs import Log, LogRecord
from stream.runtime.kafka.connection import kafka_python_options

_POLL_MS = 1_000
_PATIENCE_SECONDS = 60.0

Progress = Callable[[int], None]
"""Is told how many records were handled so far."""


class Outgoing(NamedTuple):
    """A record to be produced."""

    key: bytes | None
    value: bytes | None
    timestamp: int | None
    """Epoch milliseconds; None where nobody knows: the producer's clock."""


def record(
    settings: Settings,
    topic: str,
    out: Path,
    *,
    start: int | None = None,
    stop: int | None = None,
    progress: Progress = lambda done: None,
) -> int:
    """Writes a topic, as long as it is now, to a log (.gz and .zst are compressed). Returns the number of records.

    `start` and `stop` are instants: records from `start` up to, not including, `stop`, by their Kafka timestamps.
    """
    consumer = _consumer(settings)
    try:
        tps = _partitions(consumer, topic)
        ends = consumer.end_offsets(tps)
        begins = _begins(consumer, tps, start)
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, begins[tp])
        done = 0
        with _open(out) as file:
            for tp, records in _poll(consumer, {tp for tp in tps if begins[tp] < ends[tp]}, ends):
                lines = [
                    _line(each) for each in records if each.offset < ends[tp] and _within(each, start, stop)
                ]
                file.write(b"".join(lines))
                done += len(lines)
                progress(done)
        return done
    except KafkaError as error:
        raise OperatorError(f"{topic} could not be recorded: {error}") from error
    finally:
        consumer.close()


def produce(
    settings: Settings,
    path: str,
    topic: str,
    *,
    mapping: Mapping | None = None,
    rate: float | None = None,
    speed: float | None = None,
    close: int | None = None,
    progress: Progress = lambda done: None,
) -> int:
    """Sends a log to a topic. Returns the number of records.

    The Kafka timestamp is the recorded one, else `received_at`, else the event time; the key is the recorded one, else
    the user. With a `mapping`, rows become canonical events on the way. `rate` limits records a second; `speed` keeps
    the log's own pace, that many times faster. `close` ends the log like a replay `--until`: each partition gets a
    `clock_advanced` just above that instant, so that all that is due up to it, inclusive, fires.
    """
    done = 0
    pace = _Pace(rate, speed)
    try:
        with KafkaProducer(
            **kafka_python_options(settings),
            linger_ms=10,
            batch_size=256 << 10,
            allow_auto_create_topics=False,
        ) as producer:
            partitions = producer.partitions_for(topic)
            if not partitions:
                raise OperatorError(f"the topic {topic} does not exist; `segstream topics --create` makes it")
            for outgoing in outgoing_records(Log(path), mapping):
                pace.wait(done, outgoing.timestamp)
                producer.send(topic, outgoing.value, outgoing.key, timestamp_ms=outgoing.timestamp)
                done += 1
                progress(done)
            if close is not None:
                value = msgspec.json.encode({"type": CLOCK_ADVANCED, "time": close + 1})
                for partition in sorted(partitions):
                    producer.send(topic, value, partition=partition, timestamp_ms=close + 1)
            producer.flush(timeout=_PATIENCE_SECONDS)
    except KafkaError as error:
        raise OperatorError(f"{path} could not be sent to {topic}: {error}") from error
    return done


def outgoing_records(log: Log, mapping: Mapping | None = None) -> Iterator[Outgoing]:
    """The records of a log as they go to a topic. What cannot be read goes as it is: the worker's dead letters tell."""
    ingest = Ingest()
    for line in log.records():
        for value in _values(line, mapping):
            key, timestamp = line.key, line.record_time
            if line.error is None and (key is None or timestamp is None):
                try:
                    event = ingest.read(value, offset=0)
                except RecordError:
                    pass  # goes out as it is: what is wrong with it is the reader's to say
                else:
                    key = key if key is not None or not event.user else event.user.encode()
                    timestamp = event.record_time if timestamp is None else timestamp
            yield Outgoing(key, value, timestamp)


def _values(line: LogRecord, mapping: Mapping | None) -> list[bytes | None]:
    row = line.row
    if line.error is not None or (mapping is None and row is None):
        return [line.raw]
    if row is None:
        row = msgspec.json.decode(line.raw or b"null")
    rows: list[Any] = [row] if mapping is None else list(mapping.apply(row))
    return [msgspec.json.encode(each) for each in rows]


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


def _consumer(settings: Settings) -> KafkaConsumer:
    try:
        return KafkaConsumer(
            **kafka_python_options(settings), enable_auto_commit=False, auto_offset_reset="earliest"
        )
    except KafkaError as error:
        raise OperatorError(f"Kafka at {settings.kafka.brokers} cannot be reached: {error}") from error


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise OperatorError(f"the topic {topic} does not exist")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _begins(
    consumer: KafkaConsumer, tps: list[TopicPartition], start: int | None
) -> dict[TopicPartition, int]:
    if start is None:
        return cast(dict[TopicPartition, int], consumer.beginning_offsets(tps))
    found = consumer.offsets_for_times(dict.fromkeys(tps, start))
    ends = consumer.end_offsets(tps)
    return {tp: found[tp].offset if found[tp] is not None else ends[tp] for tp in tps}


def _poll(
    consumer: KafkaConsumer, unfinished: set[TopicPartition], ends: dict[TopicPartition, int]
) -> Iterator[tuple[TopicPartition, list[Any]]]:
    """Batches until each partition has reached its end; OperatorError if nothing comes for a minute."""
    heard = time.monotonic()
    while unfinished:
        for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
            heard = time.monotonic()
            yield tp, records
        unfinished = {tp for tp in unfinished if consumer.position(tp) < ends[tp]}
        if time.monotonic() - heard > _PATIENCE_SECONDS:
            raise OperatorError(f"nothing came from {', '.join(map(str, unfinished))} for a minute")


def _within(each: Any, start: int | None, stop: int | None) -> bool:
    return (start is None or each.timestamp >= start) and (stop is None or each.timestamp < stop)


def _line(each: Any) -> bytes:
    entry: dict[str, Any] = {"partition": each.partition, "offset": each.offset, "timestamp": each.timestamp}
    entry |= _text("key", each.key) | _text("value", each.value)
    if each.headers:
        entry["headers"] = [[name, *_text("value", data).values()] for name, data in each.headers]
    return msgspec.json.encode(entry) + b"\n"


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    try:
        return {name: bytes(data).decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": base64.b64encode(data).decode()}


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "wb"))
    if path.suffix == ".zst":
        return cast(IO[bytes], zstandard.open(path, "wb"))
    return path.open("wb")
