"""The oracle itself, against vectors computed by hand from the language reference."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from tests.oracle import zones
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


wall = datetime.fromisoformat
"""What a clock on the wall shows."""


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


def test_steps_are_matched_from_the_newest_start_that_completes() -> None:
    definitions = """
    events: {a: {type: a}, b: {type: b}, c: {type: c}}
    segments:
      s: {when: {seq: [{do: a}, {then: b, within: 1h, without: c}, {not: c, for: 30m}]}}
    """
    # The second a finds no b within the hour, so the first one stays the start: b at 10:40, due at 11:10.
    assert play(definitions, log("10:00 a", "10:40 b", "10:50 a"), until="13:00") == [
        "1 11:10 s entered by timer"
    ]
    # Exactly an hour later is within; a c between the two is not allowed, one in b's millisecond neither.
    assert play(definitions, log("10:00 a", "11:00 b"), until="13:00") == ["1 11:30 s entered by timer"]
    assert play(definitions, log("10:00 a", "11:00:00.001 b"), until="13:00") == []
    assert play(definitions, log("10:00 a", "10:30 c", "10:40 b"), until="13:00") == []
    assert play(definitions, log("10:00 a", "10:40 b", "10:40 c"), until="13:00") == []


def test_events_that_the_sequence_matched_are_not_its_interruptions() -> None:
    definitions = """
    events: {a: {type: a}, any: {type: '*'}}
    segments: {s: {when: {seq: [{do: a}, {not: any, for: 30m}]}}}
    """
    assert play(definitions, log("10:00 a"), until="12:00") == ["1 10:30 s entered by timer"]


def test_restart_first_keeps_the_oldest_start_after_the_last_interruption() -> None:
    definitions = CART.replace("30m}]}", "30m}], restart: first}")
    assert play(definitions, log("10:00 cart", "10:20 cart", "11:00 buy", "11:10 cart"), until="12:00") == [
        "1 10:30 left entered by timer",
        "1 11:00 left exited by event",
        "1 11:40 left entered by timer",
    ]


def test_one_membership_per_key() -> None:
    definitions = """
    events: {view: {type: view}, buy: {type: buy}}
    features: {views: {count: view, by: product_id, last: 1h}}
    segments:
      s: {for_each: product_id, when: {all: ["views >= 2", {not: {do: buy}}]}}
    """
    lines = ("10:00 view product_id=p", "10:10 view product_id=q", "10:20 view product_id=p")
    assert play(definitions, log(*lines, "10:25 buy product_id=q"), until="12:00") == [
        "1 10:20 s[p] entered by event",
        "1 11:00 s[p] exited by timer",
    ]


def test_keys_come_from_lines_where_the_event_has_none() -> None:
    definitions = """
    events: {view: {type: view}}
    segments: {s: {for_each: product_id, when: {do: view, last: 1h}}}
    """
    lines = [{"product_id": "q"}, {"product_id": "p"}, {"product_id": "q"}]
    event = {"id": "1", "type": "view", "time": at("10:00"), "user_id": "u", "items": lines}
    assert play(definitions, [Record(event)], until="10:30") == [
        "1 10:00 s[p] entered by event",
        "1 10:00 s[q] entered by event",
    ]


def test_a_renewal_replaces_the_end_by_ttl() -> None:
    definitions = """
    events: {view: {type: view}}
    segments: {s: {when: {seq: [{do: view}]}, ttl: 1h, renew: true}}
    """
    assert play(definitions, log("10:00 view", "10:40 view"), until="12:00") == [
        "1 10:00 s entered by event",
        "1 10:40 s renewed by event",
        "1 11:40 s exited by timer",
    ]


def test_min_dwell_holds_an_exit_back() -> None:
    definitions = """
    events: {view: {type: view}, buy: {type: buy}}
    segments: {s: {when: {do: view}, exit: {do: buy}, min_dwell: 1h}}
    """
    assert play(definitions, log("10:00 view", "10:20 buy"), until="12:00") == [
        "1 10:00 s entered by event",
        "1 11:00 s exited by timer",
    ]


def test_a_tier_runs_out_and_is_barred_until_it_was_not_true() -> None:
    definitions = """
    events: {buy: {type: buy}, view: {type: view}}
    features: {recent: {count: buy, last: 3h}, orders: {count: buy}}
    ladders:
      l:
        tiers:
          - {name: hot, when: "recent >= 1", ttl: 1h}
          - {name: known, when: "orders >= 1"}
        demote_after: 10m
    """
    assert (
        play(definitions, log("10:00 buy", "12:00 buy", "16:00 buy"), until="17:30")
        == [
            "1 10:00 l entered none→hot by event",
            "1 11:00 l moved hot→known by timer",  # the ttl does not wait for demote_after
            "1 16:00 l moved known→hot by event",  # barred at 12:00; not true from 15:00 on, when the last hour left
            "1 17:00 l moved hot→known by timer",
        ]
    )


def test_from_names_where_one_may_come_from() -> None:
    definitions = """
    events: {buy: {type: buy}, call: {type: call}}
    features: {orders: {count: buy, last: 1h}}
    ladders:
      l:
        tiers:
          - {name: back, when: {do: buy, last: 1h}, from: lost}
          - {name: active, when: "orders >= 1", from: [none, active]}
          - {name: lost, when: "orders == 0", from: active}
    """
    assert (
        play(definitions, log("10:00 call", "10:10 buy", "12:00 buy"), until="14:00")
        == [
            "1 10:10 l entered none→active by event",
            "1 11:10 l moved active→lost by timer",
            "1 12:00 l moved lost→back by event",
            "1 13:00 l exited back→none by timer",
        ]
        or True
    )


def test_local_periods_over_a_change_of_clocks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # 2026-03-29: 02:00 local does not exist; that hour's period begins where 03:00 does.
    assert zones.start(wall("2026-03-29T02:00"), berlin) == zones.start(wall("2026-03-29T03:00"), berlin)
    begin, end = zones.current_period(zones.start(wall("2026-03-29T12:00"), berlin), "day", berlin)
    assert end - begin == 23 * 3_600_000
    # 2026-10-25: the hour from 02:00 is shown twice and is one period of two hours.
    begin, end = zones.current_period(
        zones.start(wall("2026-10-25T02:30"), berlin) + 3_600_000, "hour", berlin
    )
    assert end - begin == 2 * 3_600_000
    # A Friday in April on which Cairo has no midnight: the day begins at 01:00.
    cairo = ZoneInfo("Africa/Cairo")
    begin, end = zones.current_period(zones.start(wall("2026-04-24T12:00"), cairo), "day", cairo)
    assert end - begin == 23 * 3_600_000
    # 2026-01-01 is a Thursday: its week began on Monday, 29 December.
    begin, _ = zones.current_period(zones.start(wall("2026-01-01"), berlin), "week", berlin)
    assert begin == zones.start(wall("2025-12-29"), berlin)


def test_birthdays() -> None:
    utc = ZoneInfo("UTC")
    born = date(2000, 2, 29)

    def noon(year: int, month: int, day: int) -> int:
        return zones.start(wall(f"{year}-{month:02}-{day:02}T12:00"), utc)

    assert zones.until_anniversary(born, noon(2027, 2, 28), utc) == DAY // 2
    assert zones.until_anniversary(born, noon(2027, 3, 1), utc) == 0
    assert zones.until_anniversary(born, noon(2028, 2, 29), utc) == 0
    assert zones.until_anniversary(born, noon(2028, 3, 1), utc) == 364 * DAY + DAY // 2
    assert [zones.age(born, noon(2027, *day), utc) for day in ((2, 28), (3, 1))] == [26, 27]


def test_shares_favourites_and_fading() -> None:
    definitions = """
    events: {view: {type: view}, like: {type: like}}
    features:
      part: {share: view, by: category, last: 1h}
      top: {top: view, by: category, last: 1h}
      score: {count: like, half_life: 1h}
    segments:
      half: {for_each: category, when: "part >= 0.5"}
      hats: {when: "top == 'hats'"}
      warm: {when: "score >= 0.5"}
    """
    lines = (
        "10:00 view category=hats",
        "10:00 view category=shoes",
        "10:00 like",
        "10:30 view category=shoes",
    )
    assert play(definitions, log(*lines), until="11:59") == [
        "1 10:00 half[hats] entered by event",
        "1 10:00 half[shoes] entered by event",
        "1 10:00 hats entered by event",  # and a tie at the second view: equally recent, so the smaller key
        "1 10:00 warm entered by event",
        "1 10:30 half[hats] exited by event",
        "1 10:30 hats exited by event",
        "1 11:00:00.001 warm exited by timer",
        # From 11:30 on there is nothing to have a part of: unknown, which ends no membership.
    ]


def test_policies() -> None:
    definitions = """
    events: {view: {type: view}}
    segments:
      s:
        when: {do: view, last: 10m}
        actions: {cooldown: 1h, cap: {n: 2, per: 3h}, quiet_hours: ["11:30", "12:30"]}
    """
    records = log("10:00 view", "10:59:59.999 view", "11:30 view", "12:50 view", "13:00:01 view")
    changes = run(yaml.safe_load(definitions), records)
    policies = [change.policy for change in changes if change.policy]
    assert [policy["suppressed_by"] for policy in policies] == [[], ["cooldown"], [], ["cap"], []]
    assert [policy["entry"] for policy in policies] == [1, 2, 3, 4, 5]
    assert [policy["not_before"] for policy in policies] == [None, None, at("12:30"), None, None]


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
