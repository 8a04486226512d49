"""Versions of programs as numbers, so that they can be compared: 2.10 is above 2.9.

A version is the whole numbers with which a text begins, joined by dots: three at most, each below 100,000. A `v` before
them and whatever stands behind (a fourth number, `-beta`, a build in parentheses) say nothing of the order.
"""

from __future__ import annotations

import re
from typing import Final

from stream.engine.profile import Profile
from stream.engine.values import Answer, Value

_VERSION: Final = re.compile(r"[vV]?(\d+)(?:\.(\d+))?(?:\.(\d+))?", re.ASCII)
_BELOW: Final = 100_000


def order_of_version(value: object) -> int | None:
    """A number in the order of versions; None of what is no version.

    >>> order_of_version("2.10.3"), order_of_version("v2")
    (20001000003, 20000000000)
    """
    found = _VERSION.match(value) if type(value) is str else None
    if found is None:
        return None
    order = 0
    for digits in found.groups(default="0"):
        part = int(digits) if len(digits) <= 20 else _BELOW
        if part >= _BELOW:
            return None
        order = order * _BELOW + part
    return order


class Version(Value):
    """`version(text)`: a number in the order of versions."""

    __slots__ = ("_of",)

    def __init__(self, of: Value, text: str) -> None:
        super().__init__(text)
        self._of = of

    def parts(self) -> tuple[Value, ...]:
        return (self._of,)

    def value(self, profile: Profile, instant: int, key: str | None) -> Answer:
        value, _, until = self._of.value(profile, instant, key)
        return (order_of_version(value), 0, until)
