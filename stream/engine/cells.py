"""Cells: a fixed-size, order-free summary of any number of events.

A cell is a list [n, first time, last time, …]. What follows depends on its shape, which is what the aggregates that
read it need: nothing more for counts and gaps, a sum, a range, or the values at both ends. A lifetime feature is one
cell; a window has one per pane (see `stream.engine.windows`). Adding is commutative and associative, so a cell is a
function of the set of its events.
"""

from __future__ import annotations

from fractions import Fraction
from hashlib import sha256
from math import isfinite
from typing import Any, Final

from stream.engine.packed import total, unpack_all

Cell = list[Any]
# Places in a cell.
N: Final = 0
FIRST: Final = 1
LAST: Final = 2
TOTAL: Final = 3
LOW: Final = 3
HIGH: Final = 4
FIRST_ID: Final = 3
FIRST_VALUE: Final = 4
LAST_ID: Final = 5
LAST_VALUE: Final = 6
HASHES: Final = 3

DISTINCT: Final = 256
"""Different values that are counted exactly."""
MICRO: Final = 1_000_000
_LARGEST_TOTAL: Final = 2**63 - 1
_PLAIN_TOTAL: Final = 2**60
"""Below it a total compares as a machine integer."""
_PLAIN_NUMBER: Final = 1_000_000_000
"""Below it a number's millionths can be cut off as a double, unless they are near a half."""
MAX_TEXT: Final = 256
"""Longer text counts as missing: what is kept per user stays bounded."""


def to_micros(value: Any) -> int | None:
    """A number as an integer multiple of 1e-6, ties to even; None for anything else.

    The tie is decided on the exact value of the double, not on a product that was itself rounded.
    """
    kind = type(value)
    if kind is int:
        whole: int = value
        if -_PLAIN_NUMBER < whole < _PLAIN_NUMBER:
            return whole * MICRO
        return clip(whole * MICRO)
    if kind is float:
        number: float = value
        if -_PLAIN_NUMBER < number < _PLAIN_NUMBER:
            scaled = number * 1e6
            cut = int(scaled)
            rest = scaled - cut
            if -0.49 < rest < 0.49:
                return cut
            if not -0.51 <= rest <= 0.51:
                return cut + 1 if rest > 0 else cut - 1
        elif not isfinite(number):
            return None
        return clip(round(Fraction(number) * MICRO))
    return None


def clip(micros: int) -> int:
    """Sums saturate at ±9.2e12, the largest that fits 64 bits."""
    if -_PLAIN_TOTAL < micros < _PLAIN_TOTAL:
        return micros
    return max(-_LARGEST_TOTAL, min(_LARGEST_TOTAL, micros))


def to_number(value: Any) -> float | None:
    """A number as a double; None for anything else."""
    kind = type(value)
    if kind is float:
        return float(value) if isfinite(value) else None
    if kind is int:
        return float(value) if abs(value) < 2**1000 else None
    return None


def to_scalar(value: Any) -> Any:
    """A number (as a double beyond 2^53), a boolean or a short text; None for anything else."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_TEXT else None
    if kind is bool:
        return value
    if kind is int and -(2**53) <= value <= 2**53:
        return value
    return to_number(value)


class Shape:
    """[n, first, last]: what counts and gaps need, and the base of the other shapes."""

    __slots__ = ("keeps_ids", "keeps_values", "name", "packs_values")

    def __init__(
        self, name: str, keeps_values: bool = False, keeps_ids: bool = False, packs_values: bool = False
    ) -> None:
        self.name = name
        self.keeps_values = keeps_values
        """Whether a window keeps a value with each of its entries."""
        self.keeps_ids = keeps_ids
        """Whether it keeps the event's id, too."""
        self.packs_values = packs_values
        """Whether values are integers of 64 bits, which lie packed like instants."""

    def convert(self, value: Any) -> Any:
        """The value as it is kept; None for one that counts as missing."""
        return value

    def new(self, time: int, event_id: str, value: Any) -> Cell:
        """The cell of one event."""
        return [1, time, time]

    def add(self, cell: Cell, time: int, event_id: str, value: Any) -> None:
        """Adds an event to a cell."""
        cell[N] += 1
        if time > cell[LAST]:
            cell[LAST] = time
        elif time < cell[FIRST]:
            cell[FIRST] = time

    def gather(self, first: int, last: int, values: Any, ids: Any, low: int, high: int) -> Cell:
        """The cell of the entries [low, high) of a window, at least one, from the time `first` to the time `last`."""
        return [high - low, first, last]

    def merge(self, cell: Cell, other: Cell) -> None:
        """Adds all events of another cell."""
        cell[N] += other[N]
        cell[FIRST] = min(cell[FIRST], other[FIRST])
        cell[LAST] = max(cell[LAST], other[LAST])


class _Sums(Shape):
    """[n, first, last, total in 1e-6]"""

    __slots__ = ()

    def convert(self, value: Any) -> Any:
        return to_micros(value)

    def new(self, time: int, event_id: str, value: Any) -> Cell:
        return [1, time, time, value]

    def add(self, cell: Cell, time: int, event_id: str, value: Any) -> None:
        super().add(cell, time, event_id, value)
        cell[TOTAL] = clip(cell[TOTAL] + value)

    def gather(self, first: int, last: int, values: Any, ids: Any, low: int, high: int) -> Cell:
        return [high - low, first, last, clip(total(values, low, high))]

    def merge(self, cell: Cell, other: Cell) -> None:
        super().merge(cell, other)
        cell[TOTAL] = clip(cell[TOTAL] + other[TOTAL])


class _Ranges(Shape):
    """[n, first, last, lowest, highest]"""

    __slots__ = ()

    def convert(self, value: Any) -> Any:
        return to_number(value)

    def new(self, time: int, event_id: str, value: Any) -> Cell:
        return [1, time, time, value, value]

    def add(self, cell: Cell, time: int, event_id: str, value: Any) -> None:
        super().add(cell, time, event_id, value)
        cell[LOW] = min(cell[LOW], value)
        cell[HIGH] = max(cell[HIGH], value)

    def gather(self, first: int, last: int, values: Any, ids: Any, low: int, high: int) -> Cell:
        inside = values[low:high]
        return [high - low, first, last, min(inside), max(inside)]

    def merge(self, cell: Cell, other: Cell) -> None:
        super().merge(cell, other)
        cell[LOW] = min(cell[LOW], other[LOW])
        cell[HIGH] = max(cell[HIGH], other[HIGH])


class _Ends(Shape):
    """[n, first, last, first id, first value, last id, last value], ends by (time, id)"""

    __slots__ = ()

    def convert(self, value: Any) -> Any:
        return to_scalar(value)

    def new(self, time: int, event_id: str, value: Any) -> Cell:
        return [1, time, time, event_id, value, event_id, value]

    def add(self, cell: Cell, time: int, event_id: str, value: Any) -> None:
        cell[N] += 1
        if (time, event_id) > (cell[LAST], cell[LAST_ID]):
            cell[LAST], cell[LAST_ID], cell[LAST_VALUE] = time, event_id, value
        if (time, event_id) < (cell[FIRST], cell[FIRST_ID]):
            cell[FIRST], cell[FIRST_ID], cell[FIRST_VALUE] = time, event_id, value

    def gather(self, first: int, last: int, values: Any, ids: Any, low: int, high: int) -> Cell:
        newest = high - 1
        return [high - low, first, last, ids[low], values[low], ids[newest], values[newest]]

    def merge(self, cell: Cell, other: Cell) -> None:
        cell[N] += other[N]
        if (other[LAST], other[LAST_ID]) > (cell[LAST], cell[LAST_ID]):
            cell[LAST], cell[LAST_ID], cell[LAST_VALUE] = other[LAST], other[LAST_ID], other[LAST_VALUE]
        if (other[FIRST], other[FIRST_ID]) < (cell[FIRST], cell[FIRST_ID]):
            cell[FIRST], cell[FIRST_ID], cell[FIRST_VALUE] = other[FIRST], other[FIRST_ID], other[FIRST_VALUE]


class _Sets(Shape):
    """[n, first, last, sorted hashes]: the 256 smallest hashes of the values, a summary that merges in any order"""

    __slots__ = ()

    def convert(self, value: Any) -> Any:
        scalar = to_scalar(value)
        return None if scalar is None else hash_scalar(scalar)

    def new(self, time: int, event_id: str, value: Any) -> Cell:
        return [1, time, time, [value]]

    def add(self, cell: Cell, time: int, event_id: str, value: Any) -> None:
        super().add(cell, time, event_id, value)
        cell[HASHES] = sorted({*cell[HASHES], value})[: DISTINCT + 1]

    def gather(self, first: int, last: int, values: Any, ids: Any, low: int, high: int) -> Cell:
        return [high - low, first, last, sorted(set(unpack_all(values)[low:high]))]

    def merge(self, cell: Cell, other: Cell) -> None:
        super().merge(cell, other)
        cell[HASHES] = sorted({*cell[HASHES], *other[HASHES]})[: DISTINCT + 1]


def hash_scalar(value: Any) -> int:
    """63 bits that name a value, from SHA-256: 1 and 1.0 are one value, '1' is another."""
    text = f"s{value}" if type(value) is str else f"b{value}" if type(value) is bool else f"n{float(value)!r}"
    return int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def estimate_distinct(hashes: int, bound: int) -> float:
    """Number of different values by bottom-k: (k − 1) / (k-th smallest hash as a fraction of all).

    Beyer et al., "On Synopses for Distinct-Value Estimation Under Multiset Operations", SIGMOD 2007: unbiased, relative
    standard error about 1/sqrt(k − 2), for k = 257 about 6.3 %. `bound` is the k-th smallest, `hashes` those below it.
    """
    return hashes / (bound / 2**63)


TIMES: Final = Shape("times")
SUMS: Final = _Sums("sums", keeps_values=True, packs_values=True)
RANGES: Final = _Ranges("ranges", keeps_values=True)
ENDS: Final = _Ends("ends", keeps_values=True, keeps_ids=True)
SETS: Final = _Sets("sets", keeps_values=True, packs_values=True)
