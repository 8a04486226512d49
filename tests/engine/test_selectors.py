"""Selectors: what is remembered between events changes no answer."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from stream.durations import DAY, HOUR
from stream.engine.places import next_anniversary
from stream.engine.selectors import _until_anniversary
from stream.instants import parse_instant
from tests.engine.driven import T, happened

# Apia had no 30 December 2011; Havana sets clocks back from one o'clock to midnight, Azores formerly over midnight.
ZONES = ["UTC", "Pacific/Apia", "America/Havana", "Atlantic/Azores", "Asia/Beirut"]
BORN = ["1990-12-30", "1990-12-31", "1996-02-29", "1990-10-28", "1990-01-01", "never", None]
APIA = parse_instant("2011-12-30T12:00:00Z")
STEPS = st.one_of(
    st.integers(0, 800 * DAY),
    st.integers(-60, 60).map(lambda hours: hours * HOUR),
    st.sampled_from([0, 1, DAY - 1, DAY]),
)


@given(
    zone=st.sampled_from(ZONES),
    asked=st.lists(st.tuples(st.sampled_from(BORN), st.sampled_from([T, APIA]), STEPS), max_size=12),
)
def test_the_next_anniversary_is_the_same_for_whoever_asked_before(
    zone: str, asked: list[tuple[str | None, int, int]]
) -> None:
    info = ZoneInfo(zone)
    ask = _until_anniversary(lambda event: event.type, info)
    for born, start, step in asked:
        time = start + step
        expected = None
        if born is not None and born != "never":
            expected = max(0, next_anniversary(date.fromisoformat(born), time, info) - time)
        assert ask(happened(born, time)) == expected


def test_a_midnight_answers_until_it_is_there() -> None:
    zone = ZoneInfo("UTC")
    ask = _until_anniversary(lambda event: "2000-12-25", zone)
    midnight = parse_instant("2026-12-25T00:00:00Z")
    times = [midnight - 300 * DAY, midnight - 1, midnight, midnight + DAY - 1, midnight + DAY, midnight - DAY]
    assert [ask(happened("visit", time)) for time in times] == [300 * DAY, 1, 0, 0, 364 * DAY, DAY]
