"""The canonical event, as ingest hands it to the engine.

One struct per event, decoded in one pass. The envelope's fields are kept as they came (`Any`): a field of a wrong type
is no error, it reads as unknown in definitions. What ingest and the engine add (the key, the record time, the offset,
the clamp) stands in fields with names that no producer uses, and is always overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast

import msgspec

CLOCK_ADVANCED = "clock_advanced"
"""The type of a record that moves its partition's watermark and nothing else."""

ENVELOPE_FIELDS = (
    "id",
    "type",
    "time",
    "user_id",
    "anonymous_id",
    "received_at",
    "source",
    "channel",
    "session_id",
    "order_id",
    "value",
    "currency",
    "items",
    "props",
    "traits",
    "context",
)
OBJECT_FIELDS = ("props", "traits", "context")
ENVELOPE_TYPES = {"value": (int, float), "time": (int,), "items": (list,)} | dict.fromkeys(
    OBJECT_FIELDS, (dict,)
)
"""What definitions take for a value of a field; text, where nothing is said. Anything else reads as unknown."""
Reader = Callable[["Event"], Any]
"""Reads one field of an event; None where it is missing."""


class Event(msgspec.Struct, gc=False):
    """One canonical event. `gc=False`: events never refer to each other, and millions are made."""

    type: Any = None
    time: Any = None
    id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    received_at: Any = None
    source: Any = None
    channel: Any = None
    session_id: Any = None
    order_id: Any = None
    value: Any = None
    currency: Any = None
    items: Any = None
    props: Any = None
    traits: Any = None
    context: Any = None
    user: str = msgspec.field(default="", name="\x7fuser")
    """The key: `user_id`, else `anonymous_id`; empty only for `clock_advanced`."""
    record_time: int = msgspec.field(default=0, name="\x7frecord_time")
    """When the record reached the log, epoch milliseconds."""
    offset: int = msgspec.field(default=-1, name="\x7foffset")
    """The record's position in its partition."""
    clamped: bool = msgspec.field(default=False, name="\x7fclamped")
    """Its time lay too far after its record time and was set to it."""


ALWAYS_READ = frozenset(("id", "type", "time", "user_id", "anonymous_id", "received_at", "traits"))
"""Fields of the envelope that reading a record and applying an event need whatever the definitions say."""


def stray_attribute(name: str) -> str:
    """The attribute of an event that catches a top-level field outside the envelope."""
    return "stray_" + name.encode().hex()


@cache
def _event_type(caught: frozenset[str], skipped: frozenset[str]) -> type[Event]:
    fields = [(stray_attribute(name), Any, msgspec.field(default=None, name=name)) for name in sorted(caught)]
    # An attribute that listens to a name nobody sends stays None, and the field itself is skipped like an unknown one.
    fields += [(name, Any, msgspec.field(default=None, name=f"\x7f{name}")) for name in sorted(skipped)]
    return cast(type[Event], msgspec.defstruct("Event", fields, bases=(Event,), gc=False))


def event_type(extra: Iterable[str] = (), read: Iterable[str] = ENVELOPE_FIELDS) -> type[Event]:
    """An Event that also catches the top-level fields `extra`, and of the envelope only those in `read`.

    Unknown fields of the envelope belong to `props`. Only those that definitions read are worth decoding, so the plan
    names them and they are caught beside the envelope; whoever reads a field looks in both places. Fields of the
    envelope that no definition reads are not worth decoding either: they are checked to be JSON and are None in the
    event. That is half of decoding, and where many events are alive at once three quarters, for they then fit the
    processor's cache.
    """
    caught = frozenset(extra) - frozenset(ENVELOPE_FIELDS)
    skipped = frozenset(ENVELOPE_FIELDS) - ALWAYS_READ - frozenset(read)
    return _event_type(caught, skipped) if caught or skipped else Event


def stray_field(path: str) -> str | None:
    """The top-level name under which an unknown field that `path` reads may come, if it can."""
    head, _, rest = path.partition(".")
    if head == "props" and rest:
        return rest.partition(".")[0]
    return None if head in ENVELOPE_FIELDS else head


def envelope_field(path: str) -> str:
    """The field of the envelope in which `path` is found."""
    head = path.partition(".")[0]
    return head if head in ENVELOPE_FIELDS else "props"
