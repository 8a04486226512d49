"""Shares of a replay: together they give its bytes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.definitions import load
from stream.durations import MINUTE
from stream.engine import Plan, TimeSettings, compile_plan
from stream.packs import pack_path
from stream.replay import Log, Outcome, Replay
from stream.simulate import Shop, simulate
from tests.cli.test_cli import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(load([pack_path("retail")]))


@pytest.fixture(scope="module")
def untidy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of a shop as it arrives: late, repeated and skewed events, unreadable records, and a clock."""
    lines = list(simulate(Shop(users=60, days=10, seed=7)))
    lines[100:100] = [b"{", b"[]", b'{"type":"page_viewed"}']
    lines[200:200] = [b'{"type":"clock_advanced","time":"2026-09-03T00:00:00Z"}']
    file = tmp_path_factory.mktemp("logs") / "untidy.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return file


def outcome(plan: Plan, log: Path, settings: TimeSettings, **options: Any) -> Outcome:
    replay = Replay(plan, settings, **options)
    for _ in replay.feed(Log(str(log))):
        pass
    return replay.finish()


SETTINGS = (
    TimeSettings(),
    TimeSettings(lateness=10 * MINUTE, clock_skew=0),
    TimeSettings(idle_after=MINUTE, lateness=MINUTE, dedup_window=MINUTE),
)


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "lateness", "idle"])
def test_shares_of_users_add_up_to_the_whole(
    plan: Plan, untidy: Path, settings: TimeSettings, partitions: int
) -> None:
    whole = outcome(plan, untidy, settings, partitions=partitions, until=1_789_000_000_000)

    def share(number: int) -> Callable[[str, int], bool]:
        return lambda user, partition: len(user) and sum(user.encode()) % 3 == number if user else number == 0

    parts = [
        outcome(plan, untidy, settings, partitions=partitions, until=1_789_000_000_000, mine=share(number))
        for number in range(3)
    ]
    assert len(whole.changes) > 100
    together = sorted((change for part in parts for change in part.changes), key=lambda one: one.sort_key)
    assert [change.value for change in together] == [change.value for change in whole.changes]
    assert all(len(part.changes) for part in parts)
    first, *others = parts
    for other in others:
        first.tally.join(other.tally)
    assert asdict(first.tally) == asdict(whole.tally)
    assert sum(part.users for part in parts) == whole.users


def test_shares_of_a_recorded_log_keep_its_partitions(plan: Plan, untidy: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.jsonl"
    entries = []
    for offset, line in enumerate(untidy.read_text().splitlines()):
        who = re.search(r'"(?:user|anonymous)_id":"([^"]*)"', line)
        partition = len(who[1]) % 2 + 2 * (who[1] > "u-00002") if who else 0
        time = 1_788_000_000_000 + 1_000 * offset
        entries.append(
            {"partition": partition, "offset": offset, "timestamp": time, "key": None, "value": line}
        )
    recorded.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
    whole = outcome(plan, recorded, SETTINGS[2])
    parts = [
        outcome(
            plan, recorded, SETTINGS[2], mine=lambda user, partition, n=n: (len(user) + partition) % 2 == n
        )
        for n in range(2)
    ]
    together = sorted((change for part in parts for change in part.changes), key=lambda one: one.sort_key)
    assert [change.value for change in together] == [change.value for change in whole.changes]
    assert len(together) > 50
    assert sum(part.users for part in parts) == whole.users


def files(folder: Path, *options: object) -> dict[str, bytes]:
    folder.mkdir()
    names = ("out", "members", "dead-letters", "stats")
    arguments = [item for name in names for item in (f"--{name}", folder / name)]
    result = CliRunner().invoke(main, ["replay", *map(str, [*options, *arguments])])
    assert result.exit_code == 0, result.output
    counts = json.loads((folder / "stats").read_text())
    del counts["seconds"], counts["records_per_second"]
    (folder / "stats").write_text(json.dumps(counts))
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("options", [(), ("--partitions", 3)], ids=["users", "partitions"])
def test_workers_write_what_one_process_writes(
    untidy: Path, tmp_path: Path, options: tuple[Any, ...]
) -> None:
    half = tmp_path / "half.jsonl"
    half.write_bytes(b"".join(untidy.read_bytes().splitlines(keepends=True)[::2]))
    arguments = (untidy, half, "--segments", "pack:retail", *options)
    alone = files(tmp_path / "alone", *arguments)
    state = ("--state", tmp_path / "state") if options else ()
    assert files(tmp_path / "together", *arguments, "--workers", 2, *state) == alone
    assert alone["out"].count(b"\n") > 100
    if state:
        assert sorted(place.name for place in (tmp_path / "state").iterdir()) == ["0", "1", "2"]


def test_workers_can_read_standard_input(untidy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(
        *("replay", "-", "--segments", "pack:retail", "--workers", "2", "--out", str(out)),
        stdin=untidy.read_bytes(),
    )
    assert result.returncode == 0, result.stderr
    alone = CliRunner().invoke(main, ["replay", str(untidy), "--segments", "pack:retail"])
    assert out.read_bytes() == alone.stdout_bytes


def test_what_a_worker_cannot_do_is_told_once(untidy: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.csv"
    damaged.write_bytes(b"")
    arguments = ["replay", str(damaged), "--segments", "pack:retail", "--workers", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr.count("expected a first line") == 1
    few = CliRunner().invoke(main, [*arguments, "--state", str(tmp_path / "state")])
    assert few.exit_code == 2
    assert "--partitions 2" in few.stderr


def test_a_worker_that_cannot_write_is_a_failure_at_run_time(untidy: Path) -> None:
    arguments = [
        "replay",
        str(untidy),
        "--segments",
        "pack:retail",
        "--workers",
        "2",
        "--dead-letters",
        "/dev/full",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 3
    assert "No space left" in result.stderr


def test_a_worker_that_is_killed_is_told(tmp_path: Path) -> None:
    """Both wait for a pipe that nobody writes to; one of them is killed, as the kernel does without memory."""
    pipe = tmp_path / "log.jsonl"
    os.mkfifo(pipe)
    command = [
        sys.executable,
        "-m",
        "stream",
        "replay",
        str(pipe),
        "--segments",
        "pack:retail",
        "--workers",
        "2",
    ]
    parent = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while len(found := workers_of(parent.pid)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(found[0], signal.SIGKILL)
        _, told = parent.communicate(timeout=60)
    finally:
        parent.kill()
    assert parent.returncode == 3
    assert b"ended with -9" in told
    assert not any(Path(f"/proc/{number}/cmdline").exists() for number in found), "nobody is left behind"


def workers_of(parent: int) -> list[int]:
    """The processes that share the work, without multiprocessing's own."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
