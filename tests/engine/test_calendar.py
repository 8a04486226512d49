"""Local time where clocks jump: periods, midnights, anniversaries. The transitions are those of the IANA database."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engine import calendar
from stream.engine.calendar import Periods
from tests.engine.driven import at, happened, worth


@pytest.mark.parametrize(
    ("zone", "period", "inside", "start", "end"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
        ("Europe/Berlin", "day", "2026-03-29T12:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
        ("Europe/Berlin", "hour", "2026-03-29T00:59:59.999", "2026-03-29T00:00:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "hour", "2026-03-29T01:00:00", "2026-03-29T01:00:00", "2026-03-29T02:00:00"),
        # 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC; the hour from 2 to 3 comes twice and is one period.
        ("Europe/Berlin", "hour", "2026-10-25T00:30:00", "2026-10-25T00:00:00", "2026-10-25T02:00:00"),
        ("Europe/Berlin", "hour", "2026-10-25T01:30:00", "2026-10-25T00:00:00", "2026-10-25T02:00:00"),
        ("Europe/Berlin", "day", "2026-10-25T01:30:00", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
        ("Europe/Berlin", "month", "2026-10-25T01:30:00", "2026-09-30T22:00:00", "2026-10-31T23:00:00"),
        # São Paulo, 4 November 2018: midnight does not exist, the day starts at 01:00 local, 03:00 UTC.
        ("America/Sao_Paulo", "day", "2018-11-04T02:59:59.999", "2018-11-03T03:00:00", "2018-11-04T03:00:00"),
        ("America/Sao_Paulo", "day", "2018-11-04T03:00:00", "2018-11-04T03:00:00", "2018-11-05T02:00:00"),
        # 18 February 2018: 00:00 becomes 23:00 of the day before.
        ("America/Sao_Paulo", "day", "2018-02-18T02:30:00", "2018-02-17T02:00:00", "2018-02-18T03:00:00"),
        # Lord Howe moves by half an hour: 5 April 2026 02:00 becomes 01:30 at 15:00 UTC of the 4th,
        ("Australia/Lord_Howe", "hour", "2026-04-04T14:15:00", "2026-04-04T14:00:00", "2026-04-04T15:30:00"),
        ("Australia/Lord_Howe", "hour", "2026-04-04T15:15:00", "2026-04-04T14:00:00", "2026-04-04T15:30:00"),
        # and 4 October 2026 02:00 becomes 02:30 at 15:30 UTC of the 3rd: the hour from 2 to 3 has 30 minutes.
        ("Australia/Lord_Howe", "hour", "2026-10-03T15:45:00", "2026-10-03T15:30:00", "2026-10-03T16:00:00"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "day", "2011-12-30T09:59:59.999", "2011-12-29T10:00:00", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "day", "2011-12-30T10:00:00", "2011-12-30T10:00:00", "2011-12-31T10:00:00"),
        ("Pacific/Apia", "week", "2011-12-30T10:00:00", "2011-12-26T10:00:00", "2012-01-01T10:00:00"),
        # Weeks start on Mondays, also across years.
        ("UTC", "week", "2027-01-01T00:00:00", "2026-12-28T00:00:00", "2027-01-04T00:00:00"),
        ("UTC", "week", "2026-12-27T23:59:59.999", "2026-12-21T00:00:00", "2026-12-28T00:00:00"),
        ("Asia/Seoul", "week", "2026-12-27T15:00:00", "2026-12-27T15:00:00", "2027-01-03T15:00:00"),
        ("UTC", "month", "2028-02-29T23:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
        ("UTC", "month", "2026-12-31T23:59:59.999", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("Asia/Seoul", "year", "2026-12-31T15:00:00", "2026-12-31T15:00:00", "2027-12-31T15:00:00"),
        ("Asia/Kathmandu", "hour", "2026-11-02T00:20:00", "2026-11-02T00:15:00", "2026-11-02T01:15:00"),
    ],
)
def test_periods(zone: str, period: str, inside: str, start: str, end: str) -> None:
    assert Periods(period, zone).bounds(at(inside)) == (at(start), at(end))


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]
)
@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "year"])
@given(instant=st.integers(at("2009-06-01T00:00:00"), at("2020-01-01T00:00:00")))
def test_periods_lie_end_to_end(zone: str, period: str, instant: int) -> None:
    periods = Periods(period, zone)
    start, end = periods.bounds(instant)
    assert start <= instant < end
    assert Periods(period, zone).bounds(start) == Periods(period, zone).bounds(end - 1) == (start, end)
    assert periods.bounds(end)[0] == end
    assert periods.bounds(start - 1)[1] == start


def test_midnight_is_the_first_instant_of_a_day() -> None:
    assert calendar.midnight(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo")) == at("2018-11-04T03:00:00")
    assert calendar.midnight(date(2026, 10, 25), ZoneInfo("Europe/Berlin")) == at("2026-10-24T22:00:00")
    # Havana repeats its midnight hour on 1 November 2026: the day starts with the first one.
    assert calendar.midnight(date(2026, 11, 1), ZoneInfo("America/Havana")) == at("2026-11-01T04:00:00")


def test_29_february_falls_on_1_march_where_there_is_none() -> None:
    born = date(2000, 2, 29)
    assert calendar.anniversary(born, 2027) == date(2027, 3, 1)
    assert calendar.anniversary(born, 2028) == date(2028, 2, 29)
    assert calendar.anniversary(date(1999, 12, 31), 2027) == date(2027, 12, 31)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1990-05-17", date(1990, 5, 17)),
        ("1990-02-29", None),
        ("17.05.1990", None),
        ("", None),
        (19900517, None),
        (None, None),
    ],
)
def test_dates(value: object, expected: date | None) -> None:
    assert calendar.parse_date(value) == expected


def test_the_days_of_events_are_local() -> None:
    events = [
        happened("a", at(text))
        for text in ("2026-11-01T22:30:00", "2026-11-01T23:30:00", "2026-11-02T00:30:00")
    ]
    assert worth("{days: a}", events, events[-1].time) == 2
    berlin = [
        happened("a", at(text))
        for text in ("2026-10-24T21:59:59.999", "2026-10-24T22:00:00", "2026-10-25T22:59:59")
    ]
    assert worth("{days: a}", berlin, berlin[-1].time) == 2
