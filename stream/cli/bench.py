"""`segstream bench`: how many events a second."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console

from stream.bench import PARTS, run_bench
from stream.bench.run import EVENTS, REPEAT
from stream.cli.options import stderr

_WIDTH = 120
"""Of the table where there is no terminal: wide enough to cut nothing."""


@click.command()
@click.option("--part", type=click.Choice(PARTS), default="all", show_default=True, help="What to measure.")
@click.option(
    "--events", type=click.IntRange(1), default=EVENTS, show_default=True, help="Events of the log."
)
@click.option("--repeat", type=click.IntRange(1), default=REPEAT, show_default=True, help="Runs of each.")
@click.option("--brokers", metavar="HOST:PORT", help="A cluster to use.  [default: a broker of its own]")
@click.option("--json", "json_file", metavar="FILE", help="Every sample, as JSON.")
def bench(part: str, events: int, repeat: int, brokers: str | None, json_file: str | None) -> None:
    """Measure the engine alone, the worker on a real broker, and an ordinary Faust program beside it.

    Without --brokers a broker is started from Kafka's own jars (needs Java and Maven, and the source checkout).
    Look at ratios: absolute figures belong to the machine that is printed with them.

    \b
    Example:
      segstream bench --part engine --events 200000 --repeat 1
    """
    report = run_bench(
        part, events=events, repeat=repeat, brokers=brokers, tell=lambda text: stderr.print(text, style="dim")
    )
    console = Console()
    report.print(console if console.is_terminal else Console(width=_WIDTH))
    if json_file:
        document = msgspec.json.format(msgspec.json.encode(report.as_json()), indent=2)
        Path(json_file).write_bytes(document + b"\n")
