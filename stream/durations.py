"""Durations as people write them: a whole or decimal number and a unit, `90s 30m 2h 7d 4w` (also `250ms`).

A duration is a number of whole milliseconds. A day is 24 hours: calendar days are a matter of windows.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

UNITS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")


def parse_duration(text: str) -> int:
    """Milliseconds of e.g. `30m` or `1.5h`; ValueError if it is none, or not a whole number of milliseconds.

    >>> parse_duration("30m")
    1800000
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"`{text}` is not a duration: write a number and a unit, like 90s, 30m, 2h, 7d or 4w"
        )
    amount = Decimal(match[1]) * UNITS[match[2]]
    if amount != int(amount):
        raise ValueError(f"`{text}` is not a whole number of milliseconds")
    return int(amount)


def format_duration(milliseconds: int) -> str:
    """The shortest text that parses to the same duration: the largest unit that divides it (weeks are written as days).

    >>> format_duration(1_800_000), format_duration(86_400_000), format_duration(0)
    ('30m', '1d', '0s')
    """
    if milliseconds % SECOND:
        return f"{milliseconds}ms"
    if milliseconds % MINUTE or milliseconds == 0:
        return f"{milliseconds // SECOND}s"
    if milliseconds % HOUR:
        return f"{milliseconds // MINUTE}m"
    if milliseconds % DAY:
        return f"{milliseconds // HOUR}h"
    return f"{milliseconds // DAY}d"
