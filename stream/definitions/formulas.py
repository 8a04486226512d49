"""Formulas: features computed from others, written out wherever they are used.

    features:
      spent_1y:   {sum: buy.value, last: 365d}
      reviews_1y: {count: review, last: 365d}
      points:     {formula: "spent_1y + 50 * reviews_1y"}

A formula is a name for an expression and nothing else: `points >= 350` means what it would with the expression in its
place, so identifiers, hashes and state are those of the file with formulas written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stream.definitions.model import (
    Arithmetic,
    AtLeast,
    Call,
    Comparison,
    Condition,
    Expression,
    Formula,
    Ladder,
    Logic,
    Membership,
    Name,
    Not,
    Segment,
    Test,
)
from stream.definitions.source import Problems


class Formulas:
    """The formulas of all files; remembers which are used."""

    def __init__(self, by_name: Mapping[str, Formula], problems: Problems) -> None:
        self._by_name = by_name
        self._used: set[str] = set()
        for formula in by_name.values():
            for name in sorted(self._inside(formula.expression)):
                message = (
                    f"formula `{formula.name}` is made of `{name}`, a formula; write out what it is made of"
                )
                problems.error(formula.at, message)

    def _inside(self, expression: Expression) -> set[str]:
        found: set[str] = set()
        pending = [expression]
        while pending:
            node = pending.pop()
            if isinstance(node, Name) and node.path in self._by_name:
                found.add(node.path)
            pending += _parts(node)
        return found

    def unused(self) -> list[Formula]:
        """Those that nothing used so far: nobody else has looked into them."""
        return [formula for name, formula in self._by_name.items() if name not in self._used]

    def in_segment(self, segment: Segment) -> Segment:
        """A segment without formulas."""
        exit_ = None if segment.exit is None else self._in_condition(segment.exit)
        return replace(segment, when=self._in_condition(segment.when), exit=exit_)

    def in_ladder(self, ladder: Ladder) -> Ladder:
        """A ladder without formulas."""
        tiers = tuple(replace(tier, when=self._in_condition(tier.when)) for tier in ladder.tiers)
        return replace(ladder, tiers=tiers)

    def _in_condition(self, condition: Condition) -> Condition:
        match condition:
            case Test():
                return replace(condition, expression=self._in_expression(condition.expression))
            case AtLeast():
                return replace(condition, operands=tuple(map(self._in_condition, condition.operands)))
            case Not():
                return replace(condition, operand=self._in_condition(condition.operand))
            case _:
                return condition

    def _in_expression(self, node: Expression) -> Expression:
        match node:
            case Name(path=path) if path in self._by_name:
                self._used.add(path)
                return self._by_name[path].expression
            case Call():
                return replace(node, arguments=tuple(map(self._in_expression, node.arguments)))
            case Logic():
                return replace(node, operands=tuple(map(self._in_expression, node.operands)))
            case Arithmetic() | Comparison():
                return replace(
                    node, left=self._in_expression(node.left), right=self._in_expression(node.right)
                )
            case Membership():
                options = tuple(map(self._in_expression, node.options))
                return replace(node, item=self._in_expression(node.item), options=options)
            case _:
                return node


def _parts(node: Expression) -> tuple[Expression, ...]:
    match node:
        case Call(arguments=parts) | Logic(operands=parts):
            return parts
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return (left, right)
        case Membership(item=item, options=options):
            return (item, *options)
        case _:
            return ()
