"""`match:` and `drop:` of a mapping: YAML → conditions.

{status: paid}                         equal; numbers and true are also found as text
{status: [cancelled, test]}            one of these
{quantity: {below: 0}}                 below, above, at_least, at_most: of what can be read as a number
{email: {present: false}}              there or not
{path: {starts_with: /shop}}           also contains; `not` for a value or a list
{menge: {as: {decimal: ","}, below: 0}}   transformed first; what cannot be is nothing
{a: 1, b: 2}                           all of them
[{a: 1}, {b: 2}]                       any of them
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from stream.definitions.source import Source, kind
from stream.ingest.numbers import number
from stream.ingest.parts import PRESENT, Condition, Test, Together
from stream.ingest.paths import Path
from stream.ingest.transforms import Transform, text
from stream.ingest.yaml_values import is_text, plain

OPERATORS = (
    "is", "not", "below", "above", "at_least", "at_most", "starts_with", "contains", "present", "as",
)  # fmt: skip
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "below": lambda value, bound: value < bound,
    "above": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "at_most": lambda value, bound: value <= bound,
}
_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "starts_with": lambda value, part: value.startswith(part),
    "contains": lambda value, part: part in value,
}
_NULL = "tag:yaml.org,2002:null"
Check = Callable[[Any], bool]


class ConditionReader:
    """Reads the conditions of one mapping."""

    def __init__(
        self,
        source: Source,
        path: Callable[[yaml.Node, str], Path | None],
        transforms: Callable[[yaml.Node], list[Transform]],
    ) -> None:
        self._source = source
        self._path = path
        self._transforms = transforms

    def condition(self, node: yaml.Node, what: str) -> Condition | None:
        """A condition; None, and a problem, where it cannot be read."""
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                self._source.error(node, f"`{what}` names no condition")
            found = [self.condition(each, what) for each in node.value]
            return Together("any", tuple(each for each in found if each is not None))
        if not isinstance(node, yaml.MappingNode):
            message = f"`{what}` asks fields for values, like {{status: cancelled}}, not {kind(node)}"
            self._source.error(node, message)
            return None
        entries = self._source.fields(node, f"`{what}`", None) or {}
        if not entries:
            self._source.error(node, f"`{what}` names no condition")
        tests = [self._test(key, value) for key, value in entries.values()]
        present = tuple(test for test in tests if test is not None)
        return present[0] if len(present) == 1 else Together("all", present)

    def _test(self, key: yaml.Node, node: yaml.Node) -> Test | None:
        path = self._path(key, "a condition")
        if path is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            words = self._words(node)
            plain = all(is_text(each) for each in _nodes(node)) and not any(map(_may_be_a_number, words))
            return Test(path, words if plain and words else None, _among(words))
        entries = self._source.fields(node, "a condition", OPERATORS) or {}
        checks = [self._check(name, value) for name, (_, value) in entries.items() if name != "as"]
        if not checks and not self._source.problems.errors:
            self._source.error(node, f"this asks nothing: say one of {', '.join(OPERATORS)}")
        transforms = self._transforms(entries["as"][1]) if "as" in entries else []
        if list(entries) == ["present"] and entries["present"][1].value == "true":
            return Test(path, PRESENT, checks[0])
        return Test(path, None, _all(checks, transforms))

    def _check(self, name: str, node: yaml.Node) -> Check:
        source = self._source
        if name in ("is", "not"):
            among = _among(self._words(node))
            return among if name == "is" else lambda value: not among(value)
        if name == "present":
            wanted = source.boolean(node, "present")
            return lambda value: (value is not None and value != "") is wanted
        if name in _TEXTS:
            part, contains = source.text(node, name) or "", _TEXTS[name]
            return lambda value: isinstance(value, str) and contains(value, part)
        bound = source.number(node, name, -1e300, 1e300)
        compare = _BOUNDS[name]

        def holds(value: Any) -> bool:
            try:
                return bound is not None and compare(number(value), bound)
            except ValueError:
                return False

        return holds

    def _words(self, node: yaml.Node) -> frozenset[str]:
        """The texts under which values are looked for."""
        words = set()
        for each in _nodes(node):
            if not isinstance(each, yaml.ScalarNode):
                self._source.error(each, f"expected a value or a list of values, not {kind(each)}")
            elif each.tag == _NULL:
                self._source.error(each, "nothing is asked for with {present: false}")
            else:
                words.add(_word(plain(each)) or str(each.value))
        return frozenset(words)


def _nodes(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def _word(value: Any) -> str | None:
    """The text of a plain value: `true`, `7`, `paid`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return text(value)
    except ValueError:
        return None


def _may_be_a_number(word: str) -> bool:
    """Whether a value that is no text may be found under a word."""
    return word in ("true", "false") or word[-1:].isdigit() or word[-1:] == "."


def _among(words: frozenset[str]) -> Check:
    return lambda value: _word(value) in words


def _all(checks: list[Check], transforms: list[Transform]) -> Check:
    def holds(value: Any) -> bool:
        if value is not None and value != "":
            try:
                for transform in transforms:
                    value = transform(value)
            except ValueError:
                value = None
        return all(check(value) for check in checks)

    return holds
