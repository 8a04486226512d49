"""Ladders compared: how many stand on which tier at the end, before and after, and who moved."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from stream.replay.compare import Comparison
from stream.replay.crossing import Cell, Crossing, shifts
from stream.replay.outputs import tier_row
from stream.reports.parts import card, counted, table

_NONE = "no tier"
_SAID = 4


def ladders_of(comparison: Comparison, rows: Iterable[str]) -> list[str]:
    """The ladders of which one of the rows is a tier."""
    named = set(rows)
    return [
        name
        for name, crossing in comparison.ladders.items()
        if any(tier_row(name, tier) in named for tier in crossing.tiers([]))
    ]


def moved_sentence(name: str, crossing: Crossing, rows: Iterable[str]) -> str:
    """`loyalty, at the end: 12 silver → gold, 3 bronze → no tier`. `rows` are in the order of the definitions."""
    said = [f"{count:,} {_shift(cell)}" for cell, count in shifts(crossing, _order(name, rows))]
    if not said:
        return f"{name}, at the end: everybody stands where they stood"
    more = len(said) - _SAID
    return f"{name}, at the end: {', '.join(said[:_SAID])}{f' and {more} kinds more' if more > 0 else ''}"


def ladder_card(name: str, crossing: Crossing, rows: Iterable[str]) -> str:
    """The table of a ladder, and some of those who moved."""
    order = _order(name, rows)
    tiers: list[str | None] = [*crossing.tiers(order), None]
    totals = {after: sum(crossing.cells[before, after] for before in tiers) for after in tiers}
    shown: list[list[str | tuple[str, str]]] = []
    for at, before in enumerate(tiers):
        counts = [crossing.cells[before, after] for after in tiers]
        kinds = ["same" if other == at else "more" if other < at else "less" for other in range(len(tiers))]
        cells = [(kind, f"{count:,}") if count else "·" for kind, count in zip(kinds, counts, strict=True)]
        shown.append([escape(before or _NONE), *cells, f"{sum(counts):,}"])
    shown.append(
        ["together after", *(f"{count:,}" for count in totals.values()), f"{sum(totals.values()):,}"]
    )
    head = ["before ↓ after →", *(escape(tier or _NONE) for tier in tiers), "together before"]
    content = [
        f"<h3>{escape(name)}: where people stand at the end</h3>",
        '<p class="description">A row for the tier before, a column for the tier after.</p>',
        f'<p class="facts">{counted(crossing.moved, "person moves", "people move")}.</p>',
        table(head, shown, f"{name}: tier before and after"),
    ]
    items = [
        f"<li>{escape(_shift(cell))}: {count:,}, among them {escape(', '.join(crossing.examples[cell]))}</li>"
        for cell, count in shifts(crossing, order)
    ]
    if items:
        content.append(f"<details><summary>Who moves</summary><ul>{''.join(items)}</ul></details>")
    return card(content)


def _shift(cell: Cell) -> str:
    return " → ".join(tier or _NONE for tier in cell)


def _order(ladder: str, rows: Iterable[str]) -> list[str]:
    begin = tier_row(ladder, "")
    return [row.removeprefix(begin) for row in rows if row.startswith(begin)]
