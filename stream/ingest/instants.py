"""Times as nearly everybody writes them, 2026-11-21T09:30:00.123Z, read by look-ups instead of parsing.

Three look-ups by parts (`[:14]`, `[14:19]`, `[19:]`) are quicker than parsing, as long as the tables are small enough
to stay in the cache. Milliseconds, finer, none, and offsets from UTC all stand in the last part.
"""

from __future__ import annotations

from stream.instants import parse_instant


class _Hours(dict[str, int]):
    """Hours as they are written in times, `2026-11-21T09:`, and their instants. Logs stay in an hour for long."""

    def __missing__(self, hour: str) -> int:
        # The end of a day (24:00), where a reader knows it at all, has no minutes; and near the ends of time an offset
        # could lead beyond them.
        if hour[11:13] == "24" or not "1000" <= hour[:4] <= "9000":
            raise KeyError(hour)
        try:
            instant = parse_instant(f"{hour}00:00.000Z")
        except ValueError:
            raise KeyError(hour) from None
        if len(self) >= _MOST_HOURS:
            self.clear()
        self[hour] = instant
        return instant


_MOST_HOURS, _MOST_RESTS = 10_000, 2_000
_BEGIN = parse_instant("2000-01-01T00:00:00Z")
HOURS = _Hours()
SECONDS = {
    f"{minute:02}:{second:02}": (minute * 60 + second) * 1000 for minute in range(60) for second in range(60)
}
RESTS = {f".{number:03}Z": number for number in range(1000)} | {"Z": 0}
"""What follows the seconds, as milliseconds to be added; other ways of writing it are added as they are met."""
LARGEST_PLAIN = 32_503_680_000_000
"""The year 3000: beyond it `parse_instant` judges."""


def read_instant(value: object) -> int:
    """What parse_instant says, sooner where the time is written as nearly everybody does."""
    if type(value) is str:
        try:
            return quick_instant(value)
        except KeyError:
            pass  # another way of writing it, or no time at all
    return parse_instant(value)


def quick_instant(value: str) -> int:
    """The instant of RFC 3339 text; KeyError if parse_instant has to judge."""
    return HOURS[value[:14]] + SECONDS[value[14:19]] + _rest(value[19:])


def _rest(rest: str) -> int:
    """Milliseconds of `.123Z`, `Z`, `.123456+09:00`; KeyError if it is none of that kind."""
    known = RESTS.get(rest)
    if known is not None:
        return known
    if rest[-1:] == "Z" and rest[:1] == "." and rest.isascii() and rest[1:-1].isdigit():
        return int(rest[1:-1].ljust(3, "0")[:3])  # more kinds than are worth keeping
    try:
        added = parse_instant(f"2000-01-01T00:00:00{rest}") - _BEGIN
    except ValueError:
        raise KeyError(rest) from None
    if len(rest) == len("+09:00") and len(RESTS) < _MOST_RESTS:
        RESTS[rest] = added
    return added


def received_or(value: object, time: int) -> int:
    """The record time of a record that carries none; a `received_at` that is no time counts as absent."""
    if value is None:
        return time
    try:
        return read_instant(value)
    except ValueError:
        return time
