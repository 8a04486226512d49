"""The lines of a selector's newest events, packed: what attachments are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec
from librt.strings import read_i32_le

from stream.engine.packed import EMPTY, at_place, count, cut_before, first_from, put_at
from stream.engine.profile import Profile
from stream.engine.summaries import Summary
from stream.events import Event

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


class LinesSummary(Summary):
    """The newest 64 events of a selector with their lines, for attachments, as [times, sizes, items], oldest first.

    Items are [id, lines] in MessagePack, one after the other, of which `sizes` tells the bytes, four each: most events
    add one and ask for none.
    """

    __slots__ = ("_lines_of",)

    CAPACITY: ClassVar[int] = 64

    def __init__(self, lines_of: Callable[[Event], list[Any]]) -> None:
        self._lines_of = lines_of

    def put(self, state: Any, time: int, event_id: str, event: Event, role: int, clock: int) -> Any:
        columns: list[Any] = [EMPTY, EMPTY, EMPTY] if state is None else state
        times: bytes = columns[0]
        sizes: bytes = columns[1]
        items: bytes = columns[2]
        item: bytes = _encode((event_id, self._lines_of(event)))
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

    def since(self, profile: Profile, start: int) -> list[list[Any]]:
        """[id, lines] of the events that are not older than `start`, oldest first."""
        state = self.state(profile, None)
        if state is None:
            return []
        times: bytes = state[0]
        sizes: bytes = state[1]
        items: bytes = state[2]
        first, skipped = int(first_from(times, start)), 0
        for at in range(first):
            skipped += int(read_i32_le(sizes, 4 * at))
        found: list[list[Any]] = _decode(_array(int(count(times)) - first) + items[skipped:])
        return found


def _array(n: int) -> bytes:
    """What makes one MessagePack array of the `n` items that follow it."""
    return b"\xdc" + n.to_bytes(2, "big")
