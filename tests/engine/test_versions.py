"""Versions are ordered by their numbers."""

from __future__ import annotations

import pytest

from stream.engine.versions import order_of_version


def test_the_order_is_that_of_the_numbers() -> None:
    versions = ["0.9", "1", "1.0.1", "1.2", "v1.10", "2.9.99999", "2.10-beta", "V3.0.0.7 (12)", "99999.0"]
    orders = [order_of_version(version) for version in versions]
    assert None not in orders
    assert orders == sorted(set(orders), key=lambda order: order or 0)


@pytest.mark.parametrize(
    ("one", "same"), [("1", "1.0.0"), ("2.3", "v2.3.0.99"), ("2.3", "2.3-rc1"), ("1.02", "1.2")]
)
def test_what_does_not_count(one: str, same: str) -> None:
    assert order_of_version(one) == order_of_version(same)


@pytest.mark.parametrize(
    "value", ["", "v", "beta", ".5", "-1", "1.100000", "9" * 5000, "٣.١", 3, 2.1, None, True, ["1"]]
)
def test_what_is_no_version(value: object) -> None:
    assert order_of_version(value) is None
