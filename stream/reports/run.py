"""The page of one run: what happened in every segment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from stream.definitions import Definitions
from stream.replay.history import History, RowHistory
from stream.replay.outputs import tier_row
from stream.reports.parts import anchor, card, cause_legend, counted, figure, link, page, span, table
from stream.reports.pictures import Drawer, Period, lasting

_MOST = 25
"""Rows of an overlap that can be read."""
_OVERLAP = (
    "Of the people who were ever in the segment of a row, so many were in the segment of the column at the same "
    "moment, at least once. Behind a name: how many people."
)


@dataclass(frozen=True)
class About:
    """What a page says of where it comes from."""

    logs: Sequence[str]
    records: int | None = None
    users: int | None = None
    rows: Sequence[str] = ()
    """Rows to show, in order; those that appear in the changes only follow."""
    descriptions: dict[str, str] = field(default_factory=dict)
    """Row → what its definition says of it."""
    edited: frozenset[str] | None = None
    """Rows whose definitions are not the same on both sides; None where nobody knows."""
    removed: frozenset[str] = frozenset()
    """Rows that are defined before only."""
    added: frozenset[str] = frozenset()
    """Rows that are defined after only."""


def rows_of(definitions: Definitions) -> tuple[list[str], dict[str, str]]:
    """All rows that definitions can give, in their order, and what they say of each."""
    rows, descriptions = [], {}
    for name, segment in definitions.segments.items():
        rows.append(name)
        descriptions[name] = segment.description or ""
    for name, ladder in definitions.ladders.items():
        for tier in ladder.tiers:
            rows.append(tier_row(name, tier.name))
            descriptions[rows[-1]] = ladder.description or ""
    return rows, descriptions


def zone_of(definitions: Definitions) -> str:
    """The zone whose days a page counts: that of most segments and ladders."""
    zones = Counter(one.timezone for one in definitions.segments.values())
    zones.update(one.timezone for one in definitions.ladders.values())
    return zones.most_common(1)[0][0] if zones else "UTC"


def run_page(history: History, period: Period, about: About) -> str:
    """The page of a run, as HTML."""
    drawer = Drawer(period)
    names = [*about.rows, *(name for name in history.rows if name not in about.rows)]
    rows = {name: history.rows.get(name, RowHistory()) for name in names}
    busy = [name for name in names if rows[name].entered or rows[name].left]
    quiet = [name for name in names if name not in busy]
    said = f"{span(period)} · {escape(', '.join(about.logs))}"
    if about.records is not None and about.users is not None:
        said += f" · {counted(about.records, 'record')} of {counted(about.users, 'user')}"
    body = [_overview(rows, busy, quiet)]
    body += [_row_card(drawer, name, rows[name], about.descriptions.get(name, "")) for name in busy]
    if len(busy) > 1:
        body.append(overlap_card(drawer, history, busy))
    return page("What happened in the segments", said, body)


def _overview(rows: dict[str, RowHistory], busy: list[str], quiet: list[str]) -> str:
    head = ("segment", "people", "entries", "exits", "members at the end", "most at once", "typical stay")
    shown = []
    for name in busy:
        row = rows[name]
        typical = row.typical_stay()
        shown.append(
            (
                link(name),
                f"{row.people:,}",
                f"{row.entered:,}",
                f"{row.left:,}",
                f"{row.members:,}",
                f"{row.peak:,}",
                "·" if typical is None else lasting(typical),
            )
        )
    entries = sum(rows[name].entered for name in busy)
    content = [
        f"<p>{counted(entries, 'entry', 'entries')} into {counted(len(busy), 'segment')} and tiers.</p>",
        table(head, shown, "All segments"),
    ]
    if quiet:
        content.append(f'<p class="about">Nobody entered: {escape(", ".join(quiet))}.</p>')
    return card(content)


def _row_card(drawer: Drawer, name: str, row: RowHistory, description: str) -> str:
    content = [f"<h3>{escape(name)}</h3>"]
    if description:
        content.append(f'<p class="description">{escape(description)}</p>')
    content.append(f'<p class="facts">{_facts(row)}</p>')
    content.append(pictures(drawer, name, row, None))
    return card(content, name=anchor(name))


def _facts(row: RowHistory) -> str:
    facts = [
        f"{counted(row.people, 'person', 'people')} entered {counted(row.entered, 'time')}",
        f"{row.members:,} in it at the end",
    ]
    typical = row.typical_stay()
    if typical is not None:
        facts.append(f"half of those who left did so within {lasting(typical)}")
    taken_back = sum(count for how, count in row.exits.items() if how.startswith("retracted"))
    if taken_back:
        facts.append(f"{taken_back:,} taken back after late events")
    if row.renewals:
        facts.append(f"renewed {counted(row.renewals, 'time')}")
    return "; ".join(facts) + "."


def pictures(drawer: Drawer, name: str, row: RowHistory, before: RowHistory | None) -> str:
    """The three pictures of a row."""
    causes = set(row.entries_at)
    return (
        '<div class="pictures">'
        + figure("Members", "at each time", drawer.members(name, row, before))
        + figure("Entries", f"per {drawer.bar}, by cause", drawer.entries(name, row, before))
        + figure("Time until leaving", "share of those who left", drawer.stays(name, row, before))
        + "</div>"
        + cause_legend(causes, before is not None)
    )


def overlap_card(drawer: Drawer, history: History, names: list[str]) -> str:
    """Who is in what at the same time; of many rows, those with most people."""
    if len(names) > _MOST:
        largest = sorted(names, key=lambda name: -history.rows[name].people)[:_MOST]
        names = [name for name in names if name in largest]
    people = history.overlap(names)
    shares = [
        [
            escape(name),
            *(f"{count / people[i][i]:.0%}" if people[i][i] else "·" for count in people[i]),
        ]
        for i, name in enumerate(names)
    ]
    return card(
        [
            "<h3>Overlap</h3>",
            f'<p class="description">{_OVERLAP}</p>',
            drawer.overlap(names, people),
            "<details><summary>As a table</summary>",
            table(["segment", *map(escape, names)], shares, "Overlap"),
            "</details>",
        ]
    )
