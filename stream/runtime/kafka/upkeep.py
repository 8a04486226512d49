"""What a worker does for its partitions now and then, whether records come or not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from stream.config import ClockSettings
from stream.runtime.kafka.owned import Owned
from stream.runtime.kafka.raw import SeenEnd
from stream.runtime.kafka.rounds import Rounds


def tell_idle(
    rounds: Rounds, owned: Mapping[int, Owned], ends: Mapping[Any, SeenEnd], topic: str, times: ClockSettings
) -> None:
    """Lets the wall clock move time where nothing comes."""
    if times.idle_after is None:
        return
    behind = times.idle_after + times.idle_margin
    for number, each in owned.items():
        seen = ends.get((topic, number))
        if seen is None or seen.end > each.position:
            continue
        # The log says that a partition was idle only if the next record comes more than idle_after after the last.
        # Records of long ago leave the watermark far behind: a short silence must not bring it to the present, nor
        # does any before the first record.
        last = each.state.last_record_time
        if last is not None and seen.instant - behind > last:
            rounds.idle(number, seen.instant - behind - times.lateness)


def mark(rounds: Rounds, owned: Mapping[int, Owned], every_seconds: float) -> None:
    """A marker now and then: where it does not land as expected, somebody else has written to the changelog."""
    late = time.monotonic() - every_seconds
    for number, each in owned.items():
        if each.marked_at < late and not each.draft:
            rounds.remark(number)


def flush(owned: Mapping[int, Owned], every_seconds: float) -> None:
    """What a crash would have to restore stays small. Raises what the store raises.

    One store at a call: events wait meanwhile, which is a hundredth of a second.
    """
    now = time.monotonic()
    for each in owned.values():
        if each.unflushed and now - each.flushed_at >= every_seconds:
            each.unflushed, each.flushed_at = False, now
            each.store.flush()
            return
