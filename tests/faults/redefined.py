"""Definitions change between a crash and the restart.

What must come out is computed with the embedded runtime: the old definitions up to the offset that the last marker of
each partition names, the new ones from there on.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from stream.definitions import load
from stream.engine import compile_plan
from stream.ingest import Ingest
from stream.replay.partitioner import partition_of
from stream.runtime.embedded import EmbeddedRuntime
from stream.runtime.kafka.changelog import MARKER, Marker, decode
from stream.runtime.kafka.waypoints import Waypoint
from stream.state import MemoryStore
from tests.faults.cases import STATIC
from tests.faults.shop import Shop
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict

DEFINITIONS = """
version: 1
events:
  cart: {type: product_added}
  buy: {type: order_completed}
features:
  orders: {count: buy, last: 3d}
segments:
  abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}, exit: {do: buy}, ttl: 24h}
  buyer: {when: "orders >= 2"}
"""


def redefined(stage: Stage) -> Verdict:
    """Killed between changelog and output: what was decided is published as it was decided, whatever holds now."""
    half = len(stage.shop.rows) // 2
    old, new = stage.deployment.folder / "old.yaml", stage.deployment.folder / "new.yaml"
    old.write_text(DEFINITIONS)
    new.write_text(DEFINITIONS.replace("30m", "10m").replace("orders >= 2", "orders >= 3"))
    stage.produce(slice(0, half))
    fault = {"at": Waypoint.LOGGED, "do": "kill", "pass": 2}
    worker = stage.worker(fault=fault, SEGSTREAM_DEFINITIONS=str(old), **STATIC)
    stage.until_hit(worker, Waypoint.LOGGED)
    turns: dict[int, int] = defaultdict(int)
    for record in stage.deployment.read("state"):
        if record.key == MARKER and record.value is not None:
            turns[record.partition] = decode(record.value, Marker).next_offset
    with stage.recovering():
        worker = stage.worker(SEGSTREAM_DEFINITIONS=str(new), **STATIC)
        worker.wait_ready()
    stage.produce(slice(half, None))
    expected = play(stage.shop, old, new, turns)
    stage.shop = replace(stage.shop, changes=expected, carts=None)
    return stage.finish("definitions changed between crash and restart", worker)


def play(shop: Shop, old: Path, new: Path, turns: dict[int, int]) -> frozenset[bytes]:
    """The changes of both, one after the other, on the same stores."""
    rows: dict[int, list[tuple[bytes, int, int]]] = defaultdict(list)
    for key, value, at in shop.rows:
        mine = rows[partition_of(key.encode(), shop.partitions)]
        mine.append((value, len(mine), at))
    stores = [MemoryStore() for _ in range(shop.partitions)]
    changes: set[bytes] = set()
    for file, is_new in ((old, False), (new, True)):
        plan = compile_plan(load([file]))
        runtime = EmbeddedRuntime(plan, partitions=shop.partitions, store=stores.__getitem__)
        for number in range(shop.partitions):
            turn = turns[number]
            events, _ = Ingest().read_batch(rows[number][turn:] if is_new else rows[number][:turn])
            changes |= {change.value for change in runtime.feed(number, events)}
            if is_new:
                changes |= {change.value for change in runtime.advance(number, shop.until + 1)}
    return frozenset(changes)
