"""Selectors: does an event match? `where` sees the event only, and an unknown verdict does not match.

The functions of local time are asked of the event's own time there, not of the instant of an evaluation: what is true
of an event stays true of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import add, mul, sub
from typing import Any
from zoneinfo import ZoneInfo

from stream.definitions.model import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Expression,
    Logic,
    Membership,
    Name,
    Selector,
)
from stream.engine.calendar import parse_date, to_local
from stream.engine.cells import to_number
from stream.engine.comparisons import OPERATORS, comparable, is_number
from stream.engine.fields import read_field
from stream.engine.places import LOCAL_TIME, distance_km, next_anniversary, same_anniversary
from stream.engine.versions import order_of_version
from stream.events import Event

Ask = Callable[[Any], Any]
"""A value read from an event, or inside `any(items, …)` from a line; None is unknown."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression of a `where` sees: fields by their path, and the wall clock of a time zone."""

    read: Callable[[str], Ask]
    timezone: str


def compile_where(selector: Selector) -> Callable[[Event], bool | None] | None:
    """The selector's `where` as a function; None if it has none."""
    return (
        None
        if selector.where is None
        else compile_expression(selector.where, Scope(read_field, selector.timezone))
    )


def compile_expression(expression: Expression, scope: Scope) -> Ask:
    """An expression over one event (or line) as a function of it."""
    match expression:
        case Constant(value=value):
            return lambda event: value
        case Name(path=path):
            return scope.read(path)
        case Comparison(operator=operator, left=left, right=right):
            return _comparison(operator, compile_expression(left, scope), compile_expression(right, scope))
        case Membership(item=item, options=options):
            read = compile_expression(item, scope)
            return _disjunction(
                [_comparison("==", read, compile_expression(option, scope)) for option in options]
            )
        case Logic(operator=operator, operands=operands):
            asks = [_truth(compile_expression(operand, scope)) for operand in operands]
            if operator == "not":
                return _negation(asks[0])
            return _conjunction(asks) if operator == "and" else _disjunction(asks)
        case Arithmetic(operator=operator, left=left, right=right):
            return _arithmetic(operator, compile_expression(left, scope), compile_expression(right, scope))
        case Call(function=function, arguments=arguments):
            return _call(function, arguments, scope)


def _comparison(operator: str, left: Ask, right: Ask) -> Ask:
    apply = OPERATORS[operator]
    equality = operator in ("==", "!=")

    def ask(event: Any) -> bool | None:
        a, b = left(event), right(event)
        if a is None or b is None or not comparable(a, b):
            return None
        if type(a) is not str and not is_number(a) and not (equality and type(a) is bool):
            return None
        return apply(a, b)

    return ask


def _truth(read: Ask) -> Ask:
    def ask(event: Any) -> bool | None:
        value = read(event)
        return value if type(value) is bool else None

    return ask


def _negation(operand: Ask) -> Ask:
    def ask(event: Any) -> bool | None:
        verdict = operand(event)
        return None if verdict is None else not verdict

    return ask


def _conjunction(operands: list[Ask]) -> Ask:
    def ask(event: Any) -> bool | None:
        known: bool | None = True
        for operand in operands:
            verdict: bool | None = operand(event)
            if verdict is False:
                return False
            if verdict is None:
                known = None
        return known

    return ask


def _disjunction(operands: list[Ask]) -> Ask:
    def ask(event: Any) -> bool | None:
        known: bool | None = False
        for operand in operands:
            verdict: bool | None = operand(event)
            if verdict:
                return True
            if verdict is None:
                known = None
        return known

    return ask


def conjoin(verdicts: Iterable[bool | None]) -> bool | None:
    """Kleene's `and`."""
    known: bool | None = True
    for verdict in verdicts:
        if verdict is False:
            return False
        if verdict is None:
            known = None
    return known


def disjoin(verdicts: Iterable[bool | None]) -> bool | None:
    """Kleene's `or`."""
    known: bool | None = False
    for verdict in verdicts:
        if verdict:
            return True
        if verdict is None:
            known = None
    return known


def _arithmetic(operator: str, left: Ask, right: Ask) -> Ask:
    apply = {"+": add, "-": sub, "*": mul}.get(operator)

    def ask(event: Any) -> float | None:
        a, b = left(event), right(event)
        a, b = to_number(a), to_number(b)
        if a is None or b is None:
            return None
        if apply is None:
            return None if b == 0 else a / b
        result: float = apply(a, b)
        return result

    return ask


def _call(function: str, arguments: tuple[Expression, ...], scope: Scope) -> Ask:
    if (
        function in ("any", "all", "sum", "count")
        and isinstance(arguments[0], Name)
        and arguments[0].path == "items"
    ):
        return _lines(function, arguments[1], scope)
    if function in LOCAL_TIME:
        show, zone = LOCAL_TIME[function], ZoneInfo(scope.timezone)
        return lambda event: show(to_local(event.time, zone))
    asks = [compile_expression(argument, scope) for argument in arguments]
    if function == "until_anniversary":
        return _until_anniversary(asks[0], ZoneInfo(scope.timezone))
    if function == "month":
        return _month(asks[0])
    if function == "version":
        return lambda event: order_of_version(asks[0](event))
    if function == "exists":
        return lambda event: asks[0](event) is not None
    if function == "coalesce":
        return lambda event: next(
            (value for value in (ask(event) for ask in asks) if value is not None), None
        )
    functions: dict[str, Callable[..., Any]] = {
        "min": min,
        "max": max,
        "abs": abs,
        "distance_km": distance_km,
    }
    apply = functions[function]

    def ask(event: Any) -> Any:
        values = [to_number(ask(event)) for ask in asks]
        return None if None in values else apply(*values)

    return ask


def _until_anniversary(read_date: Ask, zone: ZoneInfo) -> Ask:
    # Most ask for the same date for months on end: a holiday.
    last: Any = None
    since = midnight = 0

    def ask(event: Any) -> int | None:
        nonlocal last, since, midnight
        value, time = read_date(event), int(event.time)
        if value is None or value != last or not since <= time < midnight:
            born = parse_date(value)
            if born is None:
                return None
            midnight = next_anniversary(born, time, zone)
            since, last = same_anniversary(born, midnight, zone), value
        return max(0, midnight - time)

    return ask


def _month(read_date: Ask) -> Ask:
    def ask(event: Any) -> int | None:
        day = parse_date(read_date(event))
        return None if day is None else day.month

    return ask


def _lines(function: str, inner: Expression, scope: Scope) -> Ask:
    """`any`, `all`, `sum`, `count` over the lines of the event; a bare name inside is a field of the line."""

    def read_line(path: str) -> Ask:
        head, _, rest = path.partition(".")
        if head in ("props", "context", "traits") and rest:
            read_event = scope.read(path)
            return lambda pair: read_event(pair[0])
        default = 1 if path == "quantity" else None
        return lambda pair: pair[1].get(path, default) if type(pair[1]) is dict else None

    ask_line = compile_expression(inner, Scope(read_line, scope.timezone))

    def ask(event: Any) -> Any:
        lines = event.items
        if type(lines) is not list:
            return None
        answers = [ask_line((event, line)) for line in lines]
        if function == "any":
            return disjoin(answers)
        if function == "all":
            return conjoin(answers)
        if function == "count":
            return sum(1 for answer in answers if answer is True)
        numbers = [to_number(answer) for answer in answers]
        return None if None in numbers else sum(number for number in numbers if number is not None)

    return ask
