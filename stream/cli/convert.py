"""`segstream convert`: what a mapping makes of a log."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import click
import msgspec

from stream.cli.options import keep_apart, stderr, writing
from stream.cli.tables import counted
from stream.errors import RecordError
from stream.ingest import Ingest, load_mapping
from stream.ingest.hints import Hints
from stream.replay import Log

_HINTED = 10_000
"""Records that are looked at for paths that lead nowhere."""


@click.command()
@click.argument("log")
@click.option("--mapping", required=True, metavar="NAME|FILE", help="How records are read.")
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Events, one JSON line each.")
@click.option("--dead-letters", metavar="FILE", help="Records that could not be read.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many records.")
def convert(log: str, mapping: str, out: str, dead_letters: str | None, limit: int | None) -> None:
    """Write the events that a mapping makes of a log, and say which of its paths lead nowhere.

    \b
    Example:
      segstream convert orders.csv --mapping orders.yaml --limit 10
    """
    keep_apart((log, mapping), out, dead_letters)
    compiled = load_mapping(mapping)
    ingest, hints = Ingest(compiled), Hints(compiled)
    records = events = silent = 0
    reasons: Counter[str] = Counter()
    with ExitStack() as files:
        to = files.enter_context(writing(out))
        letters = files.enter_context(writing(dead_letters)) if dead_letters else None
        for record in Log(log, compiled).records():
            records += 1
            try:
                if record.error is not None:
                    raise record.error
                row = ingest.mappable(record.raw) if record.row is None else record.row
                if records <= _HINTED:
                    hints.see(row)
                made = ingest.canonical(record.raw, row=row, record_time=record.record_time, origin=record)
            except RecordError as error:
                reasons[error.reason] += 1
                letter = record.dead_letter(error, log)
                if letters is not None:
                    letters.write(letter.to_json() + b"\n")
                elif reasons.total() <= 3:
                    stderr.print(
                        f"{log}:{record.line}: {error}", markup=False, highlight=False, soft_wrap=True
                    )
            else:
                events += len(made)
                silent += not made
                to.writelines(msgspec.json.format(value, indent=-1) + b"\n" for _, value in made)
            if records == limit:
                break
    for problem in hints.problems():
        stderr.print(str(problem), markup=False, highlight=False, soft_wrap=True)
    told = [f"{counted(records, 'record')} gave {counted(events, 'event')}"]
    if silent:
        told.append(f"{silent:,} gave none")
    if reasons:
        names = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        told.append(f"{counted(reasons.total(), 'dead letter')} ({names})")
    stderr.print("; ".join(told), highlight=False, soft_wrap=True)
