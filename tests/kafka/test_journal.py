"""The log is for people or for machines, and keeps secrets and traces of our own errors to itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from stream.config import LogSettings
from stream.errors import OperatorError
from stream.runtime.kafka.journal import set_up_logging


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


def test_the_console_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogSettings(format="console"))
    _fail(KeyError("a bug"))
    told = capsys.readouterr().err
    assert "KeyError" in told
    assert "hunter2" not in told.replace('password = "hunter2"', "")
