"""`segstream check`: definitions and mappings, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stream.cli.options import load_definitions
from stream.cli.tables import counted
from stream.definitions import Definitions
from stream.definitions.model import Feature, Ladder, Segment, Window
from stream.durations import format_duration
from stream.engine import Plan, compile_plan
from stream.engine.cost import Cost, user_cost
from stream.engine.needs import Need, needs_of
from stream.errors import DefinitionError, Problem
from stream.ingest import Mapping, load_mapping
from stream.ingest.mapping import is_mapping


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object, for machines.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check definitions and mappings: every problem as file:line:column, else what each segment needs.

    All definitions are checked together, as one deployment would load them. Bytes are those of a typical active user
    and the most that a user can take.

    \b
    Example:
      segstream check pack:retail shop.yaml
    """
    problems: list[Problem] = []
    mappings: list[Mapping] = []
    plan: Plan | None = None
    for name in (name for name in files if _is_mapping(name)):
        try:
            mappings.append(load_mapping(name))
        except DefinitionError as error:
            problems += error.problems
    names = [name for name in files if not _is_mapping(name)]
    if names:
        try:
            definitions = load_definitions(names)
            plan = compile_plan(definitions)
            problems += definitions.warnings
        except DefinitionError as error:
            problems += error.problems
    problems.sort()
    failed = any(problem.severity == "error" for problem in problems)
    if as_json:
        click.echo(json.dumps(_report(problems, mappings, plan), indent=2, ensure_ascii=False))
    else:
        _print(problems, mappings, None if failed else plan)
    if failed:
        raise click.exceptions.Exit(1)


def _is_mapping(name: str) -> bool:
    try:
        return is_mapping(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return False  # `load` says what is wrong with the file


# --- for people ------------------------------------------------------------------------------------------------------


def _print(problems: list[Problem], mappings: list[Mapping], plan: Plan | None) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for problem in problems:
        style = "red" if problem.severity == "error" else "yellow"
        console.print(str(problem), style=style, markup=False)
    if any(problem.severity == "error" for problem in problems):
        return
    for mapping in mappings:
        console.print(f"mapping {mapping.name}: {mapping.description or 'no description'}", markup=False)
    if plan is None:
        return
    definitions = plan.definitions
    for need in needs_of(plan):
        _print_need(need, definitions, console)
    if definitions.features:
        console.print(_features(definitions, plan))
    parts = (
        (definitions.segments, "segment"),
        (definitions.ladders, "ladder"),
        (definitions.features, "feature"),
        (definitions.selectors, "event"),
    )
    told = ", ".join(counted(len(found), thing) for found, thing in parts)
    console.print(f"{told}; {counted(len(definitions.warnings), 'warning')}")
    console.print(f"A typical active user takes {_bytes(user_cost(plan))} bytes.")


def _print_need(need: Need, definitions: Definitions, console: Console) -> None:
    owner = definitions.segments.get(need.name) or definitions.ladders[need.name]
    console.print(Text.assemble((need.name, "bold"), "  ", _about(owner)), soft_wrap=False)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for title, text in _facts(need):
        grid.add_row(title, Text(text))
    console.print(Padding(grid, (0, 0, 0, 2)), soft_wrap=False)


def _about(owner: Segment | Ladder) -> str:
    if isinstance(owner, Segment):
        return owner.description
    return f"{owner.description or 'tiers'}: {' > '.join(tier.name for tier in owner.tiers)}"


def _facts(need: Need) -> Iterator[tuple[str, str]]:
    yield "needs", ", ".join(need.asks) or "nothing"
    if need.shared_with:
        yield "shares", f"{_bytes(need.shared)} bytes with {', '.join(need.shared_with)}"
    yield "costs", f"{_bytes(need.whole)} bytes per active user" + (", per key" if need.per_key else "")
    types = "all events" if need.types is None else ", ".join(need.types)
    traits = "traits" if need.reads_traits else ""
    yield "touched by", ", ".join(filter(None, (types, traits))) or "time alone"


def _bytes(cost: Cost) -> str:
    return f"{cost.typical:,}" if cost.typical == cost.most else f"{cost.typical:,} (at most {cost.most:,})"


def _features(definitions: Definitions, plan: Plan) -> Table:
    table = Table("feature", "of", "window", "read by")
    readers: dict[str, list[str]] = {}
    for need in needs_of(plan):
        for name in need.features:
            readers.setdefault(name, []).append(need.name)
    for feature in definitions.features.values():
        read_by = ", ".join(readers.get(feature.name, []))
        table.add_row(feature.name, Text(_of(feature)), _window(feature.window), read_by)
    return table


def _of(feature: Feature) -> str:
    what = feature.selector.name + (f".{feature.field}" if feature.field else "")
    return f"{feature.aggregate} {what}" + (f" by {feature.by}" if feature.by else "")


def _window(window: Window) -> str:
    if window.kind == "lifetime":
        return "lifetime"
    if window.kind == "calendar":
        return f"this {window.period}"
    if window.kind == "since":
        return f"since {window.since.name}" if window.since else "since"
    if window.kind == "between":
        return f"{format_duration(window.length)} to {format_duration(window.until)} ago"
    return f"{window.kind} {format_duration(window.length)}"


# --- for machines ----------------------------------------------------------------------------------------------------


def _report(problems: list[Problem], mappings: list[Mapping], plan: Plan | None) -> dict[str, Any]:
    """Problems, and of definitions that hold what each segment and ladder needs."""
    report: dict[str, Any] = {
        "problems": [
            {
                "severity": problem.severity,
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "message": problem.message,
            }
            for problem in problems
        ],
        "mappings": [{"name": mapping.name, "description": mapping.description} for mapping in mappings],
    }
    if plan is None:
        return report
    report["definitions"] = plan.hash
    report["segments"] = [_of_need(need, plan.definitions) for need in needs_of(plan)]
    report["features"] = [
        {"name": feature.name, "of": _of(feature), "window": _window(feature.window)}
        for feature in plan.definitions.features.values()
    ]
    report["user"] = {"bytes": _of_cost(user_cost(plan))}
    return report


def _of_need(need: Need, definitions: Definitions) -> dict[str, Any]:
    owner = definitions.segments.get(need.name) or definitions.ladders[need.name]
    found: dict[str, Any] = {"name": need.name, "kind": "segment" if isinstance(owner, Segment) else "ladder"}
    found["description"] = owner.description
    if isinstance(owner, Ladder):
        found["tiers"] = [tier.name for tier in owner.tiers]
    return found | {
        "for_each": need.per_key,
        "needs": list(need.asks),
        "features": list(need.features),
        "refers_to": list(need.refers_to),
        "shares_with": list(need.shared_with),
        "event_types": ["*"] if need.types is None else list(need.types),
        "reads_traits": need.reads_traits,
        "bytes": _of_cost(need.whole),
        "bytes_shared": _of_cost(need.shared),
    }


def _of_cost(cost: Cost) -> dict[str, int]:
    return {"typical": cost.typical, "most": cost.most}
