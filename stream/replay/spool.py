"""Changes in order, however many: what does not fit into memory is written down in sorted runs and merged on reading.

The output of a replay is ordered by the time at which changes hold, and they are decided in another order: a timer of
one user fires long after a later event of another, and a late event corrects what was said before. So nothing can be
written before everything is decided. A spool keeps at most `limit` bytes of changes; each time it is full it sorts
them and writes them to a file, and reading merges the files with what is still in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from stream.changes import Change

LIMIT = 96 << 20
_BESIDE = 400
"""What a change takes in memory besides its value, about."""
_BLOCK = 1 << 20
_LENGTH = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Change).decode

Key = Callable[[Change], Any]


def output_order(change: Change) -> tuple[int, str, str, str, int]:
    """(effective_at, user, segment, instance, seq)."""
    return change.sort_key


def member_order(change: Change) -> tuple[bytes, int]:
    """Memberships by their key in the members topic, the changes of each in turn."""
    return change.member_key, change.seq


class Spool:
    """Changes to be read in the order of `key`. Iterate it as often as you like, once all are added.

    `folder`: where runs are written; without one a temporary folder is made when it is needed, and goes with the
    spool.
    """

    def __init__(self, key: Key = output_order, *, limit: int = LIMIT, folder: Path | None = None) -> None:
        self.runs: list[Path] = []
        """Files of sorted changes."""
        self._key = key
        self._limit = limit
        self._folder = folder
        self._temporary: TemporaryDirectory[str] | None = None
        self._kept: list[Change] = []
        self._bytes = 0
        self._sorted = True
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Change]:
        if not self._sorted:
            self._kept.sort(key=self._key)
            self._sorted = True
        if not self.runs:
            return iter(self._kept)
        return merge(*map(_read, self.runs), self._kept, key=self._key)

    def add(self, changes: Iterable[Change]) -> None:
        """Takes changes in any order."""
        kept, before = self._kept, len(self._kept)
        kept.extend(changes)
        if len(kept) == before:
            return
        self._count += len(kept) - before
        self._sorted = False
        for change in kept[before:]:
            self._bytes += len(change.value) + _BESIDE
        if self._bytes > self._limit:
            self.flush()

    def flush(self) -> None:
        """Writes what is in memory to a run."""
        if not self._kept:
            return
        self._kept.sort(key=self._key)
        path = self._place() / f"{len(self.runs)}.run"
        with path.open("wb", buffering=_BLOCK) as file:
            for change in self._kept:
                packed = _encode(change)
                file.write(_LENGTH.pack(len(packed)))
                file.write(packed)
        self.runs.append(path)
        self._kept = []
        self._bytes, self._sorted = 0, True

    def adopt(self, runs: Iterable[Path], count: int) -> None:
        """Takes over `count` changes that another process wrote to runs in the order of this spool."""
        self.runs += runs
        self._count += count

    def _place(self) -> Path:
        if self._folder is None:
            self._temporary = TemporaryDirectory(prefix="segstream-")
            self._folder = Path(self._temporary.name)
        return self._folder


def _read(run: Path) -> Iterator[Change]:
    with run.open("rb", buffering=_BLOCK) as file:
        while head := file.read(_LENGTH.size):
            yield _decode(file.read(_LENGTH.unpack(head)[0]))
