"""How a setting is read from text and shown again: numbers, sizes, durations, choices."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import yaml

from stream.durations import format_duration, parse_duration

Parser = Callable[[str], Any]
"""Text as written → value; ValueError says what was expected."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a setting is read from text and shown again."""

    parse: Parser
    show: Callable[[Any], Any] = lambda value: value


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("expected some text")
    return text


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _brokers(text: str) -> str:
    """`host:port`, joined by commas; without a port Kafka's own."""
    for broker in _text(text).split(","):
        found = _BROKER.fullmatch(broker.strip())
        if found is None or not 0 < int(found[1] or 9092) <= _LAST_PORT:
            raise ValueError(f"expected host:port, or several joined by commas, not `{broker.strip()}`")
    return ",".join(broker.strip() for broker in text.split(","))


_BROKER: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\])(?::([0-9]{1,5}))?")
_LAST_PORT: Final = 65_535


def integer(least: int, most: int | None = None) -> Parser:
    """Whole numbers within bounds, both included."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"expected a whole number, not `{text}`") from None
        if number < least or (most is not None and number > most):
            bounds = f"at least {least}" if most is None else f"between {least} and {most}"
            raise ValueError(f"expected a number {bounds}, not {number}")
        return number

    return parse


_BYTE_UNITS: Final = {"B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def _byte_size(text: str) -> int:
    """Bytes of `262144`, `256 KiB` or `6MiB`."""
    digits = text.strip().rstrip("BKMGIbkmgi ")
    unit = text.strip()[len(digits) :].strip().upper() or "B"
    if not digits.isdecimal() or unit not in _BYTE_UNITS or int(digits) == 0:
        raise ValueError(f"expected a size like 262144, 256KiB or 6MiB, not `{text}`")
    return int(digits) * _BYTE_UNITS[unit]


def _show_byte_size(size: int) -> int | str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return size


def _duration(text: str) -> int:
    return 0 if text.strip() == "0" else parse_duration(text)


def _duration_or_off(text: str) -> int | None:
    return None if text.strip().lower() in ("off", "false", "no", "none") else _duration(text)


def _show_duration(milliseconds: int | None) -> str:
    return "off" if milliseconds is None else format_duration(milliseconds)


def choice(*options: str) -> Parser:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in options:
            raise ValueError(
                f"expected one of {', '.join(options)}, not `{text}`{near(text.lower(), options)}"
            )
        return text.lower()

    return parse


MASK: Final = "********"


def _table(text: str) -> dict[str, str]:
    """`{topic: mapping}`, as YAML."""
    found = yaml.safe_load(text)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in (*found, *found.values())):
        raise ValueError("expected names and texts, like {clicks: segment}")
    return found


TEXT: Final = Kind(_text)
BROKERS: Final = Kind(_brokers)
PATH: Final = Kind(_text)
PATHS: Final = Kind(_texts, list)
"""Separated by commas where they come as one text."""
DURATION: Final = Kind(_duration, _show_duration)
DURATION_OR_OFF: Final = Kind(_duration_or_off, _show_duration)
"""Off is None."""
BYTES: Final = Kind(_byte_size, _show_byte_size)
SECRET: Final = Kind(str.strip, lambda value: MASK if value else "")
"""Text that is never shown; empty where there is none."""
TABLE: Final = Kind(_table, dict)
"""Names and a text for each."""
ANYTHING: Final = Kind(yaml.safe_load)
"""A section that is handed on unread."""


def near(word: str, choices: Sequence[str]) -> str:
    """`; did you mean …?` for the nearest of `choices`, or nothing."""
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""
