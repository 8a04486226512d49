"""What a replay writes besides its changes: members and counts."""

from __future__ import annotations

from collections import Counter
from typing import IO, Any

import msgspec

from stream.instants import format_instant
from stream.replay.driver import Outcome, Replay


def write_members(outcome: Outcome, file: IO[bytes]) -> None:
    """The members topic at the end, one line per membership: its key and its last change, in the order of the keys."""
    for key in sorted(outcome.members):
        file.write(b'{"key":%b,"value":%b}\n' % (key, outcome.members[key]))


def write_stats(run: Replay, dead_letters: Counter[str], seconds: float, file: IO[bytes]) -> None:
    """Counts of a finished run as one JSON object; `seconds` is what it took."""
    file.write(msgspec.json.format(msgspec.json.encode(stats(run, dead_letters, seconds)), indent=2) + b"\n")


def stats(run: Replay, dead_letters: Counter[str], seconds: float) -> dict[str, Any]:
    """Counts of a finished run."""
    outcome, tally = run.outcome, run.runtime.tally
    changes: dict[str, dict[str, dict[str, int]]] = {}
    for (segment, type_, cause), number in sorted(tally.changes.items()):
        changes.setdefault(segment, {}).setdefault(type_, {})[cause] = number
    return {
        "records": outcome.records,
        "events": tally.events,
        "users": run.runtime.users,
        "ignored": tally.ignored,
        "duplicates": tally.duplicates,
        "evicted_keys": tally.evicted,
        "clamped": tally.clamped,
        "late": {"applied": tally.late_applied, "expired": tally.late_expired},
        "dead_letters": dict(sorted(dead_letters.items())),
        "beyond_until": outcome.beyond,
        "until": None if outcome.until is None else format_instant(outcome.until),
        "timers": tally.timers,
        "changes": changes,
        "members": dict(sorted(run.runtime.members().items())),
        "definitions": run.runtime.plan.hash,
        "seconds": round(seconds, 3),
        "records_per_second": round(outcome.records / seconds) if seconds else None,
    }
