"""`segstream packs`: the ready packs, what is in one, and a copy of it to make one's own."""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.table import Table

from stream.cli.options import load_definitions, writing
from stream.cli.tables import counted
from stream.definitions import Definitions, Parameter, read_parameters
from stream.definitions.model import Ladder, Segment
from stream.packs import PREFIX, SCENARIO, locate, pack_folder, pack_names, summary
from stream.packs.scenario import Event, read_scenario

_name = click.argument("name", metavar="NAME")


@click.group(invoke_without_command=True)
@click.pass_context
def packs(ctx: click.Context) -> None:
    """Ready segments for what marketers do: list them, show one, copy one out for editing.

    Without a subcommand, the packs are listed.

    \b
    Example:
      segstream packs show retail
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_packs)


@packs.command("list")
def list_packs() -> None:
    """The packs, and what each is for.

    \b
    Example:
      segstream packs list
    """
    table = Table("pack", "segments", "ladders", "what for")
    for name in pack_names():
        definitions = load_definitions([f"{PREFIX}{name}"])
        table.add_row(name, str(len(definitions.segments)), str(len(definitions.ladders)), summary(name))
    Console().print(table)


@packs.command()
@_name
def show(name: str) -> None:
    """A pack's segments and ladders, the events that they read, and its parameters with their values.

    NAME may set parameters, as in 'retail?cart_wait=45m'.

    \b
    Example:
      segstream packs show retail
    """
    location = f"{PREFIX}{name}"
    definitions = load_definitions([location])
    console = Console(soft_wrap=True, highlight=False)
    console.print(summary(name.partition("?")[0]), markup=False)
    console.print(_outcomes(definitions))
    types = sorted({one for selector in definitions.selectors.values() for one in selector.types or ("*",)})
    console.print(f"Reads {', '.join(types)}.", markup=False)
    console.print(_parameters(read_parameters(locate(location))))
    first = counted(len(definitions.segments), "segment")
    console.print(
        f"{first}, {counted(len(definitions.ladders), 'ladder')}; use them as {location}", markup=False
    )


@packs.command("copy")
@_name
@click.argument("file", metavar="FILE")
@click.option("--scenario", metavar="LOG", help="Also write the pack's scenario, as a log that replay reads.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def copy_pack(name: str, file: str, scenario: str | None, force: bool) -> None:
    """Copy a pack's definitions to FILE (`-` is standard output), to be edited.

    Parameters that NAME sets, as in 'retail?cart_wait=45m', become the copy's defaults.

    \b
    Example:
      segstream packs copy retail my.yaml --scenario my.jsonl
      segstream replay my.jsonl --segments my.yaml --out changes.jsonl
    """
    load_definitions([f"{PREFIX}{name}"])  # says what is wrong with what is set
    for path in filter(None, (file, scenario)):
        if path != "-" and Path(path).exists() and not force:
            raise click.UsageError(f"{path} exists; --force overwrites it")
    with writing(file) as out:
        out.write(text_of(name).encode())
    if scenario is not None:
        with writing(scenario) as out:
            out.writelines(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in story_of(name))


def _outcomes(definitions: Definitions) -> Table:
    table = Table("segment", "who")
    for name, segment in definitions.segments.items():
        table.add_row(name, _about(segment))
    for name, ladder in definitions.ladders.items():
        table.add_row(name, _about(ladder))
    return table


def _about(outcome: Segment | Ladder) -> str:
    if isinstance(outcome, Ladder):
        return f"{outcome.description}: {' > '.join(tier.name for tier in outcome.tiers)}"
    return outcome.description


def _parameters(parameters: tuple[Parameter, ...]) -> Table:
    table = Table("parameter", "value", "what it is")
    for parameter in parameters:
        table.add_row(parameter.name, parameter.shown, parameter.description)
    return table


def story_of(name: str) -> list[Event]:
    """The events of a pack's scenario, in the order of their times."""
    return read_scenario((pack_folder(name.partition("?")[0]) / SCENARIO).read_text("utf-8"))


def text_of(name: str) -> str:
    """The text of a pack, with the values that its name sets in place of defaults; comments stay where they are."""
    location = locate(f"{PREFIX}{name}")
    text = Path(location.partition("?")[0]).read_text("utf-8")
    for parameter in read_parameters(location):
        if parameter.value != parameter.default:
            start, end = _default_span(text, parameter.name)
            text = text[:start] + _written(parameter) + text[end:]
    return text


def _default_span(text: str, name: str) -> tuple[int, int]:
    """Where the default of a parameter stands in a text that has been read before."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    node: yaml.Node = root
    for step in ("parameters", name, "default"):
        assert isinstance(node, yaml.MappingNode)
        node = next(value for key, value in node.value if key.value == step)
    return node.start_mark.index, node.end_mark.index


def _written(parameter: Parameter) -> str:
    """A value as YAML; JSON is."""
    if parameter.kind in ("number", "duration") and isinstance(parameter.value, str):
        return parameter.value
    value = parameter.value if isinstance(parameter.value, str) else list(parameter.value)
    return json.dumps(value, ensure_ascii=False)
