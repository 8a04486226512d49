"""Text of an expression → its tree. The grammar is expression.lark; errors name the column and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from stream.definitions.model import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Expression,
    Logic,
    Membership,
    Name,
    Place,
)
from stream.definitions.parameters import Parameter
from stream.definitions.source import suggest_duration, suggest_one_unit
from stream.durations import parse_duration

_ESCAPE = re.compile(r"\\(.)")
_WORD = re.compile(r"[\w.]+")
_STRING = re.compile(r"'([^'\\\n]|\\.)*'|\"([^\"\\\n]|\\.)*\"")
_LITERAL = re.compile(r"[0-9.]+(ms|[smhdw])?")
_DEEPEST = 100
_VALUES = {"NAME", "PATH", "NUMBER", "DURATION", "STRING"}
_OPERATORS = {"AND", "OR", "COMPARATOR", "SIGN", "FACTOR"}
_CLOSINGS = {"RPAR": "`)`", "RSQB": "`]`", "COMMA": "`,`"}
_HINTS = {
    "=": "use == to compare",
    "&": "use `and`",
    "|": "use `or`",
    "!": "use `not`, or != to compare",
    "%": "there is no remainder, and a percentage is a number: 10% is 0.1",
    "^": "there are no powers; multiply",
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "{": "a condition in braces stands outside the quotes",
}
_WORDS = {
    "between": "write `x >= 1 and x <= 5`",
    "is": "use == to compare",
    "like": "texts can only be equal, or one of a list: `x in ['a', 'b']`",
    "contains": "use `in` the other way round: `x in ['a', 'b']`",
    "within": "a window belongs to the feature: `last: 7d`",
    "during": "a window belongs to the feature: `last: 7d`",
}
_CURLY = "“”‘’„`"


class ExpressionError(ValueError):
    """The text is no expression. `offset` counts characters from its start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@cache
def _parser() -> Lark:
    grammar = files("stream.definitions").joinpath("expression.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _no_parameters(name: str) -> Parameter | str:
    return f"there are no parameters here, so nothing is `${name}`"


def parse_expression(
    text: str, locate: Callable[[int], Place], find: Callable[[str], Parameter | str] = _no_parameters
) -> Expression:
    """The tree of `text`; `locate` tells where in a file its characters stand.

    `find` gives the parameter behind `$name`, or says why there is none.
    """
    if not text.strip():
        raise ExpressionError("expected an expression, found nothing", 0)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    return _Builder(locate, find).build(tree)


def _explain(text: str, error: UnexpectedInput) -> ExpressionError:
    token = getattr(error, "token", None)
    names = set(getattr(error, "accepts", None) or getattr(error, "expected", None) or ())
    names |= set(getattr(error, "allowed", None) or ())
    expected = _expected(names, text[: getattr(error, "pos_in_stream", None) or len(text)])
    if token is not None and token.type == "$END":
        return ExpressionError(f"the expression ends too early; expected {expected}", len(text.rstrip()))
    offset: int = getattr(error, "pos_in_stream", 0)
    word = _WORD.match(text, offset)
    string = _STRING.match(text, offset)
    found = word[0] if word else string[0] if string else text[offset]
    hint = _hint(text, offset, found, names)
    return ExpressionError(hint or f"unexpected `{found}`; expected {expected}", offset)


def _hint(text: str, offset: int, found: str, expected: set[str]) -> str:
    """What is wrong, where it is one of the usual slips."""
    before, first = text[:offset].rstrip(), found[0]
    if first in _CURLY:
        return f"unexpected `{found}`; use straight quotes: 'text'"
    if found in ("'", '"'):
        return "the string that starts here does not end"
    if (pair := text[offset : offset + 2]) in ("=>", "=<"):
        return f"unexpected `{pair}`; write {pair[::-1]}"
    if pair == "<>":
        return "unexpected `<>`; use != to compare"
    if before.endswith("<") and first == ">":
        return "unexpected `<>`; use != to compare"
    if found in _HINTS:
        return f"unexpected `{found}`; {_HINTS[found]}"
    if found.lower() in ("and", "or", "not", "in") and found != found.lower():
        return f"unexpected `{found}`; write `{found.lower()}` in small letters"
    number = re.search(r"(?<![\w.])\d+(\.\d+)?$", before)
    if number and found.isalpha() and (hint := suggest_duration(f"{number[0]} {found}")):
        return f"`{number[0]} {found}` is no duration{hint}"
    if found.lower() in _WORDS:
        return f"unexpected `{found}`; {_WORDS[found.lower()]}"
    if _LITERAL.fullmatch(found):
        joined = suggest_one_unit(f"{before.rpartition(' ')[2]} {found}")
        return f"unexpected `{found}`{joined}" if joined else ""
    if first.isdigit() and not found.isdigit():
        hint = suggest_duration(found)
        return f"`{found}` is neither a number nor a duration like 90s, 30m, 2h, 7d, 4w{hint}"
    if found == "," and number and re.match(r",\d{3}\b", text[offset:]):
        return f"unexpected `,`; write the number without it: {number[0]}{text[offset + 1 : offset + 4]}"
    if found == "," and expected.isdisjoint(("COMMA", "RPAR", "RSQB", *_VALUES)):
        return "unexpected `,`; join conditions with `and` or `or`"
    if found in "€$£¥₩":
        return f"unexpected `{found}`; write the number alone"
    if found in (")", "]"):
        return f"unexpected `{found}`; nothing is open that it could close" if not expected & _VALUES else ""
    if first in "<>=!" and not expected & {*_VALUES, "COMPARATOR"}:
        comparator = re.match(r"[<>=!]=?", text[offset:])
        written = comparator[0] if comparator else first
        return f"unexpected `{written}`: comparisons do not chain, write `a < b and b < c`"
    return ""


def _expected(names: set[str], before: str) -> str:
    """The tokens that could follow, as one says them."""
    said = []
    if names & _VALUES:
        said.append("a value")
    elif names & _OPERATORS:
        said.append("an operator")
    if "LSQB" in names:
        said.append("a list like ['a', 'b']")
    open_ = {"RPAR": before.count("(") > before.count(")"), "RSQB": before.count("[") > before.count("]")}
    open_["COMMA"] = any(open_.values())
    said += [text for name, text in _CLOSINGS.items() if name in names and open_[name]]
    return " or ".join(said) or "the end"


class _Builder:
    """Turns lark's tree into the model, placing every node."""

    def __init__(
        self, locate: Callable[[int], Place], find: Callable[[str], Parameter | str] = _no_parameters
    ) -> None:
        self._locate = locate
        self._find = find
        self._depth = 0

    def _place(self, node: Tree[Any] | Token) -> Place:
        position = node.start_pos if isinstance(node, Token) else node.meta.start_pos
        return self._locate(position or 0)

    def build(self, node: Tree[Any]) -> Expression:
        if self._depth >= _DEEPEST:
            raise ExpressionError(f"nested more than {_DEEPEST} deep", node.meta.start_pos)
        self._depth += 1
        build = getattr(self, f"_{node.data}")
        result: Expression = build(node, node.children)
        self._depth -= 1
        return result

    def _disjunction(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Logic("or", tuple(self.build(child) for child in children), self._place(node))

    def _conjunction(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Logic("and", tuple(self.build(child) for child in children), self._place(node))

    def _negate(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Logic("not", (self.build(children[0]),), self._place(node))

    def _compare(self, node: Tree[Any], children: list[Any]) -> Expression:
        left, operator, right = children
        return Comparison(str(operator), self.build(left), self.build(right), self._place(node))

    def _member(self, node: Tree[Any], children: list[Any]) -> Expression:
        item, options = children
        if options.data == "given_options":
            parameter = self._parameter(options.children[0])
            if isinstance(parameter.value, str):
                message = f"`${parameter.name}` is no list; write == to compare with it"
                raise ExpressionError(message, options.meta.start_pos)
            place = self._place(options)
            given = tuple(Constant(text, "string", f"'{text}'", place) for text in parameter.value)
            return Membership(self.build(item), given, self._place(node))
        return Membership(self.build(item), tuple(self.build(o) for o in options.children), self._place(node))

    def _not_member(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Logic("not", (self._member(node, children),), self._place(node))

    def _arithmetic(self, node: Tree[Any], children: list[Any]) -> Expression:
        left, operator, right = children
        return Arithmetic(str(operator), self.build(left), self.build(right), self._place(node))

    def _sign(self, node: Tree[Any], children: list[Any]) -> Expression:
        sign, operand = children
        inner = self.build(operand)
        if sign == "+":
            return inner
        if isinstance(inner, Constant) and inner.kind in ("number", "duration"):
            assert isinstance(inner.value, (int, float))
            return Constant(-inner.value, inner.kind, f"-{inner.text}", self._place(node))
        return Arithmetic("-", Constant(0, "number", "0", self._place(node)), inner, self._place(node))

    def _call(self, node: Tree[Any], children: list[Any]) -> Expression:
        function, *arguments = children
        return Call(str(function), tuple(self.build(argument) for argument in arguments), self._place(node))

    def _name(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Name(str(children[0]), self._place(node))

    def _number(self, node: Tree[Any], children: list[Any]) -> Expression:
        text = str(children[0])
        return Constant(self._finite(text, node), "number", text, self._place(node))

    def _finite(self, text: str, node: Tree[Any]) -> int | float:
        """A number that a double holds: JSON and the engine know no others."""
        value = float(text)
        if not isfinite(value):
            raise ExpressionError(f"`{text}` is larger than any number here", node.meta.start_pos)
        return int(text) if text.isdecimal() else value

    def _duration(self, node: Tree[Any], children: list[Any]) -> Expression:
        text = str(children[0])
        try:
            value = parse_duration(text)
        except ValueError as error:
            raise ExpressionError(str(error), node.meta.start_pos) from None
        return Constant(value, "duration", text, self._place(node))

    def _string(self, node: Tree[Any], children: list[Any]) -> Expression:
        text = str(children[0])
        return Constant(_ESCAPE.sub(r"\1", text[1:-1]), "string", text, self._place(node))

    def _parameter(self, token: Token) -> Parameter:
        found = self._find(str(token)[1:])
        if isinstance(found, str):
            raise ExpressionError(found, token.start_pos or 0)
        return found

    def _given(self, node: Tree[Any], children: list[Any]) -> Expression:
        parameter = self._parameter(children[0])
        value, place = parameter.value, self._place(node)
        if not isinstance(value, str):
            message = f"`${parameter.name}` is a list; write `x in ${parameter.name}`"
            raise ExpressionError(message, node.meta.start_pos)
        if parameter.kind == "duration":
            return Constant(parse_duration(value), "duration", value, place)
        if parameter.kind == "number":
            return Constant(self._finite(value, node), "number", value, place)
        return Constant(value, "string", f"'{value}'", place)

    def _true(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Constant(True, "boolean", "true", self._place(node))

    def _false(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Constant(False, "boolean", "false", self._place(node))

    def _null(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Constant(None, "null", "null", self._place(node))
