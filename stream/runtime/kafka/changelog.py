"""The log of the state: what is in it, and the one hand that writes it.

The changelog topic has a partition for every partition of the input. Its records:

    key        value                  written
    u:USER     profile, or tombstone  whenever a step changed the user
    m          Marker                 last record of every step
    c          Claim                  when a worker takes the partition

Every record, tombstones too, carries its writer's epoch in the header `e`.

**A step is one RecordBatch.** Kafka appends a RecordBatch whole or not at all, so whoever reads the log sees the users
of a step together with its marker, which says how far the input was read and which changes were decided. Nothing else
of a step is needed to go on after a crash: the last marker wins, its pending changes are published again byte for byte.
So a change is decided once and published at least once.

**One writer.** A claim takes the partition: it must land exactly at the log's end, with an epoch above all seen. Each
later batch must land exactly where the writer expects it. If it lands further, somebody else has written in between
(`repair` looks who). If it failed, or its acknowledgement comes without an offset, nobody knows where it is: it is
never sent again, and the truth is read from the log. A reader ignores records of an epoch below the highest before
them: they come from a writer that did not know it had been replaced.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer

from stream.errors import OperatorError
from stream.runtime.kafka.batches import RecordBatch, encode_headers
from stream.state import USER

MARKER = b"m"
CLAIM = b"c"
EPOCH_HEADER = "e"
_FORMAT = b"\x01"

MAX_BATCH_BYTES = (8 << 20) - (16 << 10)
"""The largest RecordBatch: `max.message.bytes` of the topic less room for the batch's own header."""


class ChangelogError(OperatorError):
    """The changelog cannot be written or read as it must be."""


class OutcomeUnknownError(ChangelogError):
    """A batch was sent and nobody knows where it is. The partition must be restored from the log."""


class SupersededError(ChangelogError):
    """Another worker has taken the partition."""


class Pending(msgspec.Struct, array_like=True, gc=False):
    """A decided change as its complete records: one of the changes topic, one of the members topic."""

    user: bytes
    """Key in the changes topic."""
    value: bytes
    headers: bytes
    """As they stand in a record."""
    member: bytes
    """Key in the members topic."""
    forget: bool = False
    """The members topic gets a tombstone."""


class Marker(msgspec.Struct, array_like=True):
    """Where a step left its partition."""

    log: str
    """Identifies the log: a topic made anew has another one."""
    seq: int
    """Counts the steps of the log."""
    next_offset: int
    """The first input record that is not in the state."""
    partitions: int
    """Partitions of the input when this was written: users move when it changes."""
    engine: bytes | None
    """The engine's own marker; None before the first step."""
    pending: list[Pending]
    """The changes of this step."""


class Claim(msgspec.Struct, array_like=True):
    """A worker takes the partition."""

    log: str
    epoch: int
    owner: str


class Anchor(msgspec.Struct, array_like=True):
    """The local store's marker: which record of the log it stands for."""

    log: str
    seq: int
    offset: int
    """Offset of the step's marker in the changelog."""
    next_offset: int
    engine: bytes | None
    written_at: int
    """Wall clock, epoch ms: a store older than the log's tombstones must not be used."""
    epoch: int = 0
    """Of the marker's writer."""


_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode


def encode(record: Marker | Claim | Anchor) -> bytes:
    return _FORMAT + _encode(record)


def decode(data: bytes, kind: type[_T]) -> _T:
    """ChangelogError for a format that this version does not know."""
    if data[:1] != _FORMAT:
        raise ChangelogError(
            f"a {kind.__name__.lower()} of format {data[:1].hex()} was written by another version"
        )
    try:
        return msgspec.msgpack.decode(data[1:], type=kind)
    except msgspec.DecodeError as error:
        raise ChangelogError(f"a {kind.__name__.lower()} cannot be read: {error}") from error


def epoch_of(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """The epoch of a record's writer; ChangelogError where there is none."""
    for name, value in headers:
        if name == EPOCH_HEADER and value:
            return int.from_bytes(value, "big")
    raise ChangelogError("a record of the changelog has no epoch: something else writes to this topic")


class Changelog:
    """The open end of one partition's log."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        *,
        log: str,
        epoch: int,
        end: int,
        seq: int,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self.partition = partition
        self._headers = encode_headers([(EPOCH_HEADER, epoch.to_bytes(4, "big"))])
        self.log = log
        self.epoch = epoch
        self.end = end
        """Where the next batch must land."""
        self.foreign = range(0)
        """Where somebody else wrote before the last append, until it is repaired."""
        self.seq = seq

    @classmethod
    async def claim(
        cls,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        *,
        log: str | None,
        epoch: int,
        end: int,
        seq: int,
    ) -> Changelog | None:
        """Takes the partition, whose log ends at `end`; None if somebody wrote meanwhile: read on and try again."""
        log = log or uuid.uuid4().hex
        writer = cls(producer, topic, partition, log=log, epoch=epoch + 1, end=end, seq=seq)
        claim = Claim(log, epoch + 1, uuid.uuid4().hex)
        offset = await writer._send([(CLAIM, encode(claim))])
        writer.end = end + 1
        return writer if offset == end else None

    async def append(self, profiles: Mapping[str, bytes | None], marker: Marker) -> Anchor:
        """One step; `marker` gets its log and seq here. Returns where it stands, and sets `foreign`.

        OutcomeUnknownError if its place in the log is not certain.
        """
        anchor = await self.append_marker(profiles, marker)
        assert anchor is not None
        return anchor

    async def append_marker(
        self, profiles: Mapping[str, bytes | None], marker: Marker | None
    ) -> Anchor | None:
        """As `append`. Without a marker, one that stands in the log is deleted."""
        records: list[tuple[bytes, bytes | None]] = [
            (USER + user.encode(), data) for user, data in profiles.items()
        ]
        if marker is not None:
            marker.log, marker.seq = self.log, self.seq + 1
        records.append((MARKER, None if marker is None else encode(marker)))
        offset = await self._send(records)
        if offset < self.end:
            raise OutcomeUnknownError(
                f"{self._topic}-{self.partition}: a step was expected at offset {self.end} and "
                + (
                    "its offset is not known"
                    if offset < 0
                    else f"landed at {offset}: the log has lost records"
                )
            )
        if offset > self.end:
            self.foreign = range(self.foreign.start if self.foreign else self.end, offset)
        self.end = offset + len(records)
        if marker is None:
            return None
        self.seq += 1
        now = int(time.time() * 1000)
        return Anchor(self.log, self.seq, self.end - 1, marker.next_offset, marker.engine, now, self.epoch)

    async def _send(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        batch: Any = RecordBatch(MAX_BATCH_BYTES)
        now = int(time.time() * 1000)
        for key, value in records:
            if not batch.add(now, key, value, self._headers):
                size = sum(len(key) + len(value or b"") for key, value in records)
                raise ChangelogError(
                    f"{self._topic}-{self.partition}: a step of {len(records)} records and {size} bytes does not fit "
                    f"into one batch of {MAX_BATCH_BYTES} bytes; lower batch.step_bytes"
                )
        metadata: Any = await (await self._producer.send_batch(batch, self._topic, partition=self.partition))
        if metadata is None or metadata.offset < 0:
            return -1
        offset: int = metadata.offset
        return offset
