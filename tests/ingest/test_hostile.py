"""Records that nobody should send: bounded cost, a dead letter, and the stream goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.errors import RecordError
from stream.ingest import MAX_EVENT_BYTES, Ingest, load_mapping, preset_names
from stream.ingest.calls import MAX_EVENTS
from stream.ingest.mapping import parse_mapping
from tests.scripts import load_script

T = 1_772_359_205_123
PLAIN = parse_mapping(
    "each: each\nevent: {type: type, time: time, user_id: user_id, id: id, props: props, value: value}",
    "m.yaml",
)


def fields(**more: Any) -> dict[str, Any]:
    return {"type": "x", "time": T, "user_id": "u", "id": "i", **more}


def both(value: bytes) -> list[str | None]:
    """What a record gives as an event, and inside a mapping: the reason of a dead letter, or None."""
    outcomes: list[str | None] = []
    for ingest, raw in ((Ingest(), value), (Ingest(PLAIN), b'{"each": [' + value + b"]}")):
        try:
            ingest.read_all(raw, offset=0)
        except RecordError as error:
            outcomes.append(error.reason)
        else:
            outcomes.append(None)
    return outcomes


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        (json.dumps(fields()).encode(), [None, None]),
        (b"[" * 100_000, ["bad_json", "bad_json"]),
        (b'{"a":' * 50_000, ["bad_json", "bad_json"]),
        (json.dumps(fields(value=1)).replace("1}", "NaN}").encode(), ["bad_json", "bad_json"]),
        (json.dumps(fields(time=10**30)).encode(), ["bad_time", "bad_time"]),
        (json.dumps(fields(time=1e308)).encode(), ["bad_time", "bad_time"]),
        (json.dumps(fields(value=1)).replace("1}", "9" * 100_000 + "}").encode(), ["bad_json", "bad_json"]),
        (json.dumps(fields()).replace("}", ',"user_id":7}').encode(), ["bad_user", None]),
        (b'{"type":"x","time":1772359205123,"user_id":"\xff"}', ["bad_json", "bad_json"]),
        (b'{"type":"x","time":1772359205123,"user_id":"\\ud800"}', ["bad_json", "bad_json"]),
        (json.dumps(fields(props={"a": "x" * 10_000_000})).encode(), ["too_large", "too_large"]),
        (json.dumps(fields(props={f"k{n}": n for n in range(10_000)})).encode(), [None, None]),
        (json.dumps(fields(user_id="u\x00\n\u2028", id="\x07")).encode(), [None, None]),
        (json.dumps(fields(user_id="u" * 10_000, id="i" * 10_000, type="t" * 10_000)).encode(), [None, None]),
    ],
    ids=range(14),
)  # fmt: skip
def test_hostile_records_end_in_an_event_or_a_dead_letter(value: bytes, reasons: list[str | None]) -> None:
    assert both(value) == reasons


def test_what_a_mapping_makes_of_a_small_record_is_bounded() -> None:
    small = Ingest(parse_mapping("each: [a, ^.a]\nevent: {type: t, time: t, user_id: t}", "m.yaml"))
    square = json.dumps({"a": [1] * (MAX_EVENTS // 50)}).encode()
    with pytest.raises(RecordError, match=f"more than {MAX_EVENTS} events in one record"):
        small.canonical(square)
    wide = "{a}" * 50
    text = Ingest(
        parse_mapping(f"event: {{type: {{template: '{wide}'}}, time: t, user_id: {{const: u}}}}", "m.yaml")
    )
    with pytest.raises(RecordError) as caught:
        text.canonical(json.dumps({"a": "x" * 10_000, "t": T}).encode())
    assert caught.value.reason == "too_large"


def test_the_largest_records_of_each_hostile_kind_come_to_an_end() -> None:
    """Through every preset: what took quadratic time would meet the time limit of tests."""
    size = MAX_EVENT_BYTES - 1_000
    kinds = [
        b'{"a":"' + b"[" * size + b'"}',
        b"[" + b"{}," * (size // 3) + b"{}]",
        b"{" + b",".join(b'"%d":1' % n for n in range(size // 9)) + b"}",
        json.dumps({"events": [{}] * (size // 5), "batch": [{}] * 10}).encode(),
        json.dumps({"event": "A" * size, "type": "track", "timestamp": "2" * 100}).encode(),
        json.dumps({"timestamp": "2026-01-01T" + "0" * size}).encode(),
        b"\t" * size,
    ]
    ingests = [Ingest(load_mapping(name)) for name in preset_names()]
    for value in kinds:
        for ingest in ingests:
            with pytest.raises(RecordError):
                ingest.read_all(value[:MAX_EVENT_BYTES], offset=0)


def test_a_short_run_of_the_fuzzer() -> None:
    module = load_script("tools/fuzz_ingest.py")
    counts = module.run(2_000, seed=3).counts
    assert counts["inputs"] == 2_000
    assert counts["reached a mapping or the envelope"] > 1_000
    assert counts["JSON"] > 1_000
    assert counts["records read"] > 500
