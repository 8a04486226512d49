"""Segment changes: the records that go out, deterministic to the byte.

A change carries no wall clock and no coordinates of a partition. Those ride beside it, as the Kafka timestamp and
headers, so that a replay on another machine writes the same bytes.

`Body` and the parts below it say what a change's JSON looks like, its fields and their order, and nothing else writes
one. What has a default is left out where it does not apply; what has none is always there, if need be as null.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UnsetType

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
        return _encode((self.segment, self.user, self.instance))

    def headers(self, source: str) -> list[tuple[str, bytes]]:
        """CloudEvents 1.0 attributes in Kafka binary mode. `source` is a URI reference that names the deployment."""
        return [
            _SPECIFICATION,
            ("ce_id", self.event_id.encode()),
            ("ce_type", b"segment." + self.type.encode()),
            ("ce_source", source.encode()),
            ("ce_subject", self.user.encode()),
            ("ce_time", format_instant(self.effective_at).encode()),
            _CONTENT_TYPE,
        ]


_SPECIFICATION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


# --- the record's value ----------------------------------------------------------------------------------------------


class Subject(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """The segment or ladder."""

    key: str
    kind: str
    """segment or ladder."""
    version: int | None = None
    """The definition's own `version:`."""
    hash: str
    value: str | None = None
    """A ladder's tier after the change."""
    previous: str | None = None
    """A ladder's tier before it."""


class Person(msgspec.Struct, gc=False, omit_defaults=True):
    """The user, and the other ids seen on their events."""

    id: str
    ids: dict[str, str] | None = None


class Trigger(msgspec.Struct, gc=False, omit_defaults=True):
    """The event that ran the evaluation."""

    event_id: str
    type: str
    time: str
    clamped: bool = False
    """Its time lay too far after its record's, and was set to it."""


class Evidence(msgspec.Struct, gc=False):
    """An event behind a leaf of a reason."""

    event_id: str
    time: str


class ReasonLeaf(msgspec.Struct, gc=False):
    """One of the leaves that decided, with what it compared if it does: durations as text, what is unknown as null."""

    leaf: str
    value: Any
    op: str | UnsetType
    bound: Any
    evidence: list[Evidence]


class Line(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """What is known of one product in an attachment. Numbers are `Any`, so that compiled code leaves an int an int."""

    product_id: str
    name: str | None = None
    category: str | None = None
    brand: str | None = None
    price: Any = None
    quantity: Any


class Lines(msgspec.Struct, gc=False):
    """An attachment: the lines of events, merged by product."""

    count: int
    """Of lines, of which `items` may hold fewer."""
    quantity: Any
    value: float
    items: list[Line]
    """Newest first."""


class Judgement(msgspec.Struct, gc=False):
    """What a messaging system may do about an entry."""

    actionable: bool
    variant: str | UnsetType
    suppressed_by: tuple[str, ...]
    entry: int
    not_before: str | None


class Body(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True, tag_field="schema", tag=SCHEMA):
    """A record's value."""

    event_id: str
    type: str
    segment: Subject
    user: Person
    instance: str | None = None
    seq: int
    effective_at: str
    expires_at: str | None = None
    cause: str
    trigger: Trigger | None = None
    retracts: str | None = None
    reason: list[ReasonLeaf]
    context: dict[str, Lines] | None = None
    policy: Judgement | None = None

    def encode(self) -> bytes:
        """As JSON."""
        return _encode(self)
