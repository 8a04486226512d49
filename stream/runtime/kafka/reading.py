"""One partition's changelog on its way into the local store.

Records are taken by the batch and go into the store some thousands at once. Profiles are never decoded, but when each
of them is due is noted on the way past: who opens the partition afterwards need not go through the store for it. (Of a
store that already holds something, only that would tell.)

Between the batches the event loop has its turn, so that the next fetch comes in meanwhile, and so has the store: one
that cannot keep up is waited for here, where that does not hold up the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from stream.runtime.kafka.bulk import Batch
from stream.runtime.kafka.changelog import (
    CLAIM,
    MARKER,
    Anchor,
    ChangelogError,
    Claim,
    Marker,
    Pending,
    decode,
    epoch_of,
)
from stream.runtime.kafka.raw import RawRecord
from stream.state import USER, Store

if TYPE_CHECKING:
    from stream.engine import Dues

log = logging.getLogger(__name__)

_LOAD_USERS = 2_000
"""What was read after as many users goes into the store."""
_MANY = 20_000
"""Records for which a store is made ready to be loaded: that is to open it twice."""
_CONGESTED_SECONDS = 0.002
MAX_STORE_AGE_MS = 12 * 3_600_000
"""A store written longer ago is not trusted: half of `delete.retention.ms` (24 h) of the log's tombstones."""


class ContradictionError(Exception):
    """The store is not a prefix of the log: wipe it and read from the beginning."""


class Reading:
    """A store, and how far the log is in it."""

    def __init__(self, partition: int, store: Store, begin: int, end: int, dues: Dues | None = None) -> None:
        """`dues`, empty, is filled if all profiles are read."""
        self.partition = partition
        self.store = store
        self.begin = begin
        self.epoch = 0
        """The highest seen."""
        self.log: str | None = None
        self.marker: Marker | None = None
        self.read = 0
        """Records."""
        self.stale: set[bytes] = set()
        """Keys whose newest record was written by a worker that had been replaced: it does not count."""
        self._marker_offset = -1
        self._marker_epoch = 0
        self._marker_bytes: bytes | None = None
        self._values: dict[bytes, bytes | None] = {}
        self._ending: asyncio.Task[None] | None = None
        self._anchor = self._trusted_anchor(begin, end)
        self.dues = None if self._anchor else dues
        """Of all profiles in the store; None if not all were read."""
        self.position = self._anchor.offset if self._anchor else begin
        if end - self.position >= _MANY:
            store.begin_loading()

    async def take(self, batches: list[Batch]) -> None:
        """Batches in the order of the log, with rests."""
        for batch in batches:
            self.feed([batch])
            if len(self._values) >= _LOAD_USERS:
                self._load()
                await asyncio.sleep(0)
                while self.store.is_congested():  # noqa: ASYNC110  # RocksDB tells nobody when it is not any more
                    await asyncio.sleep(_CONGESTED_SECONDS)

    def feed(self, batches: list[Batch]) -> None:
        """Batches in the order of the log, without rests; nothing goes into the store.

        A record is let go of before the next one is made, and only keys and values stay: that is twice as fast as
        a list of records, which Python's collector goes through again and again.
        """
        for batch in batches:
            records: Iterator[RawRecord] = chain(batch)  # aiokafka's batch does not let `iter` be asked twice
            if batch.base_offset < self.position:
                records = filter(self._is_new, records)
            first = next(records, None)
            if first is None:
                continue
            epoch = epoch_of(first.headers)
            values, last = {first.key: first.value}, first
            for last in records:
                values[last.key] = last.value
            self.read += len(values)
            self.position = last.offset + 1
            if None in values:
                raise ChangelogError(f"offset {first.offset} ff. of the changelog has a record without a key")
            if epoch < self.epoch:
                self.stale.update(values)  # type: ignore[arg-type]
                continue
            self.epoch = epoch
            if self.stale:
                self.stale.difference_update(values)
            if CLAIM in values:
                self._take_claim(values.pop(CLAIM))
            if MARKER in values:
                if last.key != MARKER:
                    raise ChangelogError(
                        f"offset {first.offset} ff. of the changelog do not end with their marker"
                    )
                self._take_marker(values.pop(MARKER), last.offset)
            self._values.update(values)  # type: ignore[arg-type]

    def _load(self) -> None:
        values, self._values = self._values, {}
        self.store.load(values)
        if self.dues is not None:
            skip = len(USER)
            self.dues.note(zip([key[skip:].decode() for key in values], values.values(), strict=True))

    def end(self) -> None:
        """The log's end is reached: begins to make the store ready, in another thread."""
        if self._values:
            self._load()
        self._ending = asyncio.create_task(asyncio.to_thread(self.store.end_loading))

    async def finish(self) -> None:
        """Waits until the store holds what the last marker says."""
        if self._ending is None:
            self.end()
        assert self._ending is not None
        await asyncio.shield(self._ending)
        self._ending = None
        if self._marker_bytes is not None:
            self.marker = decode(self._marker_bytes, Marker)
            self._take_log(self.marker.log)
        elif self._anchor is not None:
            raise ContradictionError  # compaction leaves the newest marker, and there is none

    async def drop(self) -> None:
        """Leaves the store to itself, whatever is on its way into it."""
        if self._ending is not None:
            await asyncio.gather(self._ending, return_exceptions=True)

    @property
    def anchor(self) -> Anchor | None:
        """What the store may call its own once the marker's pending changes are published. None without a marker."""
        marker = self.marker
        if marker is None:
            return None
        now = int(time.time() * 1000)
        return Anchor(
            marker.log,
            marker.seq,
            self._marker_offset,
            marker.next_offset,
            marker.engine,
            now,
            self._marker_epoch,
        )

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
            self.log, self.epoch = anchor.log, anchor.epoch
            return anchor
        log.warning(
            "partition %d: the local state does not fit the changelog and is restored", self.partition
        )
        self.store.wipe()
        return None

    def _take_claim(self, value: bytes | None) -> None:
        if value is not None:
            self._take_log(decode(value, Claim).log)

    def _is_new(self, record: RawRecord) -> bool:
        return record.offset >= self.position

    def _take_marker(self, value: bytes | None, offset: int) -> None:
        self._marker_bytes, self._marker_offset, self._marker_epoch = value, offset, self.epoch
        anchor = self._anchor
        if value is not None and anchor is not None and offset == anchor.offset:
            marker = decode(value, Marker)
            if (marker.log, marker.seq) != (anchor.log, anchor.seq):
                raise ContradictionError

    def _take_log(self, name: str) -> None:
        if self._anchor is not None and name != self._anchor.log:
            raise ContradictionError
        self.log = name
