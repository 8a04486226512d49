"""Reading batches through a mapping: another function, compiled for it, and never another answer."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stream.errors import RecordError
from stream.events import ENVELOPE_FIELDS, Event, event_type
from stream.ingest import Ingest, load_mapping, preset_names
from stream.ingest.compiler import compile_events
from stream.ingest.mapping import parse_mapping
from tests.ingest.test_presets import GOLDEN, RECORD_TIME
from tools.fuzz_ingest import encode, mutate

NARROW = event_type({"size"}, {"type", "time", "value", "items"})


def records() -> list[tuple[str, bytes, SimpleNamespace]]:
    """The golden records, and each of them with something else in some places."""
    dice = random.Random(7)
    found = []
    for preset in preset_names():
        for case in json.loads((GOLDEN / f"{preset}.json").read_text(encoding="utf-8")):
            if "table" in case:
                continue
            headers = [(name, text.encode()) for name, text in case.get("headers", {}).items()]
            origin = SimpleNamespace(key=b"k", headers=headers)
            record = case["record"]
            if isinstance(record, str):
                found.append((preset, record.encode(), origin))
                continue
            for turn in range(12):
                changed = mutate(record, dice, [1 + turn % 2]) if turn else record
                found.append((preset, encode(changed, dice), origin))
    return found


def alone(ingest: Ingest, value: bytes, origin: Any) -> list[Event] | str:
    try:
        return ingest.read_all(value, offset=3, record_time=RECORD_TIME, origin=origin)
    except RecordError as error:
        return str(error)


def told(events: list[Event] | str, fields: list[str]) -> Any:
    kept = ("user", "record_time", "offset", "clamped")
    return (
        events
        if isinstance(events, str)
        else [[repr(getattr(each, name)) for name in (*fields, *kept)] for each in events]
    )


@pytest.mark.parametrize("kind", [Event, NARROW])
def test_a_batch_reads_what_its_records_read_alone(kind: type[Event]) -> None:
    fields = [field.name for field in msgspec.structs.fields(kind) if field.name == field.encode_name]
    fields = [field for field in fields if field in ENVELOPE_FIELDS]
    readers = {name: Ingest(load_mapping(name), event_type=kind) for name in preset_names()}
    seen = {"events": 0, "errors": 0}
    for preset, value, origin in records():
        events, errors = readers[preset].read_batch([(value, 3, RECORD_TIME)], [origin])
        expected = alone(readers[preset], value, origin)
        seen["errors" if errors else "events"] += 1
        assert told(str(errors[0][1]) if errors else events, fields) == told(expected, fields), value
    assert min(seen.values()) > 30, "both kinds are met"


def test_fields_that_nobody_reads_are_left_out_where_they_cannot_fail() -> None:
    text = "event: {type: {const: x}, time: {path: at, as: s}, user_id: who, id: no, %s}"
    record = b'{"at": 1795250000, "who": "u", "no": "1", "shop": {"no": 7}, "n": "seven"}'

    def read(more: str, kind: type[Event]) -> tuple[list[Event], list[tuple[int, RecordError]]]:
        return Ingest(parse_mapping(text % more, "m.yaml"), event_type=kind).read_batch([(record, 0, 1)])

    for more in ("props: {a: shop.no}", "context: shop", "props: {merge: [shop, {b: n}]}"):
        (event,), _ = read(more, NARROW)
        assert event.props is event.context is None
        (event,), _ = read(more, Event)
        assert event.props or event.context
    for kind in (NARROW, Event):  # whether a record can be read does not depend on who reads it
        _, errors = read("props: {a: {path: n, as: number}}", kind)
        assert [error.message for _, error in errors] == ["$.n: expected a number, not 'seven'"]


def test_records_that_give_many_events_are_read_in_one_go_too() -> None:
    mapping = parse_mapping(
        "{each: lines, event: {type: {const: x}, time: $.at, user_id: $.who, id: no}}", "m.yaml"
    )
    record = {"at": 1_795_250_000_000, "who": "u", "lines": [{"no": "a"}, {"no": "b"}]}
    again = record | {"lines": [{"no": "a"}, {"no": "a"}]}
    values = [json.dumps(each).encode() for each in (record, again, record | {"lines": []})]
    events, errors = Ingest(mapping).read_batch([(value, at, None) for at, value in enumerate(values)])
    assert [(event.id, event.offset) for event in events] == [("a", 0), ("b", 0), ("a", 1), ("a/2", 1)]
    assert not errors


def test_mappings_without_ids_and_of_whole_records_go_by_their_rows() -> None:
    mixed = (
        "{cases: [{match: {a: b}, event: {id: no, type: b, time: at, user_id: who}}, "
        "{event: {type: {const: y}, time: at, user_id: who}}]}"
    )
    for text in (
        "event: {type: {const: x}, time: at, user_id: who}",
        "{each: lines, event: {type: {const: x}, time: at, user_id: who, id: no, props: $}}",
        mixed,
    ):
        body = parse_mapping(text, "m.yaml").body
        assert body is not None
        assert compile_events(body, Event) is None, text
