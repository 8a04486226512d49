"""The closed set of transforms."""

from __future__ import annotations

from typing import Any

import pytest

from stream.ingest.transforms import TRANSFORMS


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ms", "1433221332117", 1_433_221_332_117),
        ("ms", 1433221332117.9, 1_433_221_332_117),
        ("s", "1433221332", 1_433_221_332_000),
        ("s", 1433221332.117, 1_433_221_332_117),
        ("iso8601", "2015-06-02T05:02:12.117Z", 1_433_221_332_117),
        ("number", "12", 12),
        ("number", " -1.5 ", -1.5),
        ("number", 3, 3),
        ("text", 5, "5"),
        ("lower", "AbC", "abc"),
        ("upper", "AbC", "ABC"),
    ],
)
def test_transforms(name: str, value: Any, expected: Any) -> None:
    assert TRANSFORMS[name](value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ms", "1433221332"),
        ("ms", "soon"),
        ("s", True),
        ("iso8601", 5),
        ("iso8601", "2015-06-02"),
        ("number", "1_000"),
        ("number", "inf"),
        ("number", "9" * 5000),
        ("number", None),
        ("text", []),
        ("lower", True),
    ],
)
def test_what_a_transform_cannot_read_is_a_value_error(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        TRANSFORMS[name](value)
