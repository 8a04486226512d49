"""segstream demo, without a terminal and as if on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli import main
from tests.cli.test_cli import run

SMALL = ("--users", "60", "--days", "3")


def test_without_a_terminal_it_is_a_line_a_day_and_a_summary(tmp_path: Path) -> None:
    out = tmp_path / "changes.jsonl"
    result = run("demo", *SMALL, "--out", str(out))
    assert result.returncode == 0, result.stderr
    text = result.stdout.decode()
    assert [day in text for day in ("2026-09-01", "2026-09-02", "2026-09-03")] == [True] * 3
    assert "cart_abandoned" in text
    assert str(out) in text.replace("\n", "")
    changes = [json.loads(line) for line in out.read_text().splitlines()]
    assert f"{len(changes):,} changes" in text.replace("\n", " ")
    assert {"entered", "exited"} <= {change["type"] for change in changes}


def test_on_a_terminal_it_is_drawn_and_gives_the_same_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outs = [tmp_path / "plain.jsonl", tmp_path / "live.jsonl"]
    assert CliRunner().invoke(main, ["demo", *SMALL, "--out", str(outs[0])]).exit_code == 0
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    result = CliRunner().invoke(main, ["demo", *SMALL, "--seconds", "0", "--out", str(outs[1])])
    assert result.exit_code == 0, result.output
    assert "effective at" in result.output
    assert outs[0].read_bytes() == outs[1].read_bytes()
