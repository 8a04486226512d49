"""Identifiers: the canonical JSON that they are made of is RFC 8785's, whichever encoder writes it."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from stream.identifiers import _encode_sorted, _is_plain, canonical_json, change_id

SAFE = 2**53 - 1
SCALARS = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.text(max_size=12)
KEYS = st.text(st.characters(max_codepoint=127), max_size=6)


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    def wrap(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5)

    return st.recursive(leaves, wrap, max_leaves=12)


@given(nested(SCALARS, KEYS))
def test_what_is_plain_is_written_quickly_and_alike(value: Any) -> None:
    assert _is_plain(value)
    assert canonical_json(value) == _encode_sorted(value) == rfc8785.dumps(value)


@given(nested(SCALARS | st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6)))
@example({"\U0001f600": 1, "\ufb33": 2})
@example({"a": 1e21, "b": -0.0, "c": 5e-324})
def test_whatever_else_json_holds_is_written_as_rfc_8785_has_it(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


def test_every_character_is_escaped_alike() -> None:
    for start in range(0, 0x110000, 0x800):
        if start != 0xD800:
            text = "".join(map(chr, range(start, start + 0x800)))
            assert canonical_json(text) == rfc8785.dumps(text)
    for code in range(128):
        value = {chr(code): code, "a": 1, "B": 2}
        assert canonical_json(value) == rfc8785.dumps(value)


def test_half_a_surrogate_pair_is_refused() -> None:
    for code in range(0xD800, 0xE000):
        with pytest.raises(rfc8785.CanonicalizationError):
            canonical_json(chr(code))


@pytest.mark.parametrize(("integer", "double"), [(2**53, 2.0**53), (-(2**60), -(2.0**60)), (10**30, 1e30)])
def test_an_integer_that_no_double_holds_is_written_as_the_nearest(integer: int, double: float) -> None:
    assert canonical_json([integer]) == rfc8785.dumps([double])


@given(st.text(max_size=9), st.text(max_size=9), st.none() | st.text(max_size=9), st.integers(1))
def test_the_id_of_a_change_is_the_uuid5_of_its_parts(
    segment: str, user: str, instance: str | None, seq: int
) -> None:
    name = "\n".join([segment, "00ff", user, instance or "", str(seq)])
    expected = str(uuid5(uuid5(NAMESPACE_URL, "urn:segstream"), name))
    assert change_id(segment, "00ff", user, instance, seq) == expected
