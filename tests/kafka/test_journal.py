"""The log is for people or for machines, and keeps secrets and traces of our own errors to itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from hashlib import sha256

import pytest

from stream.config import LogSettings
from stream.errors import OperatorError
from stream.runtime.kafka.journal import Repeats, name_user, set_up_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.root
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def _fail(error: Exception) -> None:
    password = "hunter2"
    try:
        raise error
    except type(error):
        logging.getLogger("stream.test").exception("it failed: %s", len(password))


def test_json_lines_without_traces_of_our_own_errors(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogSettings(format="json"))
    _fail(OperatorError("no broker"))
    _fail(KeyError("a bug"))
    logging.getLogger("aiokafka.consumer").info("chatter")
    ours, bug = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["level"], ours["logger"]) == ("it failed: 7", "error", "stream.test")
    assert not ours.get("exc_info")
    assert "exception" not in ours
    assert "KeyError" in bug["exception"]


def test_what_a_message_carries_beside_its_text_becomes_fields(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogSettings(format="json"))
    logging.getLogger("stream.test").info("started %s", "now", extra={"partitions": 4})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["partitions"]) == ("started now", 4)
    assert line["timestamp"].endswith("Z")


def test_repeats_are_held_back_and_counted() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)

    def passes(message: str, value: int = 0) -> logging.LogRecord | None:
        record = logging.LogRecord("stream.test", logging.WARNING, "", 0, message, (value,), None)
        return record if repeats.filter(record) else None

    assert sum(passes("no broker for %d s", value) is not None for value in range(50)) == 20
    assert passes("another message %d") is not None
    now = 31.0
    first, second = passes("no broker for %d s"), passes("no broker for %d s")
    assert first is not None
    assert first.__dict__["suppressed"] == 30
    assert second is not None
    assert "suppressed" not in second.__dict__
    assert sum(passes(f"message {number}") is not None for number in range(3_000)) == 3_000


def test_users_are_named_or_hashed() -> None:
    set_up_logging(LogSettings())
    assert name_user("ann") == "'ann'"
    set_up_logging(LogSettings(users="hashed"))
    assert name_user("ann") == name_user(b"ann") == f"sha256:{sha256(b'ann').hexdigest()[:16]}"
    assert name_user(None) == "None"
    set_up_logging(LogSettings())


def test_the_console_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogSettings(format="console"))
    _fail(KeyError("a bug"))
    told = capsys.readouterr().err
    assert "KeyError" in told
    assert "hunter2" not in told.replace('password = "hunter2"', "")
