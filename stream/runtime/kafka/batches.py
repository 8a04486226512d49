"""Record batches on their way out, encoded here: Kafka's format of magic 2.

A worker writes each profile that it changes and each change that it decides, and to make batches of them took a twelfth
of its time: aiokafka's builder is asked record by record, estimates the size of each before it writes it, and computes
the checksum by tables. Here a record is a few pieces that are joined once, headers that go out twice are encoded once,
and the checksum is the processor's.

Source of the format: https://kafka.apache.org/documentation/#messageformat. tests/kafka/test_batches.py holds it
against aiokafka's own builder, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from google_crc32c import extend as extend_crc

_FRONT: Final = Struct(">qiibI")
"""Base offset, length of what follows it, leader epoch, magic, checksum of what follows that."""
_REST: Final = Struct(">hiqqqhii")
"""Attributes, last offset, first and newest timestamp, the producer's id, epoch and sequence, number of records."""
_HEAD_BYTES: Final = _FRONT.size + _REST.size
_MAGIC: Final = 2
_NO_EPOCH: Final = -1
_UNCHECKED_BYTES: Final = 12
"""Base offset and length do not count as length."""
_CONTINUED: Final = 0x80


Encoded = tuple[bytes, bytes]
"""A batch as bytes: what stands before the checksum and itself, and what it is of. A request joins them."""


def _varint(number: int) -> bytes:
    """A number of 64 bits with its sign last, seven bits a byte, the least first."""
    left = (number << 1) ^ (number >> 63)
    found = bytearray()
    while left >= _CONTINUED:
        found.append(left & 0x7F | _CONTINUED)
        left >>= 7
    found.append(left)
    return bytes(found)


_SMALL: Final = [_varint(number) for number in range(4096)]
_NULL: Final = _varint(-1)


def _length(number: int) -> bytes:
    return _SMALL[number] if number < len(_SMALL) else _varint(number)


@lru_cache(256)
def _name(name: str) -> bytes:
    """The name of a header as it stands in a record. There are few of them."""
    encoded = name.encode()
    return _length(len(encoded)) + encoded


def encode_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Headers as they stand in a record."""
    pieces = [_length(len(headers))]
    for name, value in headers:
        pieces += (_name(name), _length(len(value)), value)
    return b"".join(pieces)


class Outgoing(NamedTuple):
    """A record on its way out."""

    timestamp: int
    """Epoch ms."""
    key: bytes | None
    value: bytes | None
    headers: bytes
    """From `encode_headers`."""


class RecordBatch:
    """Records that go to one partition together, in the place of aiokafka's `BatchBuilder`.

    For `AIOKafkaProducer.send_batch` of a producer with joined requests (`requests`).
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._size = _HEAD_BYTES
        self._pieces: list[bytes] = [b""]
        self._number = 0
        self._first = self._newest = 0
        self._producer = (-1, -1, 0)
        self._built: Encoded | None = None

    def add(self, timestamp: int, key: bytes | None, value: bytes | None, headers: bytes) -> bool:
        """Adds a record as the last one. False, and none is added, if the batch would become too large by it.

        The first one is taken in any case: whether it is too large is the broker's to say.
        """
        number = self._number
        if number:
            delta = timestamp - self._first
            begin = b"\0" + (_varint(delta) if delta else b"\0") + _length(number)
        else:
            begin = b"\0\0\0"
        begin += _NULL if key is None else _length(len(key)) + key
        if value is None:
            value = b""
            begin += _NULL
        else:
            begin += _length(len(value))
        size = len(begin) + len(value) + len(headers)
        length = _length(size)
        size += self._size + len(length)
        if number and size > self._most:
            return False
        if not number:
            self._first = self._newest = timestamp
        elif timestamp > self._newest:
            self._newest = timestamp
        self._pieces += (length, begin, value, headers)
        self._size = size
        self._number = number + 1
        return True

    # what aiokafka asks

    def record_count(self) -> int:
        """How many records it holds."""
        return self._number

    def size(self) -> int:
        """Bytes of the batch."""
        return self._size

    def closed(self) -> bool:
        """True: no record of others comes along."""
        return True

    def close(self) -> None:
        """Nothing is left to do."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> Encoded:
        if self._built is None:
            last = self._number - 1
            self._pieces[0] = _REST.pack(0, last, self._first, self._newest, *self._producer, self._number)
            rest = b"".join(self._pieces)
            self._pieces = []
            length = self._size - _UNCHECKED_BYTES
            self._built = _FRONT.pack(0, length, _NO_EPOCH, _MAGIC, extend_crc(0, rest)), rest
        return self._built
