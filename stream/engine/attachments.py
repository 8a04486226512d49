"""Attachments: the lines of recent events, as a cart or an order list that goes along with a change.

Lines are merged by product: quantities are added, the rest is taken from the newest line that has it. Built from the
newest 64 events of each selector.
"""

from __future__ import annotations

from typing import Any

from stream.changes import Line, Lines
from stream.engine.cells import MICRO, to_micros
from stream.engine.lines import LinesSummary, texts_of
from stream.engine.profile import FOREVER, Profile
from stream.engine.summaries import CellSummary, last_time


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
        """What is known of the lines, newest first.

        All lines are counted and few are shown, so what is only shown is read of those alone.
        """
        start = -FOREVER if self._since is None else last_time(self._since.state(profile, None))
        newest: dict[str, tuple[Any, ...]] = {}
        older: dict[str, list[tuple[Any, ...]]] = {}
        collected = self._collect.since(profile, start)
        for at in range(len(collected) - 1, -1, -1):
            lines: list[tuple[Any, ...]] = collected[at][1]
            for line in lines:
                product: str = line[0]
                if product not in newest:
                    newest[product] = line
                elif product in older:
                    older[product].append(line)
                else:
                    older[product] = [line]
        removed = self._removed(profile, start)
        items: list[Line] = []
        number = 0
        quantities: Any = 0
        value: Any = 0
        for product, line in newest.items():
            quantity, price = line[1], line[2]
            others = older.get(product) if older else None
            if others is not None:
                for other in others:
                    quantity += other[1]
                    if price is None:
                        price = other[2]
            if removed and product in removed:
                for less in removed[product]:
                    quantity -= less
            if not quantity > 0:
                continue
            number += 1
            quantities += quantity
            if price is not None:
                value += (to_micros(price) or 0) * (to_micros(quantity) or 0)
            if number <= self._max:
                items.append(_shown(line, others, quantity, price))
        return Lines(number, quantities, value / MICRO / MICRO, items)

    def _removed(self, profile: Profile, start: int) -> dict[str, list[Any]]:
        """The quantities that were taken off again by product, in the order of the events."""
        removed: dict[str, list[Any]] = {}
        if self._remove is not None:
            for removal in self._remove.since(profile, start):
                lines: list[tuple[Any, ...]] = removal[1]
                for line in lines:
                    removed.setdefault(line[0], []).append(line[1])
        return removed


def _shown(line: tuple[Any, ...], others: list[tuple[Any, ...]] | None, quantity: Any, price: Any) -> Line:
    """The newest line of a product with what it lacks from older ones, newest first."""
    name, category, brand = texts_of(line)
    if others is not None:
        for other in others:
            if name is not None and category is not None and brand is not None:
                break
            texts = texts_of(other)
            if name is None:
                name = texts[0]
            if category is None:
                category = texts[1]
            if brand is None:
                brand = texts[2]
    return Line(product_id=line[0], name=name, category=category, brand=brand, price=price, quantity=quantity)
