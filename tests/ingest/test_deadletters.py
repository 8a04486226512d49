"""Dead letters keep everything of the record."""

from __future__ import annotations

import base64
import json

from stream.errors import RecordError
from stream.ingest import DeadLetter


def test_a_dead_letter_is_one_line_with_reason_place_and_the_original() -> None:
    letter = DeadLetter.of(RecordError("bad_json", "$: cut"), b'{"a', b"u1", file="log.jsonl", line=7)
    line = letter.to_json()
    assert b"\n" not in line
    assert json.loads(line) == {
        "schema": "dead-letter/1",
        "reason": "bad_json",
        "message": "$: cut",
        "coordinates": {"file": "log.jsonl", "line": 7},
        "key": "u1",
        "value": '{"a',
    }


def test_bytes_that_are_no_text_are_kept_in_base64() -> None:
    line = json.loads(DeadLetter("bad_json", "$: not UTF-8", b"\xff\x00").to_json())
    assert base64.b64decode(line["value_base64"]) == b"\xff\x00"
    assert line["key"] is None
