"""The output is a function of the log: not of batches, not of partitions, not of where users are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.definitions import load
from stream.durations import MINUTE
from stream.engine import Plan, TimeSettings, compile_plan
from stream.packs import pack_path
from stream.replay import Log, Replay
from stream.simulate import Shop, simulate
from stream.state.rocks import RocksStore


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(load([pack_path("retail")]))


@pytest.fixture(scope="module")
def untidy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fortnight of a shop as it arrives: late, repeated and skewed events, and records that cannot be read."""
    lines = list(simulate(Shop(users=120, days=14, seed=5)))
    lines[100:100] = [b"{", b"[]", b'{"type":"page_viewed"}']
    file = tmp_path_factory.mktemp("logs") / "untidy.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return file


@pytest.fixture(scope="module")
def tidy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shop in order of time."""
    events = [json.loads(line) for line in simulate(Shop(users=120, days=14, seed=5))]
    for event in events:
        del event["received_at"]
    events.sort(key=lambda event: event["time"])
    file = tmp_path_factory.mktemp("logs") / "tidy.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
    return file


def output(plan: Plan, log: Path, settings: TimeSettings | None = None, **options: Any) -> list[bytes]:
    replay = Replay(plan, settings, **options)
    for _ in replay.feed(Log(str(log))):
        pass
    changes = [change.value for change in replay.finish().changes]
    replay.runtime.close()
    return changes


SETTINGS = (
    TimeSettings(),
    TimeSettings(lateness=10 * MINUTE),
    TimeSettings(idle_after=MINUTE, lateness=MINUTE, clock_skew=0, dedup_window=MINUTE),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "lateness", "idle"])
def test_batches_do_not_matter_even_in_an_untidy_log(
    plan: Plan, untidy: Path, settings: TimeSettings
) -> None:
    outputs = [output(plan, untidy, settings, partitions=3, batch_size=size) for size in (1, 7, 500, 100_000)]
    assert len(outputs[0]) > 300
    assert all(each == outputs[0] for each in outputs)


def test_partitions_do_not_matter_in_an_ordered_log(plan: Plan, tidy: Path) -> None:
    outputs = [output(plan, tidy, partitions=partitions) for partitions in (1, 4, 7)]
    assert len(outputs[0]) > 300
    assert all(each == outputs[0] for each in outputs)


def test_where_users_are_kept_does_not_matter(plan: Plan, untidy: Path, tmp_path: Path) -> None:
    def rocks(partition: int) -> RocksStore:
        return RocksStore(tmp_path / str(partition))

    assert output(plan, untidy, partitions=2, store=rocks) == output(plan, untidy, partitions=2)
