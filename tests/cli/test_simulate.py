"""segstream simulate."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from stream.cli import main
from stream.simulate import Shop, simulate


def test_events_go_to_a_file_or_to_standard_output(tmp_path: Path) -> None:
    options = [
        "simulate",
        "--users",
        "300",
        "--days",
        "2",
        "--seed",
        "9",
        "--rate",
        "3",
        "--start",
        "2026-01-05T00:00:00Z",
    ]
    printed = CliRunner().invoke(main, options)
    assert printed.exit_code == 0
    out = tmp_path / "shop.jsonl"
    assert CliRunner().invoke(main, [*options, "--out", str(out)]).exit_code == 0
    assert out.read_bytes() == printed.stdout_bytes
    lines = out.read_bytes().splitlines()
    assert lines == list(simulate(Shop(300, 2, 9, 3, 1_767_571_200_000)))
    assert len(lines) > 1000
    assert json.loads(lines[0])["received_at"].startswith("2026-01-05T")
