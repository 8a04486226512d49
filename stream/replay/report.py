"""What a replay writes besides its changes: members and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import IO, Any

import msgspec

from stream.instants import format_instant
from stream.replay.driver import Outcome
from stream.replay.spool import Spool, member_order


def members_of(outcome: Outcome) -> Iterator[tuple[bytes, bytes]]:
    """The members topic at the end: (key, last change) of each membership that is not forgotten, by key."""
    spool = Spool(member_order)
    for change in outcome.changes:
        spool.add((change,))
    for key, changes in groupby(spool, key=lambda change: change.member_key):
        *_, last = changes
        if not last.forget:
            yield key, last.value


def write_members(outcome: Outcome, file: IO[bytes]) -> None:
    """The members topic at the end, one line per membership."""
    for key, value in members_of(outcome):
        file.write(b'{"key":%b,"value":%b}\n' % (key, value))


def write_stats(
    outcome: Outcome, definitions: str, dead_letters: Counter[str], seconds: float, file: IO[bytes]
) -> None:
    """Counts of a finished run as one JSON object; `definitions` is their hash, `seconds` what the run took."""
    fields = stats(outcome, definitions, dead_letters, seconds)
    file.write(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")


def stats(outcome: Outcome, definitions: str, dead_letters: Counter[str], seconds: float) -> dict[str, Any]:
    """Counts of a finished run."""
    tally = outcome.tally
    changes: dict[str, dict[str, dict[str, int]]] = {}
    for (segment, type_, cause), number in sorted(tally.changes.items()):
        changes.setdefault(segment, {}).setdefault(type_, {})[cause] = number
    return {
        "records": outcome.records,
        "events": tally.events,
        "users": outcome.users,
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
        "members": dict(sorted(outcome.members.items())),
        "definitions": definitions,
        "seconds": round(seconds, 3),
        "records_per_second": round(outcome.records / seconds) if seconds else None,
    }
