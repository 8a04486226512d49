"""Tables that more than one command shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.table import Table

TYPES = ("entered", "moved", "renewed", "exited", "retracted")


def counted(number: int, thing: str) -> str:
    """`1 change`, `1,200 changes`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def changes_table(
    segments: Iterable[str], changes: Counter[tuple[str, str, str]], members: Counter[str]
) -> Table:
    """One row per segment: its changes by type (`changes` counts segment, type, cause), and who is in it now."""
    counts: Counter[tuple[str, str]] = Counter()
    for (segment, type_, _cause), number in changes.items():
        counts[segment, type_] += number
    shown = [type_ for type_ in TYPES if any(counted == type_ for _, counted in counts)] or [
        "entered",
        "exited",
    ]
    table = Table("segment")
    for type_ in shown:
        table.add_column(type_, justify="right")
    table.add_column("members now", justify="right")
    for segment in segments:
        cells = [f"{counts[segment, type_]:,}" if counts[segment, type_] else "·" for type_ in shown]
        table.add_row(segment, *cells, f"{members[segment]:,}")
    return table
