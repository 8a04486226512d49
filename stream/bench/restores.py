"""How fast state comes back from its changelog: all of it, and what a local store lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stream.bench.backlog import beside_us
from stream.bench.report import Measurement, Sample
from stream.errors import OperatorError


class Shape(NamedTuple):
    """What a changelog holds."""

    title: str
    partitions: int
    share: float
    """Users, as a part of those asked for."""
    updates: int
    """Records of each user."""
    events: int
    """Events that a profile remembers, of which it takes its size."""


_SHAPES = (
    Shape("1 partition", 1, 1.0, 1, 1),
    Shape("4 partitions", 4, 1.0, 1, 1),
    Shape("4 partitions, 5 updates", 4, 0.4, 5, 12),
)
_NOTES = {
    "cold": "no local store; the engine's timers included",
    "warm": "a tenth was written since; the rest is in the local stores, which are scanned for timers",
}


def measure_restore(brokers: str, folder: Path, users: int, repeat: int) -> Iterator[Measurement]:
    """Changelogs of at most `users` users with a timer each. An `event` is a record that was read."""
    for number, shape in enumerate(_SHAPES):
        turns = [
            _restore(brokers, f"{folder.name}-restore-{number}-{turn}", shape, users, folder)
            for turn in range(repeat)
        ]
        for kind, note in _NOTES.items():
            samples = tuple(turn[kind] for turn in turns)
            yield Measurement(f"restore, {kind}, {shape.title}", samples, note)


def _restore(brokers: str, topic: str, shape: Shape, users: int, folder: Path) -> dict[str, Sample]:
    program = beside_us("restore_changelog.py")
    numbers = (shape.partitions, round(users * shape.share), shape.updates, shape.events)
    arguments = [brokers, topic, *map(str, numbers), str(folder / topic)]
    done = subprocess.run(
        [sys.executable, str(program), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OperatorError(f"{program.name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return {
        kind: Sample(
            int(each["records"]),
            each["seconds"],
            max(each["cpu"], 0.01),
            0,
            figures={name: each[name] for name in ("timers", "seconds", "bytes")},
        )
        for kind, each in json.loads(done.stdout).items()
    }
