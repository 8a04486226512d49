"""How fast state comes back from its changelog: all of it, and what a local store lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stream.bench.backlog import beside_us
from stream.bench.report import Measurement, Sample
from stream.errors import OperatorError

_NOTES = {
    "cold": "no local store; the engine's timers included",
    "warm": "a tenth was written since; the rest is in the local stores, which are scanned for timers",
}


def measure_restore(brokers: str, folder: Path, records: int, repeat: int) -> Iterator[Measurement]:
    """Changelogs of `records` users with a timer each. An `event` is a record that was read."""
    for partitions in (1, 4):
        turns = [
            _restore(brokers, f"{folder.name}-restore-{partitions}-{turn}", partitions, records, folder)
            for turn in range(repeat)
        ]
        for kind, note in _NOTES.items():
            samples = tuple(turn[kind] for turn in turns)
            title = "1 partition" if partitions == 1 else f"{partitions} partitions"
            yield Measurement(f"restore, {kind}, {title}", samples, note)


def _restore(brokers: str, topic: str, partitions: int, records: int, folder: Path) -> dict[str, Sample]:
    program = beside_us("restore_changelog.py")
    arguments = [brokers, topic, str(partitions), str(records), str(folder / topic)]
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
            figures={"timers": each["timers"], "seconds": each["seconds"]},
        )
        for kind, each in json.loads(done.stdout).items()
    }
