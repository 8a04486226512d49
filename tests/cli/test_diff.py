"""segstream diff: exit codes as diff(1) has them, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main
from tests.cli.test_cli import run
from tests.cli.test_replay import DEFINITIONS, event


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [event("a", "product_added", 0), event("b", "product_added", 10), event("c", "page_viewed", 60)]
    lines.append(event("a", "order_completed", 62))
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    (tmp_path / "old.yaml").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "new.yaml").write_text(DEFINITIONS.replace("30m", "55m"), encoding="utf-8")
    other = (
        DEFINITIONS.replace("abandoned:", "left:")
        .replace("cart: {type", "basket: {type")
        .replace("do: cart", "do: basket")
    )
    (tmp_path / "renamed.yaml").write_text(other, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def diff(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["diff", *arguments])


def test_one_log_under_two_sets_of_definitions(folder: Path) -> None:
    result = diff("log.jsonl", "--segments", "old.yaml", "--against", "new.yaml", "--json", "diff.json")
    assert result.exit_code == 1, result.output
    assert "abandoned changes." in result.output
    assert "2 entries become 1 (−50 %)" in result.output
    row = json.loads((folder / "diff.json").read_text())["rows"]["abandoned"]
    assert {name: one["episodes"] for name, one in row["differences"].items()} == {
        "only_before": 1,
        "enters_later": 1,
    }
    (lost,) = [each for each in row["examples"] if each["difference"] == "only_before"]
    assert (lost["user"], lost["before"]["at"]) == ("b", "2026-11-21T12:40:00.000Z")
    leaf = lost["explanation"]["when"]
    assert (leaf["verdict"], leaf["value"], leaf["bound"]) == (False, "30m", "55m")


def test_nothing_differs(folder: Path) -> None:
    result = diff("log.jsonl", "--segments", "old.yaml", "--against", "old.yaml")
    assert result.exit_code == 0, result.output
    assert "Nothing changes" in result.output


def test_a_renamed_segment_is_lost_and_gained(folder: Path) -> None:
    result = diff(
        "log.jsonl", "--segments", "old.yaml", "--against", "renamed.yaml", "--report", "report.html"
    )
    assert result.exit_code == 1
    assert "left and abandoned change." in result.output
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "left</a></strong>: new, 2 entries." in page
    assert "abandoned</a></strong>: not defined any more, 2 entries less." in page


def test_what_entries_carry_is_told(folder: Path) -> None:
    capped = DEFINITIONS.rstrip()[:-1] + ", actions: {cap: {n: 1, per: 1d}}, ttl: 1d}\n"
    (folder / "new.yaml").write_text(capped, encoding="utf-8")
    result = diff("log.jsonl", "--segments", "old.yaml", "--against", "new.yaml", "--report", "report.html")
    assert result.exit_code == 1
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "as many entries as before (2); many carry another expires_at." in page


def test_two_outputs(folder: Path) -> None:
    for name in ("old", "new"):
        arguments = ["replay", "log.jsonl", "--segments", f"{name}.yaml", "--out", f"{name}.jsonl"]
        assert CliRunner().invoke(main, arguments).exit_code == 0
    result = diff("old.jsonl", "new.jsonl", "--json", "-")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["rows"]["abandoned"]["before"]["entries"] == 2
    assert diff("old.jsonl", "old.jsonl").exit_code == 0


def test_standard_input_and_several_processes(folder: Path) -> None:
    log = (folder / "log.jsonl").read_bytes()
    options = ("--segments", "old.yaml", "--against", "new.yaml", "--workers", "2")
    result = run("diff", "-", *options, stdin=log)
    assert result.returncode == 1, result.stderr
    assert b"2 entries become 1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["log.jsonl"], 2, "name two outputs"),
        (["log.jsonl", "--against", "new.yaml"], 2, "--segments"),
        (["log.jsonl", "log.jsonl"], 2, "log.jsonl:1: expected a segment change"),
        (["log.jsonl", "--segments", "none.yaml", "--against", "new.yaml"], 2, "none.yaml:1:1"),
        (["none.jsonl", "--segments", "old.yaml", "--against", "new.yaml"], 2, "none.jsonl"),
    ],
)
def test_trouble_is_2_so_that_1_means_that_something_differs(
    folder: Path, arguments: list[str], code: int, told: str
) -> None:
    result = diff(*arguments)
    assert result.exit_code == code, result.output
    assert told in result.stderr
