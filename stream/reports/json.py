"""A comparison for machines."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.engine.explain import to_fields
from stream.instants import format_instant
from stream.replay.compare import Comparison, Example, Kind, RowDifference
from stream.replay.history import RowHistory
from stream.reports.difference import Whys, asked_after

SCHEMA = "segment-diff/1"


def comparison_fields(comparison: Comparison, sides: tuple[str, str], whys: Whys) -> dict[str, Any]:
    """Everything that was found, as JSON values. Durations are milliseconds."""
    return {
        "schema": SCHEMA,
        "differs": comparison.differs,
        "before": sides[0],
        "after": sides[1],
        "rows": {
            name: _row(
                row,
                comparison.before.rows.get(name, RowHistory()),
                comparison.after.rows.get(name, RowHistory()),
                whys,
            )
            for name, row in sorted(comparison.rows.items())
        },
    }


def _row(row: RowDifference, before: RowHistory, after: RowHistory, whys: Whys) -> dict[str, Any]:
    return {
        "differs": row.differs,
        "before": _side(before),
        "after": _side(after),
        "shared": row.shared,
        "differences": {
            _name(kind): {
                "episodes": row.kinds[kind],
                "people": len(row.people[kind]),
                "median_shift_ms": row.typical_shift(kind),
            }
            for kind in Kind
            if row.kinds[kind]
        },
        "renewals": {_name(kind): count for kind, count in row.renewals.items()},
        "details": dict(row.details),
        "examples": [_example(example, whys) for kind in Kind for _, example in row.examples.get(kind, ())],
    }


def _side(row: RowHistory) -> dict[str, Any]:
    return {
        "entries": row.entered,
        "entries_by_cause": dict(sorted(row.entries.items())),
        "exits": row.left,
        "renewals": row.renewals,
        "people": row.people,
        "members_at_end": row.members,
        "median_stay_ms": row.typical_stay(),
    }


def _example(example: Example, whys: Whys) -> dict[str, Any]:
    fields: dict[str, Any] = {"difference": _name(example.kind), "user": example.user}
    if example.instance is not None:
        fields["instance"] = example.instance
    for name, at, change in (
        ("before", example.before_at, example.before),
        ("after", example.after_at, example.after),
    ):
        if at is not None:
            fields[name] = {"at": format_instant(at)}
            if change is not None:
                fields[name]["change"] = msgspec.Raw(change.value)
    why = whys.get(example.place)
    if why is not None:
        side = "after" if asked_after(example.kind) else "before"
        fields["explanation"] = {"side": side, "at": format_instant(why.at), **to_fields(why)}
    return fields


def _name(kind: Kind) -> str:
    return kind.replace(" ", "_")
