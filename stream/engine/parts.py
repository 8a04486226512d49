"""Numbered values in a string of bytes, of which those that nobody asks for are copied as they are.

They stand one after the other in the order of their numbers, in MessagePack. Words of four bytes, little-endian,
elsewhere in the same string tell where the first begins and where each ends. What is not there ends where it begins.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from librt.strings import BytesWriter, read_i32_le, write_i32_le
from mypy_extensions import i32, i64

from stream.engine.tables import Table

WORD: Final = 4
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_NOTHING: Final = bytes(WORD)


class Parts:
    """Values by numbers from 0 on: lists and tables, or whatever MessagePack holds but None."""

    __slots__ = ("_open", "_packed", "_raw", "_words")

    def __init__(self, raw: bytes = _NOTHING, words: int = 0, packed: int = 0) -> None:
        self._raw = raw
        self._words: i64 = words
        """Where the words are."""
        self._packed: i64 = packed
        """How many values are packed."""
        self._open: list[Any] = [None] * packed
        """Values that were asked for or put."""

    def __len__(self) -> int:
        """One more than the largest number that was ever put."""
        return len(self._open)

    def get(self, number: int) -> Any:
        """A value, which the caller may change, None where there is none. A table comes as what was packed of it."""
        values = self._open
        if number < len(values):
            found = values[number]
            if found is not None:
                return found
            if number < self._packed:
                word = self._words + WORD * number
                start, end = read_i32_le(self._raw, word), read_i32_le(self._raw, word + WORD)
                if start < end:
                    found = values[number] = _decode(self._raw[start:end])
                    return found
        return None

    def put(self, number: int, value: Any) -> None:
        """Sets a value."""
        lacking = number + 1 - len(self._open)
        if lacking > 0:
            self._open += [None] * lacking
        self._open[number] = value

    def pack(self, data: BytesWriter, words: BytesWriter) -> None:
        """Writes all values, and where each of them ends."""
        raw, word, last = self._raw, self._words, self._words + WORD * self._packed
        start: i32 = read_i32_le(raw, word)
        end: i32 = start
        kept: i32 = start  # from here to `start` lie values that are still to be copied
        place: i32 = len(data)
        for value in self._open:
            if word < last:
                word += WORD
                end = read_i32_le(raw, word)
            if value is None:
                place += end - start
            else:
                if kept < start:
                    data.write(raw[kept:start])
                kept = end
                encoded: bytes = _encode(value.packed() if isinstance(value, Table) else value)
                data.write(encoded)
                place = len(data)
            write_i32_le(words, place)
            start = end
        if kept < start:
            data.write(raw[kept:start])
