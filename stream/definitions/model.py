"""The checked model of a definitions file: what the language says, before it becomes a plan.

Everything is immutable and carries the place it was read from, so that a later stage can still name file, line and
column. Durations are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stream.errors import Problem


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int


# --- expressions -----------------------------------------------------------------------------------------------------

Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. Durations are numbers of milliseconds; `text` is how the author wrote it."""

    value: Scalar
    kind: Literal["number", "duration", "string", "boolean", "null"]
    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name: a feature, `traits.x`, `segment.x`, `ladder.x`, or in `where` a field of the event."""

    path: str
    at: Place


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    function: str
    arguments: tuple[Expression, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * /`; a unary minus is `0 - x`."""

    operator: str
    left: Expression
    right: Expression
    at: Place


@dataclass(frozen=True, slots=True)
class Comparison:
    """`== != < <= > >=`."""

    operator: str
    left: Expression
    right: Expression
    at: Place


@dataclass(frozen=True, slots=True)
class Membership:
    """`x in [a, b]`: true if equal to one of them."""

    item: Expression
    options: tuple[Expression, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Logic:
    """`and`, `or` over two or more operands, `not` over one."""

    operator: Literal["and", "or", "not"]
    operands: tuple[Expression, ...]
    at: Place


Expression = Constant | Name | Call | Arithmetic | Comparison | Membership | Logic


# --- selectors and features ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Selector:
    """Which events are meant. `types` is None for `*`; `timezone` is that of the functions of time in `where`."""

    name: str
    types: tuple[str, ...] | None
    where: Expression | None
    timezone: str
    at: Place


@dataclass(frozen=True, slots=True)
class Reference:
    """A name used where a selector, a feature or a tier is expected."""

    name: str
    at: Place


@dataclass(frozen=True, slots=True)
class Window:
    """Which of a selector's events count. `length` is D, A, GAP or H; `until` is B of `between`."""

    kind: Literal["lifetime", "last", "between", "calendar", "session", "since", "half_life"]
    length: int = 0
    until: int = 0
    period: str = ""
    since: Reference | None = None


LIFETIME = Window("lifetime")


AGGREGATES = (
    "count", "sum", "mean", "min", "max", "first_value", "last_value", "distinct",
    "days", "weeks", "months", "since_first", "since_last", "mean_gap", "share", "top",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Feature:
    """A number or value kept per user (and per key, with `by`)."""

    name: str
    aggregate: str
    """One of AGGREGATES."""
    selector: Reference
    field: str | None
    window: Window
    by: str | None
    min_n: int
    max_keys: int
    assume_covered: bool
    timezone: str
    at: Place


@dataclass(frozen=True, slots=True)
class Formula:
    """A feature that is computed from others. The checked model has it no more: it is written out where it is used."""

    name: str
    expression: Expression
    at: Place


# --- conditions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Test:
    """A condition written as an expression."""

    expression: Expression
    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class AtLeast:
    """True when at least `n` of the operands are: `all` is n = len, `any` is n = 1, and it is its own form besides."""

    form: Literal["all", "any", "at_least"]
    n: int
    operands: tuple[Condition, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Not:
    """True when the operand is false."""

    operand: Condition
    at: Place


@dataclass(frozen=True, slots=True)
class Do:
    """At least one event of the selectors (in the last `last` milliseconds, if given)."""

    selectors: tuple[Reference, ...]
    last: int | None
    at: Place


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence. `span` is `within` of a `then` and `for` of a `not`."""

    kind: Literal["do", "then", "not"]
    selectors: tuple[Reference, ...]
    span: int
    without: tuple[Reference, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Sequence:
    """Steps that one user's events complete in order."""

    steps: tuple[Step, ...]
    by: str | None
    restart: Literal["last", "first"]
    name: str | None
    at: Place


Condition = Test | AtLeast | Not | Do | Sequence


# --- segments and ladders --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Local minutes of the day between which nobody should be messaged; may wrap around midnight."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Actions:
    """What may be done about a membership; never part of what decides it."""

    cooldown: int | None = None
    cap: tuple[int, int] | None = None
    holdout: tuple[float, str] | None = None
    consent: str | None = None
    quiet_hours: QuietHours | None = None
    priority: int | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """Lines of events to attach to a change."""

    name: str
    collect: Reference
    since: Reference | None
    remove: Reference | None
    max: int
    at: Place


@dataclass(frozen=True, slots=True)
class Segment:
    """Who belongs, from when until when."""

    name: str
    description: str
    when: Condition
    exit: Condition | None
    ttl: int | None
    min_dwell: int
    for_each: str | None
    renew: bool
    anchor: Reference | None
    version: int | None
    announce: bool
    actions: Actions
    attach: tuple[Collection, ...]
    assume_covered: bool
    """Whether the file says so: then its `do` and sequences have seen everything, too."""
    timezone: str
    at: Place


@dataclass(frozen=True, slots=True)
class Tier:
    """One rung of a ladder. `from_` are the tiers it may be reached from (None: any; "none": no tier)."""

    name: str
    when: Condition
    from_: tuple[Reference, ...] | None
    ttl: int | None
    at: Place


@dataclass(frozen=True, slots=True)
class Ladder:
    """One value per user: the first tier that holds."""

    name: str
    description: str
    tiers: tuple[Tier, ...]
    demote_after: int | None
    version: int | None
    announce: bool
    actions: Actions
    attach: tuple[Collection, ...]
    assume_covered: bool
    timezone: str
    at: Place


@dataclass(frozen=True, slots=True)
class Definitions:
    """All files together, checked."""

    selectors: dict[str, Selector] = field(default_factory=dict)
    features: dict[str, Feature] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    ladders: dict[str, Ladder] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    """Names of segments and ladders so that each stands after those that it refers to."""
    warnings: tuple[Problem, ...] = ()
