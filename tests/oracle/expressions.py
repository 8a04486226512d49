"""Expressions: a Pratt parser and an evaluator.

A parsed expression is a tree of `Node(op, args)`. Literals are `Node("literal", (value,))` (a duration is its number of
milliseconds), names are `Node("name", (path,))`, calls are `Node("call", (function, *arguments))`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from tests.oracle.values import UNKNOWN, all_, any_, as_verdict, is_number, not_, order, same

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
TOKEN = re.compile(
    r"""\s*(?:
      (?P<duration>\d+(?:\.\d+)?(?:ms|[smhdw])(?![A-Za-z0-9_]))
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<string>'[^']*')
    | (?P<name>[A-Za-z_]\w*(?:\.\w+)*)
    | (?P<sign>==|!=|<=|>=|[-<>+*/(),\[\]])
    )""",
    re.VERBOSE,
)
BINDING = {
    "or": 1,
    "and": 2,
    "==": 4,
    "!=": 4,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "in": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
}
NOT_BINDS, MINUS_BINDS = 3, 7
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
LITERALS = {"true": True, "false": False, "null": None}


def duration(text: str | int) -> int:
    """Milliseconds of `30m`."""
    match = DURATION.fullmatch(str(text))
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    return round(float(match[1]) * UNITS[match[2]])


@dataclass(frozen=True)
class Node:
    op: str
    args: tuple[Any, ...]

    def children(self) -> Iterator[Node]:
        for arg in self.args:
            if isinstance(arg, Node):
                yield arg
            elif isinstance(arg, tuple):
                yield from arg

    def walk(self) -> Iterator[Node]:
        """All nodes, children before parents."""
        for child in self.children():
            yield from child.walk()
        yield self


class Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self.split(text))
        self.at = 0

    @staticmethod
    def split(text: str) -> Iterator[tuple[str, str]]:
        position, text = 0, text.rstrip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"cannot read {text[position:]!r} in {text!r}")
            position = match.end()
            kind = match.lastgroup or ""
            value = match[kind]
            if kind == "name" and value in ("and", "or", "not", "in"):
                kind = "sign"
            yield kind, value

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, expected: str | None = None) -> tuple[str, str]:
        token = self.peek()
        if expected is not None and token != ("sign", expected):
            raise ValueError(f"expected {expected!r}, found {token[1]!r} in {self.text!r}")
        self.at += 1
        return token

    def parse(self) -> Node:
        node = self.expression(0)
        if self.peek()[0] != "end":
            raise ValueError(f"left over: {self.peek()[1]!r} in {self.text!r}")
        return node

    def expression(self, binding: int) -> Node:
        left = self.prefix()
        while self.peek()[0] == "sign" and BINDING.get(self.peek()[1], 0) > binding:
            sign = self.take()[1]
            if sign == "in":
                left = Node("in", (left, self.listed("[", "]")))
            else:
                left = Node(sign, (left, self.expression(BINDING[sign])))
        return left

    def prefix(self) -> Node:
        kind, text = self.take()
        if kind == "duration":
            return Node("literal", (duration(text),))
        if kind == "number":
            return Node("literal", (float(text) if set(text) & set(".eE") else int(text),))
        if kind == "string":
            return Node("literal", (text[1:-1],))
        if (kind, text) == ("sign", "("):
            inner = self.expression(0)
            self.take(")")
            return inner
        if (kind, text) == ("sign", "not"):
            return Node("not", (self.expression(NOT_BINDS),))
        if (kind, text) == ("sign", "-"):
            return Node("negative", (self.expression(MINUS_BINDS),))
        if kind == "name":
            if self.peek() == ("sign", "("):
                return Node("call", (text, *self.listed("(", ")")))
            return Node("literal", (LITERALS[text],)) if text in LITERALS else Node("name", (text,))
        raise ValueError(f"cannot start with {text!r} in {self.text!r}")

    def listed(self, opening: str, closing: str) -> tuple[Node, ...]:
        self.take(opening)
        items: list[Node] = []
        while self.peek() != ("sign", closing):
            if items:
                self.take(",")
            items.append(self.expression(0))
        self.take(closing)
        return tuple(items)


@cache
def parse(text: str) -> Node:
    return Parser(text).parse()


class Scope(Protocol):
    """What the names and the special functions of an expression mean where it is evaluated."""

    def name(self, path: str) -> Any: ...

    def call(self, function: str, args: tuple[Node, ...]) -> Any: ...


def evaluate(node: Node, scope: Scope) -> Any:
    """The value of an expression: a number, a text, true, false, null (no tier) or UNKNOWN."""
    op, args = node.op, node.args
    if op == "literal":
        return args[0]
    if op == "name":
        return scope.name(args[0])
    if op == "call":
        return call(args[0], args[1:], scope)
    if op == "in":
        value = evaluate(args[0], scope)
        return any_(same(value, evaluate(item, scope)) for item in args[1])
    values = [evaluate(arg, scope) for arg in args]
    if op == "and":
        return all_(map(as_verdict, values))
    if op == "or":
        return any_(map(as_verdict, values))
    if op == "not":
        return not_(as_verdict(values[0]))
    if op == "==":
        return same(*values)
    if op == "!=":
        return not_(same(*values))
    if op in COMPARISONS:
        sign = order(*values)
        if sign is UNKNOWN:
            return UNKNOWN
        return {"<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0}[op]
    if not all(is_number(value) for value in values):
        return UNKNOWN
    return arithmetic(op, [float(value) for value in values])


def arithmetic(op: str, values: list[float]) -> Any:
    if op == "negative":
        return -values[0]
    left, right = values
    if op == "/":
        return left / right if right else UNKNOWN
    return {"+": left + right, "-": left - right, "*": left * right}[op]


def call(function: str, args: tuple[Node, ...], scope: Scope) -> Any:
    if function == "coalesce":
        return next((value for arg in args if (value := evaluate(arg, scope)) is not UNKNOWN), UNKNOWN)
    if function == "exists":
        return evaluate(args[0], scope) is not UNKNOWN
    if function in ("min", "max", "abs"):
        values = [evaluate(arg, scope) for arg in args]
        if not all(is_number(value) for value in values):
            return UNKNOWN
        numbers = [float(value) for value in values]
        return abs(numbers[0]) if function == "abs" else {"min": min, "max": max}[function](numbers)
    return scope.call(function, args)


def kinks(node: Node, moving: Callable[[Node], bool]) -> Iterator[tuple[Node, Node]]:
    """Pairs of moving numbers whose crossing can bend or turn the expression, inner ones first."""
    for part in node.walk():
        if not any(moving(child) for child in part.children()):
            continue
        if part.op in COMPARISONS:
            yield part.args
        elif part.op == "in":
            yield from ((part.args[0], item) for item in part.args[1])
        elif part.op == "call" and part.args[0] == "abs":
            yield part.args[1], Node("literal", (0,))
        elif part.op == "call" and part.args[0] in ("min", "max"):
            numbers = part.args[1:]
            yield from ((a, b) for i, a in enumerate(numbers) for b in numbers[i + 1 :])


__all__ = ["Node", "Scope", "duration", "evaluate", "kinks", "parse"]
