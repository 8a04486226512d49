"""Expressions and conditions back as text, for reasons and explanations."""

from __future__ import annotations

from stream.definitions.model import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Expression,
    Logic,
    Membership,
    Name,
    Reference,
    Sequence,
)
from stream.durations import format_duration


def write(expression: Expression) -> str:
    """One line that reads like the definition."""
    match expression:
        case Constant(text=text):
            return text
        case Name(path=path):
            return path
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(write, arguments))})"
        case Arithmetic(operator=operator, left=left, right=right):
            return f"{_inner(left)} {operator} {_inner(right)}"
        case Comparison(operator=operator, left=left, right=right):
            return f"{write(left)} {operator} {write(right)}"
        case Membership(item=item, options=options):
            return f"{write(item)} in [{', '.join(map(write, options))}]"
        case Logic(operator=operator, operands=operands):
            if operator == "not":
                return f"not {_inner(operands[0])}"
            return f" {operator} ".join(map(_inner, operands))


def _inner(expression: Expression) -> str:
    text = write(expression)
    return f"({text})" if isinstance(expression, (Arithmetic, Comparison, Membership, Logic)) else text


def names(references: tuple[Reference, ...]) -> str:
    """`cart or buy`."""
    return " or ".join(reference.name for reference in references)


def write_sequence(sequence: Sequence) -> str:
    """`no buy for 30m since cart`, `cart then buy within 1d`."""
    first, *rest = sequence.steps
    closing = rest.pop() if rest[-1].kind == "not" else None
    text = names(first.selectors)
    for step in rest:
        without = f" without {names(step.without)}" if step.without else ""
        text += f" then {names(step.selectors)} within {format_duration(step.span)}{without}"
    if closing is None:
        return text
    return f"no {names(closing.selectors)} for {format_duration(closing.span)} since {text}"
