"""A batch is stepped a few records at a time, up to where it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stream.runtime.kafka.owned import Arrived
from stream.runtime.kafka.raw import Fetched


def arrive(offsets: list[int], next_offset: int) -> Arrived:
    records: list[Any] = [SimpleNamespace(offset=offset) for offset in offsets]
    return Arrived(None, Fetched([records[:3], records[3:]], offsets[0] if offsets else 0, next_offset))


@pytest.mark.parametrize(
    ("offsets", "next_offset", "slices"),
    [
        ([5, 6, 7, 8, 9], 10, [([5, 6], 7), ([7, 8], 9), ([9], 10)]),
        ([5, 6, 7, 8], 9, [([5, 6], 7), ([7, 8], 9)]),
        # Behind the last record lie the marker of a transaction, or records that were compacted away.
        ([5, 9, 11], 14, [([5, 9], 10), ([11], 14)]),
        ([5, 6, 7, 8], 14, [([5, 6], 7), ([7, 8], 9), ([], 14)]),
        ([], 3, [([], 3)]),
    ],
)
def test_slices_cover_the_batch(
    offsets: list[int], next_offset: int, slices: list[tuple[list[int], int]]
) -> None:
    arrived = arrive(offsets, next_offset)
    taken = []
    while not arrived.is_read:
        records, end = arrived.take(2)
        taken.append(([record.offset for record in records], end))
    assert taken == slices


def test_what_was_not_stepped_comes_next() -> None:
    arrived = arrive([5, 6, 7], 8)
    (_, left), _ = arrived.take(2)
    arrived.ahead = [left]
    assert arrived.take(2) == ([left], 7)
    records, end = arrived.take(2)
    assert ([record.offset for record in records], end, arrived.is_read) == ([7], 8, True)
    arrived.ahead = records
    assert arrived.take(2) == (records, 8)
