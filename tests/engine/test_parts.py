"""Numbered values in a string of bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter, write_i32_le
from mypy_extensions import i32

from stream.engine.parts import WORD, Parts
from stream.engine.tables import Table

VALUES = st.lists(st.integers(-(2**63), 2**63 - 1) | st.text() | st.none(), max_size=5)


def packed(parts: Parts, before: bytes = b"\xff" * 5) -> tuple[bytes, int]:
    """They and their words, behind other bytes; and the place of the words."""
    data, words = BytesWriter(), BytesWriter()
    data.write(before)
    write_i32_le(words, i32(len(before)))
    parts.pack(data, words)
    return data.getvalue() + words.getvalue(), len(data)


def again(parts: Parts) -> Parts:
    raw, words = packed(parts)
    return Parts(raw, words, len(parts))


@given(st.lists(st.dictionaries(st.integers(0, 9), VALUES), max_size=4), st.data())
def test_parts_are_a_dict_however_often_they_are_packed(
    rounds: list[dict[int, Any]], data: st.DataObject
) -> None:
    parts, expected = Parts(), dict[int, Any]()
    for puts in rounds:
        for number, value in puts.items():
            parts.put(number, value)
        expected |= puts
        parts = again(parts)
        for number in data.draw(st.sets(st.integers(0, 11))):
            assert parts.get(number) == expected.get(number)
    assert [parts.get(number) for number in range(12)] == [expected.get(number) for number in range(12)]
    assert len(parts) == max(expected, default=-1) + 1


def test_what_is_changed_after_it_was_asked_for_is_written() -> None:
    parts = Parts()
    parts.put(0, [1])
    parts.put(2, ["two"])
    parts = again(parts)
    parts.get(2).append("more")
    parts = again(parts)
    assert [parts.get(number) for number in range(4)] == [[1], None, ["two", "more"], None]


def test_a_table_comes_as_it_was_packed() -> None:
    parts, table = Parts(), Table()
    table.add(["key", 1])
    parts.put(1, table)
    assert parts.get(1) is table
    assert Table(*again(parts).get(1)).entry("key") == ["key", 1]


def test_one_that_is_not_there_takes_a_word() -> None:
    few, more = Parts(), Parts()
    few.put(1, [1])
    more.put(9, [1])
    assert len(packed(more)[0]) - len(packed(few)[0]) == 8 * WORD
