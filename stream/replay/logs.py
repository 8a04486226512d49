"""Recorded logs: JSON lines, what `segstream record` wrote, CSV, Parquet; .gz, .zst; `-` is standard input.

What a file is shows in its name, else in its first bytes; compression always in the first bytes. A record that cannot
even be cut out of its file carries its error along and becomes a dead letter like any other.
"""

from __future__ import annotations

import base64
import binascii
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import zstandard

from stream.errors import OperatorError, RecordError

STDIN = "-"
MAX_PARTITIONS = 10_000
_AT_ONCE = 1_000
_GZIP, _ZSTD, _PARQUET, _BOM = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"\xef\xbb\xbf"
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


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


class Lines(NamedTuple):
    """Consecutive lines of a file of plain events, blank ones included: the common case, without an object for each."""

    first: int
    """The number of the first one."""
    values: list[bytes]

    def records(self) -> Iterator[LogRecord]:
        """The same as records."""
        for number, raw in enumerate(self.values, self.first):
            if raw and not raw.isspace():
                yield LogRecord(raw, number)


class _Recorded(msgspec.Struct, gc=False):
    """A line that `segstream record` wrote."""

    partition: Annotated[int, msgspec.Meta(ge=0, lt=MAX_PARTITIONS)]
    offset: int
    timestamp: int | None = None
    value: str | None = None
    value_base64: str | None = None
    key: str | None = None
    key_base64: str | None = None
    headers: list[list[str | None]] = []  # msgspec makes a new list for each


_decode_recorded = msgspec.json.Decoder(_Recorded).decode


class Log:
    """One log to be read from its beginning. LogError if it cannot be opened.

    `size` and `position` are bytes of the file as it is stored, for progress; None where nobody knows.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size: int | None = None
        try:
            if path == STDIN:
                self._stored: Any = sys.stdin.buffer
            else:
                self._stored = Path(path).open("rb")  # noqa: SIM115  # closed where its records end
                self.size = Path(path).stat().st_size
        except OSError as error:
            raise LogError(f"{path}: cannot be read: {error.strerror}") from None
        self._buffered: Any = self._stored

    @property
    def position(self) -> int | None:
        """Bytes read so far."""
        if self.size is None:
            return None
        return self.size if self._stored.closed else int(self._stored.tell())

    def read(self, size: int) -> bytes:
        """The next bytes as they are stored, at most `size`: for copying."""
        return bytes(self._stored.read(size))

    def records(self) -> Iterator[LogRecord]:
        """The records in order. LogError if the file ends in the middle of its compression or has no header."""
        for batch in self.batches(_AT_ONCE):
            yield from batch.records() if isinstance(batch, Lines) else batch

    def batches(self, size: int) -> Iterator[Lines | list[LogRecord]]:
        """The records in order, at most `size` at once. Raises as `records` does."""
        try:
            yield from self._batches(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise LogError(f"{self.path}: damaged: {error}") from None
        finally:
            if self.path != STDIN:
                self._stored.close()

    def _batches(self, size: int) -> Iterator[Lines | list[LogRecord]]:
        head = self._stored.peek(4)[:4]
        if head[:2] == _GZIP:
            self._buffered = io.BufferedReader(gzip.GzipFile(fileobj=self._stored))
        elif head == _ZSTD:
            unpacked = zstandard.ZstdDecompressor().stream_reader(self._stored, read_across_frames=True)
            self._buffered = io.BufferedReader(unpacked)
        start = self._buffered.peek(4)[:4]
        kind = _SUFFIXES.get(Path(self.path.removesuffix(".gz").removesuffix(".zst")).suffix.lower())
        if kind == "parquet" or start == _PARQUET:
            return _batched(_read_parquet(self.path), size)
        if start.startswith(_BOM):
            self._buffered.read(len(_BOM))
        if kind is None:
            kind = "jsonl" if start.removeprefix(_BOM).lstrip()[:1] in (b"{", b"[", b"") else "csv"
        if kind == "jsonl":
            return _read_lines(self._buffered, size)
        rows = _read_table(self._buffered, self.path, "\t" if kind == "tsv" else ",")
        return _batched(rows, size)


def _batched(records: Iterator[LogRecord], size: int) -> Iterator[list[LogRecord]]:
    while batch := list(islice(records, size)):
        yield batch


def _read_lines(file: Iterator[bytes], size: int) -> Iterator[Lines | list[LogRecord]]:
    recorded: bool | None = None
    number = 1
    while lines := [line.rstrip(b"\r\n") for line in islice(file, size)]:
        if recorded is None:
            first = next((line for line in lines if line and not line.isspace()), None)
            recorded = None if first is None else _is_recorded(first)
        batch = Lines(number, lines)
        yield [_unwrap(*each[:2]) for each in batch.records()] if recorded else batch
        number += len(lines)


def _unwrap(raw: bytes | None, number: int) -> LogRecord:
    """A line of a recorded log as the record that it holds."""
    try:
        entry = _decode_recorded(raw or b"")
        value = _bytes(entry.value, entry.value_base64)
        key = _bytes(entry.key, entry.key_base64)
        headers = tuple(_header(*header) for header in entry.headers)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, TypeError) as error:
        return LogRecord(raw, number, error=RecordError("bad_json", f"$: not a recorded line: {error}"))
    return LogRecord(value, number, None, key, entry.timestamp, entry.partition, None, headers)


def _header(name: str | None, text: str | None, packed: str | None = None) -> tuple[str, bytes | None]:
    return name or "", _bytes(text, packed)


def _is_recorded(line: bytes) -> bool:
    """Whether a log's first line comes from `segstream record`: coordinates around a value."""
    try:
        entry = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(entry, dict) and {"partition", "offset"} <= entry.keys() and "type" not in entry


def _bytes(text: str | None, packed: str | None) -> bytes | None:
    if packed is not None:
        return base64.b64decode(packed, validate=True)
    return None if text is None else text.encode()


def _read_table(lines: Iterator[bytes], path: str, delimiter: str) -> Iterator[LogRecord]:
    pending: list[bytes] = []

    def decoded() -> Iterator[str]:
        for line in lines:
            pending.append(line)
            yield line.decode("utf-8", "surrogateescape")

    rows = csv.reader(decoded(), delimiter=delimiter)
    try:
        header = next(rows)
    except (StopIteration, csv.Error):
        raise LogError(f"{path}: expected a first line with the names of the columns") from None
    number = rows.line_num + 1
    while True:
        pending.clear()
        error = None
        cells: list[str] = []
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as wrong:
            error = RecordError("bad_row", f"line {number}: {wrong}")
        raw = pending[0] if len(pending) == 1 else b"".join(pending)
        if not raw.isascii() and error is None:
            error = _undecodable(raw, number)
        if len(cells) > len(header):
            error = RecordError(
                "bad_row", f"line {number}: {len(cells)} columns, the header names {len(header)}"
            )
        if cells or error:
            yield LogRecord(raw.rstrip(b"\r\n"), number, dict(zip(header, cells, strict=False)), error=error)
        number = rows.line_num + 1


def _undecodable(raw: bytes, number: int) -> RecordError | None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return RecordError("bad_row", f"line {number}: not UTF-8: {error.reason} at byte {error.start}")
    return None


def _read_parquet(path: str) -> Iterator[LogRecord]:
    try:
        from pyarrow import ArrowException, parquet  # an extra
    except ImportError:
        raise LogError(f"{path}: Parquet needs pyarrow: pip install 'segstream[parquet]'") from None
    try:
        file = parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise LogError(f"{path}: cannot be read as a Parquet file: {error}") from None
    number = 0
    for batch in file.iter_batches():
        for row in batch.to_pylist():
            number += 1
            plain = {name: _plain(value) for name, value in row.items()}
            yield LogRecord(msgspec.json.encode(plain, enc_hook=str), number, plain)


def _plain(value: Any) -> Any:
    """A Parquet value as JSON has it."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value
