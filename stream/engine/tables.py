"""Tables: what a profile keeps per key, packed so that an event touches the entries of its own keys alone.

Packed, a table is two strings of bytes. The one holds the entries, one after the other, each a MessagePack array that
begins with its key. The other tells of each, in the same order, its size in three bytes, little-endian, and in a fourth
a check on its key, so that hardly an entry is decoded that was not looked for.

An entry that is about to change is taken out and decoded; when the table is packed again, those that were taken out
are encoded and stand last, in the order in which they were last taken out: it must not matter how often the table was
packed in between. They are looked for from the end, for who looked at a product a minute ago does it again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from librt.strings import BytesWriter, read_i32_le, write_i32_le
from mypy_extensions import i32, i64

Entry = list[Any]
"""What is kept of a key."""
KEY: Final = 0
"""Place of the key in an entry."""

_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_decode: Final = msgspec.msgpack.Decoder(Entry).decode
_SIZE: Final = 0xFFFFFF


class Table:
    """Entries by their keys."""

    __slots__ = ("_entries", "_index", "_read", "_taken")

    def __init__(self, index: bytes = b"", entries: bytes = b"") -> None:
        self._index = index
        self._entries = entries
        self._read: dict[str, Entry] = {}
        """Packed entries that were decoded."""
        self._taken: dict[str, Entry] = {}
        """Entries that may have changed, and are packed no longer."""

    def __len__(self) -> int:
        return (len(self._index) >> 2) + len(self._taken)

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, which the caller does not change; None if there is none."""
        entry = self._taken.get(key)
        if entry is None:
            entry = self._read.get(key)
            if entry is None:
                entry, _, _, _ = self._find(key)
                if entry is not None:
                    self._read[key] = entry
        return entry

    def take(self, key: str) -> Entry | None:
        """The entry of a key, to be changed."""
        taken = self._taken
        entry = taken.get(key)
        if entry is not None:
            del taken[key]
        else:
            entry, slot, start, end = self._find(key)
            if entry is None:
                return None
            self._index = self._index[: slot << 2] + self._index[(slot + 1) << 2 :]
            self._entries = self._entries[:start] + self._entries[end:]
            if self._read:
                self._read.pop(key, None)
        taken[key] = entry
        return entry

    def add(self, entry: Entry) -> None:
        """Adds an entry of a key that has none."""
        key: str = entry[KEY]
        self._taken[key] = entry

    def drop(self, key: str) -> None:
        """Removes the entry of a key that has one."""
        self.take(key)
        del self._taken[key]

    def all(self) -> list[Entry]:
        """All entries, which the caller does not change."""
        size = len(self._index) >> 2
        if len(self._read) < size:
            start = 0
            for slot in range(size):
                end = start + (int(read_i32_le(self._index, slot << 2)) & _SIZE)
                entry: Entry = _decode(self._entries[start:end])
                self._read[entry[KEY]] = entry
                start = end
        return [*self._read.values(), *self._taken.values()]

    def packed(self) -> tuple[bytes, bytes | bytearray]:
        """The table as bytes."""
        if not self._taken:
            return self._index, self._entries
        index, entries = BytesWriter(), bytearray(self._entries)
        index.write(self._index)
        start = len(entries)
        for key, entry in self._taken.items():
            _encode_into(entry, entries, start)
            end = len(entries)
            if end - start > _SIZE:
                raise OverflowError(f"what is kept of the key {key!r} takes more than {_SIZE} bytes")
            write_i32_le(index, i32(end - start | _check(key) << 24))
            start = end
        return index.getvalue(), entries

    def _find(self, key: str) -> tuple[Entry | None, i64, i64, i64]:
        """A packed entry, its place, and where its bytes start and end."""
        index, entries = self._index, self._entries
        check: i64 = _check(key)
        slot: i64 = len(index) >> 2
        end: i64 = len(entries)
        while slot > 0:
            slot -= 1
            word = i64(read_i32_le(index, slot << 2))
            start = end - (word & _SIZE)
            if word >> 24 == check:
                entry: Entry = _decode(entries[start:end])
                if entry[KEY] == key:
                    return entry, slot, start, end
            end = start
        return None, 0, 0, 0


def _check(key: str) -> i64:
    """Seven bits of a key's last characters, which are where keys differ."""
    size = len(key)
    check: i64 = ord(key[size - 1])
    if size > 2:
        check += 3 * ord(key[size - 2]) + 31 * ord(key[size - 3])
    return check & 0x7F
