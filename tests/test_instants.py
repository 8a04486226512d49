"""Instants and durations as text: what is put together from parts is what the libraries write and what is read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.durations import DAY, format_duration, parse_duration
from stream.instants import format_instant, parse_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@given(st.integers(-62_135_596_800_000, LAST))
@example(-1)
@example(0)
def test_an_instant_is_written_as_the_library_does(instant: int) -> None:
    moment = (EPOCH + timedelta(milliseconds=instant)).replace(tzinfo=None)
    assert format_instant(instant) == moment.isoformat(timespec="milliseconds") + "Z"


@given(st.integers(100_000_000_000, 253_118_303_999_999))
def test_a_written_instant_is_read_as_itself(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant


@pytest.mark.parametrize(
    "text", ["2026-11-21t09:30:00.5z", "2026-11-21T09:30:00.5z", "2026-11-21t18:30:00.5+09:00"]
)
def test_small_letters_are_rfc_3339_too(text: str) -> None:
    assert parse_instant(text) == parse_instant("2026-11-21T09:30:00.500Z")


@pytest.mark.parametrize("text", ["2026-11-21T24:00:00Z", "2026-02-30T09:00:00Z", "2026-11-21T09:61:00Z"])
def test_what_no_clock_shows_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_instant(text)


@given(st.integers(LAST, 2**61))
def test_beyond_the_last_year_that_can_be_written_is_its_end(instant: int) -> None:
    assert format_instant(instant) == "9999-12-31T23:59:59.999Z"


@given(st.integers(0, 4000 * DAY) | st.sampled_from([DAY, 3_600_000, 60_000, 1_000]).flatmap(
    lambda unit: st.integers(0, 500).map(lambda n: n * unit)
))  # fmt: skip
def test_a_duration_is_the_shortest_text_that_is_read_as_itself(duration: int) -> None:
    text = format_duration(duration)
    assert parse_duration(text) == duration
    units = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY}
    others = [f"{duration // size}{unit}" for unit, size in units.items() if duration % size == 0]
    assert len(text) == min(map(len, others))
