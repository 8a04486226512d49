"""How far a program is, for the benchmark: a file with `events changes`, written five times a second by a thread."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path


class Progress:
    """Counters that the program raises; written to the file that PROGRESS names."""

    def __init__(self) -> None:
        self.events = 0
        self.changes = 0
        self._target = Path(os.environ["PROGRESS"])
        self._write()
        threading.Thread(target=self._report, daemon=True).start()

    def _report(self) -> None:
        while True:
            time.sleep(0.2)
            self._write()

    def _write(self) -> None:
        staging = self._target.with_suffix(".new")
        staging.write_text(f"{self.events} {self.changes}", encoding="utf-8")
        staging.replace(self._target)
