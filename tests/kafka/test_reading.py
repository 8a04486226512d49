"""What a reader of the changelog takes from its batches, record by record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from stream.engine import Dues
from stream.runtime.kafka import reading
from stream.runtime.kafka.changelog import (
    CLAIM,
    MARKER,
    Anchor,
    ChangelogError,
    Claim,
    Marker,
    Pending,
    encode,
)
from stream.runtime.kafka.raw import RawRecord
from stream.runtime.kafka.reading import ContradictionError, Reading
from stream.state import MemoryStore

PENDING = [Pending(b"ann", b"{}", b"\0", b"[]")]


@dataclass
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=lambda: [("e", b"\x01")])
    timestamp: int = 0


class Batch:
    """Like aiokafka's: it can be gone through once."""

    def __init__(self, base_offset: int, *records: tuple[bytes | None, bytes | None], epoch: int = 1) -> None:
        self.base_offset = base_offset
        headers: list[tuple[str, bytes | None]] = [("e", bytes([epoch]))] if epoch else []
        self._records: list[RawRecord] | None = [
            Record(base_offset + number, key, value, headers) for number, (key, value) in enumerate(records)
        ]

    def __iter__(self) -> Iterator[RawRecord]:
        assert self._records is not None, "gone through twice"
        records, self._records = self._records, None
        return iter(records)


def marker(seq: int, log: str = "log") -> tuple[bytes, bytes]:
    return MARKER, encode(Marker(log, seq, 10 * seq, 1, b"engine", PENDING))


def claim(log: str = "log") -> tuple[bytes, bytes]:
    return CLAIM, encode(Claim(log, 1, "me"))


def anchored(offset: int, seq: int, log: str = "log", age_ms: int = 0) -> MemoryStore:
    store = MemoryStore()
    written = int(time.time() * 1000) - age_ms
    store.write({"ann": b"old"}, encode(Anchor(log, seq, offset, 10 * seq, b"engine", written, 1)))
    return store


def finish(read: Reading) -> None:
    asyncio.run(read.finish())


def test_the_newest_value_of_each_user_and_the_last_marker() -> None:
    store = MemoryStore()
    read = Reading(0, store, 0, 9)
    read.feed([Batch(0, claim()), Batch(1, (b"u:ann", b"1"), (b"u:bob", b"2"), marker(1))])
    read.feed([Batch(4, (b"u:ann", b"3"), (b"u:bob", None), (b"u:cyd", b"4"), marker(2))])
    finish(read)
    assert dict(store.scan()) == {"ann": b"3", "cyd": b"4"}
    assert (read.position, read.read, read.log, read.pending) == (8, 8, "log", PENDING)
    assert read.anchor is not None
    assert (read.anchor.seq, read.anchor.offset, read.anchor.next_offset) == (2, 7, 20)


def test_a_batch_that_begins_before_the_position_is_taken_from_there_on() -> None:
    store = anchored(offset=2, seq=1)
    read = Reading(0, store, 0, 9)
    assert read.position == 2
    read.feed([Batch(0, (b"u:ann", b"before"), (b"u:bob", b"before"), marker(1))])
    read.feed([Batch(3, (b"u:cyd", b"new"), marker(2))])
    finish(read)
    assert dict(store.scan()) == {"ann": b"old", "cyd": b"new"}
    assert read.read == 3


def test_a_marker_that_the_store_knows_leaves_nothing_pending() -> None:
    read = Reading(0, anchored(offset=2, seq=1), 0, 3)
    read.feed([Batch(2, marker(1))])
    finish(read)
    assert read.pending == []


def test_what_a_replaced_writer_wrote_does_not_count_until_it_is_written_again() -> None:
    store = MemoryStore()
    read = Reading(0, store, 0, 9)
    read.feed([Batch(0, (b"u:ann", b"1"), (b"u:bob", b"1"), marker(1), epoch=2)])
    read.feed([Batch(3, (b"u:ann", b"zombie"), (b"u:cyd", b"zombie"), marker(9), epoch=1)])
    assert read.stale == {b"u:ann", b"u:cyd", MARKER}
    read.feed([Batch(6, (b"u:ann", b"2"), marker(2), epoch=2)])
    assert read.stale == {b"u:cyd"}
    finish(read)
    assert dict(store.scan()) == {"ann": b"2", "bob": b"1"}
    assert read.marker is not None
    assert (read.marker.seq, read.epoch) == (2, 2)


class SlowStore(MemoryStore):
    """Says what was asked of it; congested for a while after each load."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self._congested = 0

    def begin_loading(self) -> None:
        self.told.append("begin")

    def load(self, profiles: Mapping[bytes, bytes | None]) -> None:
        assert not self._congested, "not waited for"
        super().load(profiles)
        self.told.append(f"load {len(profiles)}")
        self._congested = 3

    def is_congested(self) -> bool:
        self._congested = max(0, self._congested - 1)
        return self._congested > 0

    def end_loading(self) -> None:
        self.told.append("end")


def test_much_goes_into_the_store_in_parts_and_not_faster_than_it_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_LOAD_USERS", 10)
    monkeypatch.setattr(reading, "_MANY", 35)
    store = SlowStore()
    read = Reading(0, store, 0, 35)
    steps = [Batch(7 * n, *((b"u:%d" % (7 * n + k), b"x") for k in range(7))) for n in range(5)]

    async def take() -> None:
        await read.take(list(steps))
        await read.finish()

    asyncio.run(take())
    assert store.told == ["begin", "load 14", "load 14", "load 7", "end"]
    assert len(list(store.scan())) == 35


def test_a_store_is_not_prepared_for_little() -> None:
    store = SlowStore()
    Reading(0, store, 0, 100)
    assert store.told == []


STAMP = b"defs"


def profile(due: int, stamp: bytes = STAMP) -> bytes:
    return b"\x02" + stamp + due.to_bytes(8, "big", signed=True) + b"rest"


def test_who_reads_all_profiles_notes_when_they_are_due() -> None:
    read = Reading(0, MemoryStore(), 0, 99, Dues(STAMP))
    first = (b"u:ann", profile(1)), (b"u:bob", profile(2)), (b"u:cyd", profile(3)), marker(1)
    second = (b"u:ann", profile(7)), (b"u:bob", None), ("u:dän".encode(), profile(4)), marker(2)
    zombie = (b"u:ann", profile(9)), (b"u:zoe", profile(9)), marker(3)
    read.feed([Batch(0, *first, epoch=2), Batch(4, *second, epoch=2), Batch(8, *zombie, epoch=1)])
    finish(read)
    assert read.dues is not None
    assert read.dues.instants == {"ann": 7, "cyd": 3, "dän": 4}


def test_who_reads_only_the_newest_ones_does_not() -> None:
    assert Reading(0, anchored(offset=2, seq=1), 0, 9, Dues(STAMP)).dues is None


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (Batch(5, (b"u:ann", b"1"), (None, b"2")), "without a key"),
        (Batch(5, (b"u:ann", b"1"), epoch=0), "no epoch"),
        (Batch(5, marker(1), (b"u:ann", b"1")), "do not end with their marker"),
    ],
)
def test_what_no_worker_writes_is_refused(batch: Batch, told: str) -> None:
    with pytest.raises(ChangelogError, match=told):
        Reading(0, MemoryStore(), 0, 9).feed([batch])


@pytest.mark.parametrize(
    "found",
    [marker(2), marker(1, "another"), claim("another")],
    ids=["another step", "another log's step", "another log's claim"],
)
def test_a_store_that_is_no_prefix_of_the_log_is_found_out(found: tuple[bytes, bytes]) -> None:
    read = Reading(0, anchored(offset=2, seq=1), 0, 9)
    with pytest.raises(ContradictionError):
        read.feed([Batch(2, found)])


def test_a_store_whose_log_has_no_marker_left_is_found_out() -> None:
    read = Reading(0, anchored(offset=2, seq=1), 0, 9)
    read.feed([Batch(3, (b"u:ann", b"1"))])
    with pytest.raises(ContradictionError):
        finish(read)


@pytest.mark.parametrize(
    "store",
    [anchored(9, 1), anchored(1, 1), anchored(5, 1, age_ms=reading.MAX_STORE_AGE_MS)],
    ids=["ahead of the log", "before its beginning", "older than its tombstones"],
)
def test_a_store_that_cannot_fit_is_wiped_at_once(store: MemoryStore) -> None:
    read = Reading(0, store, 2, 9)
    assert (read.position, list(store.scan()), store.marker()) == (2, [], None)
