"""A user's memory of recent event ids.

It holds the newest ids (64, if nothing else is set), by (time, id), of the user's events that are not older than the
window before the newest of them. An id is remembered as its XXH3 of 64 bits (two ids of one user's 64 agree by chance
once in 10^16; whoever makes ids that agree loses events of that user alone), and the memory is one string of 16-byte
entries, time then hash, sorted: a profile is read and written far more often than this is searched. Among events of one
millisecond the order is that of the hashes.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64
from xxhash import xxh3_64_digest

CAPACITY: Final = 64
ENTRY: Final = 16


def hash_id(event_id: str) -> bytes:
    """The eight bytes under which an id is remembered."""
    return xxh3_64_digest(event_id.encode("utf-8", "surrogatepass"))


def is_known(memory: bytes, hashed: bytes) -> bool:
    """Whether an id is in the memory."""
    at = memory.find(hashed)
    while at != -1:
        if at % ENTRY == 8:
            return True
        at = memory.find(hashed, at + 1)
    return False


def remember(
    memory: bytes, hashed: bytes, time: int, newest: int, window: int, capacity: int = CAPACITY
) -> bytes:
    """The memory with one id more, cut to what may be remembered. `newest` is the user's newest event time."""
    size: i64 = len(memory)
    at, instant = size, i64(time)
    while at:
        before = read_i64_le(memory, at - ENTRY)
        if before < instant or (before == instant and memory[at - 8 : at] < hashed):
            break
        at -= ENTRY
    writer = BytesWriter()
    writer.write(memory if at == size else memory[:at])
    write_i64_le(writer, instant)
    writer.write(hashed)
    if at < size:
        writer.write(memory[at:])
    memory = writer.getvalue()
    oldest, start = i64(newest - window), i64(0)
    size += ENTRY
    if size > capacity * ENTRY:
        start = size - capacity * ENTRY
    while start < size and read_i64_le(memory, start) < oldest:
        start += ENTRY
    return memory[start:] if start else memory
