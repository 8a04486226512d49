"""The newest few events as bytes, against a sorted list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engine.recents import events_of, put_recent

IDS = st.sampled_from(("", "a", "b", "é", "키", "\ud800", "x" * 300)) | st.text(max_size=3)
EVENTS = st.lists(st.tuples(st.integers(-3, 3) | st.integers(-(2**61), 2**61), IDS), max_size=8)


@given(EVENTS, st.sampled_from((1, 3)))
def test_the_newest_are_kept_in_any_order_of_arrival(events: list[tuple[int, str]], most: int) -> None:
    recent, expected = b"", list[tuple[int, str]]()
    for time, event_id in events:
        recent = put_recent(recent, time, event_id, most)
        expected = sorted([*expected, (time, event_id)])[-most:]
        assert events_of(recent) == expected


@pytest.mark.parametrize("other", [(2, "a"), (1, "b")])
def test_one_event_after_another_is_told_from_it_by_time_and_id(other: tuple[int, str]) -> None:
    assert events_of(put_recent(put_recent(b"", 1, "a", 3), *other, 3)) == [(1, "a"), other]
