"""What a user costs: bytes of an encoded profile, told from the plan.

The encoding is MessagePack, so that the sizes are those of its parts:

    instant, hash, double, sum   9 bytes       event id   38, for ids of 36 characters
    small number, true, none     1             key        16, for keys of 15

    one cell            4 + 2 instants, and what its shape adds: a sum, a range, the values and ids at both ends
    a window            11 (2 where times are all of it), per event 8 and its value and id where the shape keeps them,
                        and per pane a cell
    distinct, days      6, per value 18 (per day 12)
    half_life           7, per event 18, per pane 17
    evidence            1, per event 47, at most 3
    cart, not buy for   104
    longer sequence     1, per step 3 and 47 per event
    attached lines      3, per event 50 and 90 for a line
    with `by`           all of it per key; what the same events feed shares 22 bytes for the key (30 once others had to
                        make room), and where there is no evidence, 48 for when it was last active

Two figures are given: of a *typical* active user, with 10 events in everything that is remembered, of 5 keys; and the
*most*, with every list, pane and table full. Traits come on top: what they hold, and 50 bytes for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream.engine.cells import DISTINCT, ENDS, RANGES, SETS, SUMS, TIMES, Shape
from stream.engine.decisions import Rule
from stream.engine.duplicates import CAPACITY, ENTRY
from stream.engine.ladders import LadderRule
from stream.engine.lines import LinesSummary
from stream.engine.membership import SegmentRule
from stream.engine.plan import Plan
from stream.engine.profile import HEADER
from stream.engine.summaries import (
    EVIDENCE,
    CellSummary,
    DecaySummary,
    NewestSummary,
    PairSummary,
    RecentSummary,
    StepsSummary,
    Summary,
    WindowSummary,
)
from stream.engine.windows import EXACT, PANES, Suffix

EVENTS = 10
"""Events of a typical user in everything that is remembered."""
KEYS = 5
"""Keys of a typical user in everything that is split."""
_WORD = 9
_ID = 38
_RECENT = 10
"""What a recent event takes besides its id."""
_KEY = 16
_LINE = 90
_LONG_PANES = 7 * 24 + 24 + 400 + 1
"""Panes of a window that reaches to now: hours of a week, days of 400 days, and one."""
_MAX_DAYS = 3650
_MAX_VALUES = 4 * NewestSummary.TIDY
"""Hashes that a sample of a million values keeps before it is tidied up."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of a typical active user and the most that there can be."""

    typical: int = 0
    most: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.typical + other.typical, self.most + other.most)


def summaries_cost(summaries: Iterable[Summary]) -> Cost:
    """Bytes of the states of summaries. What a bundle's table knows of its keys counts once."""
    total = Cost()
    bundles = set()
    for summary in summaries:
        typical, most = _state(summary, EVENTS, full=False), _state(summary, EXACT, full=True)
        bundle = summary.bundle
        if bundle.number not in bundles:
            bundles.add(bundle.number)
            total += Cost(6, 6)
            if bundle.keys_of is not None:
                known = 4 + 1 + _KEY + 1  # in the index, and [key, covered from, …]
                if not any(isinstance(member, RecentSummary) for member in bundle.members):
                    known += 2 + _RECENT + _ID
                typical, most = typical + known, most + known + _WORD - 1
        if bundle.keys_of is None:
            total += Cost(typical, most)
        else:
            total += Cost(min(KEYS, bundle.max_keys) * typical, bundle.max_keys * most)
    return total


def rule_cost(plan: Plan, rule: Rule) -> Cost:
    """Bytes of what one segment or ladder remembers of its own decisions."""
    held = 1 + 3 * _WORD + 1 + _ID + 1 + 1
    definitions = plan.definitions
    actions = (definitions.segments.get(rule.name) or definitions.ladders[rule.name]).actions
    acted = actions.cap[0] if actions.cap is not None else int(actions.cooldown is not None)
    state = _WORD + 4 + _WORD * acted
    if isinstance(rule, LadderRule):
        return Cost(state + 1 + 8 + 2 * _WORD + 4 + _ID, state + 1 + 8 + 2 * _WORD + 40 + _ID)
    assert isinstance(rule, SegmentRule)
    if rule.keys_of is None:
        return Cost(state + held, state + held + _ID)
    keys = max(
        (
            bundle.max_keys
            for slot in plan.needs[rule.index]
            if (bundle := plan.summaries[slot].bundle).keys_of is not None
        ),
        default=KEYS,
    )
    instance = _KEY + 1 + held + _WORD
    return Cost(state + 3 + KEYS * instance, state + 3 + keys * (instance + _ID))


def user_cost(plan: Plan) -> Cost:
    """Bytes of a whole profile: all summaries and rules, the memory of ids, clocks."""
    ids = _ID + 2 * _WORD
    total = Cost(HEADER + 12 + 2 * _WORD + EVENTS * ENTRY, HEADER + 12 + 2 * _WORD + ids + CAPACITY * ENTRY)
    total += summaries_cost(plan.summaries)
    for rule in plan.rules:
        total += rule_cost(plan, rule)
    return total


def _state(summary: Summary, events: int, full: bool) -> int:
    """Bytes of one state (of the user, or of a key) that holds so many events."""
    match summary:
        case CellSummary():
            return _cell(summary.shape, events)
        case WindowSummary():
            shape = summary.shape
            entry = 8 + (_WORD if shape.keeps_values else 0) + (_ID if shape.keeps_ids else 0)
            panes = 0
            if full:
                panes = _LONG_PANES if isinstance(summary.window, Suffix) else PANES + 1
            brackets = 2 if shape is TIMES and not full else 11
            return brackets + events * entry + panes * (_WORD + _cell(shape, DISTINCT + 1))
        case NewestSummary():
            if not summary.is_sample:
                return 6 + (_MAX_DAYS if full else events) * 12
            return 6 + (_MAX_VALUES if full else events) * 2 * _WORD
        case DecaySummary():
            return 7 + events * 2 * _WORD + (summary.PANES * 17 if full else 0)
        case RecentSummary():
            return 2 + EVIDENCE * (_RECENT + _ID)
        case PairSummary():
            return 1 + 3 * _WORD + 2 * _ID
        case StepsSummary():
            return 1 + summary.roles * (3 + events * (_WORD + _ID))
        case LinesSummary():
            return 10 + events * (12 + 1 + _ID + _LINE)
        case _:
            raise AssertionError(f"{type(summary).__name__} has no cost")


def _cell(shape: Shape, events: int) -> int:
    extra = 0
    if shape is SUMS:
        extra = _WORD
    elif shape is RANGES:
        extra = 2 * _WORD
    elif shape is ENDS:
        extra = 2 * (_ID + _WORD)
    elif shape is SETS:
        extra = 3 + events * _WORD
    return 4 + 2 * _WORD + extra
