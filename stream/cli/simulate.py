"""`segstream simulate`: events of a shop that does not exist."""

from __future__ import annotations

import click

from stream.cli.options import INSTANT, writing
from stream.simulate import START, Shop
from stream.simulate import simulate as simulated

_LINES_AT_ONCE = 1_000


@click.command()
@click.option("--users", default=1_000, show_default=True, type=click.IntRange(1), help="How many shoppers.")
@click.option(
    "--days", default=14.0, show_default=True, type=click.FloatRange(0, min_open=True), help="How long."
)
@click.option("--seed", default=1, show_default=True, help="Another seed, another shop.")
@click.option(
    "--rate",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Events per user and day, on average.",
)
@click.option("--start", default=START, type=INSTANT, help="When it begins.  [default: 2026-09-01T00:00:00Z]")
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Where to; - is standard output.")
def simulate(users: int, days: float, seed: int, rate: float, start: int, out: str) -> None:
    """Write the events of a simulated shop as canonical JSON lines, in order of arrival.

    The same options give the same bytes. Some events come late, some twice, and some phones' clocks are wrong.

    \b
    Example:
      segstream simulate --users 5000 --days 30 --seed 7 --out shop.jsonl
    """
    with writing(out) as file:
        lines: list[bytes] = []
        for line in simulated(Shop(users, days, seed, rate, start)):
            lines.append(line)
            if len(lines) >= _LINES_AT_ONCE:
                file.write(b"\n".join(lines) + b"\n")
                lines.clear()
        file.writelines(line + b"\n" for line in lines)
