"""The newest few events of a selector or key as bytes, oldest first: instant, size of the id, id.

Instant and size are integers of eight and four bytes, little-endian. Events come and go with nearly every event of the
user and are shown with few changes, so they are no lists of objects to decode, free and encode.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i32_le, read_i64_le, write_i32_le, write_i64_le

_HEAD: Final = 12


def _pack(time: int, event_id: str) -> bytes:
    encoded = event_id.encode("utf-8", "surrogatepass")
    writer = BytesWriter()
    write_i64_le(writer, time)
    write_i32_le(writer, len(encoded))
    writer.write(encoded)
    return writer.getvalue()


class _Memo:
    """The last event that was packed: it goes to several selectors and keys."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event: tuple[str, int, bytes] = ("", 0, _pack(0, ""))
        """Id, time and what they are packed: one value, so that a thread finds all of it or none."""


_memo: Final = _Memo()


def put_recent(recent: bytes, time: int, event_id: str, most: int) -> bytes:
    """The newest `most` of the events and another."""
    event = _memo.event
    if event[0] is not event_id or event[1] != time:
        event = _memo.event = (event_id, time, _pack(time, event_id))
    size = len(recent)
    number = at = last = second = 0
    while at < size:
        last = at
        at += _HEAD + read_i32_le(recent, at + 8)
        number += 1
        if number == 1:
            second = at
    if number and time <= read_i64_le(recent, last):
        events = sorted([*events_of(recent), (time, event_id)])
        return b"".join([_pack(*each) for each in events[-most:]])
    return (recent[second:] if number == most else recent) + event[2]


def events_of(recent: bytes) -> list[tuple[int, str]]:
    """(time, id) of the events, oldest first."""
    found: list[tuple[int, str]] = []
    at, size = 0, len(recent)
    while at < size:
        end = at + _HEAD + read_i32_le(recent, at + 8)
        event_id = recent[at + _HEAD : end].decode("utf-8", "surrogatepass")
        found.append((int(read_i64_le(recent, at)), event_id))
        at = end
    return found
