"""The canonical envelope: what is an event, what is a dead letter, and what is decided alike everywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.engine.fields import read_field
from stream.errors import RecordError
from stream.events import Event, event_type
from stream.identifiers import derive_event_id
from stream.ingest import MAX_DEPTH, Ingest, load_mapping
from stream.ingest.instants import read_instant
from stream.instants import format_instant, parse_instant

NOON = 1_795_262_400_000  # 2026-11-21T12:00:00Z
GOOD: dict[str, Any] = {"id": "e1", "type": "product_viewed", "time": NOON, "user_id": "u1"}
INGEST = Ingest()


def encode(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def read(value: bytes | None, **arguments: Any) -> Event:
    return INGEST.read(value, offset=0, **arguments)


def refusal(value: bytes | None) -> tuple[str, str]:
    with pytest.raises(RecordError) as caught:
        read(value)
    return caught.value.reason, caught.value.message


def test_a_canonical_event_is_read_with_its_key_time_and_place() -> None:
    event = INGEST.read(
        encode(time="2026-11-21T12:00:00.1239Z", props={"x": 1}), offset=7, record_time=NOON + 5
    )
    assert (event.user, event.time, event.record_time, event.offset) == ("u1", NOON + 123, NOON + 5, 7)
    assert (event.id, event.props, event.clamped) == ("e1", {"x": 1}, False)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"user_id": "u", "anonymous_id": "a"}, "u"),
        ({"user_id": None, "anonymous_id": "a"}, "a"),
        ({"user_id": "", "anonymous_id": "a"}, "a"),
        ({"user_id": "u", "anonymous_id": 7}, "u"),
    ],
)
def test_the_key_is_user_id_else_anonymous_id(fields: dict[str, Any], key: str) -> None:
    assert read(encode(**fields)).user == key


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        (None, "bad_json", "$:"),
        (b"", "bad_json", "$:"),
        (b"{", "bad_json", "$:"),
        (b'{"value": NaN}', "bad_json", "$:"),
        (b'{"type": "\xff"}', "bad_json", "$:"),
        (
            b'{"nobody_reads_this": "\xff", "type": "x", "user_id": "u", "time": 1795262400000}',
            "bad_json",
            "$:",
        ),
        (b"[" * 100_000, "bad_json", "$:"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "bad_json", "$:"),
        (b'{"time": 1e400}', "bad_json", "$:"),
        (encode(id=None, value=10**400), "bad_json", "$:"),
        (b"[1]", "not_an_object", "$:"),
        (b'"text"', "not_an_object", "$:"),
        (b"null", "not_an_object", "$:"),
        (encode(type=None), "bad_type", "$.type:"),
        (encode(type=""), "bad_type", "$.type:"),
        (encode(type=5), "bad_type", "$.type:"),
        (encode(time=None), "bad_time", "$.time:"),
        (encode(time=1_795_262_400), "bad_time", "$.time:"),
        (encode(time=True), "bad_time", "$.time:"),
        (encode(time="2026-11-21T12:00:00"), "bad_time", "$.time:"),
        (encode(time="yesterday"), "bad_time", "$.time:"),
        (encode(time=1e300), "bad_time", "$.time:"),
        (encode(user_id=None), "bad_user", "$.user_id:"),
        (encode(user_id=""), "bad_user", "$.user_id:"),
        (encode(user_id=5, anonymous_id="a"), "bad_user", "$.user_id:"),
        (encode(user_id=None, anonymous_id=5), "bad_user", "$.anonymous_id:"),
        (encode(id=5), "bad_id", "$.id:"),
        (encode(props={"text": "x" * 300 * 1024}), "too_large", "$:"),
    ],
)
def test_what_cannot_be_read_has_a_reason_and_a_path(value: bytes | None, reason: str, path: str) -> None:
    found, message = refusal(value)
    assert found == reason
    assert message.startswith(path)
    for record_time in (None, NOON):
        assert INGEST.read_batch([(value, 0, record_time)])[1][0][1].reason == reason, "the batch reads alike"


def test_a_field_of_a_wrong_type_is_kept_and_is_no_error() -> None:
    event = read(encode(value="many", items=7, props=[1], traits="x", context=False, received_at="soon"))
    assert (event.value, event.items, event.props, event.traits) == ("many", 7, [1], "x")
    assert event.record_time == NOON


def test_the_record_time_is_given_else_received_at_else_the_event_time() -> None:
    assert read(encode(received_at=NOON + 9), record_time=NOON + 1).record_time == NOON + 1
    assert read(encode(received_at=format_instant(NOON + 9))).record_time == NOON + 9
    assert read(encode()).record_time == NOON


def test_clock_advanced_needs_only_its_time() -> None:
    event = read(b'{"type": "clock_advanced", "time": 1795262400000}')
    assert (event.user, event.time) == ("", NOON)
    assert refusal(b'{"type": "clock_advanced"}')[0] == "bad_time"


def test_what_ingest_sets_cannot_be_sent() -> None:
    event = read(encode(**{"\x7fuser": "root", "\x7foffset": 9, "\x7fclamped": True, "\x7frecord_time": 1}))
    assert (event.user, event.offset, event.clamped, event.record_time) == ("u1", 0, False, NOON)


def test_what_ingest_sets_is_refused_where_it_could_not_even_be_overwritten() -> None:
    row = {**GOOD, "\x7foffset": "here"}
    assert refusal(json.dumps(row).encode())[0] == "bad_json"
    with pytest.raises(RecordError, match="bad_json"):
        INGEST.read_row(row, offset=0)


def test_an_event_without_id_gets_the_one_that_its_content_gives() -> None:
    sent = {"type": "product_viewed", "time": NOON, "user_id": "u1", "props": {"a": 1}, "colour": "red"}
    canonical = {**sent, "props": {"a": 1, "colour": "red"}}
    del canonical["colour"]
    expected = derive_event_id("u1", NOON, "product_viewed", canonical)
    for ways in (sent, {**sent, "id": None}, {**sent, "id": "", "received_at": NOON + 4}, canonical):
        value = json.dumps(ways).encode()
        assert read(value).id == expected
        assert INGEST.read_batch([(value, 0, None)])[0][0].id == expected
        assert Ingest(load_mapping("canonical")).read_row(ways, offset=0)[0].id == expected


def test_unknown_fields_that_definitions_read_are_caught() -> None:
    event = Ingest(event_type=event_type(["colour"])).read(encode(colour="red"), offset=0)
    assert read_field("props.colour")(event) == "red"


def test_fields_that_nobody_reads_are_checked_but_not_decoded() -> None:
    lean = Ingest(event_type=event_type(["colour"], ["value"]))
    sent = encode(value=5, items=[{}], props={"a": 1}, colour="red", traits={"a": 1}, received_at=NOON + 1)
    event = lean.read(sent, offset=0)
    assert (event.value, event.items, event.props, event.traits) == (5, None, None, {"a": 1})
    assert (read_field("props.colour")(event), event.record_time) == ("red", NOON + 1)
    for broken in ("[1,]", "01", '"\\q"', '"\\ud800"', '"\n"', "{1:2}", "NaN", '"\u00ff'):
        value = encode()[:-1] + b', "props": ' + broken.encode("latin-1") + b"}"
        for reader in (INGEST, lean):
            assert reader.read_batch([(value, 0, NOON)])[1][0][1].reason == "bad_json"


def test_an_id_is_derived_from_what_was_sent_whatever_is_decoded() -> None:
    lean = Ingest(event_type=event_type(read=()))
    sent = {"type": "product_viewed", "time": NOON, "anonymous_id": "a", "props": {"a": 1}, "items": [1]}
    for way in (sent, {**sent, "colour": "red"}):
        assert lean.read(encode(**way, id=None), offset=0).id == read(encode(**way, id=None)).id
        assert lean.read_row({**GOOD, **way, "id": ""}, offset=0).pop().id == read(encode(**way, id="")).id


def test_nesting_up_to_the_limit_is_read_whatever_else_the_record_holds() -> None:
    def nested(levels: int) -> bytes:
        inner = "[" * (levels - 1) + "]" * (levels - 1)
        return encode(props=None)[:-1] + b', "x": ' + inner.encode() + b', "y": "[[[\\"[["}'

    assert read(nested(MAX_DEPTH)).id == "e1"
    assert refusal(nested(MAX_DEPTH + 1))[0] == "bad_json"
    wide = encode(items=[{"product_id": str(number)} for number in range(2 * MAX_DEPTH)])
    assert len(read(wide).items) == 2 * MAX_DEPTH


def test_a_batch_tells_which_records_failed_and_keeps_the_rest_in_order() -> None:
    events, errors = INGEST.read_batch(
        [(encode(id="a"), 5, None), (b"{", 6, None), (encode(id="b"), 7, NOON)]
    )
    assert [(event.id, event.offset) for event in events] == [("a", 5), ("b", 7)]
    assert [(index, error.reason) for index, error in errors] == [(1, "bad_json")]


def test_the_size_limit_can_be_set() -> None:
    with pytest.raises(RecordError, match="too_large"):
        Ingest(max_event_bytes=10).read(encode(), offset=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENVELOPE = st.dictionaries(
    st.sampled_from([*GOOD, "anonymous_id", "received_at", "items", "props", "traits", "value", "extra"]),
    JSON,
)
TIMES = (
    st.integers(0, 4 * 10**12)
    | st.text(max_size=30)
    | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)


@given(ENVELOPE, TIMES, st.booleans())
def test_any_object_is_an_event_or_a_record_error(fields: dict[str, Any], time: Any, sane: bool) -> None:
    value = json.dumps({**GOOD, **fields, "time": time} if sane else fields).encode()
    check_reading(value)


@given(st.binary(max_size=200), st.integers(0, 60))
@example(b'"\\ud800', 12)
def test_any_bytes_are_an_event_or_a_record_error(noise: bytes, at: int) -> None:
    good = encode()
    check_reading(noise)
    check_reading(good[:at] + noise + good[at:])


def check_reading(value: bytes) -> None:
    """Read one by one and as a batch: both agree, and nothing but RecordError is raised."""
    for record_time in (None, NOON):
        events, errors = INGEST.read_batch([(value, 0, record_time)])
        if errors:
            assert not events
            assert refusal(value) == (errors[0][1].reason, errors[0][1].message)
        else:
            event = read(value, record_time=record_time)
            assert events == [event]
            assert type(event.time) is int
            assert event.user.encode() or event.type == "clock_advanced"
            assert event.id or event.type == "clock_advanced"


SECOND = st.datetimes().map(lambda moment: moment.isoformat())


@given(
    SECOND,
    st.sampled_from(["Z", "z", "+01:00", "", "+0100", " Z"]),
    st.text("0123456789.,:-TZW", max_size=26),
)
@example("2026-11-21T23:59:60.000", "Z", "")
@example("2026-11-21T23:59:59,000", "Z", "")
@example("2026-W01-1T00:00:00.000", "Z", "")
@example("0001-12-31T23:59:59.999", "Z", "")
@example("2026-11-21T24:00:01.000", "Z", "")
def test_the_quick_way_of_reading_times_agrees_with_the_exact_one(text: str, zone: str, noise: str) -> None:
    for candidate in (text + zone, text[:19] + ".123" + zone, text[:23].ljust(23, "0") + zone, noise):
        assert outcome(read_instant, candidate) == outcome(parse_instant, candidate)


def outcome(parse: Any, text: str) -> object:
    try:
        return parse(text)
    except ValueError as error:
        return str(error)
