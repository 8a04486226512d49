"""`segstream explain`: why a user is in a segment, or is not, from a state directory or a running worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from stream.cli.options import INSTANT, config_option, load_definitions, read_settings, segments_option
from stream.cli.profiles import NothingToExplainError, find_at_worker, find_in_folder
from stream.durations import UNITS
from stream.engine import Engine, Explained, Explainer, compile_plan
from stream.engine.conditions import Explanation
from stream.engine.explain import change_fields, to_fields
from stream.engine.partition import definitions_of
from stream.engine.records import plain
from stream.instants import format_instant

_WIDE = 1_000
"""Columns where there is no terminal whose width would matter."""
_SIGNS = {True: ("✔", "green"), False: ("✘", "red"), None: ("?", "yellow")}


@click.command()
@click.argument("user")
@click.argument("segment", required=False)
@click.option("--state", metavar="DIR", help="What `replay --state` or a worker left.")
@click.option("--url", metavar="WORKER", help="A running worker that owns the user's partition.")
@segments_option
@config_option
@click.option("--instance", metavar="KEY", help="One key of a segment with `for_each`.  [default: all kept]")
@click.option("--at", type=INSTANT, help="Explain a later instant, nothing having happened.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object, for machines.")
def explain(
    user: str,
    segment: str | None,
    state: str | None,
    url: str | None,
    segments: tuple[str, ...],
    config_file: str | None,
    instance: str | None,
    at: int | None,
    as_json: bool,
) -> None:
    """Explain why USER is in SEGMENT or is not: every condition with its verdict and values, and what comes next.

    Without SEGMENT, all segments and ladders. The definitions must be those that the state was written under. A
    worker whose pages ask for a token gets it from SEGSTREAM_HTTP_TOKEN.

    \b
    Example:
      segstream explain u42 cart_abandoned --state state --segments pack:retail
      segstream explain u42 --url http://localhost:6066 --segments pack:retail
    """
    names = segments or (read_settings(config_file).definitions if config_file else ())
    if not names:
        raise click.UsageError("say which definitions: --segments FILE, or --segments pack:retail")
    plan = compile_plan(load_definitions(names))
    if (state is None) == (url is None):
        raise click.UsageError("say where the user's state is: --state DIR or --url WORKER, one of them")
    raw, marker = find_at_worker(url, user) if url else find_in_folder(Path(state or ""), user)
    if definitions_of(marker) != plan.hash:
        raise NothingToExplainError(
            f"the state in {state or url} was written under other definitions ({definitions_of(marker)}) than those "
            f"given ({plan.hash}): give the files that it was written with, or replay the log under these"
        )
    explainer = Explainer(Engine(plan), user, raw, marker)
    at = explainer.now if at is None else at
    definitions = plan.definitions
    wanted = [segment] if segment is not None else [*definitions.segments, *definitions.ladders]
    found = explainer.explain(wanted, instance, at)
    if as_json:
        report = {"user": user, "at": format_instant(at), "definitions": plan.hash}
        report |= {"segments": [to_fields(one) for one in found]}  # type: ignore[dict-item]
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        _print(user, at, found, console if console.is_terminal else Console(highlight=False, width=_WIDE))


# --- for people ------------------------------------------------------------------------------------------------------


def _print(user: str, at: int, found: list[Explained], console: Console) -> None:
    console.print(Text.assemble((user, "bold"), " at ", format_instant(at)))
    for one in found:
        console.print()
        console.print(_tree(one))
    if not found:
        console.print("\nno key was seen that this segment could have a membership for")


def _tree(one: Explained) -> Tree:
    tree = Tree(_title(one), guide_style="dim")
    for line in _facts(one):
        tree.add(Text(line, "dim"))
    for name, said in one.conditions:
        _add(tree, said, f"{name}: ")
    tree.add(_outlook(one))
    return tree


def _title(one: Explained) -> Text:
    name = one.segment if one.instance is None else f"{one.segment} [{one.instance}]"
    if one.kind == "ladder":
        standing = f"tier {one.tier}" if one.tier else "no tier"
    else:
        standing = "member" if one.member else "not a member"
    return Text.assemble((name, "bold"), "  ", (standing, "green" if one.member else "red"))


def _facts(one: Explained) -> Iterator[str]:
    if one.since is not None:
        yield f"since {format_instant(one.since)}"
    if one.effective_at is not None and one.effective_at != one.since:
        yield f"renewed {format_instant(one.effective_at)}"
    if one.expires_at is not None:
        yield f"expires {format_instant(one.expires_at)}"
    if one.stays_until is not None:
        yield f"stays at least until {format_instant(one.stays_until)}"
    if one.falls_at is not None:
        yield f"falls {format_instant(one.falls_at)}, unless the tier's condition holds again before"
    if one.spent:
        yield f"used up: {', '.join(one.spent)}"
    if one.kind == "segment" and not one.member and not one.armed:
        yield "not armed: `when` has to stop being true, or its sequence to start anew, before it can be entered again"
    if one.kind == "segment" and one.member and one.conditions[0][1].verdict is None:
        yield "`when` is unknown, which neither enters nor ends: the membership stays"


def _add(tree: Tree, said: Explanation, prefix: str = "") -> None:
    sign, colour = _SIGNS[said.verdict]
    line = Text.assemble(prefix, (sign, colour), " ", said.text)
    if said.operator is not None:
        value, bound = (_shown(side, said.duration) for side in (said.value, said.bound))
        line.append(f"   {value} {said.operator} {bound}", "cyan")
    if said.why is not None:
        line.append(f"   unknown: {said.why}", "yellow")
    if said.evidence:
        told = ", ".join(f"{one.event_id} {one.time}" for one in said.evidence)
        line.append(f"   ({told})", "dim")
    branch = tree.add(line)
    for part in said.parts:
        _add(branch, part)


def _shown(value: Any, duration: bool) -> str:
    """A value as people read it: `20d 4h` rather than 1742400000ms."""
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return f"[{', '.join(_shown(item, duration) for item in value)}]"
    if not duration or type(value) not in (int, float):
        return json.dumps(plain(value, False), ensure_ascii=False)
    left, parts = abs(int(value)), []
    for unit, size in sorted(UNITS.items(), key=lambda pair: -pair[1]):
        if unit != "w" and left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return ("-" if value < 0 else "") + " ".join(parts or ["0s"])


def _outlook(one: Explained) -> Text:
    if one.then is None:
        looked = "" if one.next_at is None else f" (it is looked at again {format_instant(one.next_at)})"
        return Text(f"if nobody acts, nothing changes{looked}")
    change = change_fields(one.then)
    moved = f" to {change['value']}" if "value" in change else ""
    reason = f": {', '.join(change['reason'])}" if change["reason"] else ""
    return Text.assemble("if nobody acts: ", (f"{change['type']}{moved} {change['at']}", "bold"), reason)
