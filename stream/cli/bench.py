"""`segstream bench`: how many events a second."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console

from stream.bench import PARTS, run_bench
from stream.bench.peers import PEERS
from stream.bench.run import EVENTS, MILLION, REPEAT
from stream.cli.options import stderr

_WIDTH = 120
"""Of the table where there is no terminal: wide enough to cut nothing."""


@click.command()
@click.option(
    "--part", "parts", type=click.Choice(PARTS), multiple=True, help="What to measure.  [default: all]"
)
@click.option(
    "--events", type=click.IntRange(1), default=EVENTS, show_default=True, help="Events of the log."
)
@click.option("--repeat", type=click.IntRange(1), default=REPEAT, show_default=True, help="Runs of each.")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Of live load.")
@click.option(
    "--users",
    type=click.IntRange(10),
    default=MILLION,
    show_default=True,
    help="At most, of growth, restore and timers.",
)
@click.option(
    "--peer",
    "peers",
    type=click.Choice(tuple(PEERS)),
    multiple=True,
    help="Engines to stand beside the worker.  [default: all]",
)
@click.option("--brokers", metavar="HOST:PORT", help="A cluster to use.  [default: a broker of its own]")
@click.option("--json", "json_file", metavar="FILE", help="Every sample, as JSON.")
def bench(
    parts: tuple[str, ...],
    events: int,
    repeat: int,
    seconds: float,
    users: int,
    peers: tuple[str, ...],
    brokers: str | None,
    json_file: str | None,
) -> None:
    """Measure every stage alone, the worker on a real broker, and other engines beside it on the same job.

    Without --brokers a broker is started from Kafka's own jars (needs Java and Maven, and the source checkout).
    Quix Streams and Bytewax get an environment of their own in .cache/peers, Kafka Streams its jars.
    Look at ratios: absolute figures belong to the machine that is printed with them.

    \b
    Example:
      segstream bench --part engine --events 200000 --repeat 1
      segstream bench --part peers --peer quix --peer kafka-streams
    """
    report = run_bench(
        parts or PARTS,
        events=events,
        repeat=repeat,
        seconds=seconds,
        users=users,
        peers=peers or tuple(PEERS),
        brokers=brokers,
        tell=lambda text: stderr.print(text, style="dim"),
    )
    console = Console()
    report.print(console if console.is_terminal else Console(width=_WIDTH))
    if json_file:
        document = msgspec.json.format(msgspec.json.encode(report.as_json()), indent=2)
        Path(json_file).write_bytes(document + b"\n")
