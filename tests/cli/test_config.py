"""segstream config."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from stream.cli import main


def test_the_settings_that_hold_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "segstream.yaml"
    file.write_text("app: shop\nkafka: {client: {sasl_plain_password: hidden}}\n", encoding="utf-8")
    monkeypatch.setenv("SEGSTREAM_TIME_LATENESS", "5s")
    result = CliRunner().invoke(main, ["config", "--config", str(file)])
    assert result.exit_code == 0
    settings = yaml.safe_load(result.stdout)
    assert (settings["app"], settings["time"]["lateness"]) == ("shop", "5s")
    assert "hidden" not in result.stdout


def test_unknown_settings_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "segstream.yaml"
    file.write_text("ap: shop\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["config", "--config", str(file)])
    assert result.exit_code == 1
    assert "`app`" in result.stderr
