"""Takes partitions: brings the local store up to its log, finds where the input goes on, claims the log.

    store has a marker, and the log agrees     read the log from that marker's record on        (warm)
    otherwise                                  wipe the store, read the log from its beginning  (cold)

The store is only a cache: it is wiped whenever it cannot be shown to be a prefix of the log (another log, ahead of the
log, damaged, so old that tombstones it has missed may be gone). What cannot be repaired by reading is refused, naming
the fix: an input whose offsets no longer fit, a changed number of partitions, a trimmed log. Going on would lose or
double changes in silence.

The log is read to its end while others may still write. A claim that does not land exactly at that end says so, and the
rest is read before the next try.
"""

from __future__ import annotations

import asyncio
import logging
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.errors import OperatorError
from stream.runtime.kafka.changelog import (
    CLAIM,
    MARKER,
    USER,
    Anchor,
    Changelog,
    ChangelogError,
    Claim,
    Marker,
    Pending,
    decode,
    encode,
    epoch_of,
)
from stream.runtime.kafka.raw import RawRecord, deliver_raw_records
from stream.state import Store, StoreBusyError, StoreDamagedError
from stream.state.rocks import Memory, RocksStore, destroy

log = logging.getLogger(__name__)

_LOAD_RECORDS = 50_000
_CLAIM_TRIES = 20
_OPEN_TRIES = 100
MAX_STORE_AGE_MS = 12 * 3_600_000
"""A store written longer ago is not trusted: half of `delete.retention.ms` (24 h) of the log's tombstones."""

OpenStore = Callable[[int], Store]


def keep_private(folder: Path) -> None:
    """Makes the folder of the state, for this user alone. One that others may read is told of, not changed."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if folder.stat().st_mode & stat.S_IRWXO:
            log.warning("%s may be read by everybody on this machine, and holds personal data", folder)
    except OSError as error:
        raise OperatorError(f"the state cannot be kept in {folder}: {error.strerror}") from error


def open_rocks(folder: Path, memory: Memory) -> OpenStore:
    """Opens the store of a partition under `folder`, wiping one that is too damaged to be opened."""

    def open_store(partition: int) -> Store:
        place = folder / str(partition)
        try:
            store = RocksStore(place, memory)
            store.marker()
            return store
        except StoreDamagedError as error:
            log.warning("partition %d: %s; it is restored from the changelog", partition, error)
            destroy(place)
            return RocksStore(place, memory)

    return open_store


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition that is ours: its store is at `marker`, its log is claimed."""

    partition: int
    store: Store
    marker: Marker | None
    changelog: Changelog
    read: int
    """Records of the log that were read."""
    pending: list[Pending]
    """Changes that may not have been published."""


class _Reading:
    """One partition's log on its way into the store."""

    def __init__(self, partition: int, store: Store, begin: int, end: int) -> None:
        self.partition = partition
        self.store = store
        self.begin = begin
        self.epoch = 0
        self.log: str | None = None
        self.marker: Marker | None = None
        self.read = 0
        self.stale = 0
        self._marker_offset = -1
        self._anchor = self._trusted_anchor(begin, end)
        self._profiles: dict[bytes, bytes | None] = {}
        self._epoch_header = b""
        self.position = self._anchor.offset if self._anchor else begin

    def feed(self, records: list[RawRecord]) -> None:
        """Records in the order of the log. ChangelogError where they contradict the store: wipe it and begin again."""
        profiles = self._profiles
        skip = len(USER)
        for record in records:
            headers = record.headers
            if not (headers and headers[0][1] == self._epoch_header) and self._is_stale(record):
                continue
            key = record.key
            if key is None:
                raise ChangelogError(f"offset {record.offset} of the changelog has no key")
            if key.startswith(USER):
                profiles[key[skip:]] = record.value
            elif key == MARKER and record.value is not None:
                self._take_marker(decode(record.value, Marker), record.offset)
            elif key == CLAIM and record.value is not None:
                self._take_log(decode(record.value, Claim).log)
        self.read += len(records)
        self.position = records[-1].offset + 1
        if len(profiles) >= _LOAD_RECORDS:
            self._load()

    def finish(self) -> None:
        """The log's end is reached: the store now stands where the last marker says."""
        self._load()
        if self.marker is None:
            return
        marker = self.marker
        anchor = Anchor(
            marker.log,
            marker.seq,
            self._marker_offset,
            marker.next_offset,
            marker.engine,
            int(time.time() * 1000),
        )
        self.store.write({}, encode(anchor))

    @property
    def pending(self) -> list[Pending]:
        """Changes of the last step, unless the local store knows that they were published: it is written after."""
        if self.marker is None or (self._anchor is not None and self._anchor.seq == self.marker.seq):
            return []
        return self.marker.pending

    def _trusted_anchor(self, begin: int, end: int) -> Anchor | None:
        data = self.store.marker()
        if data is None:
            self.store.wipe()
            return None
        anchor = decode(data, Anchor)
        age = int(time.time() * 1000) - anchor.written_at
        if begin <= anchor.offset < end and age < MAX_STORE_AGE_MS:
            self.log = anchor.log
            return anchor
        log.warning(
            "partition %d: the local state does not fit the changelog and is restored", self.partition
        )
        self.store.wipe()
        return None

    def _is_stale(self, record: RawRecord) -> bool:
        epoch = epoch_of(record.headers)
        if epoch < self.epoch:
            self.stale += 1
            return True
        self.epoch = epoch
        self._epoch_header = epoch.to_bytes(4, "big")
        return False

    def _take_marker(self, marker: Marker, offset: int) -> None:
        self._take_log(marker.log)
        if self._anchor is not None and offset == self._anchor.offset and marker.seq != self._anchor.seq:
            raise _Contradiction
        self.marker = marker
        self._marker_offset = offset

    def _take_log(self, name: str) -> None:
        if self._anchor is not None and name != self._anchor.log:
            raise _Contradiction
        self.log = name

    def _load(self) -> None:
        if self._profiles:
            self.store.load(self._profiles)
            self._profiles.clear()


class _Contradiction(Exception):  # noqa: N818  # never leaves this module
    """The store is not a prefix of the log."""


class Restorer:
    """Restores and claims partitions of one changelog topic."""

    def __init__(
        self,
        options: dict[str, Any],
        topic: str,
        open_store: OpenStore,
        *,
        progress: Callable[[int, int], None] = lambda partition, remaining: None,
    ) -> None:
        self._options = options
        self._topic = topic
        self._open_store = open_store
        self._progress = progress

    async def restore(self, partitions: list[int], producer: AIOKafkaProducer) -> list[Restored]:
        """All of `partitions`, restored and claimed. May be cancelled; stores are closed then."""
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=4 << 20,
        )
        opened: list[Store] = []
        await consumer.start()
        try:
            deliver_raw_records(consumer)
            tps = {partition: TopicPartition(self._topic, partition) for partition in partitions}
            consumer.assign(list(tps.values()))
            begins = await consumer.beginning_offsets(list(tps.values()))
            ends = await consumer.end_offsets(list(tps.values()))
            readings = {}
            for partition, tp in tps.items():
                store = await self._open(partition)
                opened.append(store)
                readings[tp] = self._reading(partition, store, begins[tp], ends[tp])
            await self._read(consumer, readings, ends)
            restored = [
                await self._claim(consumer, reading, tp, producer) for tp, reading in readings.items()
            ]
            opened.clear()
            return restored
        finally:
            for store in opened:
                store.close()
            await consumer.stop()

    async def _open(self, partition: int) -> Store:
        """Workers of one machine may share a folder: the last owner closes its store when it hears of the rebalance."""
        for _ in range(_OPEN_TRIES):
            try:
                return self._open_store(partition)
            except StoreBusyError:
                await asyncio.sleep(0.2)
        return self._open_store(partition)

    def _reading(self, partition: int, store: Store, begin: int, end: int) -> _Reading:
        reading = _Reading(partition, store, begin, end)
        if begin > 0 and reading.position == begin:
            raise OperatorError(
                f"{self._topic}-{partition} begins at offset {begin}: its older records were deleted, so the state "
                "cannot be restored. The topic must be compacted, not deleted from (`segstream topics`); to start "
                "over, use another `app` name"
            )
        return reading

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        readings: dict[TopicPartition, _Reading],
        ends: dict[TopicPartition, int],
    ) -> None:
        for tp, reading in readings.items():
            consumer.seek(tp, reading.position)
        open_tps = {tp for tp, reading in readings.items() if reading.position < ends[tp]}
        while open_tps:
            fetched = await consumer.getmany(*open_tps, timeout_ms=1000)
            for tp, records in fetched.items():
                try:
                    readings[tp].feed(records)
                except _Contradiction:
                    readings[tp] = self._start_over(readings[tp], ends[tp])
                    consumer.seek(tp, readings[tp].position)
                self._progress(tp.partition, max(0, ends[tp] - readings[tp].position))
                await asyncio.sleep(0)
            for tp in list(open_tps):
                # Compaction can leave the end without a record: the consumer's position then says it was reached.
                if readings[tp].position >= ends[tp] or await consumer.position(tp) >= ends[tp]:
                    open_tps.discard(tp)
        for reading in readings.values():
            reading.finish()

    def _start_over(self, reading: _Reading, end: int) -> _Reading:
        log.warning(
            "partition %d: the local state belongs to another changelog; restoring", reading.partition
        )
        reading.store.wipe()
        return self._reading(reading.partition, reading.store, reading.begin, end)

    async def _claim(
        self, consumer: AIOKafkaConsumer, reading: _Reading, tp: TopicPartition, producer: AIOKafkaProducer
    ) -> Restored:
        for _ in range(_CLAIM_TRIES):
            end = (await consumer.end_offsets([tp]))[tp]
            if end > reading.position:
                await self._read(consumer, {tp: reading}, {tp: end})
            changelog = await Changelog.claim(
                producer,
                self._topic,
                tp.partition,
                log=reading.log,
                epoch=reading.epoch,
                end=end,
                seq=reading.marker.seq if reading.marker else 0,
            )
            if changelog is not None:
                return Restored(
                    tp.partition, reading.store, reading.marker, changelog, reading.read, reading.pending
                )
        raise ChangelogError(f"{self._topic}-{tp.partition}: others keep writing to it, it cannot be claimed")
