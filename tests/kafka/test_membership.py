"""Partitions that come back, to a worker that kept their state and to one that kept its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, free_port
from tests.kafka.harness import Deployment, WorkerProcess
from tests.kafka.test_protocol import check_output, events


def partitions(worker: WorkerProcess) -> list[int]:
    """None while it is not ready."""
    try:
        status, text = worker.get("/ready")
    except OSError:
        return []
    numbers: list[int] = json.loads(text)["partitions"] if status == 200 else []
    return numbers


class Pair:
    """Two workers, each with a folder and an address of its own."""

    def __init__(self, deployment: Deployment, *, static: bool) -> None:
        self.deployment = deployment
        self._static = static
        self._ports = {"one": free_port(), "two": free_port()}

    def start(self, name: str) -> WorkerProcess:
        port = self._ports[name]
        env = {
            "SEGSTREAM_STATE_DIR": str(self.deployment.folder / name),
            "SEGSTREAM_HTTP_PORT": str(port),
        }
        if self._static:
            env["SEGSTREAM_KAFKA_CLIENT_GROUP_INSTANCE_ID"] = name
        return self.deployment.worker(env=env, port=port)


def deploy(
    broker: Broker, folder: Path, name: str, session_timeout_ms: int, request: pytest.FixtureRequest
) -> Deployment:
    kafka = {
        "brokers": broker.address,
        "client": {"session_timeout_ms": session_timeout_ms, "heartbeat_interval_ms": 300},
    }
    deployment = Deployment(broker, folder, name, time={"idle_after": "off"}, kafka=kafka)
    request.addfinalizer(deployment.stop)
    deployment.create_topics(create_time=True)
    return deployment


def test_a_partition_that_comes_back_reads_what_it_missed_and_no_more(
    broker: Broker, tmp_path: Path, unique: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    deployment = deploy(broker, tmp_path, unique("returning"), 4_000, request)
    rows = events(3_000)
    deployment.produce(rows[:2_600])
    pair = Pair(deployment, static=False)
    one = pair.start("one")
    one.wait(one.is_done, "reading the input")
    before = _ends(deployment)
    two = pair.start("two")
    two.wait(lambda: len(partitions(two)) == 2, "sharing")
    moved = partitions(two)
    deployment.produce(rows[2_600:])
    for worker in (one, two):
        worker.wait(worker.is_done, "reading the rest")
    missed = {number: _ends(deployment)[number] - before[number] for number in moved}
    assert two.terminate() == 0
    one.wait(lambda: len(partitions(one)) == 4, "taking them back")
    (read,) = re.findall(r"2 kept, 2 restored from (\d+) changelog records", deployment.log.read_text())
    # And the marker that its store stands for, of each.
    assert int(read) == sum(missed.values()) + len(moved)
    assert all(0 < missed[number] < before[number] for number in moved)
    check_output(deployment)


def test_a_static_member_takes_its_place_again_and_the_others_do_not_notice(
    broker: Broker, tmp_path: Path, unique: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    # Whoever is killed would be missed for a minute, and its partitions with it.
    deployment = deploy(broker, tmp_path, unique("static"), 60_000, request)
    rows = events(2_000)
    pair = Pair(deployment, static=True)
    one, two = pair.start("one"), pair.start("two")
    two.wait(lambda: len(partitions(two)) == 2 and len(partitions(one)) == 2, "sharing")
    theirs, assignments = partitions(two), one.metric("segstream_rebalances_total")
    deployment.produce(rows[:1_000])
    two.wait(lambda: two.consumed() > 0, "consuming")
    two.kill()
    deployment.produce(rows[1_000:])
    again = pair.start("two")
    again.wait(lambda: partitions(again) == theirs, "taking its place again")
    for worker in (one, again):
        worker.wait(worker.is_done, "reading the rest")
    assert one.metric("segstream_rebalances_total") == assignments
    check_output(deployment)


def _ends(deployment: Deployment) -> dict[int, int]:
    """Of each partition's changelog."""
    return {record.partition: record.offset + 1 for record in deployment.read("state")}
