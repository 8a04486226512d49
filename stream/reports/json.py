"""A comparison for machines. Its JSON Schema is made of the types here (schemas/segment-diff-1.schema.json)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stream.engine.explain import to_fields
from stream.instants import format_instant
from stream.replay.compare import Comparison, Example, Kind, RowDifference
from stream.replay.crossing import Crossing, shifts
from stream.replay.history import RowHistory
from stream.reports.difference import Whys, asked_after

SCHEMA: Literal["segment-diff/1"] = "segment-diff/1"
Difference = Literal[
    "only_before",
    "only_after",
    "enters_later",
    "enters_earlier",
    "leaves_later",
    "leaves_earlier",
    "interrupted_differently",
]


class SideFields(msgspec.Struct):
    """One run's part of a row."""

    entries: int
    entries_by_cause: dict[str, int]
    exits: int
    renewals: int
    people: int
    members_at_end: int
    median_stay_ms: int | None


class DifferenceFields(msgspec.Struct):
    """How much of a kind of difference there is."""

    episodes: int
    people: int
    median_shift_ms: int | None


class MomentFields(msgspec.Struct, omit_defaults=True):
    """When it happened on one side, and the change that was published, as docs/events.md describes it."""

    at: str
    change: Any = None


class ExampleFields(msgspec.Struct, omit_defaults=True):
    """Somebody for whom it differs. The explanation is that of the side on which nothing happened."""

    difference: Difference
    user: str
    instance: str | None = None
    before: MomentFields | None = None
    after: MomentFields | None = None
    explanation: dict[str, Any] | None = None
    """`side` and `at`, then as `segstream explain --json` gives it."""


class RowFields(msgspec.Struct):
    """A segment, or a tier of a ladder, `ladder: tier`."""

    differs: bool
    before: SideFields
    after: SideFields
    shared: int
    """Episodes of both runs."""
    differences: dict[Difference, DifferenceFields]
    renewals: dict[Difference, int]
    """Renewals of one run only."""
    details: dict[str, int]
    """Entries of the same instant that carry something else, by field."""
    examples: list[ExampleFields]


class CellFields(msgspec.Struct, omit_defaults=True):
    """Those who stand on one tier at the end of the run before, and on one at the end of the other."""

    before: str | None
    """null: on no tier."""
    after: str | None
    people: int
    examples: list[str] = []
    """Some of them, where the tiers differ."""


class LadderFields(msgspec.Struct):
    """Tier before × tier after, at the end of the log. Who has no tier in either run is left out."""

    moved: int
    cells: list[CellFields]


class DiffFields(msgspec.Struct):
    """Two runs, and what differs between them. Durations are milliseconds."""

    schema: Literal["segment-diff/1"]
    differs: bool
    before: str
    after: str
    rows: dict[str, RowFields]
    ladders: dict[str, LadderFields]


def comparison_fields(comparison: Comparison, sides: tuple[str, str], whys: Whys) -> DiffFields:
    """Everything that was found."""
    before, after = comparison.before.rows, comparison.after.rows
    return DiffFields(
        schema=SCHEMA,
        differs=comparison.differs,
        before=sides[0],
        after=sides[1],
        rows={
            name: _row(row, before.get(name, RowHistory()), after.get(name, RowHistory()), whys)
            for name, row in sorted(comparison.rows.items())
        },
        ladders={name: _ladder(crossing) for name, crossing in sorted(comparison.ladders.items())},
    )


def _row(row: RowDifference, before: RowHistory, after: RowHistory, whys: Whys) -> RowFields:
    return RowFields(
        differs=row.differs,
        before=_side(before),
        after=_side(after),
        shared=row.shared,
        differences={
            _name(kind): DifferenceFields(
                episodes=row.kinds[kind],
                people=len(row.people[kind]),
                median_shift_ms=row.typical_shift(kind),
            )
            for kind in Kind
            if row.kinds[kind]
        },
        renewals={_name(kind): count for kind, count in row.renewals.items()},
        details=dict(row.details),
        examples=[_example(example, whys) for kind in Kind for _, example in row.examples.get(kind, ())],
    )


def _side(row: RowHistory) -> SideFields:
    return SideFields(
        entries=row.entered,
        entries_by_cause=dict(sorted(row.entries.items())),
        exits=row.left,
        renewals=row.renewals,
        people=row.people,
        members_at_end=row.members,
        median_stay_ms=row.typical_stay(),
    )


def _example(example: Example, whys: Whys) -> ExampleFields:
    before, after = (
        None
        if at is None
        else MomentFields(format_instant(at), None if change is None else msgspec.Raw(change.value))
        for at, change in ((example.before_at, example.before), (example.after_at, example.after))
    )
    why = whys.get(example.place)
    explanation = None
    if why is not None:
        side = "after" if asked_after(example.kind) else "before"
        explanation = {"side": side, "at": format_instant(why.at), **to_fields(why)}
    return ExampleFields(_name(example.kind), example.user, example.instance, before, after, explanation)


def _ladder(crossing: Crossing) -> LadderFields:
    same = sorted((tier, count) for (tier, other), count in crossing.cells.items() if tier == other and tier)
    cells = [CellFields(tier, tier, count) for tier, count in same]
    for cell, count in shifts(crossing, []):
        cells.append(CellFields(*cell, people=count, examples=crossing.examples[cell]))
    return LadderFields(crossing.moved, cells)


def _name(kind: Kind) -> Difference:
    name: Difference = kind.replace(" ", "_")  # type: ignore[assignment]  # a test holds the two against each other
    return name
