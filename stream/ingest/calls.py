"""What the function that is compiled of a mapping calls, by the names under which it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid5

from stream.errors import RecordError
from stream.identifiers import NAMESPACE
from stream.ingest.instants import HOURS, LARGEST_PLAIN, RESTS, SECONDS, read_instant, received_or
from stream.ingest.numbers import number_or_same, product
from stream.ingest.origin import read_header, read_key
from stream.ingest.transforms import Transform, text, text_or_same
from stream.instants import SMALLEST_EPOCH_MS

MAX_EVENTS = 10_000
"""Events of one record: more is an attack, or a file that was sent as one record."""
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 4_096, 200


def _decode(row: dict[str, Any], fields: tuple[tuple[str, tuple[Transform, ...]], ...]) -> dict[str, Any]:
    decoded = dict(row)
    for name, transforms in fields:
        value = row.get(name)
        if value is None or value == "":
            continue
        try:
            for transform in transforms:
                value = None if value is None else transform(value)
        except ValueError as error:
            raise RecordError("bad_row", f"$.{name}: {error}") from None
        decoded[name] = value
    return decoded


def _at(value: Any, index: int) -> Any:
    if type(value) is list:
        return value[index] if -len(value) <= index < len(value) else None
    return value.get(str(index)) if type(value) is dict else None


def _items(value: Any, path: str) -> Any:
    if type(value) is list:
        return value
    if type(value) is dict:
        return (value,)
    what = "nothing" if value is None or value == "" else f"{str(value)[:40]!r}"
    raise RecordError("bad_row", f"$.{path}: expected a list to make events of, not {what}")


def _beside(lists: tuple[tuple[str, Any], ...]) -> list[dict[str, Any]]:
    """Lists side by side → objects; RecordError if their lengths differ."""
    columns = {name: value if type(value) is list else [] for name, value in lists}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        raise RecordError("bad_row", f"$: lists side by side must be of one length, and {told}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _unique(*parts: Any) -> str | None:
    if all(part is None for part in parts):
        return None
    try:
        return str(uuid5(NAMESPACE, "\n".join("" if part is None else text(part) for part in parts)))
    except (ValueError, UnicodeEncodeError) as error:
        raise RecordError("bad_id", f"$: an id is made of text and numbers: {error}") from None


class Memo(dict[str, Any]):
    """What transforms of text and a table make of a text: names of events are few, and come again and again."""

    def __init__(self, transforms: tuple[Transform, ...], table: Mapping[str, Any] | None) -> None:
        self._transforms = transforms
        self._table = table

    def __missing__(self, key: str) -> Any:
        value: Any = key
        for transform in self._transforms:
            value = None if value is None else transform(value)
        if self._table is not None and value is not None:
            value = self._table.get(value, value)
        if len(key) <= _LONGEST_REMEMBERED and len(self) < _MOST_REMEMBERED:
            self[key] = value
        return value


def _product(label: str, *parts: Any) -> int | float | None:
    if any(part is None for part in parts):
        return None
    try:
        return product(parts)
    except (ValueError, ArithmeticError) as error:
        raise RecordError("bad_row", f"$.{label}: {error}") from None


def _look(table: Mapping[str, Any], value: Any, otherwise: Any) -> Any:
    """A value in a table whose keys are texts: `true` and 7 are found under their text."""
    if isinstance(value, bool):
        return table.get("true" if value else "false", otherwise)
    if isinstance(value, (str, int, float)):
        return table.get(text_or_same(value), otherwise)
    return otherwise


def _none_fits() -> None:
    raise RecordError("no_match", "$: no case of the mapping matches the record")


def _too_many() -> None:
    raise RecordError("too_large", f"$: more than {MAX_EVENTS} events in one record")


CALLS: Mapping[str, Any] = {
    "EMPTY": {},
    "AT": _at,
    "TEXT": text_or_same,
    "NUMBER": number_or_same,
    "PLAIN": text,
    "HEADER": read_header,
    "KEY": read_key,
    "ERROR": RecordError,
    "ITEMS": _items,
    "BESIDE": _beside,
    "UNIQUE": _unique,
    "PRODUCT": _product,
    "LOOK": _look,
    "NONE_FITS": _none_fits,
    "TOO_MANY": _too_many,
    "DECODE": _decode,
    "HOURS": HOURS,
    "SECONDS": SECONDS,
    "RESTS": RESTS,
    "INSTANT": read_instant,
    "RECEIVED": received_or,
    "FIRST_INSTANT": SMALLEST_EPOCH_MS,
    "LAST_INSTANT": LARGEST_PLAIN,
}
"""Name → what it stands for."""
