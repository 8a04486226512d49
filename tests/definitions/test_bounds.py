"""What conditions need, and which can never be true."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.definitions import loads
from stream.definitions.bounds import Bounds, Limit

HEAD = """
version: 1
events: {buy: {type: order_completed}}
features: {n: {count: buy, last: 9d}, m: {sum: buy.value, last: 9d}}
segments: {s: {when: "%s"}}
"""


def bounds_of(text: str) -> tuple[Bounds, object]:
    definitions = loads(HEAD % text)
    return Bounds(definitions.features), definitions.segments["s"].when


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("n > 3 and n < 5", True),
        ("n > 3 and n < 4", False),
        ("m > 3 and m < 4", True),
        ("n == 2.5", False),
        ("n in [1, 2] and n > 2", False),
        ("not (n >= 0)", False),
        ("not (n > 3 or n <= 3)", False),
        ("(n > 3 or n < 0) and n <= 3", False),
        ("traits.a == 'x' and traits.a == 'y'", False),
        ("traits.a == 'x' or traits.a == 'y'", True),
        ("traits.a > 5 and traits.a < 4", False),
        ("3 > 2 and n > 1", True),
        ("'a' == 'b'", False),
    ],
)
def test_contradictions_are_found(text: str, possible: bool) -> None:
    bounds, condition = bounds_of(text)
    assert (bounds.needs(condition) is not None) is possible  # type: ignore[arg-type]


ATOM = st.builds(
    "{} {} {}".format,
    st.sampled_from("nm"),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(-1, 3),
)
TREE = st.recursive(
    ATOM,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=6,
)


@given(TREE)
def test_what_some_values_satisfy_is_never_called_impossible(text: str) -> None:
    bounds, condition = bounds_of(text)
    needs = bounds.needs(condition)  # type: ignore[arg-type]
    for n, m in product(range(5), (-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4)):
        if eval(text, {"n": n, "m": m}):  # Python reads these expressions the same way
            assert needs is not None
            for term, value in (("n", n), ("m", m)):
                assert not needs.get(term, Limit()).meet(Limit(value, value)).is_empty
