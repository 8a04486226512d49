"""What a log is read into."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream.errors import OperatorError, RecordError
from stream.ingest import DeadLetter


class LogError(OperatorError):
    """A log that cannot be opened or understood as a whole."""

    exit_code = 1


class LogRecord(NamedTuple):
    """One record of a log, as ingest wants it."""

    raw: bytes | None
    """The record's bytes; a line of the file, or the value that was recorded from a topic."""
    line: int
    """Line in the file, from 1 (row, in Parquet)."""
    row: dict[str, Any] | None = None
    """The columns, where the file has columns: then they are read instead of `raw`."""
    key: bytes | None = None
    record_time: int | None = None
    partition: int | None = None
    """Where the record lay in its topic, if it was recorded from one."""
    error: RecordError | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    def dead_letter(self, error: RecordError, path: str) -> DeadLetter:
        """What it becomes if it cannot be read: of a row the columns are told, for the header stands elsewhere."""
        place: dict[str, Any] = {"file": path, "line": self.line}
        if self.row is not None:
            place["columns"] = list(self.row)
        return DeadLetter.of(error, self.raw or b"", self.key, self.headers, **place)
