"""Recorded logs through the same engine as live: read them, replay them, report on it."""

from stream.replay.driver import BATCH_SIZE, Outcome, Replay
from stream.replay.logs import Log, LogError, LogRecord
from stream.replay.report import stats, write_members, write_stats

__all__ = [
    "BATCH_SIZE",
    "Log",
    "LogError",
    "LogRecord",
    "Outcome",
    "Replay",
    "stats",
    "write_members",
    "write_stats",
]
