"""Cells: fixed point with ties to even, saturation, and adding in any order."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engine import cells
from stream.engine.cells import ENDS, RANGES, SETS, SUMS, TIMES, Shape, to_micros, to_number, to_scalar
from stream.engine.packed import pack

MOST = 2**63 - 1


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        (0, 0),
        (1, 1_000_000),
        (0.1, 100_000),
        (-19.99, -19_990_000),
        (0.0078125, 7_812),  # 1/128 = 7812.5: a true tie goes to the even neighbour, below
        (0.0234375, 23_438),  # 3/128 = 23437.5: above
        (-0.0078125, -7_812),
        (-0.0234375, -23_438),
        (0.5e-6, 0),  # the double nearest to half a millionth lies below it
        (1.5e-6, 2),  # and the one nearest to one and a half above
        (2.5e-6, 3),  # above, too: no tie
        (123456789.0000005, 123_456_789_000_001),  # the double is 123456789.000000506…
        (9_223_372_036_854.775807, 9_223_372_036_854_775_391),  # the double, below the largest total
        (9_223_372_036_855, MOST),
        (1e13, MOST),
        (-1e300, -MOST),
        (10**400, MOST),
        (-(10**400), -MOST),
    ],
)
def test_numbers_become_millionths_with_ties_to_even(value: float, micros: int) -> None:
    assert to_micros(value) == micros


@given(st.floats(-9e12, 9e12))
def test_millionths_are_those_of_the_exact_double(value: float) -> None:
    assert to_micros(value) == round(Fraction(value) * 10**6)


@pytest.mark.parametrize("value", [None, True, "1", math.nan, math.inf, -math.inf, [], {}])
def test_what_is_no_number_counts_as_missing(value: Any) -> None:
    assert to_micros(value) is None
    assert to_number(value) is None


def test_scalars_are_numbers_texts_and_booleans_of_bounded_size() -> None:
    assert [to_scalar(value) for value in (1, 1.5, "x", True, False)] == [1, 1.5, "x", True, False]
    assert to_scalar("x" * 256) == "x" * 256
    assert [to_scalar(value) for value in ("x" * 257, None, [], {}, math.nan, 10**400)] == [None] * 6
    assert to_scalar(2**53 + 2) == float(2**53 + 2)
    assert type(to_scalar(2**53 + 2)) is float


ENTRIES: list[tuple[int, str, Any]] = [
    (5, "b", 2.0),
    (5, "a", 7.0),
    (3, "z", 0.1),
    (9, "c", -4.0),
    (9, "d", 0.2),
]
EXPECTED = {
    "times": [5, 3, 9],
    "sums": [5, 3, 9, 5_300_000],
    "ranges": [5, 3, 9, -4.0, 7.0],
    "ends": [5, 3, 9, "z", 0.1, "d", 0.2],
}


def cell_of(shape: Shape, entries: Any) -> list[Any]:
    cell: list[Any] | None = None
    for time, event_id, value in entries:
        kept = shape.convert(value)
        if cell is None:
            cell = shape.new(time, event_id, kept)
        else:
            shape.add(cell, time, event_id, kept)
    assert cell is not None
    return cell


@pytest.mark.parametrize("shape", [TIMES, SUMS, RANGES, ENDS], ids=lambda shape: shape.name)
def test_a_cell_is_the_same_in_any_order_and_merged_from_any_parts(shape: Shape) -> None:
    for order in permutations(ENTRIES):
        assert cell_of(shape, order) == EXPECTED[shape.name]
        for cut in range(1, len(order)):
            merged = cell_of(shape, order[:cut])
            shape.merge(merged, cell_of(shape, order[cut:]))
            assert merged == EXPECTED[shape.name]


# Left out: sums saturate at ±9.2e12 after every addition, so beyond that they still depend on the order.


def test_gathering_sorted_columns_is_adding_them() -> None:
    entries = sorted(ENTRIES)
    for shape in (TIMES, SUMS, RANGES, ENDS, SETS):
        kept = [shape.convert(value) for _, _, value in entries]
        times, ids = [time for time, _, _ in entries], [event_id for _, event_id, _ in entries]
        values = pack(kept) if shape.packs_values else kept
        assert shape.gather(times[1], times[3], values, ids, 1, 4) == cell_of(shape, entries[1:4])


def test_a_set_keeps_the_257_smallest_hashes_and_merges() -> None:
    values = [(time, "", f"p{time}") for time in range(1_000)]
    whole = cell_of(SETS, values)
    assert whole[cells.HASHES] == sorted(cells.hash_scalar(f"p{n}") for n in range(1_000))[:257]
    merged = cell_of(SETS, values[600:])
    SETS.merge(merged, cell_of(SETS, values[:600]))
    assert merged == whole


def test_a_hash_names_the_value_and_its_kind() -> None:
    assert cells.hash_scalar(1) == cells.hash_scalar(1.0)
    assert len({cells.hash_scalar(value) for value in (1, "1", True, "True", 1.5, "s1")}) == 6
    # sha256("sp1") begins with 94b9…; its first 8 bytes without the lowest bit.
    assert cells.hash_scalar("p1") == int("94b97b295a989a13", 16) >> 1


def test_the_estimate_is_the_number_below_the_bound_over_its_share_of_all_hashes() -> None:
    assert cells.estimate_distinct(256, 2**62) == 512
    assert cells.estimate_distinct(256, 2**53) == 256 * 1024
