"""Which events a selector matches; the fields, lines and keys of an event; the traits of a user."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.expressions import Node, evaluate
from tests.oracle.language import Selector
from tests.oracle.values import UNKNOWN, all_, any_, as_verdict, as_version, is_number
from tests.oracle.zones import as_date, until_anniversary, wall

TEXTS = frozenset(
    ("id", "type", "user_id", "anonymous_id", "source", "channel", "session_id", "order_id", "currency")
)
ENVELOPE = TEXTS | {"time", "received_at", "value", "items", "props", "traits", "context"}

SHOWN: dict[str, Callable[[datetime], Any]] = {
    "local_hour": lambda local: local.hour,
    "local_weekday": lambda local: local.isoweekday(),
    "local_month": lambda local: local.month,
    "local_date": lambda local: local.date().isoformat(),
}


@dataclass(frozen=True)
class Event:
    id: str
    type: str
    time: int
    body: dict[str, Any] = field(hash=False, compare=False)
    arrival: int = 0
    clamped: bool = False

    @property
    def order(self) -> tuple[int, str]:
        return self.time, self.id


def scalar(value: Any) -> Any:
    return value if isinstance(value, str | bool) or is_number(value) else UNKNOWN


def descend(value: Any, path: list[str]) -> Any:
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value


def read(event: Event, path: str) -> Any:
    """The raw value at a path of an event; None if there is none."""
    head, *rest = path.split(".")
    if path == "id":
        return event.id
    if path == "time":
        return event.time
    if head in ("traits", "context") and rest:
        return descend(event.body.get(head), rest)
    if path in ENVELOPE:
        value = event.body.get(path)
        right = isinstance(value, str) if path in TEXTS else is_number(value) if path == "value" else True
        return value if right else None
    names = rest if head == "props" and rest else [head, *rest]
    found = descend(event.body.get("props"), names)
    return descend(event.body, names) if found is None else found


def lines(event: Event) -> list[dict[str, Any]] | None:
    items = event.body.get("items")
    if not isinstance(items, list):
        return None
    return [{"quantity": 1, **line} for line in items if isinstance(line, dict)]


class OfEvent:
    """The scope of a `where`. The time is that of the event."""

    def __init__(self, event: Event, zone: ZoneInfo) -> None:
        self.event = event
        self.zone = zone

    def name(self, path: str) -> Any:
        return scalar(read(self.event, path))

    def call(self, function: str, args: tuple[Node, ...]) -> Any:
        if function in SHOWN:
            return SHOWN[function](wall(self.event.time, self.zone))
        if function == "version":
            return as_version(evaluate(args[0], self))
        if function in ("until_anniversary", "month"):
            born = as_date(evaluate(args[0], self))
            if born is None:
                return UNKNOWN
            return born.month if function == "month" else until_anniversary(born, self.event.time, self.zone)
        of = args[0].args[0] if args[0].op == "name" else None
        if of != "items" or function not in ("any", "all", "sum", "count"):
            raise ValueError(f"{function} is not a function of `where`")
        items = lines(self.event)
        if items is None:
            return UNKNOWN
        values = [evaluate(args[1], OfLine(line)) for line in items]
        if function == "any":
            return any_(map(as_verdict, values))
        if function == "all":
            return all_(map(as_verdict, values))
        if function == "count":
            return sum(1 for value in values if value is True)
        return sum(map(float, values)) if all(map(is_number, values)) else UNKNOWN


class OfLine:
    """The scope of an expression about one line of an event."""

    def __init__(self, line: dict[str, Any]) -> None:
        self.line = line

    def name(self, path: str) -> Any:
        return scalar(descend(self.line, path.split(".")))

    def call(self, function: str, args: tuple[Node, ...]) -> Any:
        raise ValueError(f"{function} is not a function of lines")


def matches(selector: Selector, event: Event) -> bool:
    if selector.types is not None and event.type not in selector.types:
        return False
    return selector.where is None or evaluate(selector.where, OfEvent(event, selector.zone)) is True


def keys(event: Event, by: str) -> frozenset[str]:
    """The keys of an event: its own field, else the different ones of its lines."""
    if not by.startswith("items."):
        own = read(event, by)
        if isinstance(own, str):
            return frozenset((own,))
    name = by.removeprefix("items.")
    found = (descend(line, name.split(".")) for line in lines(event) or ())
    return frozenset(key for key in found if isinstance(key, str))


def has_traits(event: Event) -> bool:
    traits = event.body.get("traits")
    return isinstance(traits, dict) and bool(traits)


def trait(events: Iterable[Event], path: str) -> Any:
    """The newest write at this path: on it, above it (which deletes it), or below it (which makes it an object)."""
    value: Any = UNKNOWN
    for event in sorted(events, key=lambda each: each.order):
        here = event.body.get("traits")
        if not isinstance(here, dict):
            continue
        for step in path.split("."):
            if not isinstance(here, dict):  # a scalar or null above
                here = None
                break
            if step not in here:
                break
            here = here[step]
        else:
            if here == {}:
                continue
            value = scalar(here)
            continue
        if here is None:
            value = UNKNOWN
    return value
