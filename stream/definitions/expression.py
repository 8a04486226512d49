"""Text of an expression → its tree. The grammar is expression.lark; errors name the column and what was expected."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput

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
from stream.durations import parse_duration

_ESCAPE = re.compile(r"\\(.)")
_MEANINGS = {
    "COMPARATOR": "a comparison",
    "NUMBER": "a number",
    "DURATION": "a duration",
    "STRING": "a string",
    "NAME": "a name",
    "PATH": "a name",
    "SIGN": "+ or -",
    "FACTOR": "* or /",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COMMA": ",",
    "$END": "the end",
}
_HINTS = {
    "=": "use == to compare",
    "&": "use `and`",
    "|": "use `or`",
    "!": "use `not`, or != to compare",
}


class ExpressionError(ValueError):
    """The text is no expression. `offset` counts characters from its start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@cache
def _parser() -> Lark:
    grammar = files("stream.definitions").joinpath("expression.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def parse_expression(text: str, file: str, line: int, column: int) -> Expression:
    """The tree of `text`, whose first character stands at `line` and `column` of `file`."""
    if not text.strip():
        raise ExpressionError("expected an expression, found nothing", 0)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    return _Builder(text, file, line, column).build(tree)


def _explain(text: str, error: UnexpectedInput) -> ExpressionError:
    token = getattr(error, "token", None)
    at_end = token is not None and token.type == "$END"
    offset = len(text) if at_end else getattr(error, "pos_in_stream", 0)
    if at_end:
        return ExpressionError("the expression ends too early; expected " + _expected(error), offset)
    found = str(token) if token is not None else text[offset]
    if found in _HINTS:
        return ExpressionError(f"unexpected `{found}`; {_HINTS[found]}", offset)
    if isinstance(error, UnexpectedCharacters) and text[offset].isdigit():
        word = re.match(r"[\w.]+", text[offset:])
        written = word[0] if word else found
        return ExpressionError(
            f"`{written}` is neither a number nor a duration like 90s, 30m, 2h, 7d, 4w", offset
        )
    if isinstance(error, UnexpectedCharacters) and found in "'\"":
        return ExpressionError("the string that starts here does not end", offset)
    if token is not None and token.type == "COMPARATOR":
        return ExpressionError(
            f"unexpected `{found}`: comparisons do not chain, write `a < b and b < c`", offset
        )
    return ExpressionError(f"unexpected `{found}`; expected {_expected(error)}", offset)


def _expected(error: UnexpectedInput) -> str:
    names = (
        getattr(error, "accepts", None)
        or getattr(error, "expected", None)
        or getattr(error, "allowed", None)
        or ()
    )
    meanings = {_MEANINGS.get(name, f"`{name.lower()}`") for name in names}
    return " or ".join(sorted(meanings)) or "something else"


class _Builder:
    """Turns lark's tree into the model, placing every node."""

    def __init__(self, text: str, file: str, line: int, column: int) -> None:
        self._text = text
        self._file = file
        self._line = line
        self._column = column

    def _place(self, node: Tree[Any] | Token) -> Place:
        position = node.start_pos if isinstance(node, Token) else node.meta.start_pos
        before = self._text[: position or 0]
        lines = before.count("\n")
        column = self._column + len(before) if lines == 0 else len(before) - before.rfind("\n")
        return Place(self._file, self._line + lines, column)

    def build(self, node: Tree[Any] | Token) -> Expression:
        if isinstance(node, Token):
            raise AssertionError(f"the grammar leaves a bare token: {node!r}")
        build = getattr(self, f"_{node.data}")
        result: Expression = build(node, node.children)
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
        value = int(text) if text.isdigit() else float(text)
        return Constant(value, "number", text, self._place(node))

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

    def _true(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Constant(True, "boolean", "true", self._place(node))

    def _false(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Constant(False, "boolean", "false", self._place(node))

    def _null(self, node: Tree[Any], children: list[Any]) -> Expression:
        return Constant(None, "null", "null", self._place(node))
