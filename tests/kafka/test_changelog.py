"""The log of the state: one batch a step, one writer, and what a reader makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka import KafkaAdminClient

from stream.errors import OperatorError
from stream.runtime.kafka.batches import encode_headers
from stream.runtime.kafka.changelog import (
    MAX_BATCH_BYTES,
    Changelog,
    ChangelogError,
    Claim,
    Marker,
    Pending,
    SupersededError,
    decode,
    encode,
    epoch_of,
)
from stream.runtime.kafka.producers import start_producer
from stream.runtime.kafka.repair import Repairer
from stream.runtime.kafka.restore import Restored, Restorer
from stream.runtime.kafka.waypoints import Waypoint
from stream.state import MemoryStore
from tests.kafka.broker import Broker

PENDING = [Pending(b"ann", b"{}", encode_headers([("ce_id", b"1")]), b'["s","ann",null]')]


@dataclass
class Log:
    """A changelog topic of one partition, and this test's local store of it."""

    address: str
    topic: str
    store: MemoryStore
    producer: AIOKafkaProducer

    async def restore(self, store: MemoryStore | None = None) -> Restored:
        """Restores (into the local store, or another) and claims."""
        restorer = Restorer(
            {"bootstrap_servers": self.address}, self.topic, lambda _: self.store if store is None else store
        )
        (restored,) = await restorer.restore([0], self.producer)
        return restored


@pytest.fixture
def run(
    broker: Broker, unique: Callable[[str], str]
) -> Callable[[Callable[[Log], Coroutine[Any, Any, None]]], None]:
    topic = unique("changelog")
    configs = {"cleanup.policy": "compact", "max.message.bytes": str(8 << 20)}
    with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
        options = {"num_partitions": 1, "replication_factor": 1, "configs": configs}
        admin.create_topics({topic: options}, wait_for_metadata=True)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Log]:
        producer = await start_producer({"bootstrap_servers": broker.address}, MAX_BATCH_BYTES)
        try:
            yield Log(broker.address, topic, MemoryStore(), producer)
        finally:
            await producer.stop()

    def run(test: Callable[[Log], Coroutine[Any, Any, None]]) -> None:
        async def bounded() -> None:
            async with opened() as log:
                await asyncio.wait_for(test(log), 60)

        asyncio.run(bounded())

    return run


Run = Callable[[Callable[[Log], Coroutine[Any, Any, None]]], None]


async def append(changelog: Changelog, profiles: dict[str, bytes | None], next_offset: int = 1) -> None:
    await changelog.append(profiles, Marker("", 0, next_offset, 4, b"engine", PENDING))


def test_a_cold_restore_finds_what_was_written(run: Run) -> None:
    async def test(log: Log) -> None:
        first = await log.restore(MemoryStore())
        assert (first.marker, first.pending, first.read) == (None, [], 0)
        await append(first.changelog, {"ann": b"1", "bob": b"2"}, 10)
        await append(first.changelog, {"ann": b"3", "bob": None, "cyd": b"4"}, 20)
        again = await log.restore()
        assert dict(log.store.scan()) == {"ann": b"3", "cyd": b"4"}
        assert again.marker == Marker(first.changelog.log, 2, 20, 4, b"engine", PENDING)
        assert again.pending == PENDING
        assert (again.changelog.log, again.changelog.seq) == (first.changelog.log, 2)
        assert again.changelog.epoch == first.changelog.epoch + 1

    run(test)


def test_a_warm_restore_reads_from_its_marker_on(run: Run) -> None:
    async def test(log: Log) -> None:
        first = await log.restore()
        for number in range(100):
            anchor = await first.changelog.append({f"u{number}": b"x"}, Marker("", 0, number, 4, b"e", []))
            log.store.write({f"u{number}": b"x"}, encode(anchor))
        await append(first.changelog, {"u0": b"y"}, 200)
        warm = await log.restore()
        assert warm.read == 3  # the marker that the store stands for, and one step
        assert log.store.get_many(["u0", "u99"]) == [b"y", b"x"]
        assert warm.pending == PENDING
        assert (await log.restore()).pending == PENDING, "nobody has published them yet"
        assert warm.anchor is not None
        log.store.write({}, encode(warm.anchor))
        assert (await log.restore()).pending == [], "the store is written after they were published"

    run(test)


class Closing(MemoryStore):
    """Says how often it was closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("place", [Waypoint.LOADED, Waypoint.CLAIMED])
def test_a_restore_that_a_rebalance_cuts_short_leaves_nothing_behind(run: Run, place: Waypoint) -> None:
    async def test(log: Log) -> None:
        first = await log.restore(MemoryStore())
        await append(first.changelog, {"ann": b"1"}, 10)
        reached = asyncio.Event()

        async def passing(waypoint: Waypoint) -> None:
            if waypoint is place:
                reached.set()
                await asyncio.Event().wait()

        store = Closing()
        options = {"bootstrap_servers": log.address}
        restorer = Restorer(options, log.topic, lambda _: store, passing=passing)
        restoring = asyncio.create_task(restorer.restore([0], log.producer))
        await reached.wait()
        restoring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restoring
        assert (store.closed, store.marker()) == (1, None)
        again = await log.restore()
        assert dict(log.store.scan()) == {"ann": b"1"}
        assert (again.marker, again.pending) == (
            Marker(first.changelog.log, 1, 10, 4, b"engine", PENDING),
            PENDING,
        )
        # Who was cut short holds the partition if its claim stands in the log: nobody may go on below it.
        assert again.changelog.epoch == first.changelog.epoch + (2 if place is Waypoint.CLAIMED else 1)

    run(test)


def test_claims_behind_the_last_marker_do_not_make_it_stale(run: Run) -> None:
    async def test(log: Log) -> None:
        first = await log.restore()
        await append(first.changelog, {"ann": b"1"}, 10)
        for _ in range(3):  # taken and left, and nothing happened
            again = await log.restore()
            assert again.marker is not None
            assert again.marker.next_offset == 10
            assert again.anchor is not None
            log.store.write({}, encode(again.anchor))
        assert dict(log.store.scan()) == {"ann": b"1"}

    run(test)


def test_a_writer_that_was_replaced_stops_and_is_made_up_for(run: Run) -> None:
    async def test(log: Log) -> None:
        options = {"bootstrap_servers": log.address}
        repairer = Repairer(options, log.topic)
        zombie = (await log.restore()).changelog
        await append(zombie, {"ann": b"1", "cyd": b"1"}, 10)
        owner = (await log.restore()).changelog
        await append(zombie, {"ann": b"zombie", "bob": b"zombie", "cyd": b"zombie", "dan": b"zombie"}, 11)
        marker = Marker("", 0, 12, 4, b"engine", PENDING)
        with pytest.raises(SupersededError, match="taken by another worker"):
            await repairer.repair(zombie, marker, lambda users: [None for _ in users])
        await append(owner, {"bob": b"2"}, 12)
        holds = {"ann": b"1", "bob": b"2", "cyd": b"1"}
        anchor = await repairer.repair(owner, marker, lambda users: [holds.get(user) for user in users])
        assert anchor is not None
        assert (anchor.offset, anchor.seq) == (owner.end - 1, owner.seq)
        assert await repairer.repair(owner, marker, lambda users: []) is None
        newest = await newest_values(log)
        assert {key: newest[key] for key in (b"u:ann", b"u:bob", b"u:cyd", b"u:dan")} == {
            b"u:ann": b"1",
            b"u:bob": b"2",
            b"u:cyd": b"1",
            b"u:dan": None,
        }
        last = await log.restore()
        assert dict(log.store.scan()) == holds
        assert last.marker is not None
        assert (last.marker.next_offset, last.pending) == (12, PENDING)
        await append(last.changelog, {"ann": b"3"}, 13)

    run(test)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_who_restores_makes_up_for_it_if_the_owner_did_not(run: Run, warm: bool) -> None:
    async def test(log: Log) -> None:
        zombie = (await log.restore(MemoryStore())).changelog
        await append(zombie, {"ann": b"1"}, 10)
        owner = (await log.restore()).changelog
        anchor = await owner.append({"bob": b"2"}, Marker("", 0, 11, 4, b"engine", []))
        if warm:
            log.store.write({"bob": b"2"}, encode(anchor))
        await append(zombie, {"ann": b"zombie", "dan": b"zombie"}, 11)
        last = await log.restore(log.store if warm else MemoryStore())
        newest = await newest_values(log)
        assert (newest[b"u:ann"], newest[b"u:dan"]) == (b"1", None)
        assert decode(newest[b"m"] or b"", Marker).next_offset == 11
        assert last.anchor is not None
        assert last.anchor.offset == last.changelog.end - 1

    run(test)


async def newest_values(log: Log) -> dict[bytes | None, bytes | None]:
    """What compaction would leave."""
    tp = TopicPartition(log.topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=log.address, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        newest: dict[bytes | None, bytes | None] = {}
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                newest |= {record.key: record.value for record in records}
        return newest
    finally:
        await consumer.stop()


def test_a_store_of_another_log_or_ahead_of_it_is_wiped(run: Run) -> None:
    async def test(log: Log) -> None:
        first = await log.restore(MemoryStore())
        anchor = await first.changelog.append({"ann": b"1"}, Marker("", 0, 1, 4, b"e", []))
        await append(first.changelog, {"ann": b"2"}, 2)
        for wrong in (
            {"log": "another"},
            {"seq": 7},
            {"offset": 1_000},
            {"written_at": 0},
        ):
            store = MemoryStore()
            fields = {name: getattr(anchor, name) for name in anchor.__struct_fields__}
            store.write({"ghost": b"?"}, encode(type(anchor)(**{**fields, **wrong})))
            await log.restore(store)
            assert dict(store.scan()) == {"ann": b"2"}, wrong

    run(test)


def test_a_step_that_does_not_fit_is_a_clear_stop(run: Run) -> None:
    async def test(log: Log) -> None:
        changelog = (await log.restore()).changelog
        await append(changelog, {f"u{number}": bytes(1 << 20) for number in range(7)})
        with pytest.raises(ChangelogError, match=r"does not fit .* lower batch\.step_bytes"):
            await append(changelog, {f"u{number}": bytes(1 << 20) for number in range(8)})

    run(test)


def test_a_later_format_is_told_apart_from_garbage() -> None:
    data = encode(Claim("log", 1, "me"))
    assert decode(data, Claim).epoch == 1
    with pytest.raises(ChangelogError, match="written by another version"):
        decode(b"\x02" + data[1:], Claim)
    with pytest.raises(ChangelogError, match="cannot be read"):
        decode(data[:-3], Claim)


def test_every_record_names_its_epoch() -> None:
    assert epoch_of([("x", None), ("e", (7).to_bytes(4, "big"))]) == 7
    with pytest.raises(OperatorError, match="something else writes"):
        epoch_of([("x", b"1")])
