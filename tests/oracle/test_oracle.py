"""The oracle itself, against vectors computed by hand from the language reference."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from tests.oracle.expressions import evaluate, parse
from tests.oracle.moment import micros
from tests.oracle.selection import Event, trait
from tests.oracle.timeline import Change, Record, Settings, run
from tests.oracle.values import UNKNOWN

DAY = 86_400_000


def at(text: str) -> int:
    """Milliseconds of `10:00`, `10:00:00.001` or `2 10:00` (the second day)."""
    day, _, clock = text.rpartition(" ")
    moment = datetime.fromisoformat(f"2026-03-{int(day or 1):02}T{clock}").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def log(*lines: str, user: str = "u") -> list[Record]:
    """Lines like `10:00 cart value=3 product_id=p` or `2 10:00 cart`; ids are e1, e2, … in the order given."""
    records = []
    for number, line in enumerate(lines, 1):
        words = line.split(" ")
        clock = " ".join(words[:2]) if words[0].isdigit() else words[0]
        kind, *fields = words[2:] if words[0].isdigit() else words[1:]
        body: dict[str, Any] = {"id": f"e{number}", "type": kind, "time": at(clock), "user_id": user}
        for name, _, value in (each.partition("=") for each in fields):
            body[name] = yaml.safe_load(value)
        records.append(Record(body))
    return records


def play(definitions: str, records: list[Record], until: str | None = None, **settings: Any) -> list[str]:
    changes = run(
        yaml.safe_load(definitions), records, Settings(**settings), None if until is None else at(until)
    )
    return [told(change) for change in changes]


def told(change: Change) -> str:
    moment = datetime.fromtimestamp(change.effective_at / 1000, UTC)
    clock = moment.strftime("%d %H:%M:%S.%f")[:-3].lstrip("0").removesuffix(".000").removesuffix(":00")
    tier = f" {change.previous or 'none'}→{change.value or 'none'}" if change.previous or change.value else ""
    instance = f"[{change.instance}]" if change.instance else ""
    return f"{clock} {change.segment}{instance} {change.type}{tier} by {change.cause}"


CART = """
events:
  cart: {type: cart}
  buy: {type: buy}
segments:
  left: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}}
"""


def test_a_cart_left_for_half_an_hour_enters_at_its_own_instant() -> None:
    assert play(CART, log("10:00 cart"), until="12:00") == ["1 10:30 left entered by timer"]


def test_a_purchase_after_the_half_hour_ends_it() -> None:
    assert play(CART, log("10:00 cart", "10:45 buy"), until="12:00") == [
        "1 10:30 left entered by timer",
        "1 10:45 left exited by event",
    ]


def test_a_purchase_in_the_same_millisecond_as_the_cart_counts() -> None:
    assert play(CART, log("10:00 cart", "10:00 buy"), until="12:00") == []


def test_a_purchase_at_the_very_instant_comes_before_the_verdict() -> None:
    assert play(CART, log("10:00 cart", "10:30 buy"), until="12:00") == []


def test_a_later_cart_moves_the_anchor_and_ends_the_membership() -> None:
    assert play(CART, log("10:00 cart", "10:40 cart"), until="12:00") == [
        "1 10:30 left entered by timer",
        "1 10:40 left exited by event",
        "1 11:10 left entered by timer",
    ]


def test_an_order_that_arrives_late_retracts() -> None:
    # The other user's event moves the watermark only; the due instant of u fires when its own clock passes.
    records = log("10:00 cart", "10:50 cart2", "10:10 buy")
    definitions = CART + "  seen: {when: {do: other}}\n"
    definitions = definitions.replace("buy: {type: buy}", "buy: {type: buy}\n  other: {type: cart2}")
    assert play(definitions, records, until="12:00") == [
        "1 10:30 left entered by timer",
        "1 10:50 left retracted by late_event",
        "1 10:50 seen entered by event",
    ]


def test_a_late_cart_retracts_and_comes_again_when_due() -> None:
    definitions = CART.replace("buy: {type: buy}", "buy: {type: buy}\n  other: {type: '*'}")
    definitions += "  seen: {when: {do: other}}\n"
    entered = ["1 10:00 seen entered by event", "1 10:30 left entered by timer"]
    assert play(definitions, log("10:00 cart", "10:35 page", "10:20 cart"), until="12:00") == [
        *entered,
        "1 10:35 left retracted by late_event",
        "1 10:50 left entered by timer",
    ]
    assert play(definitions, log("10:00 cart", "10:55 page", "10:20 cart"), until="12:00") == [
        *entered,
        "1 10:55 left retracted by late_event",
        "1 10:55 left entered by late_event",
    ]


def test_explicit_exit_and_ttl() -> None:
    definitions = CART.replace("30m}]}}", "30m}]}, exit: {do: buy}, ttl: 2h}")
    assert play(definitions, log("10:00 cart", "10:40 cart", "11:00 buy"), until="14:00") == [
        "1 10:30 left entered by timer",
        "1 11:00 left exited by event",
    ]
    # Disarmed after the ttl, until the anchor moves.
    assert play(definitions, log("10:00 cart", "13:00 cart"), until="14:00") == [
        "1 10:30 left entered by timer",
        "1 12:30 left exited by timer",
        "1 13:30 left entered by timer",
    ]


def test_silence_is_true_a_millisecond_after_the_bound() -> None:
    definitions = """
    events: {active: {type: '*'}}
    features: {silence: {since_last: active}}
    segments:
      more: {when: "silence > 1h"}
      least: {when: "silence >= 1h"}
      exactly: {when: "silence == 1h"}
      around: {when: "abs(silence - 2h) < 10m"}
    """
    assert play(definitions, log("10:00 page"), until="13:00") == [
        "1 11:00 exactly entered by timer",
        "1 11:00 least entered by timer",
        "1 11:00:00.001 exactly exited by timer",
        "1 11:00:00.001 more entered by timer",
        "1 11:50:00.001 around entered by timer",
        "1 12:10 around exited by timer",
    ]


def test_windows_leave_exactly() -> None:
    definitions = """
    events: {buy: {type: buy}}
    features:
      last_hour: {count: buy, last: 1h}
      before: {count: buy, between: [2h, 1h]}
      run: {count: buy, session: 1h}
      today: {count: buy, calendar: day}
    segments:
      a: {when: "last_hour >= 2"}
      b: {when: "before >= 2"}
      c: {when: "run >= 2"}
      d: {when: "today >= 2"}
    """
    assert play(definitions, log("10:00 buy", "10:10 buy"), until="2 01:00") == [
        "1 10:10 a entered by event",
        "1 10:10 c entered by event",
        "1 10:10 d entered by event",
        "1 11:00 a exited by timer",
        "1 11:10 b entered by timer",
        "1 11:10:00.001 c exited by timer",
        "1 12:00 b exited by timer",
        "2 00:00 d exited by timer",
    ]


def test_one_wrong_phone_clock_fires_nobodys_timers() -> None:
    records = [
        Record({"id": "1", "type": "cart", "time": at("10:00"), "user_id": "a"}),
        Record(
            {"id": "2", "type": "cart", "time": at("20 10:00"), "received_at": at("10:01"), "user_id": "b"}
        ),
    ]
    changes = run(yaml.safe_load(CART), records)
    assert changes == []
    later = run(yaml.safe_load(CART), records, until=at("10:31"))
    assert [(change.user, change.effective_at, change.clamped) for change in later] == [
        ("a", at("10:30"), False),
        ("b", at("10:31"), False),
    ]


def test_idle_partitions_move_on_with_the_record_time() -> None:
    records = [
        Record({"id": "1", "type": "cart", "time": at("10:00"), "user_id": "u"}),
        Record({"id": "2", "type": "buy", "time": at("10:29"), "received_at": at("10:31"), "user_id": "u"}),
    ]
    assert play(CART, records, idle_after=1000) == [
        "1 10:30 left entered by timer",
        "1 10:30 left retracted by late_event",
    ]
    assert play(CART, records) == []


def test_duplicates_and_unread_events_change_nothing() -> None:
    again = log("10:00 cart", "10:20 cart")
    again[1].event["id"] = "e1"
    assert play(CART, again, until="12:00") == ["1 10:30 left entered by timer"]
    assert play(CART, log("10:00 page"), until="12:00") == []


def test_ladders_move_up_at_once_and_down_after_the_grace() -> None:
    definitions = """
    events: {buy: {type: buy}}
    features: {spend: {sum: buy.value, last: 1h}}
    ladders:
      tier:
        tiers: [{name: gold, when: "spend >= 100"}, {name: silver, when: "spend >= 20"}]
        demote_after: 30m
    """
    assert play(definitions, log("10:00 buy value=80", "10:30 buy value=20"), until="13:00") == [
        "1 10:00 tier entered none→silver by event",
        "1 10:30 tier moved silver→gold by event",
        "1 11:30 tier exited gold→none by timer",
    ]


def test_numbers() -> None:
    assert micros(0.0078125) == 7812  # 7812.5 is a tie: to even
    assert micros(0.1) == 100_000
    assert micros(-1.5) == -1_500_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 == 7", True),
        ("not 1 == 2 and true", True),
        ("-2 - -3", 1),
        ("2 * (1 + 1)", 4),
        ("1 / 0 > 1", UNKNOWN),
        ("1 / 0 > 1 or true", True),
        ("1 / 0 > 1 and false", False),
        ("coalesce(1 / 0, 5)", 5),
        ("'a' in ['b', 'a']", True),
        ("'a' == 1", UNKNOWN),
        ("null == null", True),
        ("max(90s, 1m) == 90000", True),
        ("min(1 / 0, 1)", UNKNOWN),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    class Nothing:
        def name(self, path: str) -> Any:
            return UNKNOWN

        def call(self, function: str, args: Any) -> Any:
            raise AssertionError

    found = evaluate(parse(text), Nothing())
    assert found is value or found == value


def test_traits_are_the_last_write_per_leaf() -> None:
    def event(number: int, traits: Any) -> Event:
        return Event(str(number), "t", number, {"traits": traits})

    assert trait([event(2, {"a": 2}), event(1, {"a": 1})], "a") == 2
    assert trait([event(1, {"a": {"b": 1}}), event(2, {"a": {"c": 2}})], "a.b") == 1
    assert trait([event(1, {"a": {"b": 1}}), event(2, {"a": 5})], "a.b") is UNKNOWN
    assert trait([event(1, {"a": 1}), event(2, {"a": None})], "a") is UNKNOWN
