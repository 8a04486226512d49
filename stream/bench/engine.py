"""The engine alone: decode, step, timers and an in-memory store in this process, on one core."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from stream.bench.report import Measurement, Sample
from stream.engine import Plan, TimeSettings
from stream.ingest import Ingest
from stream.runtime.embedded import EmbeddedRuntime

_BATCH = 512
"""Records read and applied at once, as the worker does it with what it fetched."""


def measure_engine(name: str, plan: Plan, lines: Sequence[bytes], repeat: int) -> Measurement:
    """Applies `lines` to a new engine `repeat` times, as one partition. Garbage collection is as in the worker's."""
    return Measurement(
        name,
        tuple(_run(plan, lines) for _ in range(repeat)),
        note=f"one core, decode included, in memory, {len(plan.rules)} segments",
    )


def _run(plan: Plan, lines: Sequence[bytes]) -> Sample:
    ingest = Ingest(event_type=plan.event_type)
    runtime = EmbeddedRuntime(plan, TimeSettings())
    changes = 0
    reading = 0.0
    gc.collect()
    gc.freeze()  # the log is not the engine's garbage
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(lines), _BATCH):
        rows = [(line, start + place, None) for place, line in enumerate(lines[start : start + _BATCH])]
        began = time.process_time()
        events, _ = ingest.read_batch(rows)
        reading += time.process_time() - began
        changes += len(runtime.feed(0, events))
    used = time.process_time() - cpu
    sample = Sample(
        events=len(lines),
        seconds=time.perf_counter() - wall,
        cpu_seconds=used,
        changes=changes,
        stages={"decode and check": reading, "engine": used - reading},
    )
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    runtime.close()
    return sample
