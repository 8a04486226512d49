"""The command line as a whole: help, exit codes, errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.compiled import describe_engine

COMMANDS = main.list_commands(click.Context(main))


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "stream", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)


def test_each_command_is_listed_and_its_help_shows_an_example() -> None:
    overview = CliRunner().invoke(main, ["--help"]).output
    for name in COMMANDS:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert f"  {name} " in overview
        assert f"segstream {name} " in result.output.partition("Example:")[2]


def test_a_wrong_command_is_a_usage_error_with_a_near_miss() -> None:
    result = CliRunner().invoke(main, ["reply"])
    assert result.exit_code == 2
    assert "Did you mean 'replay'?" in result.output


def test_a_bug_is_told_in_full_and_is_a_failure_at_run_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("this should not happen")

    monkeypatch.setattr("stream.cli.config.read_settings", broken)
    result = CliRunner().invoke(main, ["config"])
    assert result.exit_code == 3
    assert "RuntimeError: this should not happen" in result.output


def test_errors_of_the_input_are_one_message_and_exit_code_1(tmp_path: Path) -> None:
    result = run("replay", str(tmp_path / "none.jsonl"), "--segments", "pack:retail")
    assert (result.returncode, result.stdout) == (1, b"")
    assert (
        result.stderr.decode().strip()
        == f"Error: {tmp_path}/none.jsonl: cannot be read: No such file or directory"
    )


def test_what_cannot_be_written_is_exit_code_3(tmp_path: Path) -> None:
    result = run("simulate", "--users", "1", "--out", str(tmp_path / "none" / "x"))
    assert result.returncode == 3
    assert b"Traceback" not in result.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    writing = [sys.executable, "-m", "stream", "simulate", "--users", "2000"]
    with subprocess.Popen(writing, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"id":')
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"segstream, version {version('segstream')} (engine: {describe_engine()})\n"


@pytest.mark.parametrize(
    "words",
    [
        "replay {log} --segments {definitions} --out {log}",
        "replay {log} --segments {definitions}?a=1 --out changes.jsonl --members {definitions}",
        "replay {log} --segments pack:retail --out {new} --stats {folder}/./new",
        "replay {log} --segments pack:retail --config {definitions} --dead-letters {definitions}",
        "convert {log} --mapping otto --out {log}",
        "convert {log} --mapping {definitions} --dead-letters {definitions}",
        "diff {log} --segments pack:retail --against {definitions} --json {definitions}",
        "dead-letters {log} --resubmit --out {log}",
        "produce {log} --dead-letters {log}",
    ],
)
def test_what_is_read_is_never_overwritten(words: str, tmp_path: Path) -> None:
    log, definitions = tmp_path / "log.jsonl", tmp_path / "definitions.yaml"
    log.write_text('{"type":"a","time":"2026-11-21T09:00:00Z","user_id":"u"}\n', encoding="utf-8")
    definitions.write_text("app: shop\n", encoding="utf-8")
    (tmp_path / "again.jsonl").symlink_to(log)
    names = {"definitions": definitions, "new": tmp_path / "new", "folder": tmp_path}
    for read in (log, tmp_path / "again.jsonl"):
        was = [file.read_bytes() for file in (log, definitions)]
        first, _, rest = words.partition("{log}")
        result = CliRunner().invoke(main, (first + str(read) + rest.format(log=log, **names)).split())
        assert (result.exit_code, "is named twice" in result.stderr) == (2, True), result.output
        assert [file.read_bytes() for file in (log, definitions)] == was


def test_devices_may_take_several_outputs(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"type":"a","time":"2026-11-21T09:00:00Z","user_id":"u"}\n', encoding="utf-8")
    words = ["replay", str(log), "--segments", "pack:retail", "--out", "/dev/null", "--stats", "/dev/null"]
    assert CliRunner().invoke(main, words).exit_code == 0
