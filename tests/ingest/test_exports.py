"""Exports that nobody has seen before, each mapped in a few lines: what strangers bring along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.errors import DefinitionError, RecordError
from stream.ingest import Ingest
from stream.ingest.mapping import parse_mapping
from stream.instants import format_instant
from stream.replay import Log
from stream.replay.records import LogError

LONGEST = 15


def events_of(
    folder: Path, name: str, data: bytes, text: str
) -> tuple[list[dict[str, Any]], list[RecordError]]:
    """The events that a mapping makes of a file, and what it refuses."""
    assert len(text.strip().splitlines()) <= LONGEST
    file = folder / name
    file.write_bytes(data)
    mapping = parse_mapping(text, "m.yaml")
    ingest = Ingest(mapping)
    made: list[dict[str, Any]] = []
    refused: list[RecordError] = []
    for record in Log(str(file), mapping).records():
        try:
            if record.error is not None:
                raise record.error
            made += [
                json.loads(value) for _, value in ingest.canonical(record.raw, row=record.row, origin=record)
            ]
        except RecordError as error:
            refused.append(error)
    for event in made:
        event["time"] = format_instant(event["time"])
    return made, refused


def test_a_spreadsheet_with_its_own_dates_a_byte_order_mark_and_german_numbers(tmp_path: Path) -> None:
    data = "\ufeffDatum;Kunde;Produkt;Preis;Menge\r\n46327,4375;Änne;Tee;1.234,50;2\r\n"
    data += "46327,5;Bo;Tee;12,00;-1\r\n;Bo;Tee;1;1\r\n"
    text = """
rows: {delimiter: ";"}
timezone: Europe/Berlin
event:
  type: {when: {Menge: {below: 0}}, then: {const: order_refunded}, else: {const: order_completed}}
  time: {path: Datum, as: [{decimal: ","}, excel]}
  user_id: Kunde
  value: {multiply: [{path: Preis, as: {decimal: ","}}, {path: Menge, as: abs}]}
"""
    made, refused = events_of(tmp_path, "x.csv", data.encode(), text)
    assert [(each["type"], each["time"], each["user_id"], each["value"]) for each in made] == [
        ("order_completed", "2026-11-01T09:30:00.000Z", "Änne", 2469.0),
        ("order_refunded", "2026-11-01T11:00:00.000Z", "Bo", 12),
    ]
    assert [error.reason for error in refused] == ["bad_time"]


def test_local_times_across_both_changes_of_the_clocks(tmp_path: Path) -> None:
    times = [
        "2026-03-29 01:59",
        "2026-03-29 02:30",
        "2026-03-29 03:00",
        "2026-10-25 02:30",
        "2026-10-25 03:00",
    ]
    data = "at\twho\n" + "".join(f"{time}\tu\n" for time in times)
    text = "timezone: Europe/Berlin\nevent: {type: {const: x}, time: {path: at, as: iso8601}, user_id: who}"
    made, refused = events_of(tmp_path, "x.tsv", data.encode(), text)
    assert not refused
    assert [each["time"][5:16] for each in made] == [
        "03-29T00:59",
        "03-29T01:30",
        "03-29T01:00",
        "10-25T00:30",
        "10-25T02:00",
    ]


def test_a_headerless_tsv_without_a_suffix_with_epochs_as_text(tmp_path: Path) -> None:
    data = (
        b"u1\t1795250000\tview\tp-1\nu2\t1795250001.5\tbuy\tp-2\nu2\t1\n\nu3\t1795250002\tview\tp-3\textra\n"
    )
    text = """
rows: {delimiter: tab, columns: [user, at, what, product], skip: 0}
event:
  type: {path: what, table: {view: product_viewed, buy: order_completed}}
  time: {path: at, as: s}
  user_id: user
  items: [{product_id: product}]
"""
    made, refused = events_of(tmp_path, "export", data, text)
    assert [(each["type"], each["user_id"], each["time"]) for each in made] == [
        ("product_viewed", "u1", "2026-11-21T08:33:20.000Z"),
        ("order_completed", "u2", "2026-11-21T08:33:21.500Z"),
    ]
    assert [error.reason for error in refused] == ["bad_time", "bad_row"]


def test_quoted_line_feeds_a_preamble_and_another_encoding(tmp_path: Path) -> None:
    data = 'Bericht vom 1.3.\r\n\r\nwer,wann,"was"\r\nü,01/03/2026 9:05 PM,"two\r\nlines"\r\n'.encode(
        "latin-1"
    )
    text = """
rows: {skip: 2, encoding: latin-1}
timezone: America/New_York
event: {type: {const: note}, time: {path: wann, as: {date: "%d/%m/%Y %I:%M %p"}}, user_id: wer, props: {text: was}}
"""
    made, refused = events_of(tmp_path, "x.csv", data, text)
    assert [(each["user_id"], each["time"], each["props"]["text"]) for each in made] == [
        ("ü", "2026-03-02T02:05:00.000Z", "two\r\nlines")
    ]
    assert not refused


def test_utf_16_is_told_and_can_be_said(tmp_path: Path) -> None:
    data = "at,who\n1795250000,ann\n".encode("utf-16")
    text = "event: {type: {const: x}, time: {path: at, as: s}, user_id: who}"
    with pytest.raises(LogError, match="is UTF-16: convert it to UTF-8"):
        events_of(tmp_path, "x.csv", data, text)
    made, _ = events_of(tmp_path, "x.csv", data, f"rows: {{encoding: utf-16}}\n{text}")
    assert made[0]["user_id"] == "ann"
    with pytest.raises(LogError, match="cannot be read as ascii"):
        events_of(tmp_path, "x.csv", "ä,b\n".encode(), f"rows: {{encoding: ascii}}\n{text}")


def test_nested_json_with_lists_side_by_side_and_amounts_in_cents(tmp_path: Path) -> None:
    record = {
        "meta": {"tenant": "t1"},
        "body": json.dumps(
            {"visits": [{"ts": "1795250000123", "u": {"id": 5}, "sku": ["a"], "cents": [1999]}]}
        ),
    }
    text = """
decode: {body: json}
each: body.visits
event:
  type: {const: order_completed}
  time: {path: ts, as: ms}
  user_id: {template: "{$.meta.tenant}:{u.id}"}
  items: {each: {sku: sku, cents: cents}, item: {product_id: sku, price: {path: cents, as: {divide: 100}}}}
"""
    made, _ = events_of(tmp_path, "x.jsonl", json.dumps(record).encode(), text)
    assert [(each["user_id"], each["items"]) for each in made] == [
        ("t1:5", [{"product_id": "a", "price": 19.99}])
    ]


def test_a_semicolon_that_nobody_mentioned_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"perhaps `rows: {delimiter: ';'}` is missing"):
        events_of(tmp_path, "x.csv", b"at;who\n1;2\n", "event: {type: {const: x}, time: at, user_id: who}")


def test_rows_of_one_order_stay_rows_and_equal_rows_are_one_event(tmp_path: Path) -> None:
    data = b"no,at,who,sku,line\n7,1795250000,u,a,1\n7,1795250000,u,a,2\n"
    text = "event: {type: {const: x}, time: {path: at, as: s}, user_id: who, order_id: no, items: [sku]}"
    made, _ = events_of(tmp_path, "x.csv", data, text)
    assert len({each["id"] for each in made}) == 1
    own, _ = events_of(tmp_path, "x.csv", data, text.replace("order_id", "id: {uuid5: [no, line]}, order_id"))
    assert len({each["id"] for each in own}) == 2
