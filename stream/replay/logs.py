"""Recorded logs: JSON (lines, or one list of records), what `segstream record` wrote, CSV, Parquet; .gz, .zst; `-` is
standard input.

What a file is shows in its name, else in its first bytes; compression always in the first bytes. A record that cannot
even be cut out of its file carries its error along and becomes a dead letter like any other.
"""

from __future__ import annotations

import base64
import binascii
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

from stream.errors import RecordError
from stream.ingest import Mapping
from stream.ingest.rows import PLAIN
from stream.replay.documents import lines_of
from stream.replay.records import LogError, LogRecord
from stream.replay.tables import read_table, recoded

__all__ = ["STDIN", "Lines", "Log", "LogError", "LogRecord"]

STDIN = "-"
MAX_PARTITIONS = 10_000
_AT_ONCE = 1_000
_GZIP, _ZSTD, _PARQUET, _BOM = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


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

    `mapping` says how its tables are cut, and is told their columns. `size` and `position` are bytes of the file as it
    is stored, for progress; None where nobody knows.
    """

    def __init__(self, path: str, mapping: Mapping | None = None) -> None:
        self.path = path
        self._mapping = mapping
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
        rows = PLAIN if self._mapping is None or self._mapping.rows is None else self._mapping.rows
        if rows.encoding is not None:
            self._buffered = recoded(self._buffered, rows.encoding, self.path)
            start = self._buffered.peek(4)[:4]
        elif start[:2] in _UTF_16:
            raise LogError(
                f"{self.path}: is UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8), or give its mapping "
                "`rows: {encoding: utf-16}`"
            )
        if start.startswith(_BOM):
            self._buffered.read(len(_BOM))
        if kind is None and (rows.columns is not None or rows.delimiter is not None) and start[:1] != b"{":
            kind = "csv"
        if kind is None:
            kind = "jsonl" if start.removeprefix(_BOM).lstrip()[:1] in (b"{", b"[", b"") else "csv"
        if kind == "jsonl":
            takes_lists = self._mapping is not None and self._mapping.whole
            return _read_lines(lines_of(self._buffered, self.path, takes_lists=takes_lists), size)
        check = (lambda header: None) if self._mapping is None else self._mapping.check_columns
        delimiter = rows.delimiter or ("\t" if kind == "tsv" else ",")
        return _batched(read_table(self._buffered, self.path, rows, delimiter, check), size)


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
