"""Where profiles live between steps: one store per partition, written once per step.

    Store            what the runtimes need
    ├── MemoryStore  a dictionary: the embedded runtime, tests
    └── RocksStore   RocksDB in one folder

A store is a cache of its changelog. It may always be thrown away: whoever meets `StoreDamagedError` wipes it and
restores it from the log. What it holds is consistent at any moment, because profiles and marker are written as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from stream.errors import OperatorError
from stream.state.memory import USER, MemoryStore

__all__ = ["USER", "MemoryStore", "Store", "StoreBusyError", "StoreDamagedError", "StoreFailedError"]


class StoreDamagedError(OperatorError):
    """What the store says cannot be trusted: wipe it and restore it from the changelog."""


class StoreFailedError(OperatorError):
    """The store could not be opened or written (no permission, disk full): wiping would not help."""


class StoreBusyError(StoreFailedError):
    """Another process has the store open."""


class Store(Protocol):
    """Encoded profiles by user, and the marker that says which step they belong to."""

    def get_many(self, users: Sequence[str]) -> list[bytes | None]:
        """The profiles of `users`, in their order; None for who has none."""

    def scan(self) -> Iterator[tuple[str, bytes]]:
        """Every user with a profile, in no promised order."""

    def write(self, profiles: Mapping[str, bytes | None], marker: bytes) -> None:
        """Profiles (None deletes) and the marker, all or nothing."""

    def begin_loading(self) -> None:
        """Much will be loaded. Nothing is read or written until `end_loading`, `wipe` or `close`."""

    def load(self, profiles: Mapping[bytes, bytes | None]) -> None:
        """Profiles of a changelog by its keys (`USER` + user) while restoring: the marker stays what it was."""

    def is_congested(self) -> bool:
        """`load` would wait, and the whole process with it, until what was loaded before is on disk."""

    def end_loading(self) -> None:
        """What was loaded can be read. May be called in another thread while nothing else is."""

    def marker(self) -> bytes | None:
        """What the last `write` left; None for a new store."""

    def size(self) -> int:
        """About how many bytes it takes."""

    def flush(self) -> None:
        """Begin to make what was written survive a crash of the process, so that less is restored after it."""

    def wipe(self) -> None:
        """Forget everything, the marker too."""

    def close(self) -> None:
        """Release it. What was written stays, unless it was found damaged: then nothing stays."""
