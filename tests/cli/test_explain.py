"""segstream explain, on state that segstream replay left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main
from stream.cli.profiles import NothingToExplainError, find_at_worker

DEFINITIONS = """
version: 1
events:
  view: {type: product_viewed}
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  views: {count: view, by: product_id, last: 2h}
  spend: {sum: buy.value, last: 30d}
segments:
  cart_abandoned:
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    exit: {do: buy}
    ttl: 24h
  seoul: {when: "traits.city == 'Seoul' and spend > 10"}
  looked: {for_each: product_id, when: "views >= 2"}
ladders:
  loyalty:
    tiers:
      - {name: gold, when: "spend >= 100"}
"""
LOG = [
    {"id": "e1", "type": "product_added", "time": "2026-11-21T09:00:00Z", "user_id": "ann"},
    {"id": "e2", "type": "order_completed", "time": "2026-11-21T09:10:00Z", "user_id": "bob", "value": 120},
    {"id": "e3", "type": "product_viewed", "time": "2026-11-21T09:50:00Z", "user_id": "bob", "product_id": "p1"},
    {"id": "e4", "type": "product_viewed", "time": "2026-11-21T10:00:00Z", "user_id": "bob", "product_id": "p1"},
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG), encoding="utf-8")
    replay = ["replay", str(tmp_path / "log.jsonl"), "--segments", str(tmp_path / "shop.yaml")]
    more = ["--state", str(tmp_path / "state"), "--partitions", "3", "--out", str(tmp_path / "changes.jsonl")]
    assert CliRunner().invoke(main, [*replay, *more]).exit_code == 0
    return tmp_path


def explain(place: Path, *arguments: str, segments: str = "shop.yaml", state: str = "state") -> Result:
    common = ["--state", str(place / state), "--segments", str(place / segments)]
    return CliRunner().invoke(main, ["explain", *arguments, *common])


def test_the_tree_of_a_member(place: Path) -> None:
    result = explain(place, "ann", "cart_abandoned")
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "ann at 2026-11-21T09:30:00.000Z",
        "",
        "cart_abandoned  member",
        "├── since 2026-11-21T09:30:00.000Z",
        "├── expires 2026-11-22T09:30:00.000Z",
        "├── when: ✔ no buy for 30m since cart   30m >= 30m   (e1 2026-11-21T09:00:00.000Z)",
        "├── exit: ✘ buy",
        "└── if nobody acts: exited 2026-11-22T09:30:00.000Z: ttl 1d",
    ]


def test_all_segments_of_a_user(place: Path) -> None:
    lines = explain(place, "bob").output.splitlines()
    assert "cart_abandoned  not a member" in lines
    assert "looked [p1]  member" in lines
    assert "loyalty  tier gold" in lines
    told = "\n".join(lines)
    assert "traits.city == 'Seoul'   unknown == \"Seoul\"   unknown: traits.city was never told" in told
    assert "├── gold: ✔ spend >= 100   120.0 >= 100" in told
    assert "if nobody acts: exited 2026-12-21T09:10:00.000Z: spend >= 100" in told


def test_a_later_instant_and_one_key(place: Path) -> None:
    result = explain(place, "bob", "looked", "--instance", "p1", "--at", "2026-11-21T11:55:00Z")
    assert "looked [p1]  not a member" in result.output
    assert "if nobody acts, nothing changes" in result.output


def test_machines_are_told_the_same(place: Path) -> None:
    report = json.loads(explain(place, "ann", "cart_abandoned", "--json").output)
    assert (report["user"], report["at"]) == ("ann", "2026-11-21T09:30:00.000Z")
    (one,) = report["segments"]
    assert (one["member"], one["since"], one["next_at"]) == (
        True,
        "2026-11-21T09:30:00.000Z",
        "2026-11-22T09:30:00.000Z",
    )
    assert one["when"]["verdict"] is True
    assert one["then"]["type"] == "exited"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eve",), "nobody called eve is in"),
        (("ann", "cart_abandonned"), "did you mean `cart_abandoned`?"),
        (("ann", "seoul", "--at", "2026-11-01T00:00:00Z"), "what was before is no longer known"),
    ],
)
def test_what_is_not_there_is_an_error_of_the_input(
    place: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = explain(place, *arguments)
    assert result.exit_code == 1
    assert message in result.output


def test_other_definitions_cannot_explain_the_state(place: Path) -> None:
    (place / "other.yaml").write_text(DEFINITIONS.replace("30m", "31m"), encoding="utf-8")
    result = explain(place, "ann", segments="other.yaml")
    assert result.exit_code == 1
    assert "was written under other definitions" in result.output
    assert explain(place, "ann", segments="none.yaml").exit_code == 1


def test_a_folder_without_state_is_told_apart(place: Path) -> None:
    result = explain(place, "ann", state=".")
    assert result.exit_code == 1 or "holds no state" in result.output
    (place / "empty").mkdir()
    result = explain(place, "ann", state="empty")
    assert (result.exit_code, "holds no state" in result.output) == (1, True)


def test_definitions_have_to_be_named(place: Path) -> None:
    assert CliRunner().invoke(main, ["explain", "ann", "--state", str(place / "state")]).exit_code == 2


def test_it_runs_as_a_process(place: Path) -> None:
    command = [sys.executable, "-m", "stream", "explain", "ann", "cart_abandoned"]
    command += ["--state", str(place / "state"), "--segments", str(place / "shop.yaml")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"if nobody acts: exited 2026-11-22T09:30:00.000Z" in done.stdout


@pytest.mark.parametrize("where", [[], ["--state", "here", "--url", "http://localhost:1"]])
def test_it_is_told_where_to_look_once(where: list[str]) -> None:
    result = CliRunner().invoke(main, ["explain", "ann", "--segments", "pack:retail", *where])
    assert result.exit_code == 2
    assert "--state DIR or --url WORKER, one of them" in result.stderr


def test_a_worker_that_is_not_there_is_a_failure_and_a_strange_address_a_mistake() -> None:
    command = ["explain", "ann", "--segments", "pack:retail", "--url"]
    result = subprocess.run(
        [sys.executable, "-m", "stream", *command, "http://127.0.0.1:1"], capture_output=True, check=False
    )
    assert result.returncode == 3
    assert b"http://127.0.0.1:1 cannot be asked" in result.stderr
    with pytest.raises(NothingToExplainError, match="expected an address like"):
        find_at_worker("file:///etc", "ann")
