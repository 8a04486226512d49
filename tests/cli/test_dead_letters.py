"""`segstream dead-letters` on files; on topics: tests/kafka/test_sources.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main

MAPPING = "event: {type: {const: x}, time: {path: at, as: AS}, user_id: who}"
ROWS = "who,at\nann,1795250000\nbob,2026-11-21T08:33:20Z\ncyd,soon\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Two rows that a mapping of epoch seconds cannot read."""
    (tmp_path / "log.csv").write_text(ROWS)
    (tmp_path / "old.yaml").write_text(MAPPING.replace("AS", "s"))
    (tmp_path / "new.yaml").write_text(MAPPING.replace("AS", "iso8601"))
    out = tmp_path / "dead.jsonl"
    done = run(
        "convert",
        str(tmp_path / "log.csv"),
        "--mapping",
        str(tmp_path / "old.yaml"),
        "--dead-letters",
        str(out),
    )
    assert done.exit_code == 0
    assert "3 records gave 1 event; 2 dead letters (2 bad_time)" in done.stderr
    return out


def test_letters_are_shown_by_reason_and_one_by_one(letters: Path) -> None:
    shown = run("dead-letters", str(letters))
    assert "bad_time" in shown.stdout
    assert "line 4: $.at: expected a number, not 'soon'" in shown.stdout
    assert shown.stderr == "2 dead letters\n"
    listed = run("dead-letters", str(letters), "--list", "--reason", "bad_time")
    assert [json.loads(line)["value"] for line in listed.stdout.splitlines()] == ROWS.splitlines()[2:]
    assert run("dead-letters", str(letters), "--list", "--reason", "bad_user").stdout == ""


def test_letters_become_events_after_a_fix(letters: Path) -> None:
    out = letters.parent / "events.jsonl"
    done = run(
        "dead-letters",
        str(letters),
        "--resubmit",
        "--mapping",
        str(letters.parent / "new.yaml"),
        "--out",
        str(out),
    )
    assert done.exit_code == 0
    (event,) = map(json.loads, out.read_text().splitlines())
    assert (event["user_id"], event["time"]) == ("bob", 1795250000000)
    assert "1 event re-submitted; 1 record still cannot be read (1 bad_time)" in done.stderr
    assert "line 4: still bad_time: $.at" in done.stderr


def test_what_makes_no_sense_is_refused(letters: Path) -> None:
    assert run("dead-letters", str(letters), "--from", "2026-01-01T00:00:00Z").exit_code == 2
    done = run("dead-letters", str(letters.parent / "log.csv"))
    assert done.exit_code == 1
    assert "log.csv:2: not a dead letter" in done.stderr
