"""What a mapping is made of once it is read: the parts of its template, its conditions, its fan-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stream.ingest.paths import Path
from stream.ingest.transforms import Transform

ABSENT: Any = object()
"""Not given, where None is an answer."""
PRESENT = frozenset({"\0present"})
"""The words of a test that asks only whether there is a value."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value always."""

    value: Any


@dataclass(frozen=True, slots=True)
class Read:
    """What a path leads to."""

    path: Path


@dataclass(frozen=True, slots=True)
class First:
    """The first part that is there."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Text with parts in between; nothing if one of them is missing."""

    pieces: tuple[str | Part, ...]


@dataclass(frozen=True, slots=True)
class Unique:
    """The UUID 5 of some parts, a missing one as empty; nothing if all are missing."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Numbers multiplied; nothing if one of them is missing."""

    parts: tuple[Part, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """A value and what is done with it: transforms, then the clock, then the table, then the default."""

    source: Part
    reason: str
    label: str
    """Path for error messages."""
    transforms: tuple[Transform, ...] = ()
    sent: Part | None = None
    received: Part | None = None
    table: Mapping[str, Any] | None = None
    otherwise: Any = ABSENT
    """What the table gives for what it lacks; ABSENT: the value itself."""
    default: Any = None


@dataclass(frozen=True, slots=True)
class Choose:
    """One part or the other."""

    when: Condition
    then: Part
    otherwise: Part | None


@dataclass(frozen=True, slots=True)
class Build:
    """An object of parts; missing ones are left out, and so is an object of nothing."""

    entries: tuple[tuple[str, Part], ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """Objects laid over each other, the later ones on top."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of parts; missing ones are left out."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ForEach:
    """A list with a part for each item of another; an object counts as a list of one."""

    items: Items
    match: Condition | None
    """Only items for which it holds."""
    drop: Condition | None
    part: Part


Part = (
    Constant | Read | First | Template | Unique | Product | Field | Choose | Build | Merge | Listing | ForEach
)


@dataclass(frozen=True, slots=True)
class Test:
    """A question about the value of a path (None: there is nothing)."""

    path: Path
    words: frozenset[str] | None
    """Where the question is only whether the value is one of these texts."""
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Together:
    """All of these, or any of them."""

    of: Literal["all", "any"]
    conditions: tuple[Condition, ...]


Condition = Test | Together


@dataclass(frozen=True, slots=True)
class Items:
    """Where the items of a fan-out stand: one list, or several side by side under new names."""

    path: Path | None
    beside: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """How events are made of a record, or of one item of it."""

    match: Condition | None
    each: tuple[Items, ...]
    drop: Condition | None
    event: Build | None
    cases: tuple[Body, ...] = ()
