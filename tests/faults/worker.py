"""`python -m tests.faults.worker CONFIG`: the worker, with somebody at its waypoints and a hand on its clock.

What happens is told by the variable FAULT, a JSON object:

    {"at": "logged", "pass": 2, "do": "kill"}      at the second passing of a waypoint: kill -9, stop (SIGSTOP), fail
    {"at": "logged", "do": "wait", "seconds": 0.2} every time, or the first "times": 5 times
    {"clock": -3600}                               SIGHUP moves the wall clock by so many seconds

FAULT_HITS names a file that gets a line before anything is done at a waypoint, but for what is done every time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from stream.config import load_settings
from stream.runtime.kafka.app import create_app
from stream.runtime.kafka.changelog import OutcomeUnknownError
from stream.runtime.kafka.faust_app import execute
from stream.runtime.kafka.waypoints import Waypoint


class Saboteur:
    """Stands at the waypoints."""

    def __init__(self, fault: dict[str, Any], hits: Path | None) -> None:
        self._fault = fault
        self._hits = hits
        self._passed: Counter[str] = Counter()

    async def passing(self, waypoint: Waypoint) -> None:
        fault = self._fault
        if fault.get("at") != waypoint:
            return
        self._passed[waypoint] += 1
        if fault["do"] == "wait":
            if self._passed[waypoint] <= fault.get("times", sys.maxsize):
                if "times" in fault:
                    self._note(waypoint)
                await asyncio.sleep(fault["seconds"])
        elif self._passed[waypoint] == fault.get("pass", 1):
            self._note(waypoint)
            if fault["do"] == "fail":
                raise OutcomeUnknownError(f"made to fail at {waypoint}")
            os.kill(os.getpid(), signal.SIGKILL if fault["do"] == "kill" else signal.SIGSTOP)

    def _note(self, waypoint: Waypoint) -> None:
        if self._hits is not None:
            with self._hits.open("a") as file:
                file.write(f"{waypoint}\n")


def shift_clock_on_signal(seconds: float) -> None:
    real, told = time.time, [0.0]
    time.time = lambda: real() + told[0]
    signal.signal(signal.SIGHUP, lambda *_: told.__setitem__(0, seconds))


def main() -> int:
    fault = json.loads(os.environ.get("FAULT", "{}"))
    hits = os.environ.get("FAULT_HITS")
    if "clock" in fault:
        shift_clock_on_signal(fault["clock"])
    saboteur = Saboteur(fault, Path(hits) if hits else None)
    return execute(create_app(load_settings(sys.argv[1], os.environ), saboteur.passing))


if __name__ == "__main__":
    sys.exit(main())
