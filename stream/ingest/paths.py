"""Paths: how a mapping says where in a record a value stands.

    total                     a column, or a field of the object
    customer.address.city     steps into objects
    lines.0.sku, lines.-1     a number steps into a list, from its end if negative
    "unit price".x            a name in double quotes may hold dots
    .                         the item itself, where a list holds plain values
    $.id                      from the whole record, where `each` looks at one item of it
    ^.id                      from the item around this one
    $headers.topic            a header of the Kafka record, whatever its capitals
    $key, $timestamp          the Kafka record's key as text, and when it reached its topic

What a path leads to is nothing where a step does not exist, and where null or "" stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Root = Literal["item", "record", "headers", "key", "timestamp"]
Step = str | int

_STEP = re.compile(r'"((?:[^"\\]|\\.)+)"|([^."]+)')
_NUMBER = re.compile(r"-?\d{1,6}")


@dataclass(frozen=True, slots=True)
class Path:
    """Where to begin and which way to go."""

    root: Root
    steps: tuple[Step, ...]
    up: int = 0
    """How many items to leave first (`^`)."""
    text: str = ""
    """As it was written."""

    @property
    def column(self) -> str | None:
        """The column of a table that this reads, where it begins at the item that it stands in."""
        first = self.steps[0] if self.steps else None
        return first if self.root in ("item", "record") and isinstance(first, str) else None


def parse_path(text: str) -> Path:
    """The path that a text means; ValueError says what is wrong with it."""
    written = text
    root: Root = "item"
    up = 0
    if text == ".":
        return Path("item", (), 0, written)
    if text in ("$key", "$timestamp"):
        return Path("key" if text == "$key" else "timestamp", (), 0, written)
    if text == "$" or text.startswith("$."):
        root, text = "record", text[2:]
    elif text == "$headers" or text.startswith("$headers."):
        root, text = "headers", text[9:]
        if not text or (text.count(".") > 1 and '"' not in text):
            raise ValueError("`$headers` takes the name of one header, like `$headers.x-topic`")
        return Path(root, (text.strip('"').lower(),), 0, written)
    while text == "^" or text.startswith("^."):
        up, text = up + 1, text[2:]
    steps = _steps(text) if text else ()
    if not steps and root == "item" and not up:
        raise ValueError("a path must name a field")
    return Path(root, steps, up, written)


def _steps(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    while True:
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"`{text}` is no path: write names with dots between them, like customer.id")
        if match[1] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", match[1]))
        else:
            name = match[2]
            steps.append(int(name) if steps and _NUMBER.fullmatch(name) else name)
        at = match.end()
        if at == len(text):
            return tuple(steps)
        if text[at] != ".":
            raise ValueError(f"`{text}` is no path: a name in quotes ends where a dot follows")
        at += 1


def walk(item: Any, steps: tuple[Step, ...]) -> Any:
    """What the steps lead to; None where there is no such step."""
    for step in steps:
        if isinstance(item, dict):
            item = item.get(str(step))
        elif isinstance(item, list) and isinstance(step, int) and -len(item) <= step < len(item):
            item = item[step]
        else:
            return None
    return item
