"""Instants: whole milliseconds since 1970-01-01T00:00:00Z. Finer input is cut towards the past."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# RFC 3339, so that the wider ISO 8601 that `fromisoformat` reads (week dates, basic format) stays out.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ](?!24)\d\d:\d\d:(\d\d)(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
SMALLEST_EPOCH_MS = 100_000_000_000
_LAST_WRITABLE: Final = 253_402_300_799_999
# Calendars need room on both sides of an instant: local time, the next year, a duration ahead.
_EARLIEST = -62_104_060_800_000  # 0002-01-01
_LATEST = 253_118_303_999_999  # 9990-12-31


def parse_instant(value: object) -> int:
    """Milliseconds since the epoch from RFC 3339 text with a zone, or a number of epoch milliseconds.

    ValueError says what is wrong: no zone, not a time, or a number below 1e11, which can only be seconds.

    >>> parse_instant("2026-11-21T10:30:00.0009+01:00")
    1795253400000
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected RFC 3339 text or epoch milliseconds, not {_name(value)}")
    if not value >= SMALLEST_EPOCH_MS:  # also NaN
        raise ValueError(f"{value!r} is too small for epoch milliseconds: multiply seconds by 1000")
    if value > _LATEST:
        raise ValueError(
            f"{value!r} is too large for epoch milliseconds: microseconds must be divided by 1000"
        )
    return int(value)


def _parse_text(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not RFC 3339 with a zone, like 2026-11-21T09:30:00Z")
    leap = match[1] == "60"  # a leap second is the second that follows :59
    if leap:
        text = f"{text[:17]}59{text[19:]}"
    try:
        moment = datetime.fromisoformat(text.upper())  # small letters are RFC 3339, too
        instant = (moment - EPOCH) // _MILLISECOND + (1000 if leap else 0)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a date and time that exists") from None
    if not _EARLIEST <= instant <= _LATEST:
        raise ValueError(f"{text[:40]!r} lies outside the years 2 to 9990")
    return instant


def format_instant(instant: int) -> str:
    """RFC 3339 in UTC with milliseconds; what lies beyond the year 9999 is written as its end.

    >>> format_instant(1795253400000)
    '2026-11-21T09:30:00.000Z'
    """
    instant = min(instant, _LAST_WRITABLE)
    day = instant // 86_400_000
    rest = instant - day * 86_400_000
    minute = rest // 60_000
    rest -= minute * 60_000
    second = rest // 1000
    millisecond = rest - second * 1000
    date = _DAYS.get(day)
    if date is None:
        date = _format_day(day)
    return f"{date}{_MINUTES[minute]}{_SECONDS[second]}{_MILLISECONDS[millisecond]}"


# A change names half a dozen instants. Put together from texts that are there, one costs a third.
_MINUTES: Final = tuple(f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440))
_SECONDS: Final = tuple(f"{second:02d}" for second in range(60))
_MILLISECONDS: Final = tuple(f".{millisecond:03d}Z" for millisecond in range(1000))


_DAYS: Final[dict[int, str]] = {}
"""Days that were formatted before."""
_MOST_DAYS: Final = 4096


def _format_day(day: int) -> str:
    if len(_DAYS) >= _MOST_DAYS:
        _DAYS.clear()
    text = _DAYS[day] = (EPOCH + timedelta(days=day)).date().isoformat()
    return text


def _name(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
