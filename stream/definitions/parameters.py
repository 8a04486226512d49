"""Parameters: what a definitions file leaves to those who use it.

    parameters:
      cart_wait: {type: duration, default: 30m, description: how long a cart stands before it counts as left}
    segments:
      cart_abandoned: {when: {seq: [{do: cart}, {not: buy, for: $cart_wait}]}}

`$cart_wait` stands for the value wherever a value stands, and for a literal in an expression. Whoever loads the file
may give another one behind its name: `shop.yaml?cart_wait=45m&buy=order_completed|order_paid`. A parameter belongs to
its file, and its value is text until it is known where it is used: the place says what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

import yaml

from stream.definitions.model import Place
from stream.definitions.source import (
    FilledScalar,
    Problems,
    Source,
    UnknownScalar,
    listing,
    suggest,
    suggest_duration,
)
from stream.durations import parse_duration

KINDS: Final = ("number", "duration", "text", "list")
KEYS: Final = ("type", "default", "description")
NAME: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
LIST_SEPARATOR: Final = "|"
Value = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: what it is, and the value it has. Texts, as they would be written in the file."""

    name: str
    kind: str
    default: Value
    value: Value
    description: str
    at: Place

    @property
    def shown(self) -> str:
        """The value, for people and for `?name=value`."""
        return self.value if isinstance(self.value, str) else LIST_SEPARATOR.join(self.value)


@dataclass(frozen=True, slots=True)
class Given:
    """A value given from outside, and where its name stands."""

    value: str
    at: Place


def split_name(name: str) -> tuple[str, dict[str, Given]]:
    """`shop.yaml?cart_wait=45m` → the file, and what is given for its parameters."""
    path, mark, query = name.partition("?")
    given: dict[str, Given] = {}
    column = len(path) + 2
    for part in query.split("&") if mark else ():
        key, _, value = part.partition("=")
        given[key.strip()] = Given(value.strip(), Place(name, 1, column))
        column += len(part) + 1
    return path, given


class Parameters:
    """The parameters of one file, by name; remembers which are used."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._used: set[str] = set()
        self._broken: set[str] = set()
        self.by_name: dict[str, Parameter] = {}

    def read(self, node: yaml.Node | None, given: Mapping[str, Given]) -> None:
        """Reads the section, and takes over what is given."""
        problems = self._source.problems
        if node is not None:
            entries = self._source.fields(node, "`parameters`", None) or {}
            for name, (key, value) in entries.items():
                parameter = self._parameter(name, key, value)
                if parameter is None:
                    self._broken.add(name)
                else:
                    self.by_name[name] = parameter
        for name, one in given.items():
            parameter = self.by_name.get(name)
            if parameter is not None:
                chosen: Value = (
                    tuple(one.value.split(LIST_SEPARATOR)) if parameter.kind == "list" else one.value
                )
                if message := _wrong(parameter.kind, chosen):
                    problems.error(one.at, f"parameter `{name}` {message}")
                else:
                    self.by_name[name] = replace(parameter, value=chosen)
            elif name not in self._broken:
                known = suggest(name, self.by_name) or f"; it has {listing(self.by_name) or 'none'}"
                problems.error(one.at, f"{self._source.file} has no parameter `{name}`{known}")

    def _parameter(self, name: str, key: yaml.Node, node: yaml.Node) -> Parameter | None:
        source = self._source
        if not NAME.fullmatch(f"${name}"):
            source.error(key, f"`{name}` is no name: use letters, digits and _, not starting with a digit")
            return None
        example = "{{type: duration, default: {}, description: …}}"
        fields = source.fields(node, f"parameter `{name}`", KEYS, example)
        if fields is None:
            return None
        for needed in ("type", "default"):
            if needed not in fields:
                source.lacks(key, node, KEYS, f"parameter `{name}` needs `{needed}:`")
        if "type" not in fields or "default" not in fields:
            return None
        chosen = source.choice(fields["type"][1], "type", KINDS)
        description = source.text(fields["description"][1], "description") if "description" in fields else ""
        default = fields["default"][1]
        value = self._default(default, chosen)
        if chosen is None or value is None:
            return None
        if message := _wrong(chosen, value):
            source.error(default, f"the default of parameter `{name}` {message}")
            return None
        return Parameter(name, chosen, value, value, description or "", source.place(key))

    def _default(self, node: yaml.Node, chosen: str | None) -> Value | None:
        if isinstance(node, yaml.SequenceNode) and chosen == "list":
            texts = [self._source.text(item, "default") for item in node.value]
            return None if None in texts else tuple(text for text in texts if text is not None)
        text = self._source.text(node, "default")
        return (text,) if text is not None and chosen == "list" else text

    def find(self, name: str) -> Parameter | str:
        """The parameter of that name, which is used from now on; or what is wrong with the name.

        Nothing is said of a name whose declaration is wrong: that has been.
        """
        if name in self._broken:
            return ""
        if name not in self.by_name:
            hint = suggest(f"${name}", [f"${known}" for known in self.by_name])
            hint = hint or "; parameters stand in `parameters:`"
            return f"unknown parameter `${name}`{hint}"
        self._used.add(name)
        return self.by_name[name]

    def fill(self, root: yaml.Node) -> yaml.Node:
        """The tree of a file with the value of its parameter in place of each node that is `$name` and no more."""
        seen: dict[int, yaml.Node] = {}
        return self._fill(root, seen)

    def _fill(self, node: yaml.Node, seen: dict[int, yaml.Node]) -> yaml.Node:
        if id(node) in seen:
            return seen[id(node)]
        seen[id(node)] = node
        if isinstance(node, yaml.MappingNode):
            node.value = [(key, self._fill(value, seen)) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            node.value = [self._fill(item, seen) for item in node.value]
        elif isinstance(node, yaml.ScalarNode) and (match := NAME.fullmatch(node.value)):
            found = self.find(match[1])
            if isinstance(found, str):
                if found:
                    self._source.error(node, found)
                seen[id(node)] = unknown = UnknownScalar(node, node.value)
                return unknown
            seen[id(node)] = filled = _filled(node, found)
            return filled
        return node

    def interpolate(self, text: str) -> str:
        """Text for people, with values in place of names."""
        return NAME.sub(
            lambda match: self.by_name[match[1]].shown if match[1] in self.by_name else match[0], text
        )

    def warn_of_unused(self) -> None:
        """A parameter that nothing reads is surely not meant."""
        problems: Problems = self._source.problems
        for name, parameter in self.by_name.items():
            if name not in self._used:
                problems.warn(
                    parameter.at, f"nothing uses parameter `{name}`; write `${name}` where it belongs"
                )


def _filled(node: yaml.ScalarNode, parameter: Parameter) -> yaml.Node:
    if isinstance(parameter.value, str):
        return FilledScalar(node, parameter.value)
    items = [FilledScalar(node, text) for text in parameter.value]
    return yaml.SequenceNode("tag:yaml.org,2002:seq", items, node.start_mark, node.end_mark)


def _wrong(chosen: str, value: Value) -> str:
    """What is wrong with a value, if anything is."""
    if isinstance(value, tuple):
        return "" if value and all(value) else "must be a list of texts that are not empty"
    try:
        if chosen == "duration":
            parse_duration(value)
        elif chosen == "number" and not isfinite(float(value)):
            raise ValueError
    except ValueError:
        expected = "a duration like 90s, 30m, 2h, 7d or 4w" if chosen == "duration" else "a number"
        return f"must be {expected}, not `{value}`{suggest_duration(value) if chosen == 'duration' else ''}"
    return "" if value else "must not be empty"
