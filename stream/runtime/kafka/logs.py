"""A topic to a log.

A recorded log has one JSON object per line:

    {"partition": 3, "offset": 17, "timestamp": 1750000000000, "key": "u1", "value": "{\\"id\\": …}",
     "headers": [["ce_id", "…"]]}

Lines are in the order of each partition and, over the partitions, by timestamp: so a log can be merged with others,
and be produced again at its own pace. `value` is the record's value as text, to the byte; what is not UTF-8 stands in
`value_base64` instead, and so do `key_base64` and a header's third element. A null value, key or header is null.
`timestamp` is Kafka's, in epoch milliseconds: the record time of docs/definitions.md. `segstream replay` reads such a
log with the partitions it was recorded from, and gives the changes that the worker gave.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError
from stream.replay.packing import packed
from stream.runtime.kafka.connection import kafka_python_options

_POLL_MS = 1_000
_PATIENCE_SECONDS = 60.0
_AHEAD = 5_000
"""Records of a partition that wait for the other partitions before no more of it are fetched."""

Progress = Callable[[int, int], object]
"""Is told how many records were read so far, and how many there are to read."""


def record(
    settings: Settings,
    topic: str,
    out: Path,
    *,
    start: int | None = None,
    stop: int | None = None,
    progress: Progress = lambda done, total: None,
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
        total = sum(max(0, ends[tp] - begins[tp]) for tp in tps)
        done = 0
        with packed(out) as file:
            waiting = {tp: deque[Any]() for tp in tps if begins[tp] < ends[tp]}
            for read, each in enumerate(_in_time_order(consumer, waiting, ends), 1):
                if _within(each, start, stop):
                    file.write(_line(each))
                    done += 1
                if read % _AHEAD == 0:
                    progress(read, total)
        return done
    except KafkaError as error:
        raise OperatorError(f"{topic} could not be recorded: {error}") from error
    finally:
        consumer.close()


def read_topic(
    settings: Settings, topic: str, start: int | None = None, stop: int | None = None
) -> Iterator[Any]:
    """The records of a topic as long as it is now, in order of time; `start` and `stop` as for `record`."""
    consumer = _consumer(settings)
    try:
        tps = _partitions(consumer, topic)
        ends = consumer.end_offsets(tps)
        begins = _begins(consumer, tps, start)
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, begins[tp])
        waiting = {tp: deque[Any]() for tp in tps if begins[tp] < ends[tp]}
        yield from (each for each in _in_time_order(consumer, waiting, ends) if _within(each, start, stop))
    except KafkaError as error:
        raise OperatorError(f"{topic} could not be read: {error}") from error
    finally:
        consumer.close()


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


def _in_time_order(
    consumer: KafkaConsumer, waiting: dict[TopicPartition, deque[Any]], ends: dict[TopicPartition, int]
) -> Iterator[Any]:
    """The records below `ends`: next is always the one with the smallest timestamp of what stands first anywhere.

    A partition that was read far ahead of the others is paused, so that little has to be kept.
    """
    unread = set(waiting)
    while waiting:
        lacking = {tp for tp in unread if not waiting[tp]}
        if lacking:
            full = {tp for tp in unread - lacking if len(waiting[tp]) >= _AHEAD}
            consumer.pause(*full)
            _fetch(consumer, waiting, ends, unread, lacking)
            consumer.resume(*full)
            continue
        first = min(waiting, key=lambda tp: waiting[tp][0].timestamp if waiting[tp] else -1)
        if waiting[first]:
            yield waiting[first].popleft()
        if not waiting[first] and first not in unread:
            del waiting[first]


def _fetch(
    consumer: KafkaConsumer,
    waiting: dict[TopicPartition, deque[Any]],
    ends: dict[TopicPartition, int],
    unread: set[TopicPartition],
    lacking: set[TopicPartition],
) -> None:
    """Reads until something came of a partition in `lacking`, or one is at its end; gives up after a minute."""
    heard = time.monotonic()
    while all(not waiting[tp] and tp in unread for tp in lacking):
        for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
            heard = time.monotonic()
            waiting[tp].extend(each for each in records if each.offset < ends[tp])
        unread -= {tp for tp in unread if consumer.position(tp) >= ends[tp]}
        if time.monotonic() - heard > _PATIENCE_SECONDS:
            raise OperatorError(f"nothing came from {', '.join(map(str, sorted(lacking)))} for a minute")


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
