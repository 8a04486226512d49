"""Unknown, and logic with three values (Kleene)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any


class Unknown:
    """The one value UNKNOWN. Using it as a plain truth value is a mistake of the oracle, so it raises."""

    def __repr__(self) -> str:
        return "unknown"

    def __bool__(self) -> bool:
        raise TypeError("unknown has no truth value")


UNKNOWN = Unknown()


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_verdict(value: Any) -> Any:
    """What is not true or false cannot be a verdict."""
    return value if value is True or value is False else UNKNOWN


def as_version(value: Any) -> Any:
    """The numbers in front of a text, three at most, as one number; unknown of anything else."""
    if not isinstance(value, str):
        return UNKNOWN
    rest, numbers = value[1:] if value[:1] in ("v", "V") else value, []
    while len(numbers) < 3 and (digits := "".join(takewhile("0123456789".__contains__, rest))):
        numbers.append(int(digits))
        rest = rest[len(digits) :]
        if not rest.startswith("."):
            break
        rest = rest[1:]
    if not numbers or max(numbers) >= 100_000:
        return UNKNOWN
    major, minor, patch = [*numbers, 0, 0][:3]
    return (major * 100_000 + minor) * 100_000 + patch


def not_(value: Any) -> Any:
    return UNKNOWN if value is UNKNOWN else not value


def at_least(needed: int, verdicts: Iterable[Any]) -> Any:
    verdicts = list(verdicts)
    true = sum(1 for verdict in verdicts if verdict is True)
    unknown = sum(1 for verdict in verdicts if verdict is UNKNOWN)
    if true >= needed:
        return True
    return UNKNOWN if true + unknown >= needed else False


def all_(verdicts: Iterable[Any]) -> Any:
    verdicts = list(verdicts)
    return at_least(len(verdicts), verdicts)


def any_(verdicts: Iterable[Any]) -> Any:
    return at_least(1, verdicts)


def same(left: Any, right: Any) -> Any:
    """`==`: unknown with an unknown or between two types; null (no tier) is only ever equal to null."""
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    if left is None or right is None:
        return left is right
    if is_number(left) and is_number(right):
        return float(left) == float(right)
    if type(left) is type(right) and isinstance(left, str | bool):
        return left == right
    return UNKNOWN


def order(left: Any, right: Any) -> int | Unknown:
    """-1, 0 or 1 for numbers and for texts; unknown for anything else."""
    if is_number(left) and is_number(right):
        left, right = float(left), float(right)
    elif not (isinstance(left, str) and isinstance(right, str)):
        return UNKNOWN
    return (left > right) - (left < right)
