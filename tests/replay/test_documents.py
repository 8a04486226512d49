"""JSON files that are one document: their records are those of JSON lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from stream.ingest.mapping import parse_mapping
from stream.replay import Log, LogError, documents

RECORDS: list[dict[str, Any]] = [
    {"type": "x", "time": "2026-11-21T09:30:00Z", "user_id": f"u{number}", "props": {"t": "a\nb [ ] {"}}
    for number in range(5)
]


def read(path: Path, **options: Any) -> list[Any]:
    return [json.loads(record.raw or b"") for record in Log(str(path), **options).records()]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("name", ["export.json", "export", "export.json.gz"])
def test_a_list_of_records_is_read_like_lines(tmp_path: Path, name: str, indent: int | None) -> None:
    path = tmp_path / name
    content = b"\n" + json.dumps(RECORDS, indent=indent).replace("\n", "\r\n").encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read(path) == RECORDS
    assert [record.line for record in Log(str(path)).records()] == [1, 2, 3, 4, 5]


def test_one_record_over_many_lines(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(RECORDS[0], indent=4))
    assert read(path) == RECORDS[:1]


def test_what_was_recorded_is_found_in_a_list_too(tmp_path: Path) -> None:
    recorded = [{"partition": 1, "offset": 7, "timestamp": 9, "key": "k", "value": "{}"}]
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(recorded, indent=1))
    (record,) = Log(str(path)).records()
    assert (record.raw, record.partition, record.record_time) == (b"{}", 1, 9)


def test_lines_that_are_lists_stay_what_they_are(tmp_path: Path) -> None:
    """Batches of a source whose mapping takes lists; and lists that are no document, whoever reads them."""
    path = tmp_path / "batches.jsonl"
    mapping = parse_mapping("{each: ., event: {type: {const: x}, time: at, user_id: who}}", "m.yaml")
    path.write_text("[1]\n")
    assert read(path, mapping=mapping) == [[1]]
    assert read(path) == [1]
    path.write_text("[1]\n[2]\n\n[3]\n")
    assert read(path) == [[1], [2], [3]]


@pytest.mark.parametrize(
    "content", ["{\n", "[\n{}\n", '[{"a": 1},\n{"a": 2}\n', '{"a": 1\n{"a": 2}\n', "[\n", ""]
)
def test_what_is_no_document_is_told_line_by_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(content)
    assert [record.raw for record in Log(str(path)).records()] == [
        line.encode() for line in content.splitlines()
    ]


def test_a_document_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 100)
    path = tmp_path / "large.json"
    path.write_text(json.dumps(RECORDS, indent=1))
    with pytest.raises(LogError, match="take it apart into a record per line"):
        list(Log(str(path)).records())
