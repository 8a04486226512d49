"""Keys of events: the values of a field that features, sequences and memberships are split by.

The keys by a plain name f are the event's own f (of the envelope or of props), else the distinct f of its lines; by
`items.f` always the latter. Texts and whole numbers are keys; an event without a key is ignored by what is split.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from stream.engine.calendar import ordinal_day, truncate
from stream.engine.cells import MICRO, hash_scalar, to_micros, to_scalar
from stream.engine.fields import read_field
from stream.engine.lines import key_text
from stream.engine.summaries import KeysOf
from stream.events import Event, Reader

Fold = Callable[[Event], int | None]
"""What an event counts as where different things are counted; None for nothing."""


def compile_keys(field: str) -> KeysOf:
    """The keys of an event by a field. Answers for the last event again without reading it: several may ask."""
    own = None if field.startswith("items.") else read_field(field)
    name = field.removeprefix("items.")
    last: Event | None = None
    keys: tuple[str, ...] = ()

    def keys_of(event: Event) -> tuple[str, ...]:
        nonlocal last, keys
        if last is not event:
            key = None if own is None else key_text(own(event))
            keys = _keys_of_lines(event.items, name) if key is None else (key,)
            last = event
        return keys

    return keys_of


def _keys_of_lines(lines: Any, name: str) -> tuple[str, ...]:
    """The distinct values of a field of an event's lines."""
    if type(lines) is not list:
        return ()
    some: list[Any] = lines
    if len(some) == 1:  # as most have
        only = _key_of_line(some[0], name)
        return () if only is None else (only,)
    found: list[str] = []
    for line in some:
        key = _key_of_line(line, name)
        if key is not None:
            found.append(key)
    return tuple(found) if len(found) < 2 else tuple(dict.fromkeys(found))


def _key_of_line(line: Any, name: str) -> str | None:
    if type(line) is not dict:
        return None
    of: dict[str, Any] = line
    return key_text(of.get(name))


def compile_fold(read: Reader) -> Fold:
    """The hash of a field's value."""

    def fold(event: Event) -> int | None:
        value = to_scalar(read(event))
        return None if value is None else hash_scalar(value)

    return fold


def compile_days(aggregate: str, timezone: str) -> Fold:
    """The local day of the event, or the first of the week or month that holds it."""
    zone = ZoneInfo(timezone)

    def fold(event: Event) -> int | None:
        day = ordinal_day(event.time, zone)
        if aggregate == "days":
            return day
        return truncate(datetime.fromordinal(day), "week" if aggregate == "weeks" else "month").toordinal()

    return fold


def present(read: Reader) -> Reader:
    """1 where a field has a value, for counting the events that carry it."""

    def ask(event: Event) -> Any:
        return None if to_scalar(read(event)) is None else 1

    return ask


def with_keys(keys_of: KeysOf) -> Reader:
    """1 where an event has a key."""

    def ask(event: Event) -> Any:
        return 1 if keys_of(event) else None

    return ask


def count_keys(keys_of: KeysOf) -> Reader:
    """How many keys an event has; nothing for an event without a key."""

    def ask(event: Event) -> Any:
        return len(keys_of(event)) or None

    return ask


def times_keys(read: Reader, keys_of: KeysOf) -> Reader:
    """A field's value once for each key of the event; nothing for an event without a key.

    It is rounded to 1e-6 first, as each key's own part is, so that the parts add up to the whole.
    """

    def ask(event: Event) -> Any:
        micros, keys = to_micros(read(event)), keys_of(event)
        return None if micros is None or not keys else micros * len(keys) / MICRO

    return ask
