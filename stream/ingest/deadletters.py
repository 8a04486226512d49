"""What becomes of a record that cannot be read: nothing of it is lost, and the stream goes on."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.errors import RecordError

SCHEMA = "dead-letter/1"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be read, with why and where it stood."""

    reason: str
    """A stable code: bad_json, not_an_object, bad_type, bad_time, bad_user, bad_id, bad_row, no_match, too_large."""
    message: str
    """For people; starts with the JSON path (or column) of what is wrong."""
    raw: bytes
    """The record as it came."""
    key: bytes | None = None
    coordinates: dict[str, Any] = field(default_factory=dict)
    """Where it came from: topic, partition and offset, or file and line."""

    @classmethod
    def of(cls, error: RecordError, raw: bytes, key: bytes | None = None, **coordinates: Any) -> DeadLetter:
        return cls(error.reason, error.message, raw, key, coordinates)

    def to_json(self) -> bytes:
        """One line of a dead-letters file. Bytes that are not UTF-8 are written in base64, under `value_base64`."""
        line: dict[str, Any] = {"schema": SCHEMA, "reason": self.reason, "message": self.message}
        line["coordinates"] = self.coordinates
        line.update(_text("key", self.key))
        line.update(_text("value", self.raw))
        return msgspec.json.encode(line)


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode("ascii")}
