"""Recorded logs through the same engine as live: read them, replay them, report on it."""

from stream.replay.driver import BATCH_SIZE, Outcome, Replay
from stream.replay.logs import Log, LogError, LogRecord
from stream.replay.report import members_of, stats, write_members, write_stats
from stream.replay.workers import Job, Run, run_job

__all__ = [
    "BATCH_SIZE",
    "Job",
    "Log",
    "LogError",
    "LogRecord",
    "Outcome",
    "Replay",
    "Run",
    "members_of",
    "run_job",
    "stats",
    "write_members",
    "write_stats",
]
