"""The worker on a real broker publishes what a replay of the same log writes, whatever is done to the worker."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stream.durations import MINUTE
from stream.ingest import load_mapping
from stream.packs import pack_path
from stream.replay import Log
from stream.runtime.kafka.produce import outgoing_records, produce
from stream.simulate import Shop, simulate
from tests.conftest import lacking
from tests.kafka.broker import Broker
from tests.kafka.harness import REAL, ROOT, Deployment

RETAILROCKET = ROOT.parent / "shared" / "data" / "retailrocket_events_100k.csv.gz"
PACK = pack_path("retail")
PARTITIONS = 4


class Recording(NamedTuple):
    """A log, what a replay with four partitions makes of it, and the instant at which both end."""

    log: Path
    records: int
    until: int
    changes: frozenset[bytes]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A simulated shop in order of arrival: late events, repeats, wrong clocks."""
    folder = tmp_path_factory.mktemp("shop")
    log = folder / "shop.jsonl"
    log.write_bytes(b"\n".join(simulate(Shop(users=400, days=20, seed=5))))
    return replayed(log)


@pytest.fixture(scope="module", params=["in time order", "as stored"])
def retailrocket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if not RETAILROCKET.exists():
        lacking(f"the RetailRocket sample is not at {RETAILROCKET}")
    folder = tmp_path_factory.mktemp("retailrocket")
    plain = folder / "log.csv"
    header, *rows = gzip.decompress(RETAILROCKET.read_bytes()).splitlines(keepends=True)
    if request.param == "in time order":
        rows.sort(key=lambda row: int(row.split(b",", 1)[0]))
    plain.write_bytes(header + b"".join(rows))
    canonical = folder / "log.jsonl"
    values = [each.value or b"" for each in outgoing_records(Log(str(plain)), load_mapping("retailrocket"))]
    canonical.write_bytes(b"\n".join(values))
    return replayed(canonical)


def replayed(log: Path) -> Recording:
    """`segstream replay` in a process of its own."""
    times = [each.timestamp or 0 for each in outgoing_records(Log(str(log)))]
    until = max(times) + 10 * MINUTE
    out = log.with_suffix(".changes")
    command = [sys.executable, "-m", "stream", "replay", str(log), "--segments", str(PACK), "--out", str(out)]
    command += ["--partitions", str(PARTITIONS), "--until", str(until)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return Recording(log, len(times), until, frozenset(out.read_bytes().splitlines()))


@pytest.fixture
def deployment(broker: Broker, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Deployment]:
    deployment = Deployment(
        broker, tmp_path, unique("worker"), definitions=[str(PACK)], time={"idle_after": "off"}
    )
    deployment.create_topics(create_time=True, partitions=PARTITIONS)
    yield deployment
    deployment.stop()


def check_output(deployment: Deployment, expected: frozenset[bytes]) -> int:
    """The set is right, repeats apart; seq has no gap; members hold the last change. Returns the repeats."""
    published = deployment.read("changes")
    assert {record.value for record in published} == expected
    last: dict[tuple[bytes | None, str], int] = defaultdict(int)
    newest: dict[tuple[str, str, str | None], bytes | None] = {}
    for record in published:
        change = json.loads(record.value or b"")
        place = (record.key, change["segment"]["key"])
        if change["seq"] > last[place]:
            assert change["seq"] == last[place] + 1, f"a gap before {change}"
            last[place] = change["seq"]
            newest[change["segment"]["key"], change["user"]["id"], change.get("instance")] = record.value
    members = {record.key: record.value for record in deployment.read("members")}
    assert members, "nobody is a member"
    for key, value in members.items():
        segment, user, instance = json.loads(key or b"")
        assert value == newest[segment, user, instance]
    return len(published) - len(expected)


def test_one_undisturbed_run_of_a_shop(deployment: Deployment, shop: Recording) -> None:
    produce(deployment.settings, str(shop.log), deployment.settings.topics.events, close=shop.until)
    worker = deployment.worker(REAL)
    worker.wait(worker.is_done, "reading the log", patience=180)
    assert worker.consumed() == shop.records + PARTITIONS
    assert worker.terminate() == 0
    assert check_output(deployment, shop.changes) == 0


def test_one_undisturbed_run_of_retailrocket(deployment: Deployment, retailrocket: Recording) -> None:
    produce(
        deployment.settings,
        str(retailrocket.log),
        deployment.settings.topics.events,
        close=retailrocket.until,
    )
    worker = deployment.worker(REAL)
    worker.wait(worker.is_done, "reading the log", patience=180)
    assert worker.terminate() == 0
    assert check_output(deployment, retailrocket.changes) == 0


@pytest.mark.parametrize("retailrocket", ["in time order"], indirect=True)
def test_killed_five_times_while_producing(deployment: Deployment, retailrocket: Recording) -> None:
    """kill -9 at 20 to 80 % of the log; between two, the group's offsets are reset; then the state is deleted."""
    settings, log = deployment.settings, retailrocket
    producing = threading.Thread(
        target=produce,
        args=(settings, str(log.log), settings.topics.events),
        kwargs={"rate": 4_000, "close": log.until},
    )
    producing.start()
    chance = random.Random(11)
    for share in (0.2, 0.35, 0.5, 0.65, 0.8):
        worker = deployment.worker(REAL)
        there = share * log.records
        worker.wait(lambda: deployment.input_size() >= there, "producing", patience=180)  # noqa: B023
        enough = chance.randrange(1, 4_000)
        worker.wait(lambda: worker.consumed() > enough or worker.is_done(), "consuming")  # noqa: B023
        assert worker.metric("segstream_events_skipped_total") == 0, "input was read again below the state"
        worker.kill()
        if share == 0.5:
            deployment.reset_group()
        if share == 0.65:
            shutil.rmtree(deployment.state)
    producing.join(180)
    worker = deployment.worker(REAL)
    worker.wait(worker.is_done, "reading the rest", patience=180)
    assert worker.terminate() == 0
    repeats = check_output(deployment, log.changes)
    print(f"{len(log.changes)} changes, {repeats} repeats after five kills")
