"""Puts right what a worker that slept through its replacement may have left in the members topic.

Such a worker can publish once more what its successor has published already. Subscribers of the changes drop that by
`seq`; the members topic keeps the last record of a key, whatever its seq, so an older change can stand there until the
membership changes next. The repair reads both topics and writes the change with the highest seq of each membership
where another one stands last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError
from stream.replay.partitioner import partition_of
from stream.runtime.kafka.connection import kafka_python_options

_ROUNDS = 5
"""Workers may go on meanwhile: what they write between our reading and writing is looked at again."""
_PATIENCE_MS = 60_000


@dataclass(slots=True)
class _Change:
    seq: int
    record: Any
    forgotten: bool


def repair_members(settings: Settings) -> int:
    """How many memberships were put right. OperatorError if Kafka cannot be reached."""
    options = kafka_python_options(settings)
    repaired = 0
    try:
        with KafkaProducer(**options, acks="all") as producer:
            for _ in range(_ROUNDS):
                wrong = list(_find_wrong(options, settings))
                for partition, key, change in wrong:
                    value = None if change.forgotten else change.record.value
                    headers = list(change.record.headers)
                    producer.send(settings.topics.members, value, key, headers=headers, partition=partition)
                producer.flush()
                repaired += len(wrong)
                if not wrong:
                    break
    except KafkaError as error:
        raise OperatorError(f"the members topic could not be repaired: {error}") from error
    return repaired


def _find_wrong(options: dict[str, Any], settings: Settings) -> Iterator[tuple[int, bytes, _Change]]:
    """Partition, key and right change of each membership whose last record is not its newest change."""
    newest: dict[bytes, _Change] = {}
    forgotten: set[bytes | None] = set()
    standing: dict[bytes, tuple[int, int]] = {}
    for record in _read(options, settings.topics.members):
        if record.value is None:
            forgotten.add(dict(record.headers).get("ce_id"))
            standing.pop(record.key, None)
        else:
            seq = msgspec.json.decode(record.value)["seq"]
            standing[record.key] = record.partition, seq
            _keep(newest, record.key, _Change(seq, record, False))
    for record in _read(options, settings.topics.changes):
        fields = msgspec.json.decode(record.value)
        key = msgspec.json.encode([fields["segment"]["key"], fields["user"]["id"], fields.get("instance")])
        gone = fields["cause"] == "evicted" or fields["event_id"].encode() in forgotten
        _keep(newest, key, _Change(fields["seq"], record, gone))
    counts = [_count(options, topic) for topic in (settings.topics.changes, settings.topics.members)]
    for key, change in newest.items():
        partition, seq = standing.get(key, (-1, 0))
        if seq == change.seq and not change.forgotten:
            continue
        if partition < 0:
            if change.forgotten:
                continue
            same = counts[0] == counts[1]
            user = msgspec.json.decode(key)[1].encode()
            partition = change.record.partition if same else partition_of(user, counts[1])
        yield partition, key, change


def _keep(newest: dict[bytes, _Change], key: bytes, change: _Change) -> None:
    if key not in newest or newest[key].seq <= change.seq:
        newest[key] = change


def _count(options: dict[str, Any], topic: str) -> int:
    consumer = KafkaConsumer(**options)
    try:
        return len(consumer.partitions_for_topic(topic) or ())
    finally:
        consumer.close()


def _read(options: dict[str, Any], topic: str) -> Iterator[Any]:
    """Everything in a topic, as long as it is now."""
    consumer = KafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not tps:
            raise OperatorError(f"the topic {topic} does not exist; `segstream topics --create` makes it")
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        ends = consumer.end_offsets(tps)
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            fetched = consumer.poll(timeout_ms=_PATIENCE_MS, max_records=10_000)
            if not fetched and any(consumer.position(tp) < ends[tp] for tp in tps):
                raise OperatorError(f"nothing came from {topic} for a minute")
            for records in fetched.values():
                yield from records
    finally:
        consumer.close()
