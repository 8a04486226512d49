"""segstream check."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from stream.cli import main

GOOD = """
version: 1
events:
  view: {type: product_viewed}
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  spend: {sum: buy.value, last: 30d}
segments:
  big: {description: Spends, when: "spend > 100"}
  abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}}
"""
BAD = """
version: 1
events:
  buy: {type: order_completed}
features:
  spend: {sum: buy.value, last: 30x}
segments:
  big: {when: "spent > 100"}
"""


def check(*files: Path | str) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, files)])


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_good_definitions_are_summarised(tmp_path: Path) -> None:
    result = check(write(tmp_path / "good.yaml", GOOD))
    assert result.exit_code == 0
    assert "2 segments, 0 ladders, 1 feature, 3 events; 1 warning" in result.output
    assert "warning: " in result.output, "nothing uses `view`"
    for told in ("Spends", "sum buy.value", "last 30d"):
        assert told in result.output


def test_each_segment_says_what_it_needs_and_what_touches_it(tmp_path: Path) -> None:
    text = GOOD.replace(
        "segments:", "segments:\n  vip: {when: \"spend > 500 and segment.big and traits.city == 'Seoul'\"}"
    )
    told = " ".join(check(write(tmp_path / "good.yaml", text)).output.split())
    assert "big Spends needs spend shares" in told
    assert "bytes with vip costs" in told
    assert "needs no buy for 30m since cart costs" in told
    assert "needs spend, segment.big, traits.city shares" in told
    assert "touched by order_completed, product_added" in told
    assert "touched by order_completed, traits" in told


def test_machines_are_told_the_same(tmp_path: Path) -> None:
    report = json.loads(check(write(tmp_path / "good.yaml", GOOD), "--json").output)
    assert [problem["severity"] for problem in report["problems"]] == ["warning"]
    big, abandoned = report["segments"]
    assert (big["needs"], big["features"], big["event_types"]) == (["spend"], ["spend"], ["order_completed"])
    assert abandoned["event_types"] == ["order_completed", "product_added"]
    assert 0 < big["bytes"]["typical"] < big["bytes"]["most"]
    assert report["user"]["bytes"]["most"] > big["bytes"]["most"] + abandoned["bytes"]["most"]

    result = check(write(tmp_path / "bad.yaml", BAD), "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert [(one["line"], one["column"]) for one in report["problems"]] == [(6, 33), (8, 16)]
    assert "segments" not in report


def test_text_of_authors_is_no_markup(tmp_path: Path) -> None:
    result = check(write(tmp_path / "good.yaml", GOOD.replace("Spends", "'Spends [red]much[/blue]'")))
    assert "Spends [red]much[/blue]" in result.output


def test_every_problem_of_every_file_is_told_with_its_place(tmp_path: Path) -> None:
    mapping = "event:\n  type: kind\n  time: {path: at, as: mss}\n  user_id: who\n"
    files = [write(tmp_path / "bad.yaml", BAD), write(tmp_path / "map.yaml", mapping), tmp_path / "none.yaml"]
    result = check(*files)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in lines] == [
        "bad.yaml:6:33",
        "bad.yaml:8:16",
        "map.yaml:3:24",
        "none.yaml:1:1",
    ]


def test_packs_and_mappings_can_be_checked(tmp_path: Path) -> None:
    mapping = "name: mine\nevent: {type: kind, time: at, user_id: who}\n"
    result = check("pack:retail", write(tmp_path / "map.yaml", mapping))
    assert result.exit_code == 0
    assert "mapping mine" in result.output
    assert "cart_abandoned" in result.output
    assert check("pack:none").exit_code != 0
