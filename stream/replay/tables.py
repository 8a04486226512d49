"""Tables as logs: CSV and its relatives, a record a row.

A row knows its line, and its bytes for the case that it becomes a dead letter; a quoted cell may hold line feeds. A
row may be shorter than the header (the rest is nothing) but not longer.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stream.errors import RecordError
from stream.ingest.rows import Rows
from stream.replay.records import LogError, LogRecord


def read_table(
    lines: Iterator[bytes], path: str, rows: Rows, delimiter: str, check: Callable[[Sequence[str]], None]
) -> Iterator[LogRecord]:
    """The rows of a table; `check` is told the columns before the first one. LogError if they have no names."""
    pending: list[bytes] = []

    def decoded() -> Iterator[str]:
        for line in lines:
            pending.append(line)
            yield line.decode("utf-8", "surrogateescape")

    for _ in range(rows.skip):
        next(lines, None)
    reader: Any = rows.reader(decoded(), delimiter)
    header: list[str] = []
    if rows.columns is not None:
        header = list(rows.columns)
    else:
        try:
            header = [name.strip() for name in next(reader)]
        except (StopIteration, csv.Error):
            raise LogError(f"{path}: expected a first line with the names of the columns") from None
    check(header)
    number = reader.line_num + 1 + rows.skip
    while True:
        pending.clear()
        error = None
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as wrong:
            error = RecordError("bad_row", f"line {number}: {wrong}")
        raw = pending[0] if len(pending) == 1 else b"".join(pending)
        if not raw.isascii() and error is None:
            error = _undecodable(raw, number)
        if len(cells) > len(header):
            whose = "header" if rows.columns is None else "mapping"
            error = RecordError(
                "bad_row", f"line {number}: {len(cells)} columns, the {whose} names {len(header)}"
            )
        if cells or error:
            yield LogRecord(raw.rstrip(b"\r\n"), number, dict(zip(header, cells, strict=False)), error=error)
        number = reader.line_num + 1 + rows.skip


def recoded(file: Any, encoding: str, path: str) -> Any:
    """A file of text in another encoding as one in UTF-8; LogError where it is none."""
    return io.BufferedReader(_Recoded(file, encoding, path))


class _Recoded(io.RawIOBase):
    def __init__(self, file: Any, encoding: str, path: str) -> None:
        self._text = io.TextIOWrapper(file, encoding, newline="")
        self._encoding = encoding
        self._path = path
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            try:
                self._rest = self._text.read(1 << 16).encode()
            except (UnicodeError, LookupError) as error:
                raise LogError(f"{self._path}: cannot be read as {self._encoding}: {error}") from None
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _undecodable(raw: bytes, number: int) -> RecordError | None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return RecordError("bad_row", f"line {number}: not UTF-8: {error.reason} at byte {error.start}")
    return None
