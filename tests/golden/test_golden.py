"""Recorded logs with the changes that the retail pack makes of them, reviewed by eye once and compared ever after.

Each golden file says how many changes of each kind there were, names the digest of all of them, and shows the first
of each kind in full. After a wanted change, `pytest tests/golden --snapshot-update` writes them anew: read the
difference before committing it.

`shop.jsonl.gz` is 30 days of 40 shoppers, made with `segstream simulate` (seed 2031): late events, repeats and a phone
with a wrong clock included, in order of arrival.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from stream.definitions import load
from stream.durations import MINUTE
from stream.engine import Plan, TimeSettings, compile_plan
from stream.ingest import load_mapping
from stream.packs import pack_path
from stream.replay import Log, Outcome, Replay

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"


class TextFiles(SingleFileSnapshotExtension):
    """One readable file per golden replay."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"

    def serialize(self, data: Any, **kwargs: Any) -> str:
        return str(data)


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(TextFiles)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(load([pack_path("retail")]))


def recorded(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recorded log {name} is not beside the project")
    return path


def replayed(plan: Plan, log: Path, mapping: str = "canonical", **options: Any) -> Replay:
    replay = Replay(plan, options.pop("times", None), mapping=load_mapping(mapping), **options)
    for _ in replay.feed(Log(str(log))):
        pass
    replay.finish()
    return replay


def summary(replay: Replay) -> str:
    """The golden file."""
    outcome, tally = replay.outcome, replay.runtime.tally
    counts = Counter((change.segment, change.type, change.cause) for change in outcome.changes)
    all_bytes = b"".join(change.value + b"\n" for change in outcome.changes)
    lines = [
        f"records {outcome.records}, dead letters {outcome.dead_letters}, users {replay.runtime.users}",
        f"ignored {tally.ignored}, duplicates {tally.duplicates}, clamped {tally.clamped}",
        f"late: applied {tally.late_applied}, expired {tally.late_expired}",
        f"changes {len(outcome.changes)}, sha256 {sha256(all_bytes).hexdigest()}",
        "",
        *(f"{segment:24} {kind:10} {cause:11} {n:6}" for (segment, kind, cause), n in sorted(counts.items())),
        "",
        "open at the end",
        *(f"{segment:24} {n:6}" for segment, n in sorted(replay.runtime.members().items()) if n),
        "",
        *firsts(outcome),
    ]
    return "\n".join(lines) + "\n"


def firsts(outcome: Outcome) -> Iterable[str]:
    """The first change of each kind, one field a line."""
    seen = set()
    for change in outcome.changes:
        kind = (change.segment, change.type, change.cause)
        if kind not in seen:
            seen.add(kind)
            body = json.loads(change.value)
            del body["schema"], body["event_id"], body["segment"]["hash"]  # the digest above covers them
            yield f"--- first {' '.join(kind)}"
            yield from (f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in body.items())


def test_a_simulated_shop(plan: Plan, golden: SnapshotAssertion) -> None:
    replays = [
        replayed(plan, HERE / "shop.jsonl.gz", partitions=n, batch_size=size)
        for n, size in ((1, 5_000), (1, 7))
    ]
    found = [summary(replay) for replay in replays]
    assert found[0] == found[1]
    assert found[0] == golden


def test_a_simulated_shop_in_three_partitions_with_lateness(plan: Plan, golden: SnapshotAssertion) -> None:
    times = TimeSettings(lateness=30 * MINUTE)
    assert summary(replayed(plan, HERE / "shop.jsonl.gz", partitions=3, times=times)) == golden


def test_retailrocket_as_it_is_stored(plan: Plan, golden: SnapshotAssertion) -> None:
    log = recorded("retailrocket_events_100k.csv.gz")
    assert summary(replayed(plan, log, "retailrocket")) == golden


def test_otto(plan: Plan, golden: SnapshotAssertion, tmp_path: Path) -> None:
    """Sessions of clicks, carts and orders; each becomes the events of one user."""
    types = {"clicks": "product_viewed", "carts": "product_added", "orders": "order_completed"}
    events: dict[tuple[str, int, str], dict[str, Any]] = {}
    for session in map(json.loads, recorded("otto_sample_sessions.jsonl").read_text().splitlines()):
        user = str(session["session"])
        for event in session["events"]:  # what was ordered together stands there line by line
            time, type_ = event["ts"], types[event["type"]]
            fields = {"type": type_, "time": time, "user_id": user, "items": []}
            line = {"product_id": str(event["aid"])}
            events.setdefault((user, time, type_), fields)["items"].append(line)
    in_order = sorted(events.values(), key=lambda event: event["time"])
    log = tmp_path / "otto.jsonl"
    log.write_text("".join(f"{json.dumps(event)}\n" for event in in_order), encoding="utf-8")
    assert summary(replayed(plan, log)) == golden
