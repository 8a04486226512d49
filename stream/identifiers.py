"""Identifiers that every run derives alike: event ids, definition hashes, change ids.

Each is one function of its arguments; the vectors in docs/definitions.md hold them in place. The order of the parts
and the separator (a line feed) are part of the contract, for an id once published is what consumers remember.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1, sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec
import rfc8785

NAMESPACE = uuid5(NAMESPACE_URL, "urn:segstream")
_NAMESPACE_BYTES: Final = NAMESPACE.bytes
_VARIANTS: Final = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}
_sha1: Final = sha1
_MAX_SAFE_INTEGER = 2**53 - 1
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def canonical_json(value: Any) -> bytes:
    """RFC 8785 canonical JSON. Integers beyond 2^53 are written as the double that RFC 8785 takes them for."""
    if _is_plain(value):
        try:
            return _encode_sorted(value)
        except UnicodeEncodeError:
            pass  # half a surrogate pair: rfc8785 says so in its own words
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        return rfc8785.dumps(_with_safe_integers(value))


def derive_event_id(user: str, time: int, type_: str, event: Mapping[str, Any]) -> str:
    """The id of an event that came without one.

    `time` is the event's time in epoch milliseconds as sent; `event` the canonical event, of which `id` and
    `received_at` do not take part: a resent event is the same event.
    """
    body = canonical_json({key: value for key, value in event.items() if key not in ("id", "received_at")})
    return _uuid5(b"%b\n%d\n%b\n%b" % (user.encode(), time, type_.encode(), body))


def definition_hash(definition: Any) -> str:
    """16 hex digits that name what decides a membership, whatever it is called."""
    return sha256(canonical_json(definition)).hexdigest()[:16]


def change_id(segment: str, hash_: str, user: str, instance: str | None, seq: int) -> str:
    """The id of the seq-th change of a user's membership in a segment."""
    return _uuid5(f"{segment}\n{hash_}\n{user}\n{instance or ''}\n{seq}".encode())


def _uuid5(name: bytes) -> str:
    """`str(uuid.uuid5(NAMESPACE, name))` without building a UUID object: this runs once a change."""
    text: str = _sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).hexdigest()
    # RFC 9562, 5.5: the version stands in the first half of byte 6, the variant in the first two bits of byte 8.
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:32]}"


def _is_plain(value: Any) -> bool:
    """Whether any JSON encoder that sorts keys and writes no spaces writes the canonical form.

    Escapes are the same: only what JSON must escape. Numbers are, as long as they are integers that a double holds;
    and the order of keys is, as long as code points and UTF-16 agree on it.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or (type(item) is not str and not _is_plain(item)):
                return False
        return True
    return kind is list and all(_is_plain(item) for item in value)


def _with_safe_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_safe_integers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_safe_integers(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_SAFE_INTEGER:
        return float(value)
    return value
