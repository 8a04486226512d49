"""Segment changes: the records that go out, deterministic to the byte.

A change carries no wall clock and no coordinates of a partition. Those ride beside it, as the Kafka timestamp and
headers, so that a replay on another machine writes the same bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream.instants import format_instant

SCHEMA = "segment-change/1"

_encode = msgspec.json.Encoder().encode


class Change(msgspec.Struct, gc=False, kw_only=True):
    """One decided segment change."""

    user: str
    segment: str
    """Key of the segment or ladder."""
    instance: str | None
    """The `for_each` key of the membership, if it has one."""
    seq: int
    """Counts the changes of one (user, segment) from 1; consumers drop what is not above the last they have seen."""
    type: str
    """entered, exited, moved, renewed or retracted."""
    cause: str
    """What ran the evaluation: event, timer, late_event, evicted, definition_change, …"""
    effective_at: int
    """First millisecond at which the change holds."""
    event_id: str
    value: bytes
    """The JSON of the record's value."""
    suppressed_by: tuple[str, ...] = ()
    """Why a messaging system must not act, if so: for metrics."""
    since: int | None = None
    """Of the end of a segment's membership: when it was first entered. For metrics."""
    offset: int = -1
    """Offset of the input record that decided it; -1 where time alone did."""
    forget: bool = False
    """The membership is gone for good: its entry in the members topic becomes a tombstone."""

    @property
    def sort_key(self) -> tuple[int, str, str, str, int]:
        """The order of a replay's output."""
        return (self.effective_at, self.user, self.segment, self.instance or "", self.seq)

    @property
    def member_key(self) -> bytes:
        """Key in the members topic: the JSON array [segment, user, instance or null]."""
        return _encode([self.segment, self.user, self.instance])

    def headers(self, source: str) -> list[tuple[str, bytes]]:
        """CloudEvents 1.0 attributes in Kafka binary mode. `source` is a URI reference that names the deployment."""
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.event_id.encode()),
            ("ce_type", b"segment." + self.type.encode()),
            ("ce_source", source.encode()),
            ("ce_subject", self.user.encode()),
            ("ce_time", format_instant(self.effective_at).encode()),
            ("content-type", b"application/json"),
        ]


def encode_value(fields: dict[str, Any]) -> bytes:
    """The JSON of a change's value: `fields` in their order, those that are None left out."""
    return _encode({name: value for name, value in fields.items() if value is not None})
