"""Failures are counted over restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.errors import KafkaTimeoutError

from stream.errors import ConfigError, OperatorError
from stream.metrics import FAILURES
from stream.runtime.kafka.changelog import ChangelogError
from stream.runtime.kafka.failures import FILE, kind_of, note_failure, read_failures
from stream.runtime.kafka.publish import PublishError
from stream.state import StoreDamagedError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ChangelogError("x"), "changelog"),
        (PublishError("x"), "publish"),
        (StoreDamagedError("x"), "state"),
        (OperatorError("x"), "operator"),
        (ConfigError("x"), "operator"),
        (KafkaTimeoutError("x"), "kafka"),
        (KeyError("x"), "bug"),
    ],
)
def test_every_error_is_of_a_kind(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind
    assert kind in FAILURES


def test_counts_survive_and_other_files_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert read_failures(folder) == {}
    note_failure(folder, "bug")
    note_failure(folder, "bug")
    note_failure(folder, "changelog")
    assert read_failures(folder) == {"bug": 2, "changelog": 1}
    for damaged in ("", "[1]", '{"bug": "many"}', '{"bug": null}'):
        (folder / FILE).write_text(damaged)
        assert read_failures(folder) == {}
    (folder / FILE).write_text('{"user-17": 4}')
    assert read_failures(folder) == {}


def test_a_disk_that_is_full_changes_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    note_failure(tmp_path / "file", "bug")
    assert "could not be noted" in caplog.text
