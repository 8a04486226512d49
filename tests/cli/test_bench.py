"""segstream bench, for the part that needs no broker."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from stream.cli import main


def test_the_engine_is_measured_in_one_table_and_as_json(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ["--part", "engine", "--events", "2000", "--repeat", "1", "--json", str(out)]
    result = CliRunner().invoke(main, ["bench", *options])
    assert result.exit_code == 0, result.output
    assert "engine, retail pack" in result.stdout
    assert json.loads(out.read_text())["measurements"][0]["samples"][0]["events"] == 2000
