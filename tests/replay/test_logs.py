"""Logs as they come: lines, recorded lines, tables, Parquet; packed or not; damaged or not."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pytest
import zstandard

from stream.replay.logs import Log, LogError, LogRecord


def read(path: Path) -> list[LogRecord]:
    return list(Log(str(path)).records())


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name", ["log.jsonl", "log.ndjson", "log", "log.jsonl.gz", "log.jsonl.zst", "packed"]
)
def test_lines_are_records_packed_or_not(tmp_path: Path, name: str) -> None:
    data = b'{"a":1}\n\n  \n{"a":2}\r\n{"a":3}'
    if name.endswith((".gz", "packed")):
        data = gzip.compress(data)
    elif name.endswith(".zst"):
        compressor = zstandard.ZstdCompressor()
        data = compressor.compress(data[:10]) + compressor.compress(data[10:])
    records = read(write(tmp_path / name, data))
    assert [(record.raw, record.line) for record in records] == [
        (b'{"a":1}', 1),
        (b'{"a":2}', 4),
        (b'{"a":3}', 5),
    ]


def test_what_record_wrote_is_read_with_its_coordinates(tmp_path: Path) -> None:
    lines = [
        {"key": "u1", "value": '{"a":1}', "timestamp": 5, "partition": 2, "offset": 9, "headers": []},
        {"key": None, "value": None, "timestamp": 6, "partition": 0, "offset": 1, "headers": []},
        {"key_base64": "/w==", "value_base64": "/w==", "timestamp": 7, "partition": 0, "offset": 2},
        {"key": "u1", "value": "x", "timestamp": 5, "partition": -1, "offset": 9},
    ]
    first, empty, binary, wrong = read(
        write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines)).encode())
    )
    assert first == LogRecord(b'{"a":1}', 1, None, b"u1", 5, 2)
    assert (empty.raw, empty.key) == (None, None)
    assert (binary.raw, binary.key) == (b"\xff", b"\xff")
    assert wrong.error is not None
    assert wrong.error.reason == "bad_json"


def test_a_table_gives_rows_by_column(tmp_path: Path) -> None:
    data = '\ufeffname,city\r\nAnn,"Bad\nHof"\r\nBo\r\n\r\n"Çé",Ulm\r\n'.encode()
    records = read(write(tmp_path / "t.csv", data))
    assert [record.row for record in records] == [
        {"name": "Ann", "city": "Bad\nHof"},
        {"name": "Bo"},
        {"name": "Çé", "city": "Ulm"},
    ]
    assert [record.line for record in records] == [2, 4, 6]
    assert records[0].raw == b'Ann,"Bad\nHof"'


def test_bad_rows_carry_their_error_and_the_rest_is_read(tmp_path: Path) -> None:
    data = b"a,b\n1,2,3\n\xff,2\n" + b'"' + b"x" * 200_000 + b'",1\n4,5\n'
    errors = [record.error and record.error.message for record in read(write(tmp_path / "t.csv", data))]
    assert [error is not None for error in errors] == [True, True, True, False]
    assert errors[0] == "line 2: 3 columns, the header names 2"
    assert "not UTF-8" in str(errors[1])
    assert "field larger" in str(errors[2])


def test_tabs_and_unnamed_tables(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.tsv", b"a\tb\n1\t2\n"))[0].row == {"a": "1", "b": "2"}
    assert read(write(tmp_path / "unnamed", b"a,b\n1,2\n"))[0].row == {"a": "1", "b": "2"}
    assert read(write(tmp_path / "empty", b"")) == []


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BufferedReader(io.BytesIO(gzip.compress(b'{"a":1}\n')))  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "stdin", Piped)
    log = Log("-")
    assert [record.raw for record in log.records()] == [b'{"a":1}']
    assert (log.size, log.position) == (None, None)


def test_parquet_rows_are_read_as_json_has_them(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    from datetime import UTC, datetime
    from decimal import Decimal

    from pyarrow import parquet

    table = pyarrow.table(
        {"at": [datetime(2026, 1, 2, tzinfo=UTC)], "price": [Decimal("1.50")], "n": [7], "tags": [["a"]]}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    (record,) = read(tmp_path / "t.parquet")
    assert record.row == {"at": "2026-01-02T00:00:00+00:00", "price": 1.5, "n": 7, "tags": ["a"]}
    assert json.loads(record.raw or b"") == record.row


def test_parquet_without_pyarrow_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LogError, match=r"segstream\[parquet\]"):
        read(write(tmp_path / "t.parquet", b"PAR1"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.jsonl.gz", gzip.compress(b'{"a":1}\n' * 1000, mtime=0)[:-20]),
        ("damaged.jsonl.gz", gzip.compress(b'{"a":1}\n' * 1000, mtime=0)[:20] + b"\x00" * 40),
        ("damaged.jsonl.zst", zstandard.compress(b'{"a":1}\n')[:8] + b"\xff" * 20),
        ("empty.csv", b""),
        ("fake.parquet", b"PAR1 and no more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_log_is_one_clear_error(tmp_path: Path, name: str, data: bytes) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    with pytest.raises(LogError, match=name):
        read(write(tmp_path / name, data))


def test_a_missing_log_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"none\.jsonl: cannot be read"):
        Log(str(tmp_path / "none.jsonl"))


def test_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", b'{"a":1}\n' * 10)
    log = Log(str(path))
    records = log.records()
    next(records)
    assert log.size == 80
    assert 0 < (log.position or 0) <= 80
