"""Numbers as sources write them: JSON numbers, digits in text, decimal commas, minor units."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

_LONGEST = 400
"""Characters of a number in text: more is an attack on whoever parses it."""
_GROUPED = {
    ",": re.compile(r"([+-]?)(\d{1,3}(?:[. ’'\u00a0\u202f]\d{3})+|\d+)(?:,(\d+))?"),
    ".": re.compile(r"([+-]?)(\d{1,3}(?:[, ’'\u00a0\u202f]\d{3})+|\d+)(?:\.(\d+))?"),
}
_MONEY = re.compile(
    r"(?P<sign>[+-]?)(?P<open>\()?\s*(?P<before>[^\W\d_]{0,3}[$€£¥₩₹₽₺₫₴₦฿₱₪]?)\s*(?P<inner>[+-]?)"
    r"(?P<digits>\d(?:[\d., ’'\u00a0\u202f]*\d)?)"
    r"\s*(?P<after>[$€£¥₩₹₽₺₫₴₦฿₱₪]?(?:[^\W\d_]{1,3}\.?)?)\s*(?P<close>\))?"
)
"""A number with its currency: `$1,299.50`, `29,90 €`, `-EUR 5.00`, `(12.00)`."""
_NO_DIGIT = str.maketrans("", "", ". ,’'\u00a0\u202f")


def number(value: Any) -> int | float:
    """A number, or text that holds one; whole numbers stay whole."""
    kind = type(value)
    if kind is int:
        return value  # type: ignore[no-any-return]
    if kind is float:
        if math.isfinite(value):
            return value  # type: ignore[no-any-return]
    elif kind is str and len(value) <= _LONGEST and "_" not in value:
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


def number_or_same(value: Any) -> Any:
    """The number that a text holds; anything else as it is."""
    try:
        return number(value)
    except ValueError:
        return value


def integer(value: Any) -> int:
    """A whole number: `3`, `"3"`, `3.0`."""
    found = number(value)
    if found != int(found):
        raise ValueError(f"expected a whole number, not {str(value)[:40]!r}")
    return int(found)


def decimal(sign: str) -> Callable[[Any], int | float]:
    """Numbers with a decimal comma (or point), whose thousands may be set apart: `1.234,50`, `$1,234.50`, `(5.00)`."""
    pattern = _GROUPED[sign]

    def read(value: Any) -> int | float:
        if not isinstance(value, str):
            return number(value)
        match = pattern.fullmatch(value.strip()) if len(value) <= _LONGEST else None
        if match is None and len(value) <= _LONGEST:
            match = pattern.fullmatch(_bare(value.strip()))
        if match is None:
            raise ValueError(f"expected a number with a decimal `{sign}`, not {value[:40]!r}")
        plus, whole, fraction = match.groups()
        return number(f"{plus}{whole.translate(_NO_DIGIT)}" + (f".{fraction}" if fraction else ""))

    return read


def _bare(text: str) -> str:
    """A number without its currency; negative in parentheses, as accountants write it. "" if it is something else."""
    match = _MONEY.fullmatch(text)
    if match is None or (match["before"] and match["after"]) or bool(match["open"]) != bool(match["close"]):
        return ""
    signs = [sign for sign in (match["sign"], match["inner"], match["open"] and "-") if sign]
    return "" if len(signs) > 1 else "".join(signs) + match["digits"]


def scale(factor: Decimal) -> Callable[[Any], int | float]:
    """A number times a factor, without the dust of binary fractions: 1999 cents are 19.99."""

    def read(value: Any) -> int | float:
        try:
            scaled = Decimal(str(number(value))) * factor
        except InvalidOperation:
            raise ValueError(f"{str(value)[:40]!r} is out of range") from None
        return number(int(scaled)) if scaled == scaled.to_integral_value() else number(float(scaled))

    return read


def product(values: Iterable[Any]) -> int | float:
    """Numbers multiplied as people do it: 3 × 19.99 is 59.97."""
    found = Decimal(1)
    for value in values:
        found *= Decimal(str(number(value)))
    return number(int(found)) if found == found.to_integral_value() else number(float(found))


def negate(value: Any) -> int | float:
    """The number with the other sign."""
    return -number(value)


def absolute(value: Any) -> int | float:
    """The number without its sign."""
    return abs(number(value))
