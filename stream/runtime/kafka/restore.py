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
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.errors import OperatorError
from stream.runtime.kafka.bulk import deliver_batches
from stream.runtime.kafka.changelog import Anchor, Changelog, ChangelogError, Marker, Pending
from stream.runtime.kafka.reading import ContradictionError, Reading
from stream.runtime.kafka.repair import Repairer
from stream.runtime.kafka.waypoints import Passing, Waypoint, nobody
from stream.state import USER, Store, StoreBusyError, StoreDamagedError
from stream.state.rocks import Memory, RocksStore, destroy

if TYPE_CHECKING:
    from stream.engine import Dues

log = logging.getLogger(__name__)

_FETCH_BYTES = 16 << 20
_FETCH_WAIT_MS = 20
"""At the log's end a fetch waits for more, and what is asked on the same connection, where the log ends, after it."""
_TELL_SECONDS = 5.0
_CLAIM_TRIES = 20
_OPEN_TRIES = 100

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
    """A partition that is ours: its store holds what `marker` says, its log is claimed."""

    partition: int
    store: Store
    marker: Marker | None
    anchor: Anchor | None
    """For the store, once `pending` is published: until then it must not be written."""
    changelog: Changelog
    read: int
    """Records of the log that were read."""
    pending: list[Pending]
    """Changes that may not have been published."""
    dues: Dues | None = None
    """Of all profiles in the store, if all were read."""


class Restorer:
    """Restores and claims partitions of one changelog topic."""

    def __init__(
        self,
        options: dict[str, Any],
        topic: str,
        open_store: OpenStore,
        *,
        gather_dues: Callable[[], Dues | None] = lambda: None,
        progress: Callable[[int, int], None] = lambda partition, remaining: None,
        passing: Passing = nobody,
    ) -> None:
        """`gather_dues` is the engine's; `progress` is told how many records of a partition are still to be read."""
        self._options = options
        self._topic = topic
        self._open_store = open_store
        self._gather_dues = gather_dues
        self._progress = progress
        self._passing = passing
        self._repairer = Repairer(options, topic, passing)

    async def restore(self, partitions: list[int], producer: AIOKafkaProducer) -> list[Restored]:
        """All of `partitions`, restored and claimed. May be cancelled; stores are closed then."""
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_FETCH_BYTES // 4,
        )
        readings: dict[TopicPartition, Reading] = {}
        await consumer.start()
        try:
            deliver_batches(consumer)
            tps = {partition: TopicPartition(self._topic, partition) for partition in partitions}
            consumer.assign(list(tps.values()))
            begins = await consumer.beginning_offsets(list(tps.values()))
            ends = await consumer.end_offsets(list(tps.values()))
            for partition, tp in tps.items():
                readings[tp] = await self._open(partition, begins[tp], ends[tp])
            await self._read(consumer, readings, ends)
            await self._passing(Waypoint.RESTORED)
            restored = [await self._claim(consumer, readings, tp, producer) for tp in list(readings)]
            readings.clear()
            return restored
        finally:
            for reading in readings.values():
                await reading.drop()
                reading.store.close()
            await consumer.stop()

    async def _open(self, partition: int, begin: int, end: int) -> Reading:
        """Workers of one machine may share a folder: the last owner closes its store when it hears of the rebalance."""
        for _ in range(_OPEN_TRIES):
            try:
                store = self._open_store(partition)
                break
            except StoreBusyError:
                await asyncio.sleep(0.2)
        else:
            store = self._open_store(partition)
        try:
            return self._reading(partition, store, begin, end)
        except BaseException:
            store.close()
            raise

    def _reading(self, partition: int, store: Store, begin: int, end: int) -> Reading:
        reading = Reading(partition, store, begin, end, self._gather_dues())
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
        readings: dict[TopicPartition, Reading],
        ends: dict[TopicPartition, int],
    ) -> None:
        """Reads those named in `ends` up to there. A reading that the log contradicts begins again."""
        for tp in ends:
            consumer.seek(tp, readings[tp].position)
        ended: set[TopicPartition] = set()
        open_tps = {tp for tp, end in ends.items() if readings[tp].position < end}
        told = time.monotonic()
        while open_tps:
            fetched = await consumer.getmany(*open_tps, timeout_ms=1000)
            for tp, batches in fetched.items():
                reading = readings[tp]
                try:
                    await reading.take(batches)
                except ContradictionError:
                    self._start_over(consumer, readings, tp, ends[tp])
                self._progress(tp.partition, max(0, ends[tp] - readings[tp].position))
            for tp in list(open_tps):
                # Compaction can leave the end without a record: the consumer's position then says it was reached.
                if readings[tp].position >= ends[tp] or await consumer.position(tp) >= ends[tp]:
                    readings[tp].end()
                    open_tps.discard(tp)
                    ended.add(tp)
            while ended and not open_tps:  # stores become ready while others are read
                tp = ended.pop()
                try:
                    await readings[tp].finish()
                    await self._passing(Waypoint.LOADED)
                    self._progress(tp.partition, 0)
                except ContradictionError:
                    self._start_over(consumer, readings, tp, ends[tp])
                    open_tps.add(tp)
            if open_tps and time.monotonic() - told >= _TELL_SECONDS:
                told = time.monotonic()
                left = sum(ends[tp] - readings[tp].position for tp in open_tps)
                done = sum(reading.read for reading in readings.values())
                log.info("restoring: %d changelog records are read, %d are left", done, left)

    def _start_over(
        self,
        consumer: AIOKafkaConsumer,
        readings: dict[TopicPartition, Reading],
        tp: TopicPartition,
        end: int,
    ) -> None:
        log.warning("partition %d: the local state belongs to another changelog; restoring", tp.partition)
        old = readings[tp]
        old.store.wipe()
        readings[tp] = self._reading(tp.partition, old.store, old.begin, end)
        consumer.seek(tp, readings[tp].position)

    async def _claim(
        self,
        consumer: AIOKafkaConsumer,
        readings: dict[TopicPartition, Reading],
        tp: TopicPartition,
        producer: AIOKafkaProducer,
    ) -> Restored:
        for _ in range(_CLAIM_TRIES):
            end = (await consumer.end_offsets([tp]))[tp]
            if end > readings[tp].position:
                await self._read(consumer, readings, {tp: end})
            reading = readings[tp]
            changelog = await Changelog.claim(
                producer,
                self._topic,
                tp.partition,
                log=reading.log,
                epoch=reading.epoch,
                end=end,
                seq=reading.marker.seq if reading.marker else 0,
            )
            if changelog is None:
                continue
            await self._passing(Waypoint.CLAIMED)
            anchor, pending = reading.anchor, reading.pending
            if reading.stale:
                users = [key[len(USER) :].decode() for key in reading.stale if key.startswith(USER)]
                log.warning(
                    "%s-%d: %d keys were last written by a worker that had been replaced; they are written again",
                    self._topic,
                    tp.partition,
                    len(reading.stale),
                )
                get = reading.store.get_many
                anchor = await self._repairer.write_again(changelog, reading.marker, users, get)
                if changelog.foreign:
                    continue  # another one of them, in between
            return Restored(
                tp.partition,
                reading.store,
                reading.marker,
                anchor,
                changelog,
                reading.read,
                pending,
                reading.dues,
            )
        raise ChangelogError(f"{self._topic}-{tp.partition}: others keep writing to it, it cannot be claimed")
