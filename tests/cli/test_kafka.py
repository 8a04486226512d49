"""The commands that talk to Kafka, as far as they go without one; with a broker they are tested in tests/kafka."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.config import Settings
from stream.ingest import DeadLetter
from stream.runtime.kafka import logs as kafka_logs
from stream.runtime.kafka import produce as kafka_produce
from stream.runtime.kafka import topics as kafka_topics
from stream.runtime.kafka.topics import Finding, TopicPlan
from tests.cli.test_cli import run


def test_a_worker_without_definitions_says_so(tmp_path: Path) -> None:
    settings = tmp_path / "segstream.yaml"
    settings.write_text("app: shop\n", encoding="utf-8")
    result = run("run", "--config", str(settings))
    assert result.returncode == 1
    assert b"no definitions are configured" in result.stderr


def test_topics_tells_each_and_ends_with_1_on_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    findings: list[Finding] = []
    made: list[TopicPlan] = []

    def check(settings: Settings) -> list[Finding]:
        return findings

    def create(settings: Settings) -> list[TopicPlan]:
        made.extend(kafka_topics.plan_topics(settings)[:1])
        return made

    monkeypatch.setattr(kafka_topics, "check_topics", check)
    monkeypatch.setattr(kafka_topics, "create_topics", create)

    def topics(*options: str) -> Any:
        return CliRunner().invoke(main, ["topics", *options])

    assert topics().exit_code == 0
    findings.append(Finding("events", "warning", "few partitions"))
    assert topics().exit_code == 0
    findings.append(Finding("events", "error", "does not exist"))
    result = topics("--create")
    assert result.exit_code == 1
    assert "created events" in result.stderr
    assert "warning: few partitions" in result.stdout
    assert "error: does not exist" in result.stdout
    assert result.stdout.count("as planned") == 4


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "segstream.yaml"
    file.write_text("app: shop\ntopics: {events: clicks}\n", encoding="utf-8")
    return file


def test_record_hands_over_what_was_asked(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def handle(settings: Settings, *what: Any, **options: Any) -> int:
        options.pop("progress")(1, 1_200)
        asked.append((settings.app, *what, options))
        return 1_200

    monkeypatch.setattr(kafka_logs, "record", handle)
    arguments = ["--config", str(settings), "--out", "log.jsonl", "--from", "2026-11-21T12:00:00Z"]
    result = CliRunner().invoke(main, ["record", *arguments])
    assert result.exit_code == 0, result.output
    assert asked == [("shop", "clicks", Path("log.jsonl"), {"start": 1_795_262_400_000, "stop": None})]
    assert "1,200 records of clicks in log.jsonl" in result.stderr
    assert result.stdout == ""


def test_produce_hands_over_what_was_asked_and_tells_what_was_left_out(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def handle(settings: Settings, *what: Any, **options: Any) -> kafka_produce.Produced:
        options.pop("progress")(1, 10)
        options.pop("on_warning")("too old")
        options.pop("on_dead_letter")(DeadLetter("bad_row", "$.x: no", b"row"))
        asked.append((settings.app, *what, options))
        return kafka_produce.Produced(1_200, Counter(bad_row=2))

    monkeypatch.setattr(kafka_produce, "produce", handle)
    letters = tmp_path / "dead.jsonl"
    arguments = ["log.jsonl", "--config", str(settings), "--topic", "t", "--rate", "50"]
    arguments += ["--close", "2026-11-21T12:00:00Z", "--dead-letters", str(letters)]
    result = CliRunner().invoke(main, ["produce", *arguments])
    assert result.exit_code == 0, result.output
    options = {"mapping": None, "rate": 50.0, "speed": None, "close": 1_795_262_400_000}
    assert asked == [("shop", "log.jsonl", "t", options)]
    assert "warning: too old" in result.stderr
    assert "1,200 records of log.jsonl in t; 2 records left out (2 bad_row)" in result.stderr
    assert '"message":"$.x: no"' in letters.read_text()
    assert result.stdout == ""
