"""Notices that the process stood still.

A process that is stopped (SIGSTOP, a suspended machine, a paused container) does not know it. If it slept longer than
its session in the consumer group, others own its partitions when it wakes up, between two instructions, with decided
changes in its hands. The changelog keeps it from deciding anything more; this keeps it from telling old news.

The clock counts while the machine is suspended, where the system has such a clock.
"""

from __future__ import annotations

import time

from stream.errors import OperatorError


class PausedError(OperatorError):
    """The worker was stopped for so long that its partitions are another's."""


def _now() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Pulse:
    """Beats while the worker owns partitions."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._last: float | None = None

    def start(self) -> None:
        """From now on beats are expected."""
        self._last = _now()

    def stop(self) -> None:
        """Nothing is owned: a pause does no harm."""
        self._last = None

    def beat(self) -> None:
        """The process runs. PausedError if it did not, for too long: nothing may be published any more."""
        if self._last is None:
            return
        now = _now()
        paused = now - self._last
        if paused > self._limit:
            raise PausedError(
                f"this worker stood still for {paused:.1f} s, longer than its session of {self._limit:.1f} s in the "
                "consumer group: its partitions may be another's. It stops; start it again"
            )
        self._last = now
