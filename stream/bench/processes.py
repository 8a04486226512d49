"""Processes that are measured: their CPU time and memory, without any library.

While one runs, its CPU time and its largest resident size are read from /proc. (What `os.wait4` tells at its end is the
largest of the process before it became the program, too: that of whoever started it.)
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.errors import OperatorError

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 30.0


class MeasuredProcess:
    """A child process whose output goes to a file. A context manager: leaving it ends the process."""

    def __init__(
        self, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        self.name = Path(command[0]).name + " " + " ".join(command[1:3])
        self.log = log
        self.memory: int | None = None
        """Largest resident size in bytes, known once it was told to end."""
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), cwd=cwd
            )

    def __enter__(self) -> MeasuredProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """OperatorError with the end of its output if it is not running any more."""
        if self._process.poll() is not None:
            raise self._failure()

    def wait(self) -> None:
        """Waits for its end; OperatorError with the end of its output if that is not a good one."""
        if self._process.wait() != 0:
            raise self._failure()

    def _failure(self) -> OperatorError:
        return OperatorError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")

    def cpu_seconds(self) -> float:
        """User and system time so far, of all its threads."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise OperatorError("the benchmark reads CPU times from /proc: it needs Linux") from error
        # The second field is the program's name in parentheses, which may hold anything.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def stop(self) -> None:
        """Asks it to end, insists after a while, and keeps what the system says of it."""
        if self._process.poll() is not None:
            return
        self.memory = self._largest()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _largest(self) -> int | None:
        """Its largest resident size so far; None if it has just ended."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return None if found is None else int(found[1]) * 1024

    def resident(self) -> int:
        """Bytes of memory that it holds now."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def text(self) -> str:
        """Its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The last lines of its output."""
        return self.text()[-3000:]
