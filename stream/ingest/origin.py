"""What a record from a topic carries beside its value: mappings may read its key and its headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Origin(Protocol):
    """A record of a topic, or of a recorded log."""

    @property
    def key(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Record(Origin, Protocol):
    """A record of a topic, whole."""

    @property
    def value(self) -> bytes | None: ...

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int:
        """When it reached the log, epoch milliseconds."""


def read_header(origin: Origin | None, name: str) -> str | None:
    """The last header of that name (in small letters) as text; None without one, or if it is no UTF-8."""
    found: bytes | None = None
    if origin is not None:
        for header, value in origin.headers or ():
            if header == name or header.lower() == name:
                found = value
    return _text(found)


def read_key(origin: Origin | None) -> str | None:
    """The record's key as text."""
    return None if origin is None else _text(origin.key)


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else bytes(data).decode()
    except UnicodeDecodeError:
        return None
