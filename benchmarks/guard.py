"""Whether the engine became slower, told without a clock that one must trust: `make guard`.

    guard.py             measures, and compares with the committed figures; exit code 1 if the engine became slower
    guard.py --update    measures, and writes the figures of the engine that runs into guard.json

A figure is a ratio: CPU time of the engine for an event, divided by CPU time of a loop of fixed work in the same
process (`turn`). Both are made of the same: calls of small functions, lists and dicts, MessagePack there and back. So a
slower machine, or one that others use as well, slows both. Rounds of either alternate, and the quickest of each
counts: what disturbs only ever adds. What is left are a few hundredths; only a figure that is TOLERANCE times the
committed one fails. Whoever makes the engine do more, or adds to the retail pack, updates the figures and says so.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream.bench.run import simulated_log
from stream.compiled import describe_engine
from stream.definitions import load
from stream.engine import Plan, compile_plan
from stream.events import event_type
from stream.ingest import Ingest
from stream.packs import pack_path
from stream.runtime.embedded import EmbeddedRuntime

HERE = Path(__file__).parent
FIGURES = HERE / "guard.json"
TOLERANCE = 1.5
EVENTS = 20_000
ROUNDS = 5
BATCH = 1_000
TURNS = 20_000

Figures = dict[str, dict[str, float]]
"""Engine (`plain Python`, `compiled`) → job → turns of the loop that an event costs."""


def jobs() -> dict[str, Path]:
    """What is measured: the retail pack, and a single segment."""
    return {"retail pack": pack_path("retail"), "cart abandonment": HERE / "cart_abandonment.yaml"}


class _Turn:
    """The fixed work. Changing it makes all committed figures worthless."""

    __slots__ = ("_decode", "_encode", "profiles")

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode
        state = {"n": 0, "times": list(range(10**12, 10**12 + 8)), "ids": ["e-00000001", "e-00000002"]}
        self.profiles = {f"u-{number:06}": self._encode(state) for number in range(512)}

    def turn(self, number: int) -> None:
        user = f"u-{number * 7919 % 512:06}"
        state = self._decode(self.profiles[user])
        self.add(state, 10**12 + number)
        if self.ask(state, 4):
            state["n"] = 0
        self.profiles[user] = self._encode(state)

    def add(self, state: dict[str, object], time: int) -> None:
        times = state["times"]
        assert isinstance(times, list)
        times.append(time)
        del times[0]
        state["n"] = len([each for each in times if each > 10**12 + 4])

    def ask(self, state: dict[str, object], least: int) -> bool:
        n = state["n"]
        return isinstance(n, int) and n >= least


def measure(plan: Plan, lines: Sequence[bytes], rounds: int) -> float:
    """Turns of the loop that an event costs the engine, decoding not included."""
    engine = loop = float("inf")
    for _ in range(rounds):
        engine = min(engine, _run_engine(plan, lines) / len(lines))
        loop = min(loop, _run_loop() / TURNS)
    return engine / loop


def _run_engine(plan: Plan, lines: Sequence[bytes]) -> float:
    ingest = Ingest(event_type=event_type(plan.extra_fields))
    runtime = EmbeddedRuntime(plan)
    used = 0.0
    gc.collect()
    for start in range(0, len(lines), BATCH):
        rows = [(line, start + place, None) for place, line in enumerate(lines[start : start + BATCH])]
        events, _ = ingest.read_batch(rows)
        began = time.process_time()
        runtime.feed(0, events)
        used += time.process_time() - began
    runtime.close()
    return used


def _run_loop() -> float:
    work = _Turn()
    gc.collect()
    began = time.process_time()
    for number in range(TURNS):
        work.turn(number)
    return time.process_time() - began


def judge(found: dict[str, float], committed: dict[str, float], tolerance: float) -> list[str]:
    """What became slower than it may, in words; nothing if all is well."""
    return [
        f"{job}: an event costs {found[job]:.2f} turns, {found[job] / figure:.2f} times the committed {figure:.2f}; "
        f"{tolerance} times are tolerated"
        for job, figure in committed.items()
        if found[job] > tolerance * figure
    ]


def main(
    arguments: Sequence[str], *, events: int = EVENTS, rounds: int = ROUNDS, figures: Path = FIGURES
) -> int:
    parser = argparse.ArgumentParser(prog="guard.py", description="Whether the engine became slower.")
    parser.add_argument(
        "--update", action="store_true", help="write the figures instead of comparing with them"
    )
    asked = parser.parse_args(arguments)
    committed: Figures = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    engine = describe_engine()
    if not asked.update and engine not in committed:
        print(
            f"{figures.name} has no figures of the engine that runs ({engine}): --update writes them",
            file=sys.stderr,
        )
        return 1
    lines = simulated_log(events)
    found = {}
    for job, path in jobs().items():
        found[job] = round(measure(compile_plan(load([path])), lines, rounds), 2)
        known = committed.get(engine, {}).get(job)
        print(
            f"{engine}, {job}: an event costs {found[job]:.2f} turns of the loop, committed {known}",
            flush=True,
        )
    if asked.update:
        text = json.dumps({**committed, engine: found}, indent=2, sort_keys=True)
        figures.write_text(text + "\n", encoding="utf-8")
        return 0
    slower = judge(found, committed[engine], TOLERANCE)
    for line in slower:
        print(f"slower: {line}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
