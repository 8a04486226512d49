"""segstream packs."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from stream.cli import main
from stream.definitions import load, read_parameters
from stream.engine import compile_plan
from stream.packs import locate, pack_names, pack_path, summary


def packs(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["packs", *arguments])


def test_packs_are_listed_with_what_they_are_for() -> None:
    result = packs("list")
    assert (result.exit_code, result.stdout) == (0, packs().stdout)
    for name in pack_names():
        assert f" {name} " in result.stdout
        assert len(summary(name)) > 20


def test_a_pack_is_shown_with_its_segments_events_and_parameters() -> None:
    result = packs("show", "retail?cart_wait=50m")
    assert result.exit_code == 0
    for shown in ("cart_abandoned", "gold > silver > bronze", "order_completed", "cart_wait", "50m", "EUR"):
        assert shown in result.stdout
    assert "use them as pack:retail?cart_wait=50m" in result.stdout


def test_a_copy_means_the_same_and_keeps_the_comments(tmp_path: Path) -> None:
    copied = tmp_path / "my.yaml"
    assert packs("copy", "retail", str(copied)).exit_code == 0
    assert copied.read_text("utf-8") == pack_path("retail").read_text("utf-8")


def test_what_is_set_becomes_the_default_of_the_copy(tmp_path: Path) -> None:
    copied = tmp_path / "my.yaml"
    name = "retail?cart_wait=45m&gold=1500&purchase=paid|sold&currency=NOK&pair_bought=ski"
    assert packs("copy", name, str(copied)).exit_code == 0
    meant = load([locate(f"pack:{name}")])
    assert compile_plan(load([copied])).hash == compile_plan(meant).hash
    parameters = {each.name: each for each in read_parameters(copied)}
    assert (parameters["gold"].default, parameters["purchase"].default) == ("1500", ("paid", "sold"))
    assert copied.read_text("utf-8").count("#") == pack_path("retail").read_text("utf-8").count("#")


def test_a_copy_and_its_scenario_play_together(tmp_path: Path) -> None:
    copied, log, out = (str(tmp_path / name) for name in ("my.yaml", "my.jsonl", "changes.jsonl"))
    assert packs("copy", "retail", copied, "--scenario", log).exit_code == 0
    result = CliRunner().invoke(main, ["replay", log, "--segments", copied, "--out", out])
    assert result.exit_code == 0
    assert b'"cart_abandoned"' in Path(out).read_bytes()


def test_nothing_is_overwritten_without_being_told_so(tmp_path: Path) -> None:
    copied = tmp_path / "my.yaml"
    copied.write_text("mine", "utf-8")
    result = packs("copy", "retail", str(copied))
    assert (result.exit_code, copied.read_text("utf-8")) == (2, "mine")
    assert "--force overwrites it" in result.output
    assert packs("copy", "retail", str(copied), "--force").exit_code == 0
    assert copied.read_text("utf-8") != "mine"


def test_a_copy_can_go_to_standard_output() -> None:
    result = packs("copy", "retail", "-")
    assert (result.exit_code, result.stdout) == (0, pack_path("retail").read_text("utf-8"))


def test_unknown_packs_and_parameters_are_errors_with_a_near_miss(tmp_path: Path) -> None:
    result = packs("show", "retial")
    assert result.exit_code == 1
    assert "did you mean `retail`?" in result.output
    copied = tmp_path / "my.yaml"
    result = packs("copy", "retail?cart_wiat=1h", str(copied))
    assert result.exit_code == 1
    assert "did you mean `cart_wait`?" in result.output
    assert not copied.exists()
