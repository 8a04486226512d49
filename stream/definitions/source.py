"""A YAML file as positioned nodes, and the collector of everything wrong in it.

Nothing here stops at the first mistake: a getter that meets one reports it and answers None, so that one reading
finds all problems of all files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml

from stream.definitions.model import Place
from stream.durations import parse_duration
from stream.errors import Problem

T = TypeVar("T")


def suggest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean `x`?" for the nearest known name, or nothing."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


def listing(names: Iterable[str]) -> str:
    """`a`, `b`, `c` in order."""
    return ", ".join(f"`{name}`" for name in names)


class Problems:
    """Collects errors and warnings with their places."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def error(self, at: Place, message: str) -> None:
        self.found.append(Problem(at.file, at.line, at.column, message))

    def warn(self, at: Place, message: str) -> None:
        self.found.append(Problem(at.file, at.line, at.column, message, "warning"))

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.found if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        return sorted(problem for problem in self.found if problem.severity == "warning")


class Source:
    """Typed access to the nodes of one file."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems

    def compose(self, text: str) -> yaml.Node | None:
        """The root node; None (and a problem) if the text is not YAML, None alone if it is empty."""
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)
            self.problems.error(place, f"not valid YAML: {error.problem or error.context}")
            return None
        except yaml.YAMLError as error:
            self.problems.error(Place(self.file, 1, 1), f"not valid YAML: {error}")
            return None
        return root

    def place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def error(self, node: yaml.Node, message: str) -> None:
        self.problems.error(self.place(node), message)

    def fields(
        self, node: yaml.Node, what: str, allowed: Sequence[str] | None
    ) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """key → (key node, value node) of a mapping. `allowed`: the keys that may occur; None for any name."""
        if not isinstance(node, yaml.MappingNode):
            self.error(node, f"{what} must be a mapping (name: value), not {kind(node)}")
            return None
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.error(key_node, f"the names in {what} must be plain words")
                continue
            key = key_node.value
            if key in found:
                self.error(key_node, f"`{key}` stands twice in {what}; keep one")
            elif allowed is not None and key not in allowed:
                self.error(
                    key_node,
                    f"unknown key `{key}` in {what}{suggest(key, allowed)} (known: {', '.join(allowed)})",
                )
            else:
                found[key] = (key_node, value_node)
        return found

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node] | None:
        if not isinstance(node, yaml.SequenceNode):
            self.error(node, f"{what} must be a list, not {kind(node)}")
            return None
        return list(node.value)

    def text(self, node: yaml.Node, what: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            self.error(node, f"{what} must be text, not {kind(node)}")
            return None
        value: str = node.value
        return value

    def duration(self, node: yaml.Node, what: str) -> int | None:
        """Milliseconds, above zero."""
        value = self._scalar(node, what, parse_duration, "a duration like 90s, 30m, 2h, 7d or 4w")
        if value == 0:
            self.error(node, f"{what} must be longer than nothing")
            return None
        return value

    def integer(self, node: yaml.Node, what: str, least: int) -> int | None:
        value = self._scalar(node, what, int, f"a whole number of at least {least}")
        if value is not None and value < least:
            self.error(node, f"{what} must be at least {least}, not {value}")
            return None
        return value

    def number(self, node: yaml.Node, what: str, least: float, most: float) -> float | None:
        value = self._scalar(node, what, float, f"a number from {least:g} to {most:g}")
        if value is not None and not least <= value <= most:
            self.error(node, f"{what} must be from {least:g} to {most:g}, not {value:g}")
            return None
        return value

    def boolean(self, node: yaml.Node, what: str) -> bool | None:
        if isinstance(node, yaml.ScalarNode) and node.value in ("true", "false"):
            return bool(node.value == "true")
        self.error(node, f"{what} must be true or false, not {kind(node)}")
        return None

    def choice(self, node: yaml.Node, what: str, options: Sequence[str]) -> str | None:
        value = self.text(node, what)
        if value is not None and value not in options:
            self.error(
                node, f"{what} must be one of {listing(options)}, not `{value}`{suggest(value, options)}"
            )
            return None
        return value

    def _scalar(self, node: yaml.Node, what: str, parse: Callable[[str], T], expected: str) -> T | None:
        if isinstance(node, yaml.ScalarNode):
            try:
                return parse(node.value)
            except ValueError:
                self.error(node, f"{what} must be {expected}, not `{node.value}`")
                return None
        self.error(node, f"{what} must be {expected}, not {kind(node)}")
        return None


def kind(node: yaml.Node) -> str:
    """What a node is, for people."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    value: Any = node.value
    return "nothing" if value == "" else f"`{value}`"
