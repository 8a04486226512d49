"""What is done for partitions now and then: silence is told, markers are written, stores are flushed."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from stream.config import ClockSettings
from stream.runtime.kafka.raw import SeenEnd
from stream.runtime.kafka.upkeep import flush, mark, tell_idle

TIMES = ClockSettings(lateness=100, idle_after=500, idle_margin=250)
LAST = 10_000


class Told:
    """Rounds, as far as upkeep knows them."""

    def __init__(self) -> None:
        self.idle_at: dict[int, int] = {}
        self.remarked: list[int] = []

    def idle(self, number: int, watermark: int) -> None:
        self.idle_at[number] = watermark

    def remark(self, number: int) -> None:
        self.remarked.append(number)


def owned(**fields: Any) -> Any:
    state = SimpleNamespace(last_record_time=fields.pop("last", LAST))
    return SimpleNamespace(state=state, position=7, **fields)


@pytest.mark.parametrize(
    ("seen", "last", "watermark"),
    [
        (SeenEnd(LAST + 751, 7), LAST, LAST - 99),
        (SeenEnd(LAST + 750, 7), LAST, None),  # the silence must be longer than idle_after and its margin
        (SeenEnd(LAST + 9_000, 8), LAST, None),  # a record has come that is not read
        (SeenEnd(LAST + 9_000, 7), None, None),  # there was no first record
        (None, LAST, None),  # the end was not seen
    ],
)
def test_a_silence_moves_time(seen: SeenEnd | None, last: int | None, watermark: int | None) -> None:
    rounds: Any = Told()
    ends = {} if seen is None else {("events", 3): seen, ("events", 4): SeenEnd(LAST + 9_000, 7)}
    tell_idle(rounds, {3: owned(last=last)}, ends, "events", TIMES)
    assert rounds.idle_at == ({} if watermark is None else {3: watermark})


def test_time_stands_still_where_the_clock_may_not_move_it() -> None:
    rounds: Any = Told()
    off = ClockSettings(idle_after=None)
    tell_idle(rounds, {3: owned()}, {("events", 3): SeenEnd(LAST + 9_000, 7)}, "events", off)
    assert rounds.idle_at == {}


def test_a_marker_is_written_where_none_was_for_long_and_none_is_on_its_way() -> None:
    rounds: Any = Told()
    now = time.monotonic()
    old, new = now - 61, now
    partitions = {
        1: owned(marked_at=old, draft=()),
        2: owned(marked_at=new, draft=()),
        3: owned(marked_at=old, draft=("step",)),
    }
    mark(rounds, partitions, 60)
    assert rounds.remarked == [1]


def test_what_was_written_is_flushed_once_and_one_store_at_a_time() -> None:
    flushed: list[str] = []

    def holding(name: str, seconds_ago: float, unflushed: bool) -> Any:
        store = SimpleNamespace(flush=lambda: flushed.append(name))
        return owned(unflushed=unflushed, flushed_at=time.monotonic() - seconds_ago, store=store)

    partitions = {
        1: holding("clean", 900, False),
        2: holding("dirty", 900, True),
        3: holding("flushed lately", 1, True),
        4: holding("dirty, too", 900, True),
    }
    flush(partitions, 600)
    assert flushed == ["dirty"]
    for _ in range(3):
        flush(partitions, 600)
    assert flushed == ["dirty", "dirty, too"]
