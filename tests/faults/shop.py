"""The log that is played while faults are injected: a shop in time order, with poison in it.

What must come out is known twice: `segstream replay` of the same log, undisturbed, says all of it, and `carts` says
what one segment must do, from its meaning alone and without a line of the engine.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream.durations import DAY, MINUTE
from stream.instants import parse_instant
from stream.replay.partitioner import partition_of
from tests.kafka.harness import ROOT

START = parse_instant("2026-03-01T00:00:00Z")
PACK = "pack:retail"
WAIT = 30 * MINUTE
TYPES = (
    "page_viewed",
    "product_viewed",
    "product_viewed",
    "product_added",
    "product_added",
    "order_completed",
)
POISON = (
    b"{not json",
    b"[1, 2]",
    b'{"time": 1750000000000, "user_id": "u1"}',
    b'{"type": "product_added", "user_id": "u1"}',
    b'{"type": "product_added", "time": "yesterday", "user_id": "u1"}',
    b'{"type": "product_added", "time": 1750000000000}',
    b"\xff\xfe\x00",
)

Row = tuple[str, bytes, int]
"""Key, value, timestamp."""
Found = tuple[str, str, int, int]
"""(user, type, effective_at, seq)."""


@dataclass(frozen=True)
class Shop:
    """A log, and what must come out of it."""

    rows: list[Row]
    poison: int
    until: int
    """The instant up to which everything fires at the end."""
    changes: frozenset[bytes]
    carts: frozenset[Found] | None
    """What `cart_abandoned` must do; None where other definitions hold."""
    partitions: int


def open_shop(folder: Path, events: int, *, users: int = 300, seed: int = 1, partitions: int = 6) -> Shop:
    """`events` rows of a log, replayed."""
    rows = list(_rows(events, users, seed))
    until = rows[-1][2] + 2 * DAY
    closing = [json.dumps({"type": "clock_advanced", "time": until + 1}).encode()] * partitions
    log, out = folder / "shop.jsonl", folder / "shop.changes"
    offsets: dict[int, int] = defaultdict(int)
    with log.open("w") as file:
        placed = [(partition_of(key.encode(), partitions), key, value, at) for key, value, at in rows]
        placed += [(number, "", value, until + 1) for number, value in enumerate(closing)]
        for partition, key, value, at in placed:
            line = {"partition": partition, "offset": offsets[partition], "timestamp": at, "key": key or None}
            offsets[partition] += 1
            try:
                line["value"] = value.decode()
            except UnicodeDecodeError:
                line |= {"value": None, "value_base64": "//4A"}
            file.write(json.dumps(line) + "\n")
    command = [sys.executable, "-m", "stream", "replay", str(log), "--segments", PACK, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr.decode()
    changes = frozenset(out.read_bytes().splitlines())
    poison = sum(value in POISON for _, value, _ in rows)
    return Shop(rows, poison, until, changes, frozenset(carts(rows, until)), partitions)


def _rows(events: int, users: int, seed: int) -> Iterator[Row]:
    chance, now = random.Random(seed), START
    for number in range(events):
        now += chance.randrange(1, 2 * 8 * DAY // events)
        user = f"u{chance.randrange(users)}"
        if number % 97 == 13:
            yield user, chance.choice(POISON), now
            continue
        event = {"id": f"e{number}", "type": chance.choice(TYPES), "time": now, "user_id": user}
        if event["type"] == "order_completed":
            event["value"] = chance.randrange(10, 400)
        yield user, json.dumps(event).encode(), now


def carts(rows: list[Row], until: int) -> Iterator[Found]:
    """`cart_abandoned`: a cart untouched for half an hour; left at an order, or a day later."""
    added: dict[str, list[int]] = defaultdict(list)
    bought: dict[str, list[int]] = defaultdict(list)
    for user, value, at in rows:
        if b'"product_added"' in value and value not in POISON:
            added[user].append(at)
        elif b'"order_completed"' in value:
            bought[user].append(at)
    for user, times in added.items():
        seq, out_since = 0, -1
        for cart in times:
            entry = cart + WAIT
            touched = any(cart <= time <= entry for time in bought[user])
            touched = touched or any(cart < time <= entry for time in times)
            if touched or entry > until or entry <= out_since:
                continue
            seq += 1
            yield user, "entered", entry, seq
            out_since = min([time for time in bought[user] if time > entry] + [entry + DAY])
            if out_since <= until:
                seq += 1
                yield user, "exited", out_since, seq
