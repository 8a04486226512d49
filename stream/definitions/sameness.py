"""Whether two selectors or features of different files mean the same, so that both may have the same name.

Files that come ready, as the packs do, each bring the selectors that they need; given together, two that say
`buy: {type: order_completed}` agree. Only the way it is written counts, not all that could be proved equal.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Final

from stream.definitions.model import (
    Arithmetic,
    Call,
    Comparison,
    Expression,
    Feature,
    Formula,
    Logic,
    Membership,
    Selector,
)

_NO_MEANING: Final = {"at", "text", "timezone"}


def same_meaning(one: Any, other: Any) -> bool:
    """Whether two selectors, or two features, say the same wherever they stand; of anything else never."""
    if isinstance(one, Feature) and isinstance(other, Feature):
        local = one.window.kind == "calendar" or one.aggregate in ("days", "weeks", "months")
    elif isinstance(one, Formula) and isinstance(other, Formula):
        local = asks_local_time(one.expression)
    elif isinstance(one, Selector) and isinstance(other, Selector):
        local = one.where is not None and asks_local_time(one.where)
    else:
        return False
    return _same(one, other) and (not local or one.timezone == other.timezone)


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        names = (field.name for field in fields(one) if field.name not in _NO_MEANING)
        return all(_same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def asks_local_time(where: Expression) -> bool:
    """Whether a `where` asks what the wall clock showed at the event."""
    match where:
        case Call(function=function, arguments=arguments):
            local = function.startswith("local_") or function == "until_anniversary"
            return local or any(map(asks_local_time, arguments))
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return asks_local_time(left) or asks_local_time(right)
        case Membership(item=item, options=options):
            return any(map(asks_local_time, (item, *options)))
        case Logic(operands=operands):
            return any(map(asks_local_time, operands))
        case _:
            return False
