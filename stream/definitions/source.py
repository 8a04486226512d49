"""A YAML file as positioned nodes, and the collector of everything wrong in it.

Nothing here stops at the first mistake: a getter that meets one reports it and answers None, so that one reading
finds all problems of all files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeVar, cast

import yaml

from stream.definitions.model import Place
from stream.durations import DAY, format_duration, parse_duration
from stream.errors import Problem

T = TypeVar("T")

_LONGEST = 1000 * 365 * DAY
_DEEPEST = 100
_UNITS = {
    "second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d", "week": "w", "wk": "w",
}  # fmt: skip
_DAYS = {"month": 30, "mon": 30, "mo": 30, "year": 365, "yr": 365, "y": 365}
_MEANT = {
    "window": "last", "in_last": "last", "filter": "where", "condition": "when", "if": "when", "rule": "when",
    "expires": "ttl", "expire_after": "ttl", "after": "for", "duration": "for", "event": "type", "types": "type",
    "group_by": "by", "per": "by", "key": "by", "foreach": "for_each", "title": "description", "or": "any",
    "and": "all", "sequence": "seq", "then_not": "not", "limit": "max", "selectors": "events", "metrics": "features",
    "percentage": "percent", "within": "for", "for": "within", "before": "within", "seed": "salt", "levels": "tiers",
}  # fmt: skip
"""Words that other tools use for ours."""

_YAML = (
    (
        r"mapping values are not allowed",
        "`: ` starts a value here, where one already stands; put the text in quotes",
    ),
    (r"character '\\t'", "a tab; indent with spaces"),
    (r"could not find expected ':'", "a name without its `:`"),
    (
        r"expected <block end>, but found '-'",
        "a `-` where the list has ended; indent it like the lines above",
    ),
    (r"expected <block end>", "this line is indented unlike its neighbours"),
    (r"expected ',' or '}'", "a `{` is not closed; expected `,` or `}`"),
    (r"expected ',' or '\]'", "a `[` is not closed; expected `,` or `]`"),
    (r"unexpected end of stream", "a quoted text does not end"),
    (r"unknown escape character '(.)'", r"`\\\1` means nothing in double quotes; use single quotes"),
    (r"character '([@`%])'", r"a text cannot start with `\1`; put it in quotes"),
    (r"undefined alias '(.*)'", r"`*\1` refers to no anchor `&\1`"),
    (r"but found another document", "`---` starts a second document; one file holds one"),
)
"""What PyYAML says, and what it means for the author."""


def suggest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean `x`?" for the nearest known name, or nothing."""
    names = list(known)
    meant = _MEANT.get(name.lower())
    near = [meant] if meant in names else get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


_PART = re.compile(r"[0-9]+(?:ms|[smhdw])")
_PARTS = re.compile(rf"(?:{_PART.pattern}\s*){{2,}}")


def suggest_one_unit(text: str) -> str:
    """What `1h30m` must be written as, or nothing."""
    if not _PARTS.fullmatch(text):
        return ""
    whole = sum(parse_duration(part) for part in _PART.findall(text))
    return f"; a duration has one number and one unit, like `{format_duration(whole)}`"


def suggest_duration(text: str) -> str:
    """ "; did you mean `30m`?" for `30 min`, or nothing."""
    if joined := suggest_one_unit(text):
        return joined
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*?)s?", text.strip().lower())
    if match is None:
        return ""
    amount, unit = match[1], match[2]
    if text.strip().endswith("ms"):
        return "; the least is 1ms"
    if unit == "":
        return (
            f"; say the unit, like `{amount}s`" if text[-1:] == "s" else f"; say the unit, like `{amount}m`"
        )
    if unit in _UNITS.values():
        return f"; did you mean `{amount}{unit}`?"
    if unit in _UNITS:
        return f"; did you mean `{amount}{_UNITS[unit]}`?"
    if unit in _DAYS and amount.isdigit():
        return f"; did you mean `{int(amount) * _DAYS[unit]}d`?"
    return ""


def listing(names: Iterable[str]) -> str:
    """`a`, `b`, `c` in order."""
    return ", ".join(f"`{name}`" for name in names)


class Problems:
    """Collects errors and warnings with their places."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def error(self, at: Place, message: str) -> None:
        self._add(Problem(at.file, at.line, at.column, message))

    def warn(self, at: Place, message: str) -> None:
        self._add(Problem(at.file, at.line, at.column, message, "warning"))

    def _add(self, problem: Problem) -> None:
        if problem not in self.found:
            self.found.append(problem)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.found if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        return sorted(problem for problem in self.found if problem.severity == "warning")


class FilledScalar(yaml.ScalarNode):
    """A node that stood as `$name` and holds the parameter's value."""

    def __init__(self, written: yaml.ScalarNode, value: str) -> None:
        super().__init__("tag:yaml.org,2002:str", value, written.start_mark, written.end_mark, "")
        self.written = written


class UnknownScalar(FilledScalar):
    """A node that stood as `$name`, which is nothing; that has been reported."""


class Source:
    """Typed access to the nodes of one file."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self._text = ""
        self.failed = False
        """The text is not YAML."""

    def compose(self, text: str) -> yaml.Node | None:
        """The root node; None (and a problem) if the text is not YAML, None alone if it is empty."""
        self._text = text
        top = Place(self.file, 1, 1)
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
            deep = None if root is None else _too_deep(root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = Place(self.file, mark.line + 1, mark.column + 1) if mark else top
            return self._fail(at, f"not valid YAML: {_explain(error, text)}")
        except yaml.reader.ReaderError as error:
            at = self._at(int(error.position))
            return self._fail(at, f"not valid YAML: the character U+{error.character:04X} cannot be printed")
        except RecursionError:
            return self._fail(top, f"nested more than {_DEEPEST} deep")
        return root if deep is None else self._fail(self.place(deep), f"nested more than {_DEEPEST} deep")

    def _fail(self, at: Place, message: str) -> yaml.Node | None:
        self.failed = True
        self.problems.error(at, message)
        return None

    def _at(self, index: int) -> Place:
        line_start = self._text.rfind("\n", 0, index) + 1
        return Place(self.file, self._text.count("\n", 0, index) + 1, index - line_start + 1)

    def locate(self, node: yaml.ScalarNode) -> Callable[[int], Place]:
        """Where in the file a character of a scalar's value stands, whatever quotes and folds lie between."""
        starts: list[int] = []

        def place(offset: int) -> Place:
            if not starts:
                starts.extend(_align(self._text, node))
            return self._at(starts[min(offset, len(starts) - 1)])

        return place

    def place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def error(self, node: yaml.Node, message: str) -> None:
        self.problems.error(self.place(node), message)

    def fields(
        self,
        node: yaml.Node,
        what: str,
        allowed: Sequence[str] | None,
        example: str = "",
        elsewhere: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """key → (key node, value node) of a mapping.

        `allowed`: the keys that may occur; None for any name. `example`: how it is written, with {} for a bare text.
        `elsewhere`: of keys that belong to another place, what to write instead.
        """
        if isinstance(node, UnknownScalar):
            return None
        if not isinstance(node, yaml.MappingNode):
            hint = f"; write {example.format(kind(node).strip('`'))}" if example and _is_text(node) else ""
            self.error(node, f"{what} must be a mapping (name: value), not {kind(node)}{hint}")
            return None
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.error(key_node, f"the names in {what} must be plain words")
                continue
            key = key_node.value
            if key in found:
                first = found[key][0].start_mark.line + 1
                self.error(key_node, f"`{key}` stands twice in {what}, first in line {first}; keep one")
            elif allowed is not None and key not in allowed:
                hint = f"; {elsewhere[key]}" if key in elsewhere else suggest(key, allowed)
                hint = hint or f" (known: {', '.join(allowed)})"
                self.error(key_node, f"unknown key `{key}` in {what}{hint}")
            else:
                found[key] = (key_node, value_node)
        return found

    def lacks(self, at: yaml.Node, node: yaml.Node, allowed: Sequence[str], message: str) -> None:
        """Reports what a mapping needs and has not, unless an unknown key was probably meant to be just that."""
        if all(key.value in allowed for key, _ in node.value):
            self.error(at, message)

    def items(self, node: yaml.Node, what: str, example: str = "") -> list[yaml.Node] | None:
        if isinstance(node, UnknownScalar):
            return None
        if not isinstance(node, yaml.SequenceNode):
            self.error(node, f"{what} must be a list{example and f' like {example}'}, not {kind(node)}")
            return None
        return list(node.value)

    def text(self, node: yaml.Node, what: str) -> str | None:
        if isinstance(node, UnknownScalar):
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            self.error(node, f"{what} must be text, not {kind(node)}")
            return None
        value: str = node.value
        return value

    def duration(self, node: yaml.Node, what: str) -> int | None:
        """Milliseconds, above zero."""
        expected = "a duration like 90s, 30m, 2h, 7d or 4w"
        value = self._scalar(node, what, parse_duration, expected, suggest_duration)
        if value == 0:
            self.error(node, f"{what} must be longer than `{cast(yaml.ScalarNode, node).value}`")
            return None
        if value is not None and value > _LONGEST:
            self.error(node, f"{what} must be at most 1000 years, not {kind(node)}")
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
        if isinstance(node, UnknownScalar):
            return None
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

    def _scalar(
        self,
        node: yaml.Node,
        what: str,
        parse: Callable[[str], T],
        expected: str,
        hint: Callable[[str], str] = lambda text: "",
    ) -> T | None:
        if isinstance(node, UnknownScalar):
            return None
        if isinstance(node, yaml.ScalarNode):
            try:
                return parse(node.value)
            except ValueError:
                self.error(node, f"{what} must be {expected}, not {kind(node)}{hint(node.value)}")
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
    if isinstance(node, FilledScalar):
        return f"`{node.written.value}`, which is `{value}`"
    return "nothing" if value == "" else f"`{value}`"


def _is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(node.value)


def _explain(error: yaml.MarkedYAMLError, text: str) -> str:
    said = f"{error.context or ''} {error.problem or ''}".strip()
    if "mapping values are not allowed" in said and error.problem_mark is not None:
        before = text.split("\n")[: error.problem_mark.line]
        if before and before[-1].strip() and ":" not in before[-1]:
            return f"`{before[-1].strip()}` in the line above has no `:`"
    for pattern, meaning in _YAML:
        if match := re.search(pattern, said):
            meant = match.expand(meaning) if "\\" in meaning else meaning
            opened, met = error.context_mark, error.problem_mark
            if opened is not None and met is not None and opened.line != met.line:
                meant += f" (it began in line {opened.line + 1})"
            return meant
    return said


def _too_deep(root: yaml.Node) -> yaml.Node | None:
    """A node deeper than anybody writes: an anchor that holds itself, or an attack."""
    level = [root]
    for _ in range(_DEEPEST):
        below: dict[int, yaml.Node] = {}
        for node in level:
            if isinstance(node, yaml.MappingNode):
                below.update((id(child), child) for pair in node.value for child in pair)
            elif isinstance(node, yaml.SequenceNode):
                below.update((id(child), child) for child in node.value)
        if not below:
            return None
        level = list(below.values())
    return level[0]


def _align(text: str, node: yaml.ScalarNode) -> list[int]:
    """For each character of a scalar's value, and for its end, the index in the text where it is written."""
    at, end, style = node.start_mark.index, node.end_mark.index, node.style
    if style in ("|", ">"):
        at = text.find("\n", at) + 1
    elif style in ("'", '"'):
        at += 1
    found = []
    for character in node.value:
        if not character.isspace():
            while at < end and (text[at].isspace() or (style == '"' and text[at : at + 2] == "\\\n")):
                at += 2 if text[at] == "\\" else 1
        found.append(min(at, end))
        at += _written(text, at, style)
    return [*found, min(at, end)]


def _written(text: str, at: int, style: str | None) -> int:
    """How many characters stand for the one at an index."""
    if style == "'" and text[at : at + 2] == "''":
        return 2
    if style == '"' and text[at : at + 1] == "\\":
        return {"x": 4, "u": 6, "U": 10}.get(text[at + 1 : at + 2], 2)
    return 1
