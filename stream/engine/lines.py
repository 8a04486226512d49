"""The lines of events, and of a selector's newest events, packed: what attachments are made of.

Lines are the event's `items`, else the event's own product fields.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
from librt.strings import read_i32_le

from stream.engine.cells import MAX_TEXT, to_scalar
from stream.engine.fields import read_field
from stream.engine.packed import EMPTY, at_place, count, cut_before, first_from, put_at
from stream.engine.profile import Profile
from stream.engine.summaries import Summary
from stream.events import Event, Reader

_read_product: Final[Reader] = read_field("product_id")
_read_quantity: Final[Reader] = read_field("quantity")
_read_price: Final[Reader] = read_field("price")
_read_name: Final[Reader] = read_field("name")
_read_category: Final[Reader] = read_field("category")
_read_brand: Final[Reader] = read_field("brand")
MAX_LINES: Final = 100
"""Lines kept of one event."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
# Of most lines the numbers are asked for and the texts are not: those stay encoded.
_decode_items: Final = msgspec.msgpack.Decoder(
    list[tuple[str, list[tuple[str, Any, Any, msgspec.Raw]]]],
).decode


def lines_of(event: Event) -> list[tuple[Any, ...]]:
    """The event's lines with a product, as (product_id, quantity, price, (name, category, brand))."""
    lines: list[tuple[Any, ...]] = []
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


def _line(product: str, quantity: Any, price: Any, name: Any, category: Any, brand: Any) -> tuple[Any, ...]:
    number = _number(quantity)
    texts = (_short(name), _short(category), _short(brand))
    return (product, 1 if number is None else number, _number(price), texts)


def _number(value: Any) -> Any:
    """A number as it is kept; None for anything else."""
    kind = type(value)
    return to_scalar(value) if kind is int or kind is float else None


def _short(value: Any) -> Any:
    return value if type(value) is str and len(value) <= MAX_TEXT else None


def key_text(value: Any) -> str | None:
    """A key as text: texts and whole numbers are keys, anything else is none."""
    if type(value) is str:
        return value if 0 < len(value) <= MAX_TEXT else None
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    return None


class LinesSummary(Summary):
    """The newest 64 events of a selector with their lines, for attachments, as [times, sizes, items], oldest first.

    Items are [id, lines] in MessagePack, one after the other, of which `sizes` tells the bytes, four each: most events
    add one and ask for none.
    """

    __slots__ = ()

    CAPACITY: ClassVar[int] = 64

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        columns: list[Any] = [EMPTY, EMPTY, EMPTY] if state is None else state
        times: bytes = columns[0]
        sizes: bytes = columns[1]
        items: bytes = columns[2]
        item: bytes = _encode((event_id, lines_of(event)))
        size = len(item).to_bytes(4, "little")
        last = int(count(times))
        at, start = last, len(items)
        while at and at_place(times, at - 1) >= time:
            before = start - int(read_i32_le(sizes, 4 * (at - 1)))
            if at_place(times, at - 1) == time and _decode(items[before:start])[0] <= event_id:
                break
            at, start = at - 1, before
        if at == last:
            sizes, items = sizes + size, items + item
        else:
            sizes = sizes[: 4 * at] + size + sizes[4 * at :]
            items = items[:start] + item + items[start:]
        times = put_at(times, at, time)
        if last == self.CAPACITY:
            items = items[int(read_i32_le(sizes, 0)) :]
            times, sizes = cut_before(times, 1), sizes[4:]
        columns[0], columns[1], columns[2] = times, sizes, items
        return columns

    def since(self, profile: Profile, start: int) -> list[tuple[Any, ...]]:
        """(id, lines) of the events that are not older than `start`, oldest first.

        The texts of a line are encoded, see `texts_of`.
        """
        state = self.state(profile, None)
        if state is None:
            return []
        times: bytes = state[0]
        sizes: bytes = state[1]
        items: bytes = state[2]
        first, skipped = int(first_from(times, start)), 0
        for at in range(first):
            skipped += int(read_i32_le(sizes, 4 * at))
        found: list[tuple[Any, ...]] = _decode_items(_array(int(count(times)) - first) + items[skipped:])
        return found


def texts_of(line: tuple[Any, ...]) -> list[Any]:
    """Name, category and brand of a line that is kept."""
    texts: list[Any] = _decode(line[3])
    return texts


def _array(n: int) -> bytes:
    """What makes one MessagePack array of the `n` items that follow it."""
    return b"\xdc" + n.to_bytes(2, "big")
