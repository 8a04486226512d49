"""segstream replay: files in, files out, options."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stream.cli import main
from tests.cli.test_cli import run

START = 1_795_262_400_000
MINUTE = 60_000
DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
segments:
  abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}}
"""


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    file = tmp_path / "segments.yaml"
    file.write_text(DEFINITIONS, encoding="utf-8")
    return file


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lines: list[object] = [
        event("a", "product_added", 0),
        event("b", "product_added", 10),
        event("b", "product_added", 10),
        "no event",
        event("b", "order_completed", 20),
        event("c", "page_viewed", 60),
        event("a", "order_completed", 25),
    ]
    file = tmp_path / "log.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return file


def event(user: str, type_: str, minute: int) -> dict[str, Any]:
    return {"id": f"{user}{minute}", "type": type_, "time": START + minute * MINUTE, "user_id": user}


def replay(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def types(output: str) -> list[str]:
    return [json.loads(line)["type"] for line in output.splitlines() if line.startswith("{")]


def test_changes_members_dead_letters_and_counts_are_written(
    log: Path, segments: Path, tmp_path: Path
) -> None:
    names = ("out", "members", "dead-letters", "stats")
    options = [item for name in names for item in (f"--{name}", tmp_path / name)]
    result = replay(log, "--segments", segments, *options)
    assert result.exit_code == 0, result.output
    assert types((tmp_path / "out").read_text()) == ["entered", "retracted"]
    (member,) = [json.loads(line) for line in (tmp_path / "members").read_text().splitlines()]
    assert (member["key"], member["value"]["type"]) == (["abandoned", "a", None], "retracted")
    letter = json.loads((tmp_path / "dead-letters").read_text())
    assert (letter["reason"], letter["value"]) == ("not_an_object", '"no event"')
    assert letter["coordinates"] == {"file": str(log), "line": 4}
    stats = json.loads((tmp_path / "stats").read_text())
    assert stats["changes"] == {"abandoned": {"entered": {"timer": 1}, "retracted": {"late_event": 1}}}
    assert (stats["records"], stats["events"], stats["duplicates"]) == (7, 6, 1)
    assert stats["late"] == {"applied": 1, "expired": 0}
    assert (stats["dead_letters"], stats["until"]) == ({"not_an_object": 1}, "2026-11-21T13:00:00.000Z")
    assert "7 records of 2 users gave 2 changes" in result.output
    assert "1 dropped as repeated; 1 dead letter (1 not_an_object)" in result.output
    assert "not_an_object, first " in result.output
    assert ": $: expected an object, not " in result.output


def test_only_changes_go_to_standard_output(log: Path, segments: Path) -> None:
    result = run("replay", "-", "--segments", str(segments), stdin=gzip.compress(log.read_bytes()))
    assert result.returncode == 0
    assert types(result.stdout.decode()) == ["entered", "retracted"]
    assert all(json.loads(line) for line in result.stdout.splitlines())
    assert b"7 records" in result.stderr


def test_options_of_time_reach_the_engine(log: Path, segments: Path) -> None:
    assert types(replay(log, "--segments", segments, "--lateness", "2h").stdout) == []
    early = replay(log, "--segments", segments, "--until", "2026-11-21T12:29:59Z")
    assert types(early.stdout) == []
    assert "1 after --until, not read" in early.stderr
    assert types(replay(log, "--segments", segments, "--until", START + 30 * MINUTE).stdout) == []


def test_the_settings_of_a_worker_hold_unless_an_option_says_otherwise(
    log: Path, segments: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "segstream.yaml"
    settings.write_text(
        "definitions: [segments.yaml]\ntime: {lateness: 2h, idle_after: off}\n", encoding="utf-8"
    )
    assert types(replay(log, "--config", settings).stdout) == []
    assert types(replay(log, "--config", settings, "--lateness", "0s").stdout) == ["entered", "retracted"]
    assert replay(log, "--config", settings, "--idle-after", "off").exit_code == 0


def test_users_can_be_kept_in_rocksdb(log: Path, segments: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = ("--segments", segments, "--partitions", 3)
    in_memory = replay(log, *options)
    on_disk = replay(log, *options, "--state", state)
    assert on_disk.exit_code == 0, on_disk.output
    assert on_disk.stdout == in_memory.stdout
    assert sorted(place.name for place in state.iterdir()) == ["0", "1", "2"]
    other = replay(log, "--segments", segments, "--state", state)
    assert other.exit_code == 3
    assert "--partitions 3" in other.stderr


def test_a_state_is_continued_under_other_definitions(log: Path, segments: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = replay(log, "--segments", segments, "--state", state)
    assert types(first.stdout) == ["entered", "retracted"]
    later = tmp_path / "later.jsonl"
    lines = [
        event("b", "product_added", 100),
        event("c", "product_added", 110),
        event("d", "page_viewed", 115),
    ]
    later.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    second = replay(later, "--segments", segments, "--state", state)
    assert types(second.stdout) == []
    segments.write_text(DEFINITIONS.replace("30m", "10m"), encoding="utf-8")
    third = replay(later, "--segments", segments, "--state", state)
    told = [json.loads(line) for line in third.stdout.splitlines() if line.startswith("{")]
    assert [(c["user"]["id"], c["cause"], c["policy"]["suppressed_by"]) for c in told] == [
        ("b", "definition_change", ["backfill"])
    ]


def test_a_folder_with_anything_else_is_no_state(log: Path, segments: Path, tmp_path: Path) -> None:
    result = replay(log, "--segments", segments, "--state", tmp_path)
    assert result.exit_code == 3
    assert "no state of a replay" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "--segments"),
        (["--segments", "pack:none"], 1, "pack"),
        (["--segments", "pack:retail", "--mapping", "nothing"], 1, "no such mapping"),
        (["--segments", "pack:retail", "--until", "soon"], 2, "RFC 3339"),
        (["--segments", "pack:retail", "--lateness", "5"], 2, "not a duration"),
        (["--segments", "pack:retail", "--batch-size", "0"], 2, "0 is not in the range"),
        (["--segments", "none.yaml"], 1, "none.yaml:1:1"),
    ],
)
def test_wrong_options_are_told(log: Path, arguments: list[str], code: int, told: str) -> None:
    result = replay(log, *arguments)
    assert result.exit_code == code
    assert told in result.stderr
    assert result.stdout == ""
