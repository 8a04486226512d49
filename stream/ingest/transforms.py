"""The closed set of transforms a mapping may apply to a value, each text or JSON value → JSON value.

A transform raises ValueError with what it expected; the mapping adds the path. Sources write numbers as text (CSV) or
as numbers (JSON): both are read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import tzinfo
from functools import lru_cache
from typing import Any

import msgspec

from stream.ingest import times
from stream.ingest.numbers import absolute, integer, negate, number

Transform = Callable[[Any], Any]
MAX_JSON_DEPTH = 300
_TRUE = frozenset({"true", "t", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "off"})
_HUMP = re.compile(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])")
_OTHER = re.compile(r"[^0-9A-Za-z\u0080-\U0010ffff]+")
_decode_json = msgspec.json.Decoder().decode


def text(value: Any) -> str:
    """Text, or a number as text; whole numbers without a point, as JSON knows but one kind of number."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return _digits(value)
    if kind is float and value == value and abs(value) != float("inf"):
        return str(int(value)) if value == int(value) and abs(value) < 2**53 else str(value)
    raise ValueError(f"expected text, not {str(value)[:40]!r}")


def _digits(value: int) -> str:
    if value.bit_length() > 1024:
        raise ValueError("expected text, not a number of hundreds of digits")
    return str(value)


def text_or_same(value: Any) -> Any:
    """A number as text; anything else as it is."""
    try:
        return text(value)
    except ValueError:
        return value


def lower(value: Any) -> str:
    """Text in lower case."""
    return text(value).lower()


def upper(value: Any) -> str:
    """Text in upper case."""
    return text(value).upper()


def trim(value: Any) -> str | None:
    """Text without the space around it; nothing if that is all."""
    return text(value).strip() or None


@lru_cache(maxsize=4096)
def _snake(value: str) -> str:
    return _OTHER.sub("_", _HUMP.sub(r"\1\3_\2\4", value)).strip("_").lower()


def snake_case(value: Any) -> str | None:
    """`Order Completed`, `orderCompleted`, `order-completed` → `order_completed`; nothing if no letter is left."""
    plain: str = value if type(value) is str else text(value)
    return (_snake(plain) if len(plain) <= 200 else plain) or None


def boolean(value: Any) -> bool:
    """True and false, also as the words and digits that tables use."""
    if isinstance(value, bool):
        return value
    word = text(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"expected true or false, not {str(value)[:40]!r}")


def from_base64(value: Any) -> str:
    """Text out of base64, also of the kind for URLs and without its padding."""
    plain = text(value).strip().translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"expected base64 of text: {error}") from None


_URL_SAFE = str.maketrans("-_", "+/")


def from_json(value: Any) -> Any:
    """What a JSON text stands for; what is no text is decoded already."""
    if not isinstance(value, str):
        return value
    if value.count("[") + value.count("{") > MAX_JSON_DEPTH:
        raise ValueError(f"expected JSON with at most {MAX_JSON_DEPTH} objects and lists")
    try:
        return _decode_json(value)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"expected JSON: {error}") from None


def first(value: Any) -> Any:
    """The first of a list, if there is one."""
    return _as_list(value)[0] if _as_list(value) else None


def last(value: Any) -> Any:
    """The last of a list, if there is one."""
    return _as_list(value)[-1] if _as_list(value) else None


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, not {str(value)[:40]!r}")
    return value


def split(separator: str) -> Transform:
    """Text → the texts between the separators, without the space around them; empty ones are left out."""

    def read(value: Any) -> list[str] | None:
        return [part for piece in text(value).split(separator) if (part := piece.strip())] or None

    return read


TRANSFORMS: dict[str, Transform] = {
    "ms": times.milliseconds,
    "us": times.microseconds,
    "s": times.seconds,
    "iso8601": times.Iso8601(None),
    "number": number,
    "integer": integer,
    "negate": negate,
    "abs": absolute,
    "text": text,
    "lower": lower,
    "upper": upper,
    "trim": trim,
    "snake_case": snake_case,
    "boolean": boolean,
    "json": from_json,
    "base64": from_base64,
    "first": first,
    "last": last,
}
"""Transforms that are just a word."""
OF_TEXT: frozenset[Transform] = frozenset({lower, upper, trim, snake_case})
"""Transforms that take any text, and always make the same of it."""
OF_A_ZONE: dict[str, Callable[[tzinfo | None], Transform]] = {"iso8601": times.Iso8601, "excel": times.excel}
"""Transforms of local times, made when the zone of the mapping is known. Without one, `iso8601` reads only times that
have their own, and `excel` cannot be used."""
WITH_ARGUMENT = ("date", "decimal", "times", "divide", "split", "pivot")
"""Transforms that are told something: `{split: ","}`."""
