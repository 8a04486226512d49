"""The faults. Each case hurts a stage while a log is played, and returns the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from stream.runtime.kafka.changelog import EPOCH_HEADER, MARKER, Marker, decode, encode
from stream.runtime.kafka.waypoints import Waypoint
from tests.faults.stage import Stage, is_stopped, owned, resume, wait_all
from tests.faults.verdict import Verdict
from tests.kafka.harness import WorkerProcess

Hurt = Callable[[Path, random.Random], None]

SLOW = {"at": Waypoint.LOGGED, "do": "wait", "seconds": 0.02}
"""Keeps rounds small, so that there are many."""
IN_ROUNDS = (
    Waypoint.DECIDED,
    Waypoint.BURIED,
    Waypoint.PARTLY_LOGGED,
    Waypoint.LOGGED,
    Waypoint.PARTLY_PUBLISHED,
    Waypoint.PUBLISHED,
    Waypoint.PARTLY_STORED,
    Waypoint.ACKNOWLEDGED,
)
AT_START = (Waypoint.LOADED, Waypoint.RESTORED, Waypoint.CLAIMED, Waypoint.REPUBLISHED)
CRASH_POINTS = (*IN_ROUNDS, *AT_START, Waypoint.FOREIGN, Waypoint.REPAIRED, Waypoint.RESTING)
"""A point that a worker does not come to fails the case."""
FAILURES = (Waypoint.PARTLY_LOGGED, Waypoint.LOGGED, Waypoint.PARTLY_PUBLISHED, Waypoint.PARTLY_STORED)
STATIC = {"SEGSTREAM_KAFKA_CLIENT_GROUP_INSTANCE_ID": "one"}
"""A static member takes its place again at once, without waiting for its session to end."""


def undisturbed(stage: Stage) -> Verdict:
    stage.produce()
    worker = stage.worker(fault=SLOW)
    stage.injected = 1
    return stage.finish("none", worker)


def crash_points(stage: Stage, points: Sequence[Waypoint] = CRASH_POINTS) -> Verdict:
    """kill -9 at every place between two acknowledgements, one process after the other, on one log."""
    share = len(stage.shop.rows) // len(points)
    for number, waypoint in enumerate(points):
        middle = number * share + share // 2
        stage.produce(slice(number * share, middle))
        often = waypoint in IN_ROUNDS and waypoint is not Waypoint.BURIED
        fault = {"at": waypoint, "do": "kill", "pass": 2 if often else 1}
        worker = stage.worker(fault=fault, **STATIC)
        if waypoint is Waypoint.FOREIGN:  # what this one leaves is repaired, and told of, by the next
            worker.wait(worker.is_done, "reading")
            write_as_zombie(stage)
        elif waypoint is Waypoint.RESTING:
            worker.wait_ready()
            worker.process.send_signal(signal.SIGTERM)
        stage.produce(slice(middle, (number + 1) * share))
        stage.until_hit(worker, waypoint)
        stage.injected += 1
    stage.produce(slice(len(points) * share, None))
    with stage.recovering():
        worker = stage.worker(**STATIC)
        worker.wait_ready()
    stage.injected -= 1
    return stage.finish("kill -9 at each crash point", worker)


def kills(stage: Stage, times: int, *, seed: int = 1) -> Verdict:
    """kill -9 at random instants: while restoring, while working, while nothing happens."""
    chance = random.Random(seed)
    stage.produce_beside(len(stage.shop.rows) / (times * 4.0))
    worker = stage.worker(fault=SLOW, **STATIC)
    for _ in range(times):
        if chance.random() < 0.8:
            worker.wait_ready()
        time.sleep(chance.random() * 1.5)
        with stage.recovering():
            worker.kill()
            worker = stage.worker(fault=SLOW, **STATIC)
            if chance.random() < 0.8:
                worker.wait_ready()
    return stage.finish("kill -9 at random instants", worker)


def terminations(stage: Stage, times: int) -> Verdict:
    stage.produce_beside(len(stage.shop.rows) / (times * 5.0))
    worker = stage.worker(fault=SLOW)
    for _ in range(times):
        worker.wait(lambda: worker.consumed() > 100 or not stage.producing, "consuming")  # noqa: B023
        with stage.recovering():
            assert worker.terminate() == 0, worker.tail()
            worker = stage.worker(fault=SLOW)
            worker.wait_ready()
    return stage.finish("SIGTERM", worker)


def zombie(stage: Stage, waypoints: tuple[Waypoint, ...]) -> Verdict:
    """SIGSTOP with decided changes in hand; another takes over and goes on; SIGCONT: the first one must end."""
    share = len(stage.shop.rows) // (2 * len(waypoints))
    for number, waypoint in enumerate(waypoints):
        stage.produce(slice(2 * number * share, (2 * number + 1) * share))
        sleeper = stage.worker(fault={"at": waypoint, "do": "stop", "pass": 2}, own="sleeper")
        wait_all([sleeper], "waiting for it to stop", lambda: is_stopped(sleeper))  # noqa: B023
        with stage.recovering():
            heir = stage.worker(own="heir")
            heir.wait(lambda: len(owned(heir)) == stage.shop.partitions, "taking over")  # noqa: B023
        stage.produce(slice((2 * number + 1) * share, (2 * number + 2) * share))
        heir.wait(heir.is_done, "going on")
        resume(sleeper)
        stage.until_hit(sleeper, waypoint, result=3)
        heir.wait(heir.is_done, "going on beside the zombie")
        assert heir.terminate() == 0, heir.tail()
    stage.produce(slice(2 * len(waypoints) * share, None))
    return stage.finish("SIGSTOP past the session, SIGCONT")


def rebalances(stage: Stage) -> Verdict:
    """2 workers, then 3, then each of them rolled, then 1."""
    stage.produce_beside(len(stage.shop.rows) / 30.0)
    crew = [stage.worker(fault=SLOW, own=name) for name in ("a", "b")]
    _until_shared(stage, crew)
    with stage.recovering():
        crew.append(stage.worker(fault=SLOW, own="c"))
        _until_shared(stage, crew)
    for name in ("a", "b", "c"):
        with stage.recovering():
            leaving = crew.pop(0)
            assert leaving.terminate() == 0, leaving.tail()
            crew.append(stage.worker(fault=SLOW, own=name))
            _until_shared(stage, crew)
    for _ in range(2):
        with stage.recovering():
            leaving = crew.pop(0)
            assert leaving.terminate() == 0, leaving.tail()
            _until_shared(stage, crew)
    return stage.finish("workers join and leave, 2 → 3 → 1", *crew)


def broker_kills(stage: Stage, times: int) -> Verdict:
    """kill -9 of the broker, restarted at once. The worker stays."""
    return _broker_away(stage, times, 0.0, "kill -9 of the broker")


def broker_away(stage: Stage, seconds: float) -> Verdict:
    return _broker_away(stage, 1, seconds, f"broker away for {seconds:.0f} s")


def _broker_away(stage: Stage, times: int, seconds: float, name: str) -> Verdict:
    share = len(stage.shop.rows) // (times + 1)
    stage.produce(slice(0, share))
    worker = stage.worker(fault=SLOW)
    for number in range(times):
        worker.wait(lambda: worker.consumed() > (number + 0.3) * share, "consuming")  # noqa: B023
        stage.broker.kill()
        time.sleep(seconds)
        with stage.recovering():
            stage.broker.start()
            stage.produce(slice((number + 1) * share, (number + 2) * share))
            worker.wait(worker.is_done, "going on", patience=180)
    stage.produce(slice((times + 1) * share, None))
    return stage.finish(name, worker)


def broker_hangs(stage: Stage, pauses: Sequence[float]) -> Verdict:
    """SIGSTOP of the broker: connections stay, nothing is answered; for less and for more than requests wait."""
    share = len(stage.shop.rows) // (len(pauses) + 1)
    stage.produce(slice(0, share))
    worker = stage.worker(fault=SLOW)
    for number, seconds in enumerate(pauses):
        worker.wait(lambda: worker.consumed() > (number + 0.3) * share, "consuming")  # noqa: B023
        with stage.broker.hanging():
            time.sleep(seconds)
        with stage.recovering():
            stage.produce(slice((number + 1) * share, (number + 2) * share))
            worker.wait(worker.is_done, "going on", patience=180)
    stage.produce(slice((len(pauses) + 1) * share, None))
    return stage.finish("the broker hangs", worker)


def slow_changelog(stage: Stage, seconds: float, times: int) -> Verdict:
    """Steps are acknowledged so late that the input is far ahead; then as quickly as ever."""
    stage.produce_beside(len(stage.shop.rows) / (seconds * times))
    worker = stage.worker(fault={"at": Waypoint.LOGGED, "do": "wait", "seconds": seconds, "times": times})
    worker.wait(lambda: _hits(stage) == times, "being slow", patience=times * seconds + 120)
    with stage.recovering():
        stage.join()
        worker.wait(worker.is_done, "catching up")
    stage.injected = _hits(stage)
    return stage.finish("changelog acknowledged late", worker)


def broker_and_worker(stage: Stage) -> Verdict:
    """Both die at once."""
    stage.produce(slice(0, len(stage.shop.rows) // 2))
    worker = stage.worker(fault=SLOW)
    worker.wait(lambda: worker.consumed() > 500, "consuming")
    stage.broker.kill()
    worker.kill()
    with stage.recovering():
        stage.broker.start()
        stage.produce(slice(len(stage.shop.rows) // 2, None))
        worker = stage.worker()
        worker.wait_ready()
    return stage.finish("kill -9 of broker and worker", worker)


def failed_rounds(stage: Stage, points: Sequence[Waypoint] = FAILURES) -> Verdict:
    """The outcome of a round is unknown; the same process goes on from the log."""
    share = len(stage.shop.rows) // len(points)
    for number, waypoint in enumerate(points):
        stage.produce(slice(number * share, (number + 1) * share))
        worker = stage.worker(fault={"at": waypoint, "do": "fail", "pass": 2}, **STATIC)
        with stage.recovering():
            worker.wait(
                lambda: stage.hits.exists() and waypoint in stage.hits.read_text().split(),  # noqa: B023
                "failing",
            )
            worker.wait(worker.is_done, "going on")
        assert worker.terminate() == 0, worker.tail()
    stage.produce(slice(len(points) * share, None))
    return stage.finish("a round fails, outcome unknown")


def lost_state(stage: Stage, ways: Sequence[Hurt] | None = None) -> Verdict:
    """The local state is deleted, truncated, bit-flipped."""
    ways = ways or (delete, truncate, flip)
    state = stage.deployment.state
    chance = random.Random(5)
    share = len(stage.shop.rows) // (len(ways) + 1)
    for number, hurt in enumerate(ways):
        stage.produce(slice(number * share, (number + 1) * share))
        worker = stage.worker(**STATIC)
        worker.wait(worker.is_done, "reading")
        assert worker.terminate() == 0, worker.tail()
        hurt(state, chance)
        with stage.recovering():
            worker = stage.worker(**STATIC)
            worker.wait_ready()
        worker.kill()
    stage.produce(slice(len(ways) * share, None))
    return stage.finish("local state deleted, truncated, bit-flipped")


def forced_together(stage: Stage) -> Verdict:
    """Two workers that do not know of each other on the same partitions: the later claim wins, the other one ends."""
    half = len(stage.shop.rows) // 2
    stage.produce(slice(0, half))
    first = stage.worker(own="first")
    first.wait(first.is_done, "reading")
    with stage.recovering():
        second = stage.worker(own="second", SEGSTREAM_APP=f"{stage.deployment.name}-other")
        second.wait_ready()
    stage.produce(slice(half, None))
    assert first.process.wait(120) == 3, first.tail()
    assert "was taken by another worker" in first.tail(20_000)
    return stage.finish("two workers forced onto one partition", second)


def foreign_batches(stage: Stage, times: int) -> Verdict:
    """Batches of a writer that was replaced land in the changelog; then a cold restore after compaction."""
    share = len(stage.shop.rows) // (times + 1)
    with compacting(stage):
        worker = stage.worker(fault=SLOW)
        for number in range(times):
            stage.produce(slice(number * share, (number + 1) * share))
            worker.wait(worker.is_done, "reading")
            write_as_zombie(stage)
            worker.wait(
                lambda: worker.metric("segstream_changelog_foreign_batches_total") > number,  # noqa: B023
                "finding the foreign batch",
            )
            stage.injected += 1
        assert worker.terminate() == 0, worker.tail()
        wait_for_compaction(stage)
    shutil.rmtree(stage.deployment.state)
    stage.produce(slice(times * share, None))
    return stage.finish("batches of a replaced writer, compacted")


def compaction(stage: Stage) -> Verdict:
    """The changelog is compacted, tombstones and markers included; then a cold restore."""
    half = len(stage.shop.rows) // 2
    with compacting(stage):
        stage.produce_beside(len(stage.shop.rows) / 20.0, slice(0, half))
        worker = stage.worker(fault=SLOW)
        wait_for_compaction(stage)
        worker.wait(lambda: worker.is_done() and not stage.producing, "reading")
        worker.kill()
    shutil.rmtree(stage.deployment.state)
    with stage.recovering():
        worker = stage.worker()
        worker.wait_ready()
    stage.produce(slice(half, None))
    return stage.finish("forced compaction, cold restore", worker)


def lost_changelog(stage: Stage) -> Verdict:
    """Trimmed, then missing: refused, naming the fix. The fix is to put it back: then everything goes on."""
    half = len(stage.shop.rows) // 2
    topic = stage.deployment.settings.topics.state
    stage.produce(slice(0, half))
    worker = stage.worker(**STATIC)
    worker.wait(worker.is_done, "reading")
    assert worker.terminate() == 0, worker.tail()
    saved = stage.deployment.read("state")
    shutil.rmtree(stage.deployment.state)
    with KafkaAdminClient(bootstrap_servers=stage.broker.address) as admin:
        _configure(stage, {"cleanup.policy": "delete"})
        admin.delete_records({TopicPartition(topic, number): -1 for number in range(stage.shop.partitions)})
        _refused(stage, "must be compacted, not deleted from")
        admin.delete_topics([topic])
        _refused(stage, "topics are missing")
    with stage.recovering():
        stage.deployment.create_topics()
        # A record to a batch: what Kafka appended as one is lost with the topic.
        with KafkaProducer(bootstrap_servers=stage.broker.address, batch_size=0) as producer:
            for record in saved:
                producer.send(
                    topic, record.value, record.key, headers=record.headers, partition=record.partition
                )
        worker = stage.worker(**STATIC)
        worker.wait_ready()
    stage.injected -= 1
    stage.produce(slice(half, None))
    return stage.finish("changelog trimmed, missing: refused", worker)


def clock_back(stage: Stage) -> Verdict:
    half = len(stage.shop.rows) // 2
    stage.produce_beside(len(stage.shop.rows) / 10.0, slice(0, half))
    worker = stage.worker(fault={"clock": -3600.0})
    worker.wait(lambda: worker.consumed() > 100, "consuming")
    with stage.recovering():
        worker.process.send_signal(signal.SIGHUP)
        stage.produce(slice(half, None)) if not stage.producing else None
        worker.wait(worker.is_ready, "going on")
    worker.wait(lambda: not stage.producing, "producing")
    worker.kill()
    if stage.deployment.input_size() < len(stage.shop.rows):
        stage.produce(slice(half, None))
    return stage.finish("the clock jumps back an hour")


def disk_full(stage: Stage) -> Verdict:
    """The worker ends with a clear message, and goes on where there is room."""
    rows = len(stage.shop.rows)
    stage.produce(slice(0, rows // 4))
    small = stage.deployment.folder / "small"
    with small_disk(small):
        worker = stage.worker(SEGSTREAM_STATE_DIR=str(small), **STATIC)
        worker.wait(worker.is_done, "reading")
        fill(small)
        stage.produce_beside(rows / 4 / 60, slice(rows // 4, rows // 2))
        assert worker.process.wait(120) == 3, worker.tail()
        assert "make room and start again" in worker.tail(20_000), worker.tail()
    with stage.recovering():
        worker = stage.worker(**STATIC)
        worker.wait_ready()
    stage.join()
    stage.produce(slice(rows // 2, None))
    return stage.finish("disk full", worker)


# --- helpers ----------------------------------------------------------------------------------------------------


def _until_shared(stage: Stage, crew: list[WorkerProcess]) -> None:
    """Every worker has a share, and together they have all."""

    def shared() -> bool:
        shares = [owned(worker) for worker in crew]
        return all(shares) and sorted(chain(*shares)) == list(range(stage.shop.partitions))

    wait_all(crew, "sharing", shared)


def _hits(stage: Stage) -> int:
    return len(stage.hits.read_text().split()) if stage.hits.exists() else 0


def _refused(stage: Stage, told: str) -> None:
    worker = stage.worker(**STATIC)
    assert worker.process.wait(60) == 3, worker.tail()
    assert told in worker.tail(), worker.tail()
    stage.injected += 1


def write_as_zombie(stage: Stage) -> None:
    """A step of a writer of the first epoch, for all users of one partition, lands in its changelog."""
    topic = stage.deployment.settings.topics.state
    logged = stage.deployment.read("state")
    partition = 0
    users = sorted({each.key for each in logged if each.partition == partition and each.key[:2] == b"u:"})
    marker = next(each.value for each in logged if each.partition == partition and each.key == MARKER)
    old = decode(marker, Marker)

    async def send() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=stage.broker.address, enable_idempotence=True, max_batch_size=1 << 20
        )
        await producer.start()
        try:
            batch = producer.create_batch()
            header = [(EPOCH_HEADER, (1).to_bytes(4, "big"))]
            for user in users:
                batch.append(timestamp=None, key=user, value=b"\x00what a zombie says", headers=header)
            batch.append(timestamp=None, key=MARKER, value=encode(old), headers=header)
            batch.close()
            await (await producer.send_batch(batch, topic, partition=partition))
        finally:
            await producer.stop()

    asyncio.run(send())


@contextmanager
def compacting(stage: Stage) -> Iterator[None]:
    """The changelog is compacted as soon as can be; owners mark it every half second."""
    quick = {
        "min.compaction.lag.ms": "2000",
        "min.cleanable.dirty.ratio": "0.01",
        "segment.ms": "1000",
        "delete.retention.ms": "86400000",
    }
    slow = {**quick, "min.compaction.lag.ms": "3600000", "segment.ms": "604800000"}
    _configure(stage, quick)
    yield
    _configure(stage, slow)


def _configure(stage: Stage, configs: dict[str, str]) -> None:
    topic = stage.deployment.settings.topics.state
    with KafkaAdminClient(bootstrap_servers=stage.broker.address) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


def wait_for_compaction(stage: Stage) -> None:
    """Until records are gone from the changelog of every partition."""
    deadline = time.monotonic() + 120
    while True:
        logged = stage.deployment.read("state")
        by_partition: dict[int, list[int]] = {}
        for record in logged:
            by_partition.setdefault(record.partition, []).append(record.offset)
        if len(by_partition) == stage.shop.partitions and all(
            offsets[-1] - offsets[0] + 1 > len(offsets) for offsets in by_partition.values()
        ):
            return
        assert time.monotonic() < deadline, "the broker has not compacted the changelog"
        time.sleep(1)


def delete(state: Path, chance: random.Random) -> None:
    shutil.rmtree(state)


def truncate(state: Path, chance: random.Random) -> None:
    for file in state.rglob("*.sst"):
        file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def flip(state: Path, chance: random.Random) -> None:
    for file in state.rglob("*.sst"):
        data = bytearray(file.read_bytes())
        for _ in range(3):
            data[chance.randrange(len(data) * 3 // 4)] ^= 1 << chance.randrange(8)
        file.write_bytes(data)


@contextmanager
def small_disk(folder: Path, size: str = "16m") -> Iterator[None]:
    """A tmpfs that is soon full."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Nothing more fits."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def may_mount() -> bool:
    """A tmpfs can be mounted here."""
    return os.geteuid() == 0 and shutil.which("mount") is not None
