"""What becomes of a record that cannot be read: nothing of it is lost, and the stream goes on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.errors import RecordError

SCHEMA = "dead-letter/1"
Headers = Sequence[tuple[str, bytes | None]]
MAX_LETTER_BYTES = 768 * 1024
"""What a letter on a topic holds of a record: less than brokers take by default. The rest stays where it came from."""
_PLACE, _ORIGINAL, _CUT = "source_", "original_", "cut_from_bytes"


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
    """Where it came from: topic, partition, offset and timestamp, or file and line (and columns, if it has any)."""
    headers: Headers = ()
    """The record's own."""
    cut_from: int | None = None
    """How many bytes the record had, if this is only its beginning."""

    @classmethod
    def of(
        cls,
        error: RecordError,
        raw: bytes,
        key: bytes | None = None,
        headers: Headers = (),
        **coordinates: Any,
    ) -> DeadLetter:
        return cls(error.reason, error.message, raw, key, coordinates, headers)

    def to_json(self) -> bytes:
        """One line of a dead-letters file. Bytes that are not UTF-8 are written in base64, under `value_base64`."""
        line: dict[str, Any] = {"schema": SCHEMA, "reason": self.reason, "message": self.message}
        line["coordinates"] = self.coordinates
        line.update(_text("key", self.key))
        line.update(_text("value", self.raw))
        if self.headers:
            line["headers"] = [{"name": name, **_text("value", value)} for name, value in self.headers]
        if self.cut_from is not None:
            line["cut_from_bytes"] = self.cut_from
        return msgspec.json.encode(line)

    @classmethod
    def from_json(cls, line: bytes) -> DeadLetter:
        """What `to_json` wrote; ValueError if it is something else."""
        try:
            found = msgspec.json.decode(line, type=_Line)
            headers = tuple((each.name, _bytes(each.value, each.value_base64)) for each in found.headers)
            raw, key = _bytes(found.value, found.value_base64), _bytes(found.key, found.key_base64)
        except (msgspec.MsgspecError, UnicodeError, binascii.Error) as error:
            raise ValueError(f"not a dead letter: {error}") from None
        return cls(
            found.reason, found.message, raw or b"", key, found.coordinates, headers, found.cut_from_bytes
        )

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Headers of the record that holds it on a topic: why, where from, and the record's own, null as empty."""
        headers: list[tuple[str, bytes]] = [("reason", self.reason.encode())]
        headers.append(("message", self.message.encode("utf-8", "replace")))
        headers += [(_PLACE + name, str(value).encode()) for name, value in self.coordinates.items()]
        headers += [(_ORIGINAL + name, bytes(value or b"")) for name, value in self.headers]
        if self.cut_from is not None:
            headers.append((_CUT, b"%d" % self.cut_from))
        return headers

    @classmethod
    def from_record(cls, value: bytes | None, key: bytes | None, headers: Iterable[Any]) -> DeadLetter:
        """What a record of the dead-letter topic holds."""
        found = [(str(name), data) for name, data in headers]
        told = {name: (data or b"").decode("utf-8", "replace") for name, data in found}
        place: dict[str, Any] = {}
        for name, text in told.items():
            if name.startswith(_PLACE):
                number = text.removeprefix("-").isdecimal() and name != f"{_PLACE}topic"
                place[name.removeprefix(_PLACE)] = int(text) if number else text
        own = tuple(
            (name.removeprefix(_ORIGINAL), data) for name, data in found if name.startswith(_ORIGINAL)
        )
        cut = int(told[_CUT]) if told.get(_CUT, "").isdecimal() else None
        return cls(told.get("reason", ""), told.get("message", ""), value or b"", key, place, own, cut)

    def bounded(self) -> DeadLetter:
        """The same, cut to what a topic takes."""
        if len(self.raw) + len(self.key or b"") <= MAX_LETTER_BYTES:
            return self
        key = self.key and self.key[: MAX_LETTER_BYTES // 8]
        raw = self.raw[: MAX_LETTER_BYTES - len(key or b"")]
        return DeadLetter(self.reason, self.message, raw, key, self.coordinates, (), len(self.raw))


class _Header(msgspec.Struct):
    name: str
    value: str | None = None
    value_base64: str | None = None


class _Line(msgspec.Struct):
    reason: str
    message: str
    coordinates: dict[str, Any]
    key: str | None = None
    key_base64: str | None = None
    value: str | None = None
    value_base64: str | None = None
    headers: list[_Header] = []
    cut_from_bytes: int | None = None


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode("ascii")}


def _bytes(text: str | None, packed: str | None) -> bytes | None:
    if packed is not None:
        return base64.b64decode(packed, validate=True)
    return None if text is None else text.encode()
