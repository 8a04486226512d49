"""Kafka's default partitioner: murmur2 of the key, so that a replay groups users as the topic would.

From the description of MurmurHash2 (32 bits, seed 0x9747b28c), as Kafka's Java clients apply it to record keys.
"""

from __future__ import annotations

import struct

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned.

    >>> hex(murmur2(b"21"))
    '0xc5f2f8ec'
    """
    length = len(data)
    hash_ = _SEED ^ length
    whole = length & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        word = word * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        hash_ = hash_ * _MULTIPLIER & _MASK ^ word
    if whole < length:
        hash_ = (hash_ ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    hash_ = (hash_ ^ hash_ >> 13) * _MULTIPLIER & _MASK
    return hash_ ^ hash_ >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, from 0, of a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
