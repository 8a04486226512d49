"""A real log against a direct computation: who abandons a cart, and when, read off the CSV without the engine.

The direct computation below is written from the meaning of the language alone and shares no code with `stream`: for
the log in time order with one pass over each visitor's carts and orders, for the log as it is stored (half of its rows
are late) with a small model of one partition's clock.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.cli import main

LOG = Path(__file__).parents[3] / "shared" / "data" / "retailrocket_events_100k.csv.gz"
pytestmark = pytest.mark.skipif(not LOG.exists(), reason="the RetailRocket sample is not beside the project")

WAIT = 30 * 60_000
DAY = 24 * 3_600_000
EVENTS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
"""
WHILE_TRUE = f"""{EVENTS}
segments:
  cart_abandoned:
    when: {{seq: [{{do: cart}}, {{not: buy, for: 30m}}]}}
"""
UNTIL_BOUGHT = f"""{EVENTS}
segments:
  cart_abandoned:
    when: {{seq: [{{do: cart}}, {{not: buy, for: 30m}}]}}
    exit: {{do: buy}}
    ttl: 24h
"""

Row = tuple[int, str, str, str, str]
Found = tuple[str, str, int, int]
"""(visitor, type, effective_at, seq)."""


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with gzip.open(LOG, "rt", newline="") as file:
        records = csv.reader(file)
        next(records)
        return [(int(row[0]), row[1], row[2], row[3], row[4]) for row in records]


@pytest.fixture(scope="module")
def in_order(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log sorted by time; rows of the same millisecond stay as they stand."""
    file = tmp_path_factory.mktemp("retailrocket") / "sorted.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("timestamp", "visitorid", "event", "itemid", "transactionid"))
        writer.writerows(sorted(rows, key=lambda row: row[0]))
    return file


Replay = Callable[..., tuple[bytes, dict[str, Any]]]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """Runs `segstream replay`: the bytes of its output, and its counts. Each run is done once."""
    folder = tmp_path_factory.mktemp("replays")

    @cache
    def run(log: Path, definitions: str, *options: str) -> tuple[bytes, dict[str, Any]]:
        segments, out, stats = (folder / name for name in ("segments.yaml", "changes.jsonl", "stats.json"))
        segments.write_text(definitions, encoding="utf-8")
        arguments = ["replay", str(log), "--mapping", "retailrocket", "--segments", str(segments)]
        result = CliRunner().invoke(main, [*arguments, "--out", str(out), "--stats", str(stats), *options])
        assert result.exit_code == 0, result.output
        return out.read_bytes(), json.loads(stats.read_text())

    return run


def read_changes(output: bytes) -> list[Found]:
    changes = [json.loads(line) for line in output.splitlines()]
    return [(each["user"]["id"], each["type"], epoch(each["effective_at"]), each["seq"]) for each in changes]


def epoch(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


# --- the log in time order -------------------------------------------------------------------------------------------


CUTS = (("1", "1"), ("500", "4"), ("100000", "7"))
"""Batch size and partitions."""


@pytest.mark.parametrize("definitions", [WHILE_TRUE, UNTIL_BOUGHT], ids=["while true", "until bought"])
def test_entries_and_exits_equal_the_direct_computation(
    rows: list[Row], in_order: Path, replay: Replay, definitions: str
) -> None:
    expected = sorted(directly(rows, bought_only=definitions is UNTIL_BOUGHT), key=output_order)
    assert len(expected) > 1400
    outputs = [
        replay(in_order, definitions, "--batch-size", size, "--partitions", partitions)[0]
        for size, partitions in CUTS
    ]
    assert read_changes(outputs[0]) == expected
    assert all(output == outputs[0] for output in outputs), "the same to the byte however the work is cut"


def directly(rows: list[Row], bought_only: bool) -> Iterator[Found]:
    """Carts untouched for half an hour; left at the next cart or order, or only at an order or a day later."""
    end = max(row[0] for row in rows)
    carts, orders = defaultdict(set), defaultdict(set)
    for time, visitor, event, _, _ in rows:
        if event == "addtocart":
            carts[visitor].add(time)
        elif event == "transaction":
            orders[visitor].add(time)
    for visitor, added in carts.items():
        seq, out_since = 0, -1
        for cart in sorted(added):
            entry = cart + WAIT
            touched = [time for time in orders[visitor] if cart <= time <= entry]
            touched += [time for time in added if cart < time <= entry]
            if touched or entry > end or entry <= out_since:
                continue
            ends = [time for time in orders[visitor] if time > entry]
            ends += [entry + DAY] if bought_only else [time for time in added if time > entry]
            seq += 1
            yield visitor, "entered", entry, seq
            out_since = min(ends, default=end + 1)
            if out_since <= end:
                seq += 1
                yield visitor, "exited", out_since, seq


def output_order(found: Found) -> tuple[int, str, int]:
    visitor, _, effective_at, seq = found
    return effective_at, visitor, seq


# --- the log as it is stored -----------------------------------------------------------------------------------------


def test_as_stored_the_batch_size_changes_nothing(replay: Replay) -> None:
    outputs = [replay(LOG, WHILE_TRUE, "--batch-size", size)[0] for size, _ in CUTS]
    assert all(output == outputs[0] for output in outputs)


def test_as_stored_the_changes_equal_the_model(rows: list[Row], replay: Replay) -> None:
    expected = sorted(Model().run(rows), key=output_order)
    found = read_changes(replay(LOG, WHILE_TRUE, "--batch-size", "500")[0])
    assert {kind for _, kind, _, _ in expected} == {"entered", "exited", "retracted"}
    assert found == expected


@dataclass
class Visitor:
    """What is known of a visitor, and how far the visitor's own clock has come."""

    carts: set[int] = field(default_factory=set)
    orders: set[int] = field(default_factory=set)
    seen: set[Row] = field(default_factory=set)
    clock: int = 0
    member_since: int | None = None
    seq: int = 0

    def abandoned_at(self) -> int | None:
        """When the newest cart counts as abandoned; None if it was bought."""
        newest = max(self.carts, default=None)
        if newest is None or any(time >= newest for time in self.orders):
            return None
        return newest + WAIT


class Model:
    """One partition: its watermark, and each visitor evaluated as the records come."""

    def __init__(self) -> None:
        self.visitors: dict[str, Visitor] = defaultdict(Visitor)
        self.watermark = 0
        self.found: list[Found] = []

    def run(self, rows: list[Row]) -> list[Found]:
        for row in rows:
            time, visitor, event, _, _ = row
            if event != "view":
                self.apply(row, visitor, self.visitors[visitor])
            self.watermark = max(self.watermark, time)
        for visitor, state in self.visitors.items():
            self.fire(visitor, state, self.watermark + 1)
        return self.found

    def apply(self, row: Row, visitor: str, state: Visitor) -> None:
        time, _, event, _, _ = row
        if row in state.seen:
            return
        state.seen.add(row)
        self.fire(visitor, state, max(time, self.watermark))
        late = time < state.clock
        (state.carts if event == "addtocart" else state.orders).add(time)
        state.clock = max(state.clock, time)
        due = state.abandoned_at()
        holds = due is not None and due <= state.clock
        if state.member_since is None and holds:
            self.change(visitor, state, "entered", state.clock)
        elif state.member_since is not None and not holds:
            taken_back = late and time <= state.member_since
            self.change(visitor, state, "retracted" if taken_back else "exited", state.clock)

    def fire(self, visitor: str, state: Visitor, before: int) -> None:
        due = state.abandoned_at()
        if state.member_since is None and due is not None and state.clock < due < before:
            self.change(visitor, state, "entered", due)

    def change(self, visitor: str, state: Visitor, kind: str, at: int) -> None:
        state.seq += 1
        state.clock = at
        state.member_since = at if kind == "entered" else None
        self.found.append((visitor, kind, at, state.seq))


# --- what is published about the log ---------------------------------------------------------------------------------


def test_the_counts_of_the_log_are_those_of_its_description(replay: Replay) -> None:
    stats = replay(LOG, WHILE_TRUE, "--batch-size", "500")[1]
    assert stats["records"] == stats["events"] == 100_000
    assert stats["ignored"] == 96_754  # views: nothing here asks for them
    assert stats["users"] == 1_479 + 65  # with a cart; with an order alone
    assert stats["dead_letters"] == {}
