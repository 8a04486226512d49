"""Times as sources write them → epoch milliseconds.

A local time needs the zone that the mapping gives once (`timezone:`). Where clocks are put back an hour comes twice:
its first passing is meant. Where they are put forward an hour does not exist: a time in it counts from the hour before,
as if the clock had not been touched, so that no record is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from stream.ingest.instants import quick_instant
from stream.ingest.numbers import number
from stream.instants import EPOCH, parse_instant

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?)?\s*"
    r"(?:([Zz]|UTC|GMT)|([+-]\d\d):?(\d\d)?)?"
)
_MILLISECOND = timedelta(milliseconds=1)
_EXCEL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
"""Day 0 of a spreadsheet's dates; right from 1 March 1900 on, when its leap year that never was has passed."""
_EXCEL_DAYS = 2_958_466  # the end of the year 9999
DIRECTIVES = "YymdbBHIMSfpzjaA"
"""What a date format may hold after `%`: the directives of strptime that do not depend on the machine."""
_PATTERN_LETTERS = (
    ("yyyy", "%Y"), ("YYYY", "%Y"), ("yy", "%y"), ("MMM", "%b"), ("MM", "%m"), ("dd", "%d"), ("DD", "%d"),
    ("HH", "%H"), ("hh", "%H"), ("mm", "%M"), ("ss", "%S"), ("SSS", "%f"),
)  # fmt: skip


def milliseconds(value: object) -> int:
    """Epoch milliseconds, as a number or as digits."""
    return parse_instant(number(value))


def microseconds(value: object) -> int:
    """Epoch microseconds, as a number or as digits."""
    given = number(value)
    if not abs(given) < 1e18:
        raise ValueError(f"{given!r} is too large for epoch microseconds")
    return parse_instant(int(given) // 1000)


def seconds(value: object) -> int:
    """Epoch seconds, whole or not, as a number or as digits."""
    # Rounding to a microsecond first: 1433221332.117 × 1000 falls just short of its millisecond in doubles.
    return parse_instant(int(round(number(value) * 1000, 3)))


class Iso8601:
    """ISO 8601 text: a date, or date and time; without a zone of its own it is local."""

    __slots__ = ("_zone",)

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone

    def __call__(self, value: object) -> int:
        if type(value) is not str:
            raise ValueError(f"expected a time as text, like 2026-11-21T09:30:00Z, not {str(value)[:40]!r}")
        quick = _quick(value)
        if quick is not None:
            return quick
        match = _ISO.fullmatch(value)
        if match is None:
            raise ValueError(f"{value[:40]!r} is not ISO 8601, like 2026-11-21T09:30:00Z")
        day, clock, fraction, utc, hours, minutes = match.groups()
        clock = clock or "00:00:00"
        if len(clock) == 5:
            clock += ":00"
        text = f"{day}T{clock}.{(fraction or '0')[:6]:0<6}"
        if utc or hours:
            return parse_instant(text + ("Z" if utc else f"{hours}:{minutes or '00'}"))
        if self._zone is None:
            raise ValueError(f"{value[:40]!r} has no zone: give the mapping its `timezone:`")
        try:
            return instant_of(datetime.fromisoformat(text), self._zone)
        except ValueError:
            raise ValueError(f"{value[:40]!r} is not a date and time that exists") from None


def _quick(value: str) -> int | None:
    """The instant of the ways that most machines write: milliseconds or none, Z or an offset. None of others."""
    try:
        return quick_instant(value)
    except KeyError:
        pass
    if value[4:17:3] != "--T::" or not value.isascii():
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None or not 1973 < moment.year < 9000:
        return None
    return (moment - EPOCH) // _MILLISECOND


def excel(zone: tzinfo | None) -> Callable[[object], int]:
    """Days since 30 December 1899, whole or not, as spreadsheets keep dates; local time."""

    def read(value: object) -> int:
        days = number(value)
        if not 61 <= days < _EXCEL_DAYS:
            raise ValueError(
                f"{str(value)[:40]!r} is no spreadsheet date: expected days since 1900, like 46347.5"
            )
        local = _EXCEL_EPOCH + _MILLISECOND * round(days * 86_400_000)
        return instant_of(local.replace(tzinfo=None), zone)

    return read


def date(formats: tuple[str, ...], zone: tzinfo | None) -> Callable[[object], int]:
    """Text in one of the formats; local time unless the format has `%z`."""

    def read(value: object) -> int:
        text = value.strip() if isinstance(value, str) else str(value)
        for pattern in formats:
            try:
                moment = datetime.strptime(text, pattern)  # noqa: DTZ007  # local: instant_of knows the zone
            except ValueError:
                continue
            return instant_of(moment, zone)
        expected = " or ".join(f"`{pattern}`" for pattern in formats)
        raise ValueError(f"{text[:40]!r} is no date like {expected}")

    return read


def instant_of(moment: datetime, zone: tzinfo | None) -> int:
    """Epoch milliseconds of a local time, or of one that knows its offset; ValueError beyond the years 2 to 9990."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone or UTC)
    try:
        instant = (moment - EPOCH) // _MILLISECOND
    except OverflowError:
        raise ValueError(f"{moment.replace(tzinfo=None)} is out of range") from None
    return parse_instant(instant) if instant >= 0 else parse_instant(moment.isoformat())


def check_format(pattern: str) -> str | None:
    """What is wrong with a date format; None if it can be used."""
    if "%" not in pattern:
        guess = pattern
        for letters, directive in _PATTERN_LETTERS:
            guess = guess.replace(letters, directive)
        hint = f"; did you mean `{guess}`?" if guess != pattern else ", like `%d.%m.%Y %H:%M`"
        return f"a date format is written with %{hint}"
    for match in re.finditer(r"%(.?)", pattern.replace("%%", "")):
        if match[1] not in DIRECTIVES or not match[1]:
            known = " ".join(f"%{letter}" for letter in DIRECTIVES)
            return f"`%{match[1]}` is unknown in a date format (known: {known})"
    if not re.search("%Y|%y", pattern) or not re.search("%d|%j", pattern):
        return "a date format needs a year and a day, like `%d.%m.%Y %H:%M`"
    return None


def is_local(pattern: str) -> bool:
    """Whether times of a format need a zone."""
    return "%z" not in pattern
