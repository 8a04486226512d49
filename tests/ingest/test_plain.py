"""The loop that reads plain records: what it reads is what reading one by one says, in either way of reading times."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.errors import RecordError
from stream.events import Event
from stream.ingest import Ingest
from stream.ingest.mapping import parse_mapping
from stream.ingest.plain import PlainReader

NOON = 1_795_262_400_000  # 2026-11-21T12:00:00Z
GOOD: dict[str, Any] = {"id": "e1", "type": "view", "time": "2026-11-21T12:00:00.000Z", "user_id": "u1"}
INGEST = Ingest()
READERS = {
    by_digits: PlainReader(msgspec.json.Decoder(Event).decode, 1_000, by_digits=by_digits)
    for by_digits in (True, False)
}


class Row(NamedTuple):
    """A record of a topic."""

    value: bytes | None
    offset: int = 0
    timestamp: int = NOON
    key: bytes | None = b"u1"
    headers: tuple[tuple[str, bytes | None], ...] = ()


def encode(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}, ensure_ascii=False).encode()


def judged(index: int, *_: object) -> None:
    raise AssertionError(f"record {index} is plain")


@pytest.mark.parametrize("by_digits", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"time": NOON},
        {"time": "2026-11-21T12:00:00Z"},
        {"time": "2026-11-21T12:59:59.123456789Z"},
        {"time": "2026-11-21T23:00:00.5+02:00"},
        {"user_id": None, "anonymous_id": "a"},
        {"props": {"city": "Köln", "name": "东京"}},
        {"received_at": "2026-11-21T12:00:03.001Z"},
        {"received_at": "soon"},
    ],
)
def test_what_nearly_everybody_writes_is_plain(by_digits: bool, fields: dict[str, Any]) -> None:
    value = encode(**fields)
    for record_time in (None, NOON + 7):
        events: list[Event] = []
        READERS[by_digits].read_rows([(value, 3, record_time)], events, judged)
        assert events == INGEST.read_all(value, offset=3, record_time=record_time)


DIGITS = st.text("0123456789", min_size=1, max_size=9)
STAMPS = st.one_of(
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.builds("2026-11-21T{}:{}:{}{}".format, *[st.integers(0, 70).map("{:02}".format)] * 3, st.just("Z")),
    st.builds("2026-11-21T12:00:00.{}{}".format, DIGITS, st.sampled_from(["Z", "z", "+01:00", "", "٣Z"])),
    st.builds("2026-11-21T12:{}:00{}".format, st.text("0123456789٣ :-", max_size=3), st.just(".123Z")),
    st.text("0123456789T:.Z-", min_size=18, max_size=26),
)


@pytest.mark.parametrize("by_digits", [True, False])
@given(st.lists(STAMPS, min_size=1, max_size=3))
@example(["2026-11-21T24:00:00.000Z", "2026-11-21T23:59:60.000Z", "1970-01-01T00:00:00.000Z"])
@example(["0999-12-31T00:00:00.000Z", "9001-01-01T00:00:00.000Z", "2026-02-29T00:00:00.000Z"])
@example(["2026-11-21t12:00:00.000Z", "2026-11-21 12:00:00.000Z", "2026-11-21T12:00:00.1٣3Z"])
def test_times_are_read_alike_or_left_to_be_judged(by_digits: bool, stamps: list[str]) -> None:
    """One after the other: what one leaves behind must not change the next."""
    for sent in [*stamps, GOOD["time"], *stamps]:
        events: list[Event] = []
        left: list[Any] = []
        value = encode(time=sent)
        READERS[by_digits].read_rows([(value, 0, 1)], events, lambda *what, left=left: left.append(what))
        try:
            expected = INGEST.read_all(value, offset=0, record_time=1)
        except RecordError:
            expected = []
        assert left or events == expected
        assert not (left and events)
        if sent == GOOD["time"]:
            assert not left


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'{"type": "\xff", "id": "e1", "user_id": "u1", "time": 1795262400000}',
        b'{"nobody": "\xff", "type": "x", "id": "e1", "user_id": "u1", "time": 1795262400000}',
        encode(id=None),
        encode(id=""),
        encode(id=7),
        encode(type=""),
        encode(type=[]),
        encode(user_id=""),
        encode(user_id=7),
        encode(time=True),
        encode(time=7),
        encode(time=None),
        encode(time="noon"),
        encode(props="x" * 1_000),
        encode(props=[[[]] * 150] * 1)[:-1] + b', "x": ' + b"[" * 301 + b"]" * 301 + b"}",
    ],
)
def test_what_is_not_plain_is_handed_over_whole_and_in_order(value: bytes | None) -> None:
    handed: list[Any] = []
    for reader in READERS.values():
        events: list[Event] = []

        def judge(*what: Any, events: list[Event] = events) -> None:
            handed.append(what)
            events.append(Event(id="judged"))

        rows = [(encode(id="a"), 5, 1), (value, 6, 2), (encode(id="b"), 7, 3)]
        reader.read_rows(rows, events, judge)
        assert [event.id for event in events] == ["a", "judged", "b"]
    assert handed == [(1, value, 6, 2)] * 2


def test_what_a_producer_sends_for_our_own_fields_does_not_count() -> None:
    value = encode()[:-1] + b', "\\u007fclamped": true, "\\u007foffset": 9, "\\u007fuser": "x"}'
    events: list[Event] = []
    READERS[True].read_rows([(value, 3, 4)], events, judged)
    assert [(event.user, event.offset, event.record_time, event.clamped) for event in events] == [
        ("u1", 3, 4, False)
    ]


def test_records_are_under_their_key_only_if_every_one_surely_is() -> None:
    def placed(*rows: Row) -> bool:
        events, errors, placed = INGEST.read_records(rows)
        assert len(events) + len(errors) == len(rows)
        return placed

    assert placed(Row(encode()), Row(encode(user_id="ü"), key="ü".encode()))
    assert not placed(Row(encode()), Row(encode(), key=b"u2"), Row(encode()))
    assert not placed(Row(encode(), key=None))
    assert not placed(Row(b"{"), Row(encode())), "what was judged is looked at closer"
    assert not placed(Row(encode(id=None)))


def test_records_are_read_like_rows_with_and_without_a_mapping() -> None:
    mapping = parse_mapping("{event: {type: {const: x}, time: time, user_id: who, id: id}}", "m.yaml")
    values = [encode(who="w1"), b"{", encode(id=None, who="w2"), encode(who="w3", time=NOON)]
    rows = [Row(value, number, NOON + number) for number, value in enumerate(values)]
    for ingest in (INGEST, Ingest(mapping)):
        events, errors, _ = ingest.read_records(rows)
        again, wrong = ingest.read_batch([(row.value, row.offset, row.timestamp) for row in rows], rows)
        assert events == again
        assert [(index, error.message) for index, error in errors] == [
            (index, error.message) for index, error in wrong
        ]
        assert [index for index, _ in errors] == [1]
