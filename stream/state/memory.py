"""A store in memory. It is no mock: the embedded runtime (replay, demo) keeps its users here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

USER = b"u:"
"""Before a user, in keys of stores on disk and of changelogs."""


class MemoryStore:
    """A dictionary of profiles and a marker."""

    def __init__(self) -> None:
        self._profiles: dict[str, bytes] = {}
        self._marker: bytes | None = None

    def get_many(self, users: Sequence[str]) -> list[bytes | None]:
        get = self._profiles.get
        return [get(user) for user in users]

    def scan(self) -> Iterator[tuple[str, bytes]]:
        return iter(list(self._profiles.items()))

    def write(self, profiles: Mapping[str, bytes | None], marker: bytes) -> None:
        kept = self._profiles
        for user, profile in profiles.items():
            if profile is None:
                kept.pop(user, None)
            else:
                kept[user] = profile
        self._marker = marker

    def begin_loading(self) -> None:
        """Nothing to prepare."""

    def load(self, profiles: Mapping[bytes, bytes | None]) -> None:
        skip = len(USER)
        for key, profile in profiles.items():
            if profile is None:
                self._profiles.pop(key[skip:].decode(), None)
            else:
                self._profiles[key[skip:].decode()] = profile

    def is_congested(self) -> bool:
        return False

    def end_loading(self) -> None:
        """Nothing to wait for."""

    def marker(self) -> bytes | None:
        return self._marker

    def size(self) -> int:
        return sum(map(len, self._profiles.values()))

    def flush(self) -> None:
        """Nothing survives the process."""

    def wipe(self) -> None:
        self._profiles.clear()
        self._marker = None

    def close(self) -> None:
        """Nothing to release."""
