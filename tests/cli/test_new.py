"""segstream new."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from stream.cli import main
from stream.config import load_settings
from stream.definitions import load, read_parameters
from stream.engine import compile_plan
from stream.packs import locate
from tests.packs.stories import told_of
from tests.test_docs import ROOT, check_command


def new(*arguments: Path | str) -> Result:
    return CliRunner().invoke(main, ["new", *map(str, arguments)])


def segstream(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A real process with the folder as its working directory."""
    command = [sys.executable, "-m", "stream", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def commands_of(readme: Path) -> list[list[str]]:
    lines = readme.read_text("utf-8").splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]


def test_a_new_project_checks_and_replays_at_once(tmp_path: Path) -> None:
    made = segstream(tmp_path, "new", "shop")
    assert made.returncode == 0, made.stderr
    assert "shop/README.md" in made.stdout
    shop = tmp_path / "shop"
    checked, replayed = commands_of(shop / "README.md")[:2]
    assert (checked[:3], replayed[:2]) == (
        ["segstream", "check", "definitions/*.yaml"],
        ["segstream", "replay"],
    )
    check = segstream(shop, "check", *(str(path) for path in sorted((shop / "definitions").iterdir())))
    assert check.returncode == 0, check.stderr
    assert "; 0 warnings" in check.stdout
    replay = segstream(shop, *replayed[1:])
    assert replay.returncode == 0, replay.stderr
    changes = [json.loads(line) for line in (shop / "changes.jsonl").read_text("utf-8").splitlines()]
    users = {change["user"]["id"] for change in changes if change["segment"]["key"] == "cart_abandoned"}
    assert "mia" in users
    assert "tom" not in users


def test_several_packs_go_together_and_their_people_stay_apart(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    packs = ("retail", "risk", "voice")
    assert new(folder, *(word for pack in packs for word in ("--pack", pack))).exit_code == 0
    assert {path.stem for path in (folder / "definitions").iterdir()} == set(packs)
    config, out = str(folder / "segstream.yaml"), tmp_path / "changes.jsonl"
    arguments = ["replay", str(folder / "events.jsonl"), "--config", config, "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    for pack in packs:
        told, found = told_of(pack, records)
        assert found == told, pack


def test_what_is_set_becomes_the_default(tmp_path: Path) -> None:
    given = "voice?promoter_from=8&review_after=7d"
    assert new(tmp_path / "shop", "--pack", given).exit_code == 0
    copied = tmp_path / "shop" / "definitions" / "voice.yaml"
    assert compile_plan(load([copied])).hash == compile_plan(load([locate(f"pack:{given}")])).hash
    parameters = {each.name: each.default for each in read_parameters(copied)}
    assert (parameters["promoter_from"], parameters["review_after"]) == ("8", "7d")


def test_nothing_is_written_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    result = new(tmp_path)
    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--pack", "retial"], None, "did you mean `retail`"),
        (["--pack", "risk", "--pack", "risk?failures=2"], 2, "named twice"),
        (["--pack", "risk?failure=2"], 1, "did you mean `failures`"),
        (["--app", "my shop"], 2, "letters, digits"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    tmp_path: Path, arguments: list[str], code: int | None, said: str
) -> None:
    result = new(tmp_path / "shop", *arguments)
    assert result.exit_code == code if code is not None else result.exit_code != 0
    assert said in result.output
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize(
    ("folder", "app", "project"),
    [("Big Shop", "Big-Shop", "big-shop"), ("v1.2", "v1.2", "v1-2"), ("...", "segstream", "segstream")],
)
def test_the_names_are_made_from_that_of_the_folder(
    tmp_path: Path, folder: str, app: str, project: str
) -> None:
    place = tmp_path / folder
    assert new(place, "--pack", "risk").exit_code == 0
    assert load_settings(place / "segstream.yaml", {}).app == app
    assert yaml.safe_load((place / "docker-compose.yml").read_text("utf-8"))["name"] == project


def test_the_containers_get_what_they_need(tmp_path: Path) -> None:
    """The services are those of the project's own compose file, with the folder in place of its configuration."""
    folder = tmp_path / "shop"
    assert new(folder).exit_code == 0
    compose: dict[str, Any] = yaml.safe_load((folder / "docker-compose.yml").read_text("utf-8"))
    ours: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    assert compose["services"]["kafka"] == ours["services"]["kafka"]
    assert compose["services"]["worker"]["healthcheck"] == ours["services"]["worker"]["healthcheck"]
    assert set(compose["volumes"]) == {"kafka", "state"}
    for name in ("topics", "worker", "sample"):
        service = compose["services"][name]
        assert ".:/etc/segstream:ro" in service["volumes"]
        words = [word.replace("/etc/segstream", str(folder)) for word in service["command"]]
        with click.Context(main) as context:
            command = main.get_command(context, words[0])
            assert command is not None
            with command.make_context(words[0], words[1:], parent=context):
                pass
        settings = load_settings(folder / "segstream.yaml", service["environment"])
        assert settings.kafka.brokers == "kafka:29092"
        assert f"{settings.state_dir}" == "/var/lib/segstream"
        assert settings.http.host == "0.0.0.0"  # inside the container
    for command_line in commands_of(folder / "README.md"):
        check_command(command_line)
