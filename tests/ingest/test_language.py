"""The language of mappings, construct by construct: what a value, a path, a condition, a fan-out gives."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid5

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import DefinitionError, RecordError
from stream.identifiers import NAMESPACE
from stream.ingest import Ingest
from stream.ingest.mapping import parse_mapping
from tests.ingest.test_envelope import JSON

ROW = {
    "a": {"b": {"c": 1}, "x.y": "dotted"},
    "list": [{"n": 1}, {"n": 2}],
    "ids": ["p", "q"],
    "counts": [1, 2],
    "text": " Ann ",
    "no": "off",
    "empty": "",
    "null": None,
    "zero": 0,
    "false": False,
    "pairs": [
        {"key": "size", "value": {"int": 7}},
        {"key": "tint", "value": {"str": "red"}},
        {"key": "", "value": 1},
    ],
}


def value_of(written: str, row: dict[str, Any] | None = None, head: str = "") -> Any:
    """What a value of a template gives for a row."""
    mapping = parse_mapping(
        f"{head}\nevent: {{type: {{const: t}}, time: at, user_id: who, props: {{v: {written}}}}}", "m.yaml"
    )
    (made,) = mapping.apply(ROW if row is None else row)
    return made.get("props", {}).get("v")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a.b.c", 1),
        ('\'a."x.y"\'', "dotted"),
        ("a.b.none.deeper", None),
        ("text.deeper", None),
        ("list.1.n", 2),
        ("list.-1.n", 2),
        ("list.7.n", None),
        ("$.a.b.c", 1),
        ("no", "off"),
        ("empty", None),
        ("'null'", None),
        ("zero", 0),
        ("'false'", False),
        ("{path: [empty, none, text], as: trim}", "Ann"),
        ("{first: [{path: none}, {const: 5}]}", 5),
        ("{path: none, default: 3}", 3),
        ("{path: zero, default: 3}", 0),
        ("{const: {k: [1, no, 2026-01-01, 12:30, true, null]}}", {"k": [1, "no", "2026-01-01", "12:30", True, None]}),
        ("{template: '{a.b.c}-{no}-{{x}}'}", "1-off-{x}"),
        ("{template: '{a.b.c}-{none}'}", None),
        ("{uuid5: [no, none, a.b.c]}", str(uuid5(NAMESPACE, "off\n\n1"))),
        ("{uuid5: [none, empty]}", None),
        ("{multiply: [{const: 3}, {const: 19.99}]}", 59.97),
        ("{multiply: [{const: 3}, none]}", None),
        ("{path: no, table: {off: false, on: true}}", False),
        ("{path: zero, table: {0: nothing}}", "nothing"),
        ("{path: text, table: {x: 1}}", " Ann "),
        ("{path: text, table: {x: 1}, else: 9}", 9),
        ("{path: none, table: {x: 1}, else: 9}", None),
        ("{when: {zero: {present: true}}, then: no, else: text}", "off"),
        ("{when: {zero: {above: 0}}, then: no}", None),
        ("{each: list, item: n}", [1, 2]),
        ("{each: list, match: {n: 2}, item: {m: n, all: $.no, up: ^.zero}}", [{"m": 2, "all": "off", "up": 0}]),
        ("{each: list, drop: {n: {at_least: 2}}, item: n, as: first}", 1),
        ("{each: {id: ids, n: counts}, item: {id: id, n: n}}", [{"id": "p", "n": 1}, {"id": "q", "n": 2}]),
        ("{each: ids, item: .}", ["p", "q"]),
        ("{each: a, item: b.c}", [1]),
        ("{each: text, item: .}", None),
        ("{merge: [a.b, text, {d: no}]}", {"c": 1, "d": "off"}),
        ("{path: {path: no}, first: text}", {"path": "off", "first": " Ann "}),
        ("[no, none, {x: none}]", ["off"]),
        ("{path: pairs, as: {pivot: {key: key, value: [value.int, value.str]}}}", {"size": 7, "tint": "red"}),
    ],
)  # fmt: skip
def test_values(written: str, expected: Any) -> None:
    assert value_of(written) == expected


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{no: off}", True),
        ("{no: [on, off]}", True),
        ("{zero: 0}", True),
        ("{zero: '0'}", True),
        ("{'false': false}", True),
        ("{a.b.c: {at_most: 1, above: 0}}", True),
        ("{text: {above: 0}}", False),
        ("{text: {contains: nn, starts_with: ' '}}", True),
        ("{none: {contains: x}}", False),
        ("{none: {present: false}, empty: {present: false}}", True),
        ("{zero: {present: true}}", True),
        ("{no: {not: [on]}}", True),
        ("{none: {not: on}}", True),
        ("{no: {not: off}}", False),
        ("{text: {as: trim, is: Ann}}", True),
        ("{text: {as: number, below: 3}}", False),
        ("[{no: on}, {zero: 0}]", True),
        ("[{no: on}, {zero: 0, no: x}]", False),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    assert value_of(f"{{when: {condition}, then: {{const: 1}}, else: {{const: 0}}}}") == int(holds)


def apply(text: str, row: Any, **origin: Any) -> list[dict[str, Any]]:
    beside = SimpleNamespace(key=origin.get("key"), headers=origin.get("headers", ()))
    return parse_mapping(text, "m.yaml").apply(row, beside, origin.get("timestamp"))


EVENT = "event: {type: kind, time: at, user_id: who}"


def test_a_record_fans_out_level_by_level_and_drops_on_the_way() -> None:
    text = """
        each: [orders, lines]
        drop: {state: void}
        event: {type: {const: bought}, time: ^.at, user_id: $.who, order_id: ^.no, value: price, props: {up: ^.^.who}}
    """
    row = {
        "who": 7,
        "orders": [
            {"no": 1, "at": 5, "lines": [{"price": "2.5"}, {"price": 3, "state": "void"}]},
            {"no": 2, "at": 6, "lines": {"price": "x"}},
            {"no": 3, "at": 7, "lines": []},
        ],
    }
    assert apply(text, row) == [
        {"type": "bought", "time": 5, "user_id": "7", "order_id": "1", "value": 2.5, "props": {"up": 7}},
        {"type": "bought", "time": 6, "user_id": "7", "order_id": "2", "value": "x", "props": {"up": 7}},
    ]
    with pytest.raises(RecordError, match="orders: expected a list to make events of, not nothing") as caught:
        apply(text, {"who": 7})
    assert caught.value.reason == "bad_row"


def test_lists_side_by_side_must_be_of_one_length() -> None:
    text = "each: {n: ns, m: ms}\nevent: {type: n, time: m, user_id: ^.who}"
    made = apply(text, {"who": "w", "ns": ["a", "b"], "ms": [1, 2]})
    assert [(each["type"], each["time"]) for each in made] == [("a", 1), ("b", 2)]
    with pytest.raises(RecordError, match="`n` has 1, `m` has 2"):
        apply(text, {"ns": ["a"], "ms": [1, 2]})


def test_the_first_case_that_matches_counts() -> None:
    text = """
        cases:
          - match: {$headers.Topic: orders, $key: k}
            event: {type: {const: order}, time: $timestamp, user_id: who}
          - match: {kind: [a, b]}
            drop: {who: tester}
            event: {type: kind, time: at, user_id: who}
    """
    row = {"kind": "a", "at": 1, "who": "w"}
    headers = [("topic", b"other"), ("TOPIC", b"orders"), ("bytes", b"\xff"), ("null", None)]
    assert apply(text, row, key=b"k", headers=headers, timestamp=9)[0]["type"] == "order"
    assert apply(text, row, key=b"k", headers=headers, timestamp=9)[0]["time"] == 9
    assert apply(text, row, key=b"\xff", headers=headers)[0]["type"] == "a"
    assert apply(text, {**row, "who": "tester"}) == []
    with pytest.raises(RecordError) as caught:
        apply(text, {"kind": "c"})
    assert caught.value.reason == "no_match"


def test_a_mapping_with_match_refuses_everything_else() -> None:
    text = f"match: {{v: 2}}\n{EVENT}"
    assert apply(text, {"v": 2, "kind": "x"}) == [{"type": "x"}]
    with pytest.raises(RecordError):
        apply(text, {"v": 1, "kind": "x"})


def test_events_of_one_record_get_ids_of_their_own() -> None:
    text = "each: list\nevent: {type: {const: t}, time: n, user_id: {const: u}, id: ^.no}"
    assert [each["id"] for each in apply(text, ROW)] == ["off", "off/2"]


def test_a_list_at_the_root() -> None:
    ingest = Ingest(parse_mapping("each: .\nevent: {type: {const: t}, time: at, user_id: who}", "m.yaml"))
    raw = b'[{"at": 1795250000000, "who": 1}, {"at": 1795250000001, "who": 2}]'
    assert [event.user for event in ingest.read_all(raw, offset=0)] == ["1", "2"]
    assert [event.user for event in ingest.read_all(raw[1:32], offset=0)] == ["1"]


def test_clocks_are_corrected_by_when_it_was_sent_and_received() -> None:
    text = "event: {type: t, user_id: who, time: {path: at, as: s, clock: {sent: sent, received: got}}}"
    assert apply(text, {"at": 1795250000, "sent": 1795250010, "got": 1795249000})[0]["time"] == 1795248990_000
    assert apply(text, {"at": 1795250000, "sent": 1795250010})[0]["time"] == 1795250000_000


def test_fields_are_decoded_before_paths_are_read() -> None:
    text = f"decode: {{payload: [base64, json]}}\n{EVENT.replace('kind', 'payload.kind')}"
    row = {"payload": "eyJraW5kIjoieCJ9", "at": 1}
    assert apply(text, row) == [{"type": "x", "time": 1}]
    assert row["payload"] == "eyJraW5kIjoieCJ9"  # the record itself stays as it is
    with pytest.raises(RecordError, match=r"\$.payload: expected JSON"):
        apply(text, {"payload": "e30x"})


def test_records_of_a_topic_may_be_rows() -> None:
    text = """
        rows: {delimiter: tab, columns: [kind, at, who], quotes: false}
        event: {type: kind, time: {path: at, as: s}, user_id: who}
    """
    ingest = Ingest(parse_mapping(text, "m.yaml"))
    assert ingest.read(b'a"b\t1795250000\tw\r\n', offset=0).type == 'a"b'
    for raw, reason in (
        (b"a\t1\tw\tmore", "bad_row"),
        (b"\xff\t1\tw", "bad_row"),
        (b"x" * 300_000, "too_large"),
    ):
        with pytest.raises(RecordError) as caught:
            ingest.read(raw, offset=0)
        assert caught.value.reason == reason
    quoted = Ingest(parse_mapping(text.replace(", quotes: false", ""), "m.yaml"))
    assert quoted.read(b'"two\nlines"\t1795250000\tw', offset=0).type == "two\nlines"


def test_a_table_is_checked_against_the_mapping_before_it_is_read() -> None:
    mapping = parse_mapping(
        "event:\n  type: kind\n  time: {path: [at, when]}\n  user_id: custmer\n", "m.yaml"
    )
    mapping.check_columns(["kind", "at", "custmer"])
    with pytest.raises(
        DefinitionError, match=r"m.yaml:4:12: .* no column `custmer`; did you mean `customer`"
    ):
        mapping.check_columns(["kind", "when", "customer"])
    with pytest.raises(DefinitionError, match=r"`rows: {delimiter: ';'}` is missing"):
        mapping.check_columns(["kind;at;custmer"])


MISTAKES = {
    "event: {tipe: a, time: b, user_id: c}": "1:9: unknown key `tipe`",
    "event: {type: a, user_id: c}": "1:8: `time` is missing",
    "event: {type: a, time: b}": "1:8: `user_id` is missing",
    "event: {type: a, time: {path: b, as: is8601}, user_id: c}": "1:38: a transform must be one of",
    "event: {type: a, time: {path: b, as: date}, user_id: c}": "1:38: `date` is told something: {date: '%d.%m.%Y",
    "event: {type: a, time: {path: b, as: {date: dd.MM.yyyy}}, user_id: c}": "did you mean `%d.%m.%Y`?",
    "event: {type: a, time: {path: b, as: {date: '%d.%m.%Q'}}, user_id: c}": "1:45: `%Q` is unknown",
    "event: {type: a, time: {path: b, as: {date: '%H:%M'}}, user_id: c}": "1:45: a date format needs a year",
    "event: {type: a, time: {path: b, as: {date: '%d.%m.%Y'}}, user_id: c}": "1:45: `%d.%m.%Y` gives local times",
    "event: {type: a, time: {path: b, as: excel}, user_id: c}": "1:38: `excel` gives local times",
    "timezone: Europe/Berlim\nevent: {type: a, time: b, user_id: c}": "1:11: unknown timezone `Europe/Berlim`; did you",
    "event: {type: a..b, time: b, user_id: c}": "1:15: `a..b` is no path",
    "event: {type: 5, time: b, user_id: c}": "1:15: `5` is no path: a constant is written {const: 5}",
    "event: {type: , time: b, user_id: c}": "1:14: expected a path",
    "event: {type: ^.a, time: b, user_id: c}": "1:15: `^.a` leaves more items than stand around it (0)",
    "event: {type: $headers, time: b, user_id: c}": "1:15: `$headers` takes the name of one header",
    "event: {type: {template: 'a{b'}, time: b, user_id: c}": "1:26: a `{` stands alone",
    "event: {type: {path: a, else: x}, time: b, user_id: c}": "1:25: `else` says what a `table` gives",
    "event: {type: {path: a, tabel: x}, time: b, user_id: c}": "`tabel` in a value with `path`; did you mean `table`?",
    "event: {type: a, time: {path: b, clock: {sent: x}}, user_id: c}": "1:41: `clock` needs `received:`",
    "event: {type: {first: []}, time: b, user_id: c}": "1:23: this list is empty",
    "event: {type: a, time: {path: b, as: {divide: 0}}, user_id: c}": "1:47: `divide` takes a number other than 0",
    "event: {type: a, time: {path: b, as: {decimal: x}}, user_id: c}": "1:48: decimal must be one of",
    "event: {type: a, time: {path: b, as: {split: ''}}, user_id: c}": "1:46: `split` needs what stands between",
    "event: {type: a, time: {path: b, as: {pivot: {key: k}}}, user_id: c}": "1:46: `pivot` needs `key:` and `value:`",
    "event: {type: a, time: {path: b, as: {trim: 1}}, user_id: c}": "1:39: unknown key `trim` in a transform",
    "drop: paid\nevent: {type: a, time: b, user_id: c}": "1:7: `drop` asks fields for values",
    "drop: {}\nevent: {type: a, time: b, user_id: c}": "1:7: `drop` names no condition",
    "drop: {a: {bellow: 0}}\nevent: {type: a, time: b, user_id: c}": "1:12: unknown key `bellow` in a condition; did",
    "drop: {a: {below: x}}\nevent: {type: a, time: b, user_id: c}": "1:19: below must be a number",
    "drop: {a: null}\nevent: {type: a, time: b, user_id: c}": "1:11: nothing is asked for with {present: false}",
    "rows: {delimiter: ';;'}\nevent: {type: a, time: b, user_id: c}": "1:19: a delimiter is one character",
    "rows: {encoding: utf-61}\nevent: {type: a, time: b, user_id: c}": "1:18: unknown encoding `utf-61`; did you mean",
    "rows: {columns: [a, b, a]}\nevent: {type: a, time: b, user_id: a}": "1:24: the column `a` is named twice",
    "rows: {columns: [a, b]}\nevent: {type: a, time: b, user_id: c}": "2:36: unknown column `c`",
    "decode: {a.b: json}\nevent: {type: a, time: b, user_id: c}": "1:10: `a.b`: only whole fields",
    "cases: [{event: {type: a, time: b, user_id: c}, evnt: 1}]": "unknown key `evnt` in a case; did you mean `event`?",
    "cases: []\nevent: {type: a, time: b, user_id: c}": "1:1: there is either one `event`, or `cases`",
    "each: []": "`event` is missing",
    "identity: true\nmatch: {a: b}": "2:1: a mapping with `identity: true` changes nothing; leave `match` out",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_told_with_their_place_and_a_near_miss(text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_mapping(text, "m.yaml")
    assert MISTAKES[text] in str(caught.value)
    assert all(str(problem).startswith("m.yaml:") for problem in caught.value.problems)


NODES = st.recursive(
    st.sampled_from(["a", "a.b", "$.a", "^.a", ".", "$key", "", None, 5, True, "{a}", "s"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["path", "const", "as", "table", "first", "when", "then", "each", "item", "merge", "uuid5", "clock", "x",
             "template", "multiply", "match", "drop", "else", "default", "below", "present", "pivot", "date"]
        ),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(NODES, JSON)
def test_whatever_is_written_is_compiled_or_refused_with_places(part: Any, record: Any) -> None:
    text = yaml.safe_dump(
        {"each": "list", "event": {"type": part, "time": "at", "user_id": part, "props": part}}
    )
    try:
        mapping = parse_mapping(text, "m.yaml")
    except DefinitionError:
        return
    for row in ({"list": [record], "a": record}, {"list": record}, record):
        with suppress(RecordError):
            assert isinstance(mapping.apply(row), list)


def test_a_batch_hands_each_record_its_own_headers_and_agrees_with_single_records() -> None:
    mapping = parse_mapping(
        "event: {type: $headers.what, time: at, user_id: who.id, id: id, props: {n: who.n.0}}", "m.yaml"
    )
    ingest = Ingest(mapping)
    values = [
        b'{"at": 1795250000000, "who": {"id": "u", "n": [1]}, "id": "a"}',
        b'{"at": 1795250000000, "who": "u", "id": "b"}',  # no object: nothing below it
        b'{"at": 1795250000000, "who": {"id": 7, "n": 5}, "skipped": {"deep": [1, 2, {"x": "\xc3\xa4"}]}}',
        b'{"at": 1, "who": {"id": "u"}}',
        b"[1]",
        b"{",
    ]
    origins = [SimpleNamespace(key=None, headers=[("what", b"t%d" % index)]) for index in range(len(values))]
    rows = [(value, index, 9) for index, value in enumerate(values)]
    events, errors = ingest.read_batch(rows, origins)
    assert [(event.type, event.user, event.props, event.offset) for event in events] == [
        ("t0", "u", {"n": 1}, 0),
        ("t2", "7", None, 2),
    ]
    assert [(index, error.reason) for index, error in errors] == [
        (1, "bad_user"),
        (3, "bad_time"),
        (4, "not_an_object"),
        (5, "bad_json"),
    ]
    assert events[1] == ingest.read_all(values[2], offset=2, record_time=9, origin=origins[2])[0]
