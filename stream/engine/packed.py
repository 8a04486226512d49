"""Integers in one string of bytes, most of them sorted instants: eight bytes each, little-endian, signed.

A window holds up to 64 instants, is read and written with every event that concerns its user, and is asked for a few of
them at most. A list would be 64 objects to make, to visit and to free; here it is one that is copied as it is.
Functions take and give places among the integers, not among the bytes. Compiled, they are machine arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack as pack_struct
from struct import unpack
from typing import Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64

EMPTY: Final = b""
_ADDS: Final = 1 << 56
"""Up to here, 127 of them add up to what a machine's integer holds."""


def pack(integers: Iterable[int]) -> bytes:
    """Integers packed, in their order."""
    values = tuple(integers)
    return pack_struct(f"<{len(values)}q", *values)


def unpack_all(packed: bytes) -> tuple[int, ...]:
    """All of them."""
    return unpack(f"<{len(packed) >> 3}q", packed)


def count(packed: bytes) -> i64:
    """How many there are."""
    return len(packed) >> 3


def at_place(packed: bytes, place: i64) -> i64:
    """One of them."""
    return read_i64_le(packed, place << 3)


def total(packed: bytes, low: i64, high: i64) -> int:
    """The sum of those at the places [low, high), fewer than 128: it may be larger than what packs."""
    found: i64 = 0
    for place in range(low, high):
        one = read_i64_le(packed, place << 3)
        if not -_ADDS <= one <= _ADDS:
            return sum(unpack_all(packed)[low:high])
        found += one
    return int(found)


def first_from(times: bytes, instant: i64) -> i64:
    """Of sorted ones, the place of the first that is not before `instant`; their number if there is none."""
    high: i64 = len(times) >> 3
    low: i64 = 0
    if not high or read_i64_le(times, 0) >= instant:
        return low
    while low < high:
        middle = (low + high) >> 1
        if read_i64_le(times, middle << 3) < instant:
            low = middle + 1
        else:
            high = middle
    return low


def first_after(times: bytes, instant: i64) -> i64:
    """Of sorted ones, the place of the first that is after `instant`; their number if there is none."""
    return first_from(times, instant + 1)


class _Memo:
    """The last integer that was put: an event's time goes into several windows."""

    __slots__ = ("one",)

    def __init__(self) -> None:
        self.one: tuple[int, bytes] = (0, bytes(8))
        """It and what it is packed: one value, so that a thread finds both or none."""


_memo: Final = _Memo()


def put_at(packed: bytes, place: i64, integer: int) -> bytes:
    """All of them, and another at a place."""
    one = _memo.one
    if one[0] != integer:
        writer = BytesWriter()
        write_i64_le(writer, integer)
        one = _memo.one = (integer, writer.getvalue())
    at = place << 3
    if at == len(packed):
        return packed + one[1]
    return packed[:at] + one[1] + packed[at:]


def cut_before(packed: bytes, place: i64) -> bytes:
    """Those from a place on."""
    return packed[place << 3 :]
