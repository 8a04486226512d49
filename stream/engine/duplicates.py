"""A user's memory of recent event ids.

It holds the newest ids (64, if nothing else is set), by (time, id), of the user's events that are not older than the
window before the newest of them. An id is remembered as the first eight bytes of its SHA-256 (two ids of one user's 64
agree by chance once in 10^17), and the memory is one string of 16-byte entries, time then hash, sorted: a profile is
read and written far more often than this is searched. Among events of one millisecond the order is that of the hashes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

CAPACITY: Final = 64
ENTRY: Final = 16
_TIME_OFFSET: Final = 1 << 63  # instants before 1970 sort as unsigned bytes, too


def hash_id(event_id: str) -> bytes:
    """The eight bytes under which an id is remembered."""
    return sha256(event_id.encode("utf-8", "surrogatepass")).digest()[:8]


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
    entry = (time + _TIME_OFFSET).to_bytes(8, "big") + hashed
    if not memory or memory[-ENTRY:] < entry:
        memory += entry
    else:
        at = len(memory)
        while at and memory[at - ENTRY : at] > entry:
            at -= ENTRY
        memory = memory[:at] + entry + memory[at:]
    oldest = (newest - window + _TIME_OFFSET).to_bytes(8, "big")
    start = max(0, len(memory) - capacity * ENTRY)
    while start < len(memory) and memory[start : start + 8] < oldest:
        start += ENTRY
    return memory[start:]
