"""Advice on selectors: types and fields that are nearly those of the envelope, and what `where` cannot see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches

from stream.definitions.bounds import Bounds
from stream.definitions.check import names_of
from stream.definitions.model import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Definitions,
    Expression,
    Feature,
    Logic,
    Membership,
    Name,
    Place,
    Selector,
)
from stream.definitions.text import write
from stream.definitions.vocabulary import LINE_FIELDS, WELL_KNOWN_TYPES
from stream.events import CLOCK_ADVANCED, ENVELOPE_FIELDS

Warn = Callable[[Place, str], None]
_BOUNDS = Bounds({})


def advise_selector(selector: Selector, definitions: Definitions, warn: Warn) -> None:
    """Adds warnings about one selector."""
    for type_ in selector.types or ():
        if type_ == CLOCK_ADVANCED:
            warn(selector.at, f"`{CLOCK_ADVANCED}` moves the watermark and matches no selector")
        elif near := _slip_of(type_):
            warn(selector.at, f"type `{type_}` of selector `{selector.name}`; did you mean `{near}`?")
    if selector.where is None:
        return
    if _BOUNDS.needs(selector.where) is None:
        warn(selector.where.at, f"`where` of selector `{selector.name}` can never be true")
    for name in names_of(selector.where):
        _name(name, definitions, warn)
    for comparison in _comparisons(selector.where):
        _types(comparison, warn)


def advise_fields(feature: Feature, warn: Warn) -> None:
    """Adds warnings about the fields that a feature reads."""
    for field, known in ((feature.field, ENVELOPE_FIELDS), (feature.by, (*ENVELOPE_FIELDS, *LINE_FIELDS))):
        if field is None or "." in field or field in known:
            continue
        if near := get_close_matches(field, known, n=1, cutoff=0.8):
            warn(feature.at, f"`{field}` of feature `{feature.name}`; did you mean `{near[0]}`?")


def _slip_of(type_: str) -> str | None:
    """A well-known type that differs by a letter or two, unless this one is well known itself."""
    if type_ in WELL_KNOWN_TYPES:
        return None
    near = get_close_matches(type_, WELL_KNOWN_TYPES, n=1, cutoff=0.9)
    return near[0] if near and abs(len(near[0]) - len(type_)) <= 1 else None


def _name(name: Name, definitions: Definitions, warn: Warn) -> None:
    head, _, rest = name.path.partition(".")
    reads = f"`where` sees only the event: `{name.path}` means its `props.{name.path}`"
    if name.path in definitions.features:
        warn(name.at, f"{reads}, not the feature")
    elif (head == "segment" and rest in definitions.segments) or (
        head == "ladder" and rest in definitions.ladders
    ):
        warn(name.at, f"{reads}, not the {head}")
    elif head == "items" and rest:
        warn(name.at, f"{reads}; for the lines write any(items, {rest} …)")
    elif not rest and name.path not in ENVELOPE_FIELDS:
        near = get_close_matches(name.path, ENVELOPE_FIELDS, n=1, cutoff=0.8)
        if near:
            warn(name.at, f"`{name.path}` means the event's `props.{name.path}`; did you mean `{near[0]}`?")


def _comparisons(expression: Expression) -> Iterator[Comparison]:
    match expression:
        case Comparison():
            yield expression
        case Logic(operands=parts):
            for part in parts:
                yield from _comparisons(part)
        case Arithmetic() | Call() | Constant() | Membership() | Name():
            return


def _types(comparison: Comparison, warn: Warn) -> None:
    """A field of the envelope compared with what it never is."""
    for name, constant in ((comparison.left, comparison.right), (comparison.right, comparison.left)):
        if not isinstance(name, Name) or not isinstance(constant, Constant):
            continue
        if name.path not in ENVELOPE_FIELDS or constant.kind == "null":
            continue
        wanted = {"value": "a number", "time": "a number"}.get(name.path, "text")
        found = "text" if constant.kind == "string" else "a number"
        if found != wanted or name.path in ("items", "props", "traits", "context"):
            what = wanted if found != wanted else "not a text"
            warn(comparison.at, f"`{write(comparison)}` can never hold: `{name.path}` is {what}")
