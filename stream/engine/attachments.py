"""Attachments: the lines of recent events, as a cart or an order list that goes along with a change.

Lines are the event's `items`, else the event's own product fields. They are merged by product: quantities are added,
the rest is taken from the newest line. Built from the newest 64 events of each selector.
"""

from __future__ import annotations

from typing import Any

from stream.changes import Line, Lines
from stream.engine.cells import MAX_TEXT, MICRO, to_micros, to_scalar
from stream.engine.fields import read_field
from stream.engine.lines import LinesSummary
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import CellSummary, last_time
from stream.events import Event

_read_product, _read_quantity, _read_price = map(read_field, ("product_id", "quantity", "price"))
_read_name, _read_category, _read_brand = map(read_field, ("name", "category", "brand"))
MAX_LINES = 100
"""Lines kept of one event."""


def lines_of(event: Event) -> list[list[Any]]:
    """The event's lines with a product, as [product_id, quantity, price, name, category, brand]."""
    lines: list[list[Any]] = []
    if type(event.items) is list:
        items: list[Any] = event.items
        for item in items[:MAX_LINES]:
            if type(item) is dict:
                of: dict[str, Any] = item
                product = key_text(of.get("product_id"))
                if product is not None:
                    name, category, brand = of.get("name"), of.get("category"), of.get("brand")
                    lines.append(_line(product, of.get("quantity"), of.get("price"), name, category, brand))
        return lines
    product = key_text(_read_product(event))
    if product is not None:
        name, category, brand = _read_name(event), _read_category(event), _read_brand(event)
        lines.append(_line(product, _read_quantity(event), _read_price(event), name, category, brand))
    return lines


def _line(product: str, quantity: Any, price: Any, name: Any, category: Any, brand: Any) -> list[Any]:
    number = _number(quantity)
    return [
        product,
        1 if number is None else number,
        _number(price),
        _short(name),
        _short(category),
        _short(brand),
    ]


def _number(value: Any) -> Any:
    """A number as it is kept; None for anything else."""
    kind = type(value)
    return to_scalar(value) if kind is int or kind is float else None


def _short(value: Any) -> str | None:
    return value if type(value) is str and len(value) <= MAX_TEXT else None


def key_text(value: Any) -> str | None:
    """A key as text: texts and whole numbers are keys, anything else is none."""
    if type(value) is str:
        return value if 0 < len(value) <= MAX_TEXT else None
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    return None


class Attachment:
    """One entry of `attach`."""

    __slots__ = ("_collect", "_max", "_remove", "_since", "name")

    def __init__(
        self,
        name: str,
        collect: LinesSummary,
        since: CellSummary | None,
        remove: LinesSummary | None,
        most: int,
    ) -> None:
        self.name = name
        self._collect = collect
        self._since = since
        self._remove = remove
        self._max = most

    def build(self, profile: Profile) -> Lines:
        """What is known of the lines, newest first."""
        start = -FOREVER if self._since is None else last_time(self._since.state(profile, None))
        merged: dict[str, Line] = {}
        for collected in self._collect.since(profile, start)[::-1]:
            kept: list[list[Any]] = collected[1]
            for one in kept:
                product, quantity, price, name, category, brand = one
                line = merged.get(product)
                if line is None:
                    merged[product] = Line(
                        product_id=product,
                        name=name,
                        category=category,
                        brand=brand,
                        price=price,
                        quantity=quantity,
                    )
                    continue
                line.quantity += quantity
                if line.price is None:
                    line.price = price
                if line.name is None:
                    line.name = name
                if line.category is None:
                    line.category = category
                if line.brand is None:
                    line.brand = brand
        if self._remove is not None:
            for removal in self._remove.since(profile, start):
                for removed in removal[1]:
                    line = merged.get(removed[0])
                    if line is not None:
                        line.quantity -= removed[1]
        items = [line for line in merged.values() if line.quantity > 0]
        total: Any = 0
        value: Any = 0
        for line in items:
            total += line.quantity
            if line.price is not None:
                value += (to_micros(line.price) or 0) * (to_micros(line.quantity) or 0)
        return Lines(len(items), total, value / MICRO / MICRO, items[: self._max])
