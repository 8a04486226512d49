"""`segstream check`: definitions and mappings, before anything runs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from stream.cli.options import load_definitions, locate_definitions
from stream.cli.tables import counted
from stream.definitions import Definitions
from stream.definitions.model import Feature, Window
from stream.durations import format_duration
from stream.engine import compile_plan
from stream.errors import DefinitionError, Problem
from stream.ingest import Mapping, load_mapping
from stream.ingest.mapping import is_mapping


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Check definitions and mappings: every problem as file:line:column, else a summary.

    All definitions are checked together, as one deployment would load them.

    \b
    Example:
      segstream check pack:retail shop.yaml
    """
    console = Console(soft_wrap=True, highlight=False)
    problems: list[Problem] = []
    mappings: list[Mapping] = []
    definitions: Definitions | None = None
    for name in (name for name in files if _is_mapping(name)):
        try:
            mappings.append(load_mapping(name))
        except DefinitionError as error:
            problems += error.problems
    names = [locate_definitions(name) for name in files if not _is_mapping(name)]
    if names:
        try:
            definitions = load_definitions(names)
            compile_plan(definitions)
            problems += definitions.warnings
        except DefinitionError as error:
            problems += error.problems
    for problem in sorted(problems):
        console.print(str(problem), markup=False)
    if any(problem.severity == "error" for problem in problems):
        raise click.exceptions.Exit(1)
    for mapping in mappings:
        console.print(f"mapping {mapping.name}: {mapping.description or 'no description'}", markup=False)
    if definitions is not None:
        _summarise(definitions, console)


def _is_mapping(name: str) -> bool:
    try:
        return is_mapping(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return False  # `load` says what is wrong with the file


def _summarise(definitions: Definitions, console: Console) -> None:
    outcomes = Table("segment", "kind", "description")
    for segment in definitions.segments.values():
        outcomes.add_row(segment.name, "segment", segment.description)
    for ladder in definitions.ladders.values():
        tiers = " > ".join(tier.name for tier in ladder.tiers)
        outcomes.add_row(ladder.name, "ladder", f"{ladder.description or 'tiers'}: {tiers}")
    features = Table("feature", "of", "window", "kept per user")
    for feature in definitions.features.values():
        features.add_row(feature.name, _of(feature), _window(feature.window), _kept(feature))
    for table in (outcomes, features):
        if table.row_count:
            console.print(table)
    parts = (
        (definitions.segments, "segment"),
        (definitions.ladders, "ladder"),
        (definitions.features, "feature"),
        (definitions.selectors, "event"),
    )
    told = ", ".join(counted(len(found), thing) for found, thing in parts)
    console.print(f"{told}; {counted(len(definitions.warnings), 'warning')}")


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


def _kept(feature: Feature) -> str:
    kept = (
        "one total"
        if feature.window.kind == "lifetime"
        else "the newest 64 events, older ones in up to 64 panes"
    )
    return f"{kept}, for up to {feature.max_keys} keys" if feature.by else kept
