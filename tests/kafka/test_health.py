"""What /live and /ready are made of, through a worker's life: no broker is asked."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.config import load_settings
from stream.errors import OperatorError
from stream.runtime.kafka.failures import read_failures
from stream.runtime.kafka.raw import SeenEnd
from stream.runtime.kafka.worker import Worker


async def nothing(*_: Any) -> None:
    """Nobody is told."""


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    settings = load_settings(None, {"SEGSTREAM_STATE_DIR": str(tmp_path / "state")})
    engine: Any = None
    return Worker(settings, engine, engine, nothing, nothing)


def own(worker: Worker, number: int) -> None:
    each: Any = SimpleNamespace(store=SimpleNamespace(close=lambda: None), more=False)
    worker._owned[number] = each


def test_from_the_start_to_a_stop(worker: Worker) -> None:
    rounds: Any = SimpleNamespace(committing_since=None)
    assert (worker.live, worker.ready, worker.state) == (True, False, "starting")
    worker._rounds = rounds
    assert (worker.live, worker.ready, worker.state) == (True, False, "waiting for partitions")
    assigning: Any = object()
    worker._assigning = assigning
    assert (worker.live, worker.ready, worker.state) == (True, False, "restoring")
    worker._assigning = None
    worker.ready = True
    assert (worker.live, worker.ready, worker.state) == (True, True, "serving")
    worker.ready = False  # a rebalance
    assert (worker.live, worker.ready, worker.state) == (True, False, "waiting for partitions")
    worker.ready = True
    rounds.committing_since = time.monotonic() - 301
    assert not worker.live
    worker._rounds = None
    asyncio.run(worker.stop())
    assert (worker.live, worker.ready, worker.state) == (True, False, "stopping")


def test_a_broker_that_does_not_answer(worker: Worker) -> None:
    own(worker, 0)
    worker.ready = True
    assert worker.ready  # just restored: the first answer may take a moment
    worker._resumed -= 60
    assert not worker.ready
    assert worker.state.startswith("no answer of Kafka for 6")
    assert worker.live  # a new process would not reach it either
    worker.ends["events", 0] = SeenEnd(int(time.time() * 1000), 7)
    assert (worker.ready, worker.state) == (True, "serving")


def test_without_partitions_nobody_is_asked(worker: Worker) -> None:
    worker.ready = True
    worker._resumed -= 3600
    assert (worker.ready, worker.state) == (True, "serving")


def test_a_failure_is_told_and_kept(worker: Worker, tmp_path: Path) -> None:
    worker.ready = True
    asyncio.run(worker.fail(OperatorError("the disk is full")))
    asyncio.run(worker.fail(OperatorError("and what came of it")))
    assert (worker.live, worker.ready, worker.state) == (False, False, "failed")
    assert read_failures(tmp_path / "state") == {"operator": 1}


def test_a_round_that_is_lost_is_counted(worker: Worker, tmp_path: Path) -> None:
    asyncio.run(worker._let_go(KafkaConnectionError("gone")))
    assert (worker.live, worker.ready) == (True, False)
    assert read_failures(tmp_path / "state") == {"kafka": 1}
    assert worker.metrics.registry.get_sample_value("segstream_failures_total", {"kind": "kafka"}) == 1


def test_a_stop_does_not_wait_for_ever(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka never acknowledges: the stop comes to its end all the same."""

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("stream.runtime.kafka.worker._DRAIN_SECONDS", 0.01)
    monkeypatch.setattr(worker, "revoke", never)
    own(worker, 0)
    asyncio.run(worker.stop())
    assert worker.state == "stopping"
    assert not worker.owned
