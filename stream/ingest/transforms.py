"""The closed set of transforms a mapping may apply to a value, each text or JSON value → JSON value.

A transform raises ValueError with what it expected; the mapping adds the path. Sources write numbers as text (CSV) or
as numbers (JSON): both are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stream.instants import parse_instant

Transform = Callable[[Any], Any]


def milliseconds(value: Any) -> int:
    """Epoch milliseconds, as a number or as digits."""
    return parse_instant(number(value))


def seconds(value: Any) -> int:
    """Epoch seconds, whole or not, as a number or as digits; in milliseconds."""
    # Rounding to a microsecond first: 1433221332.117 × 1000 falls just short of its millisecond in doubles.
    return parse_instant(int(round(number(value) * 1000, 3)))


def instant(value: Any) -> int:
    """RFC 3339 text with a zone; in milliseconds."""
    if not isinstance(value, str):
        raise ValueError(f"expected RFC 3339 text, not {value!r}")
    return parse_instant(value)


def number(value: Any) -> int | float:
    """A number, or text that holds one; whole numbers stay whole."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and "_" not in value:
        try:
            return int(value)
        except ValueError:
            pass
        try:
            parsed = float(value)
        except ValueError:
            pass
        else:
            if math.isfinite(parsed):
                return parsed
    raise ValueError(f"expected a number, not {str(value)[:40]!r}")


def text(value: Any) -> str:
    """Text, or a number as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"expected text, not {str(value)[:40]!r}")


def lower(value: Any) -> str:
    """Text in lower case."""
    return text(value).lower()


def upper(value: Any) -> str:
    """Text in upper case."""
    return text(value).upper()


TRANSFORMS: dict[str, Transform] = {
    "ms": milliseconds,
    "s": seconds,
    "iso8601": instant,
    "number": number,
    "text": text,
    "lower": lower,
    "upper": upper,
}
