"""Mappings: presets, templates, transforms, and errors that say where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import DefinitionError, RecordError
from stream.ingest import Ingest, load_mapping, preset_names
from stream.ingest.mapping import is_mapping, parse_mapping
from tests.ingest.test_envelope import JSON

ROW = {
    "timestamp": "1433221332117",
    "visitorid": "257597",
    "event": "view",
    "itemid": "355908",
    "transactionid": "",
}


def test_the_presets_are_there_and_load() -> None:
    assert {"canonical", "retailrocket", "otto", "segment"} <= set(preset_names())
    assert load_mapping("canonical").identity
    assert load_mapping("retailrocket").description


@pytest.mark.parametrize(
    ("sent", "type_"),
    [
        ("view", "product_viewed"),
        ("addtocart", "product_added"),
        ("transaction", "order_completed"),
        ("x", "x"),
    ],
)
def test_retailrocket_rows_become_shop_events(sent: str, type_: str) -> None:
    (event,) = Ingest(load_mapping("retailrocket")).read_row({**ROW, "event": sent}, offset=3)
    assert (event.type, event.time, event.user, event.offset) == (type_, 1_433_221_332_117, "257597", 3)
    assert event.items == [{"product_id": "355908"}]
    assert event.order_id is None
    assert event.record_time == event.time


def test_an_otto_session_is_an_event_for_each_of_its_events() -> None:
    events = Ingest(load_mapping("otto")).read_row(
        {"session": 7, "events": [{"aid": 1, "ts": 1659304800025, "type": "clicks"},
                                  {"aid": 2, "ts": 1659304904511, "type": "orders"}]},
        offset=4,
    )  # fmt: skip
    found = [(event.type, event.user, event.time, event.items, event.offset) for event in events]
    assert found == [
        ("product_viewed", "7", 1659304800025, [{"product_id": "1"}], 4),
        ("order_completed", "7", 1659304904511, [{"product_id": "2"}], 4),
    ]
    assert len({event.id for event in events}) == 2


def test_equal_rows_are_the_same_event() -> None:
    ingest = Ingest(load_mapping("retailrocket"))
    first, again = (ingest.read_row(dict(ROW), offset=offset)[0] for offset in (1, 2))
    other = ingest.read_row({**ROW, "itemid": "1"}, offset=3)[0]
    assert first.id == again.id != other.id


def test_a_mapping_reads_json_records_too() -> None:
    mapping = parse_mapping(
        """
        event:
          type: {const: order_completed}
          time: {path: placed.at, as: s}
          user_id: {path: customer, as: [text, lower]}
          value: {path: total, as: number}
          props: {shop: {const: 7}, note: note, tags: [a, b]}
        """,
        "orders.yaml",
    )
    assert mapping.name == "orders"
    value = b'{"placed": {"at": 1433221332.117}, "customer": "U1", "total": "12.50", "b": "x"}'
    event = Ingest(mapping).read(value, offset=0)
    assert (event.time, event.user, event.value) == (1_433_221_332_117, "u1", 12.5)
    assert event.props == {"shop": 7, "tags": ["x"]}
    events, errors = Ingest(mapping).read_batch([(value, 0, None), (b"[]", 1, None)])
    assert events == [event]
    assert errors[0][1].reason == "not_an_object"


def test_a_value_that_a_transform_refuses_is_a_dead_letter_with_its_path() -> None:
    with pytest.raises(RecordError) as caught:
        Ingest(load_mapping("retailrocket")).read_row({**ROW, "timestamp": "noon"}, offset=0)
    assert (caught.value.reason, caught.value.message) == (
        "bad_time",
        "$.timestamp: expected a number, not 'noon'",
    )


@given(st.dictionaries(st.sampled_from(sorted(ROW)), JSON))
def test_any_row_is_an_event_or_a_record_error(row: dict[str, Any]) -> None:
    ingest = Ingest(load_mapping("retailrocket"))
    for candidate in (row, {**ROW, **row}, {**row, "timestamp": ROW["timestamp"]}):
        try:
            (event,) = ingest.read_row(candidate, offset=0)
        except RecordError as error:
            assert error.message.startswith("$")  # noqa: PT017
        else:
            assert event.user
            assert event.id


def test_all_errors_of_a_mapping_are_told_with_their_places() -> None:
    source = "nme: x\nevent:\n  typ: x\n  time: {path: a, as: [mss]}\n"
    source += "  props: {a: {path: b, tbl: 4}, c: {const: 1, as: ms}}\n"
    with pytest.raises(DefinitionError) as caught:
        parse_mapping(source, "m.yaml")
    places = [str(problem).split(": ")[0] for problem in caught.value.problems]
    assert places == ["m.yaml:1:1", "m.yaml:3:3", "m.yaml:4:24", "m.yaml:5:24", "m.yaml:5:47"]
    assert "did you mean `ms`?" in str(caught.value)


@pytest.mark.parametrize("source", ["", "[]", "a: [", "name: x", "identity: true\nevent: {}", "event: 5"])
def test_what_is_no_mapping_is_an_error(source: str) -> None:
    with pytest.raises(DefinitionError):
        parse_mapping(source, "m.yaml")


def test_a_mapping_file_is_found_by_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("event: {type: t, time: at, user_id: who}", encoding="utf-8")
    assert load_mapping(file).name == "mine"
    assert is_mapping(file.read_text(encoding="utf-8"))
    assert not is_mapping("version: 1\nevents: {}")
    with pytest.raises(DefinitionError, match="retailrocket"):
        load_mapping(tmp_path / "none.yaml")
