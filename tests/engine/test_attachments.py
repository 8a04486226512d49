"""Attachments: carts and order lists that go along with a change."""

from __future__ import annotations

from typing import Any

import pytest

from stream.durations import HOUR
from stream.engine.lines import MAX_LINES, lines_of
from tests.engine.driven import Driven, T, body, clock, happened

CART = """
events: {cart: {type: cart}, remove: {type: remove}, buy: {type: buy}}
segments:
  abandoned:
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    attach: {cart: {collect: cart, since: buy, remove: remove, max: MAX}}
"""


def cart_of(*events: Any, most: int = 20) -> dict[str, Any]:
    run = Driven(CART.replace("MAX", str(most)))
    run.feed(*events, clock(T + 10 * HOUR))
    run.drain()
    found: dict[str, Any] = body(run.changes[-1])["context"]["cart"]
    return found


def test_lines_of_one_product_are_merged_and_the_newest_says_how_it_is_called() -> None:
    assert cart_of(
        happened(
            "cart", T, items=[{"product_id": "p", "price": 10, "quantity": 2, "name": "Old", "brand": "B"}]
        ),
        happened("cart", T + 1, items=[{"product_id": "q", "price": 2.5}]),
        happened("cart", T + 2, items=[{"product_id": "p", "price": 12, "name": "New"}]),
    ) == {
        "count": 2,
        "quantity": 4,
        "value": 38.5,
        "items": [
            {"product_id": "p", "name": "New", "brand": "B", "price": 12, "quantity": 3},
            {"product_id": "q", "price": 2.5, "quantity": 1},
        ],
    }


def test_without_items_an_events_own_fields_are_its_line() -> None:
    assert cart_of(happened("cart", T, product_id=17, price=3, quantity=2, category="shoes")) == {
        "count": 1,
        "quantity": 2,
        "value": 6,
        "items": [{"product_id": "17", "category": "shoes", "price": 3, "quantity": 2}],
    }


def test_whole_numbers_are_written_as_such() -> None:
    run = Driven(CART.replace("MAX", "9"))
    run.feed(
        happened("cart", T, product_id="p", price=3, quantity=2),
        happened("cart", T + 1, product_id="p", price=4),
        happened("cart", T + 2, product_id="q", price=0.5, quantity=1.5),
        clock(T + HOUR),
    )
    run.drain()
    lines = b'[{"product_id":"q","price":0.5,"quantity":1.5},{"product_id":"p","price":4,"quantity":3}]'
    assert b'{"cart":{"count":2,"quantity":4.5,"value":12.75,"items":' + lines in run.changes[-1].value


def test_only_what_is_not_older_than_the_last_mark_counts() -> None:
    found = cart_of(
        happened("cart", T, product_id="before"),
        happened("buy", T + 5),
        happened("cart", T + 5, product_id="with"),
        happened("cart", T + 6, product_id="after"),
    )
    assert [line["product_id"] for line in found["items"]] == ["after", "with"]


def test_what_was_removed_is_taken_off_and_never_below_nothing() -> None:
    found = cart_of(
        happened(
            "cart", T, items=[{"product_id": "p", "quantity": 3}, {"product_id": "q"}, {"product_id": "r"}]
        ),
        happened(
            "remove",
            T + 1,
            items=[{"product_id": "p"}, {"product_id": "q", "quantity": 5}, {"product_id": "x"}],
        ),
    )
    assert [(line["product_id"], line["quantity"]) for line in found["items"]] == [("p", 2), ("r", 1)]
    assert (found["count"], found["quantity"], found["value"]) == (2, 3, 0)


def test_at_most_so_many_lines_but_all_are_counted() -> None:
    found = cart_of(*(happened("cart", T + n, product_id=f"p{n}", price=1) for n in range(5)), most=2)
    assert [line["product_id"] for line in found["items"]] == ["p4", "p3"]
    assert (found["count"], found["quantity"], found["value"]) == (5, 5, 5)


def test_it_is_built_from_the_newest_64_events() -> None:
    events = [happened("cart", T + n, product_id=f"p{n}") for n in range(70)]
    found = cart_of(*events[::-1], most=100)  # late ones too: the newest by time
    assert [line["product_id"] for line in found["items"]] == [f"p{n}" for n in range(69, 5, -1)]


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ({"product_id": "p"}, ("p", 1, None, (None, None, None))),
        (
            {"product_id": "p", "quantity": "two", "price": "cheap", "name": 5},
            ("p", 1, None, (None, None, None)),
        ),
        ({"product_id": "p", "quantity": 0.5, "price": -1}, ("p", 0.5, -1, (None, None, None))),
        ({"product_id": ""}, None),
        ({"product_id": None, "name": "x"}, None),
        ({"product_id": 1.5}, None),
        ("p", None),
    ],
)
def test_lines(item: Any, line: tuple[Any, ...] | None) -> None:
    assert lines_of(happened("cart", T, items=[item])) == ([] if line is None else [line])


def test_an_event_has_at_most_so_many_lines() -> None:
    items = [{"product_id": f"p{n}"} for n in range(MAX_LINES + 5)]
    assert len(lines_of(happened("cart", T, items=items))) == MAX_LINES


def test_every_change_carries_it_also_the_exit() -> None:
    run = Driven(CART.replace("MAX", "5"))
    run.feed(happened("cart", T, product_id="p"), happened("buy", T + HOUR))
    assert [body(change)["context"]["cart"]["count"] for change in run.changes] == [1, 0]
