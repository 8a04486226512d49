"""Nodes of a file → references and expressions: what every part of a definition is made of.

A part that is wrong is reported and stands as `broken` in the model, so that the rest of the definition is still read
and checked, and nothing complains about what is missing only because of the first mistake.
"""

from __future__ import annotations

from typing import cast

import yaml

from stream.definitions.expression import ExpressionError, parse_expression
from stream.definitions.model import Expression, Name, Place, Reference, Test
from stream.definitions.parameters import Parameters
from stream.definitions.source import FilledScalar, Source

Entry = tuple[yaml.Node, yaml.Node]
Fields = dict[str, Entry]
"""Key → (key node, value node)."""
_BROKEN = ""


def broken(at: Place) -> Test:
    """Stands for a condition that could not be read."""
    return Test(Name(_BROKEN, at), "", at)


def is_broken(name: Name) -> bool:
    """Whether a name stands for what could not be read."""
    return name.path == _BROKEN


class NodeReader:
    """Base of the readers of one file."""

    def __init__(self, source: Source, parameters: Parameters) -> None:
        self._source = source
        self._parameters = parameters

    def reference(self, node: yaml.Node, what: str) -> Reference | None:
        """A name."""
        name = self._source.text(node, what)
        return None if name is None else Reference(name, self._source.place(node))

    def references(self, node: yaml.Node, what: str, named: str = "selector") -> tuple[Reference, ...]:
        """A name or a list of names; those that can be read."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not nodes:
            self._source.error(node, f"{what} names no {named}")
        found = (self.reference(item, what) for item in nodes)
        return tuple(reference for reference in found if reference is not None)

    def expression(self, node: yaml.Node, what: str) -> Expression | None:
        """The tree of an expression."""
        node = node.written if isinstance(node, FilledScalar) else node
        text = self._source.text(node, what)
        if text is None:
            return None
        locate = self._source.locate(cast(yaml.ScalarNode, node))
        try:
            return parse_expression(text, locate, self._parameters.find)
        except ExpressionError as error:
            if not str(error):
                return None  # a parameter whose declaration is wrong: that has been told
            where = f"in `{' '.join(text.split())}`: " if text.strip() else f"{what}: "
            self._source.problems.error(locate(error.offset), f"{where}{error}")
            return None

    def optional_duration(self, fields: Fields, name: str) -> int | None:
        """The duration under a key, if it is there."""
        return self._source.duration(fields[name][1], name) if name in fields else None

    def optional_text(self, fields: Fields, name: str) -> str | None:
        """The text under a key, if it is there."""
        return self._source.text(fields[name][1], name) if name in fields else None

    def optional_field(self, fields: Fields, name: str) -> str | None:
        """The name of an event's field under a key, if it is there."""
        field = self.optional_text(fields, name)
        if field == "":
            self._source.error(fields[name][1], f"{name} must name a field of the event, like product_id")
            return None
        return field

    def optional_integer(self, fields: Fields, name: str, least: int) -> int | None:
        """The whole number under a key, if it is there."""
        return self._source.integer(fields[name][1], name, least) if name in fields else None

    def optional_reference(self, fields: Fields, name: str) -> Reference | None:
        """The name under a key, if it is there."""
        return self.reference(fields[name][1], name) if name in fields else None

    def flag(self, fields: Fields, name: str) -> bool:
        """The true or false under a key; false if it is not there."""
        return bool(self._source.boolean(fields[name][1], name)) if name in fields else False
