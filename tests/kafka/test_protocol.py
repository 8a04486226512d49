"""Exactly the same changes, whatever happens to the worker: the protocol, with an engine that is easy to foresee."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.ingest import Ingest
from stream.state import MemoryStore
from tests.kafka.broker import Broker
from tests.kafka.fake_engine import FakeEngine
from tests.kafka.harness import Deployment, Record

Row = tuple[str | None, bytes, int | None]
START = 1_750_000_000_000


@pytest.fixture
def deployment(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Deployment]:
    deployment = Deployment(broker, tmp_path, unique("protocol"), time={"idle_after": "off"})
    deployment.create_topics(create_time=True)
    yield deployment
    deployment.stop()


def events(count: int, users: int = 500) -> list[Row]:
    chance = random.Random(7)
    now, rows = START, list[Row]()
    for number in range(count):
        now += chance.randrange(2_000)
        user = f"u{chance.randrange(users)}"
        event = {"id": f"e{number}", "type": "product_viewed", "time": now, "user_id": user}
        rows.append((user, json.dumps(event).encode(), now))
    return rows


def expected(deployment: Deployment) -> set[bytes]:
    """What one pass over the input gives, partition by partition, in one batch each, without any Kafka output."""
    changes = set()
    by_partition: dict[int, list[Record]] = defaultdict(list)
    for record in deployment.read("events"):
        by_partition[record.partition].append(record)
    for records in by_partition.values():
        engine, store = FakeEngine(), MemoryStore()
        partition = engine.open(store, None)
        decoded, _ = Ingest().read_batch((record.value, record.offset, None) for record in records)
        step = engine.step(partition, decoded, len(records))
        tick = engine.tick(partition, partition.watermark, limit=10**9)
        changes |= {change.value for change in step.changes + tick.changes}
    return changes


def check_output(deployment: Deployment) -> None:
    """The set is right, repeats apart; each user's changes stand in order of seq without gaps."""
    published = deployment.read("changes")
    assert {record.value for record in published} == expected(deployment)
    last: dict[bytes | None, int] = defaultdict(int)
    repeats = 0
    for record in published:
        seq = json.loads(record.value or b"")["seq"]
        if seq <= last[record.key]:
            repeats += 1
        else:
            assert seq == last[record.key] + 1, f"a gap before {record.value!r}"
            last[record.key] = seq
    newest = {record.key: record.value for record in deployment.read("members")}
    for key, value in newest.items():
        user = json.loads(key or b"")[1]
        assert json.loads(value or b"")["seq"] == last[user.encode()]
    print(f"{len(published)} changes published, {repeats} of them repeats")


def test_one_undisturbed_run(deployment: Deployment) -> None:
    deployment.produce(events(5_000))
    worker = deployment.worker()
    worker.wait(worker.is_done, "reading the input")
    assert worker.consumed() == 5_000
    assert worker.terminate() == 0
    check_output(deployment)


def test_killed_five_times_while_producing(deployment: Deployment) -> None:
    """kill -9 between 20 and 80 %; once more with the group's offsets gone, once with the local state gone."""
    rows = events(20_000)
    producing = threading.Thread(target=deployment.produce, args=(rows,), kwargs={"pace": 2_500})
    producing.start()
    chance = random.Random(3)
    for share in (0.2, 0.35, 0.5, 0.65, 0.8):
        worker = deployment.worker()
        target = share * len(rows)
        worker.wait(lambda: len(rows) - _left(deployment, len(rows)) >= target, "producing")  # noqa: B023
        enough = chance.randrange(1, 1_500)
        worker.wait(lambda: worker.consumed() > enough or worker.is_done(), "consuming")  # noqa: B023
        assert worker.metric("segstream_events_skipped_total") == 0
        worker.kill()
        if share == 0.5:
            deployment.reset_group()
        if share == 0.65:
            shutil.rmtree(deployment.state)
    producing.join(60)
    worker = deployment.worker()
    worker.wait(worker.is_done, "reading the rest")
    assert worker.terminate() == 0
    check_output(deployment)


def test_a_warm_restart_reads_only_what_is_new(deployment: Deployment) -> None:
    deployment.produce(events(3_000))
    worker = deployment.worker()
    worker.wait(worker.is_done, "reading the input")
    worker.terminate()
    worker = deployment.worker()
    worker.wait(worker.is_done, "starting again")
    assert worker.consumed() == 0
    assert worker.metric("segstream_state_users") == 500
    worker.terminate()
    assert "4 restored from 4 changelog records" in worker.tail()  # the last marker of each
    check_output(deployment)


def test_two_workers_share_and_take_over(deployment: Deployment) -> None:
    rows = events(30_000)
    deployment.produce(rows[:10_000])
    first = deployment.worker()
    first.wait(lambda: first.consumed() > 1_000, "consuming")
    # The second worker of a machine needs its own state folder and port.
    env = {"SEGSTREAM_STATE_DIR": str(deployment.folder / "second"), "SEGSTREAM_HTTP_PORT": "0"}
    second = deployment.worker(env=env)
    deployment.produce(rows[10_000:20_000])
    first.wait(lambda: len(json.loads(first.get("/ready")[1])["partitions"]) == 2, "sharing")
    deployment.produce(rows[20_000:])
    second.kill()
    first.wait(lambda: len(json.loads(first.get("/ready")[1])["partitions"]) == 4, "taking over")
    first.wait(first.is_done, "reading the rest")
    assert first.terminate() == 0
    check_output(deployment)


def _left(deployment: Deployment, total: int) -> int:
    return total - deployment.input_size()
