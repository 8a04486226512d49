"""Single stages in this process: decoding, each aggregate and condition, growth, profiles and their store."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from stream.bench.engine import measure_engine
from stream.bench.report import Measurement, Sample
from stream.definitions import loads
from stream.engine import Engine, Plan, TimeSettings, compile_plan
from stream.engine.profile import decode_profile
from stream.events import Event
from stream.ingest import Ingest
from stream.runtime.embedded import EmbeddedRuntime
from stream.state import MemoryStore
from stream.state.rocks import Memory, RocksStore

_NEVER = "1000000000"
_QUIET = 5
_LOOK_SECONDS = 0.02
_EVENTS = """version: 1
events:
  view: {type: product_viewed}
  cart: {type: product_added}
  buy: {type: order_completed}
"""
AGGREGATES = {
    "count": "{count: view}",
    "count, last 24h": "{count: view, last: 24h}",
    "count, calendar day": "{count: view, calendar: day}",
    "count, session 30m": "{count: view, session: 30m}",
    "count, half-life 7d": "{count: view, half_life: 7d}",
    "sum, last 30d": "{sum: view.price, last: 30d}",
    "mean, last 30d": "{mean: view.price, last: 30d}",
    "max, last 30d": "{max: view.price, last: 30d}",
    "last_value": "{last_value: view.price}",
    "distinct, last 30d": "{distinct: view.product_id, last: 30d}",
    "days, last 30d": "{days: view, last: 30d}",
    "mean_gap, last 30d": "{mean_gap: view, last: 30d}",
    "share by category, last 30d": "{share: view, by: category, last: 30d}",
    "top by category, last 30d": "{top: view, by: category, last: 30d}",
}
CONDITIONS = {
    "do": "{do: buy}",
    "seq do, then, within": "{seq: [{do: view}, {then: buy, within: 10m}]}",
    "seq do, not for": "{seq: [{do: view}, {not: buy, for: 30m}]}",
    "seq by product": "{seq: [{do: view}, {not: buy, for: 30m}], by: product_id}",
}


def measure_decode(lines: Sequence[bytes], plans: dict[str, Plan], repeat: int) -> Iterator[Measurement]:
    """Decoding and checking, with all fields and with those that definitions read, in small and in large batches."""
    kinds: dict[str, type[Event]] = {"all fields": Event}
    kinds |= {name: plan.event_type for name, plan in plans.items()}
    for name, kind in kinds.items():
        for size in (500, 10_000):
            read = Ingest(event_type=kind).read_batch
            yield _timed(
                f"decode, {name}, batches of {size:,}",
                repeat,
                len(lines),
                lambda read=read, size=size: [  # type: ignore[misc]
                    len(
                        read([(line, start + at, 0) for at, line in enumerate(lines[start : start + size])])[
                            0
                        ]
                    )
                    for start in range(0, len(lines), size)
                ],
            )


def measure_kinds(lines: Sequence[bytes], repeat: int) -> Iterator[Measurement]:
    """The engine with one aggregate or one condition; the first row has none, its cost is in all."""
    yield measure_engine("engine, nothing matches", _plan("when: {do: nothing}"), lines, repeat)
    for name, feature in AGGREGATES.items():
        bound = "f == 'nothing'" if "top" in name else f"f >= {_NEVER}"
        segment = "for_each: category, " if "share" in name else ""
        plan = _plan(f'{segment}when: "{bound}"', f"features:\n  f: {feature}\n")
        yield measure_engine(f"engine, {name}", plan, lines, repeat)
    for name, condition in CONDITIONS.items():
        split = "for_each: product_id, " if "by product" in name else ""
        yield measure_engine(f"engine, {name}", _plan(f"{split}when: {condition}, ttl: 1h"), lines, repeat)


def measure_segments(lines: Sequence[bytes], repeat: int) -> Iterator[Measurement]:
    """1, 5, 20 and 100 segments that product views touch, each with a window of its own."""
    for count in (1, 5, 20, 100):
        features = "".join(f"  f{n}: {{count: view, last: {24 + n}h}}\n" for n in range(count))
        segments = "".join(f'  s{n}: {{when: "f{n} >= {_NEVER}"}}\n' for n in range(count))
        plan = compile_plan(loads(f"{_EVENTS}features:\n{features}segments:\n{segments}"))
        yield measure_engine(f"engine, {count} segments", plan, lines, repeat)


def measure_users(
    plan: Plan, lines: Sequence[bytes], counts: Sequence[int], repeat: int
) -> Iterator[Measurement]:
    """The same events for users out of 10 thousand, 100 thousand, a million, who all have a history, in RocksDB."""
    history, marker = _profiles(plan, lines)
    some = list(history.values())
    for count in counts:
        yield Measurement(
            f"engine, {count:,} users",
            tuple(_grown(plan, lines, some, marker, count) for _ in range(repeat)),
            note="each event of another of them, RocksDB on disk, its compactions included",
        )


def measure_state(plan: Plan, lines: Sequence[bytes], repeat: int) -> Iterator[Measurement]:
    """Profiles: decoding and encoding, writing to RocksDB and reading from it. An `event` is a profile here."""
    history, _ = _profiles(plan, lines)
    size = {"bytes per profile": sum(map(len, history.values())) / len(history)}
    items = list(history.items())
    profiles = [decode_profile(user, raw) for user, raw in items]
    yield _timed(
        "profiles, decode",
        repeat,
        len(items),
        lambda: [decode_profile(*each) for each in items],
        figures=size,
    )
    yield _timed(
        "profiles, encode", repeat, len(items), lambda: [each.encode(plan.stamp) for each in profiles]
    )
    batches = [dict(items[start : start + 2_000]) for start in range(0, len(items), 2_000)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = RocksStore(Path(folder) / "state", Memory())
        yield _timed(
            "profiles, write to RocksDB",
            repeat,
            len(items),
            lambda: _write_all(store, batches),
        )
        yield _timed(
            "profiles, read from RocksDB",
            repeat,
            len(items),
            lambda: [len(store.get_many(list(each))) for each in batches],
        )
        store.close()


def _write_all(store: RocksStore, batches: list[dict[str, bytes]]) -> None:
    for batch in batches:
        store.write(batch, b"")


def _plan(segment: str, features: str = "") -> Plan:
    return compile_plan(
        loads(f"{_EVENTS}  nothing: {{type: never_sent}}\n{features}segments:\n  s: {{{segment}}}\n")
    )


def _profiles(plan: Plan, lines: Sequence[bytes]) -> tuple[dict[str, bytes], bytes]:
    store = MemoryStore()
    runtime = EmbeddedRuntime(plan, TimeSettings(), store=lambda partition: store)
    ingest = Ingest(event_type=plan.event_type)
    for start in range(0, len(lines), 10_000):
        runtime.feed(0, ingest.read_batch([(line, 0, None) for line in lines[start : start + 10_000]])[0])
    marker = store.marker()
    assert marker is not None
    return dict(store.scan()), marker


class _WatchedStore(RocksStore):
    """Knows how many seconds of CPU the thread that asks spent in reading and in writing."""

    reading = writing = 0.0

    def get_many(self, users: Sequence[str]) -> list[bytes | None]:
        began = time.thread_time()
        profiles = super().get_many(users)
        self.reading += time.thread_time() - began
        return profiles

    def write(self, profiles: Mapping[str, bytes | None], marker: bytes) -> None:
        began = time.thread_time()
        super().write(profiles, marker)
        self.writing += time.thread_time() - began


def _grown(plan: Plan, lines: Sequence[bytes], some: list[bytes], marker: bytes, count: int) -> Sample:
    """What RocksDB owes for the history is paid before, and what it owes for the events is charged to them."""
    random = Random(count)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = _WatchedStore(Path(folder) / "state", Memory())
        for start in range(0, count, 20_000):
            users = range(start, min(count, start + 20_000))
            store.write({f"user-{number:07d}": some[number % len(some)] for number in users}, marker)
        _settle(store)
        store.reading = store.writing = 0.0
        engine = Engine(plan, TimeSettings())
        partition = engine.open(store, marker)
        ingest = Ingest(event_type=plan.event_type)
        changes = 0
        decoding = 0.0
        gc.collect()
        wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
        for start in range(0, len(lines), 10_000):
            batch = lines[start : start + 10_000]
            began = time.thread_time()
            events, _ = ingest.read_batch([(line, start + at, None) for at, line in enumerate(batch)])
            for event in events:
                event.user = f"user-{random.randrange(count):07d}"
                event.time = event.record_time = partition.watermark  # all live, nothing due
            decoding += time.thread_time() - began
            while events:  # profiles of this size fill a step before the batch is at its end
                step = engine.step(partition, events, start + len(batch))
                store.write(step.profiles, step.marker)
                partition.settle(step)
                changes += len(step.changes)
                events = events[step.consumed :]
        seconds, own = time.perf_counter() - wall, time.thread_time() - own
        _settle(store)
        used = time.process_time() - cpu
        stages = {
            "decode and check": decoding,
            "engine": own - decoding - store.reading - store.writing,
            "read profiles": store.reading,
            "write profiles": store.writing,
            "RocksDB's threads": used - own,
        }
        sample = Sample(len(lines), seconds, used, changes, stages=stages)
        store.close()
    return sample


def _settle(store: RocksStore) -> None:
    """Returns when nothing is left for RocksDB's threads to do: one task may call for the next."""
    store.flush()
    quiet = 0
    while quiet < _QUIET:
        quiet = 0 if store.is_working() else quiet + 1
        time.sleep(_LOOK_SECONDS)


def _timed(
    name: str,
    repeat: int,
    events: int,
    work: Callable[[], Any],
    note: str = "",
    figures: dict[str, float] | None = None,
) -> Measurement:
    samples = []
    for _ in range(repeat):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        used = max(time.process_time() - cpu, 1e-9)
        samples.append(Sample(events, time.perf_counter() - wall, used, 0, figures=figures or {}))
    return Measurement(name, tuple(samples), note)
