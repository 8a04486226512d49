"""Packed integers do what lists of them do."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from hypothesis import given
from hypothesis import strategies as st

from stream.engine.packed import (
    at_place,
    count,
    cut_before,
    first_after,
    first_from,
    pack,
    put_at,
    total,
    unpack_all,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.integers(-(2**61), 2**61) | st.integers(0, 20)


@given(st.lists(INTEGERS))
def test_packing_keeps_them(integers: list[int]) -> None:
    packed = pack(integers)
    assert (len(packed), count(packed)) == (8 * len(integers), len(integers))
    assert list(unpack_all(packed)) == integers == [at_place(packed, n) for n in range(len(integers))]


@given(st.lists(INSTANTS), INSTANTS)
def test_places_of_instants(instants: list[int], instant: int) -> None:
    instants.sort()
    packed = pack(instants)
    assert first_from(packed, instant) == bisect_left(instants, instant)
    assert first_after(packed, instant) == bisect_right(instants, instant)


@given(st.lists(INTEGERS, min_size=1), INTEGERS, st.data())
def test_putting_cutting_and_adding_up(integers: list[int], added: int, data: st.DataObject) -> None:
    packed = pack(integers)
    place = data.draw(st.integers(0, len(integers)))
    low = data.draw(st.integers(0, place))
    assert list(unpack_all(put_at(packed, place, added))) == [*integers[:place], added, *integers[place:]]
    assert list(unpack_all(cut_before(packed, place))) == integers[place:]
    assert total(packed, low, place) == sum(integers[low:place])
