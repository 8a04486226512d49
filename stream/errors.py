"""What can go wrong, and whose move it is.

    SegstreamError
    ├── DefinitionError     the author of definitions: all problems of all files, with file:line:column
    ├── RecordError         the producer of an event: the record becomes a dead letter, the stream goes on
    └── OperatorError       whoever runs this: the environment, the broker, the state directory
        └── ConfigError     a setting is wrong

`exit_code` is what the command line ends with (1: the input is wrong, 3: a failure at run time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SegstreamError(Exception):
    """Base of everything this project raises on purpose."""

    exit_code = 3


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a definitions file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    severity: str = "error"

    def __str__(self) -> str:
        prefix = "" if self.severity == "error" else f"{self.severity}: "
        return f"{self.file}:{self.line}:{self.column}: {prefix}{self.message}"


class DefinitionError(SegstreamError):
    """Definitions that do not hold; `problems` lists every error of every file."""

    exit_code = 1

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RecordError(SegstreamError):
    """A record that cannot be read. `reason` is a stable code, `message` says where, what was expected and the fix."""

    exit_code = 1

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class OperatorError(SegstreamError):
    """The environment does not allow to go on; the message names the fix."""


class ConfigError(OperatorError):
    """A setting is unknown, of the wrong type or out of range."""

    exit_code = 1
