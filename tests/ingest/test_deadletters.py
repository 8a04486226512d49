"""Dead letters keep everything of the record."""

from __future__ import annotations

import base64
import json

import pytest

from stream.errors import RecordError
from stream.ingest import DeadLetter
from stream.ingest.deadletters import MAX_LETTER_BYTES


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


LETTERS = [
    DeadLetter.of(
        RecordError("bad_time", "$.at: no"), b"{}", b"u", topic="t", partition=3, offset=7, timestamp=9
    ),
    DeadLetter.of(
        RecordError("no_match", "$: ä"),
        b"\xff",
        b"\xfe",
        [("x-topic", b"a"), ("y", b"\xff")],
        topic="17",
        partition=0,
    ),
    DeadLetter("too_large", "$: big", b"x", None, {"topic": "t", "partition": 0}, (), 10_000_000),
]


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_comes_back_from_a_file_and_from_a_topic(letter: DeadLetter) -> None:
    same = DeadLetter.from_json(letter.to_json())
    assert same.to_json() == letter.to_json()
    again = DeadLetter.from_record(letter.raw, letter.key, letter.to_headers())
    assert again.to_json() == letter.to_json()


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b'{"reason": "x", "message": "", "coordinates": {}, "value_base64": "%"}']
)
def test_what_is_no_letter_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a dead letter"):
        DeadLetter.from_json(line)


def test_a_letter_of_a_huge_record_holds_its_beginning() -> None:
    letter = DeadLetter("too_large", "", b"x" * 10_000_000, b"k" * 10_000_000, {"partition": 0}).bounded()
    assert len(letter.raw) + len(letter.key or b"") == MAX_LETTER_BYTES
    assert letter.cut_from == 10_000_000
    assert letter.raw.startswith(b"xxx")
    assert LETTERS[0].bounded() is LETTERS[0]
