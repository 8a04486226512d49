"""`segstream replay`: recorded logs through the engine."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from stream.cli.options import keep_apart, load_definitions, read_settings, segments_option, stderr, writing
from stream.cli.progress import reading_progress
from stream.cli.replaying import log_options, make_job, period_of
from stream.cli.tables import changes_table, counted
from stream.definitions import Definitions
from stream.engine import compile_plan
from stream.replay import BATCH_SIZE, Outcome, run_job, write_members, write_stats
from stream.replay.history import History
from stream.replay.outputs import moves
from stream.reports.pictures import check_matplotlib
from stream.reports.run import About, rows_of, run_page, zone_of


@click.command()
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@segments_option
@click.option("--mapping", metavar="NAME|FILE", help="How records are read.  [default: canonical]")
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Changes, one JSON line each.")
@click.option("--dead-letters", metavar="FILE", help="Records that could not be read.")
@click.option("--members", metavar="FILE", help="The last change of every membership.")
@click.option("--stats", metavar="FILE", help="Counts, as JSON.")
@click.option(
    "--state",
    metavar="DIR",
    help="Keep users in RocksDB in this folder, and go on from what an earlier replay left there.",
)
@log_options
@click.option(
    "--batch-size", default=BATCH_SIZE, show_default=True, type=click.IntRange(1), help="Records at once."
)
@click.option("--report", metavar="FILE", help="What happened in every segment, as a page with pictures.")
def replay(
    logs: tuple[str, ...],
    segments: tuple[str, ...],
    config_file: str | None,
    workers: int,
    out: str,
    dead_letters: str | None,
    members: str | None,
    stats: str | None,
    report: str | None,
    state: str | None,
    batch_size: int,
    **options: Any,
) -> None:
    """Replay recorded logs (JSON lines, CSV, Parquet; .gz, .zst; - is standard input) without a broker.

    Several logs are merged by record time. Changes come out ordered by effective_at, user, segment, instance and seq.
    The same logs give the same bytes, whatever the batch size and the number of workers. With --config, its
    definitions, mapping and time settings hold where no option says otherwise.

    \b
    Example:
      segstream replay shop.jsonl.gz --segments pack:retail --out changes.jsonl --stats stats.json
    """
    settings = read_settings(config_file) if config_file else None
    names = segments or (settings.definitions if settings else ())
    if not names:
        raise click.UsageError("say which definitions: --segments FILE, or --segments pack:retail")
    if state and (options["partitions"] or 1) < workers:
        raise click.UsageError(
            f"with --state a process has whole partitions: --workers {workers} needs --partitions {workers} or more"
        )
    keep_apart((*logs, *names, options["mapping"], config_file), out, dead_letters, members, stats, report)
    if report:
        check_matplotlib()
    definitions = load_definitions(names)
    plan = compile_plan(definitions)
    more: dict[str, Any] = {"state": state, "dead_letters": dead_letters, "batch_size": batch_size}
    job = make_job(logs, names, settings, **options, **more)
    began = time.perf_counter()
    with ExitStack() as files:
        to_changes = files.enter_context(writing(out))
        with reading_progress(logs) as progress:
            run = run_job(job, workers, plan=plan, progress=progress, files=files)
        outcome = run.outcome
        to_changes.writelines(change.value + b"\n" for change in outcome.changes)
        seconds = time.perf_counter() - began
        if members:
            write_members(outcome, files.enter_context(writing(members)))
        if stats:
            write_stats(outcome, plan.hash, run.reasons, seconds, files.enter_context(writing(stats)))
        if report:
            page = _report(definitions, logs, outcome)
            files.enter_context(writing(report)).write(page.encode())
    _summarise([rule.name for rule in plan.rules], outcome, run.reasons, seconds)
    for reason, example in run.examples.items():
        stderr.print(f"{reason}, first {example}", markup=False, highlight=False, soft_wrap=True)


def _report(definitions: Definitions, logs: tuple[str, ...], outcome: Outcome) -> str:
    history = History()
    for move in moves(outcome.changes):
        history.take(move)
    history.close()
    rows, descriptions = rows_of(definitions)
    about = About([Path(log).name for log in logs], outcome.records, outcome.users, rows, descriptions)
    return run_page(history, period_of(outcome, (history,), zone_of(definitions)), about)


def _summarise(names: list[str], outcome: Outcome, reasons: Counter[str], seconds: float) -> None:
    tally = outcome.tally
    if stderr.is_terminal:
        stderr.print(changes_table(names, tally.changes, Counter(outcome.members)))
    read, users = counted(outcome.records, "record"), counted(outcome.users, "user")
    speed = outcome.records / max(seconds, 1e-9)
    changes = counted(len(outcome.changes), "change")
    facts = [f"{read} of {users} gave {changes} in {seconds:.1f} s ({speed:,.0f} records/s)"]
    for count, what in (
        (tally.late_applied, "late"),
        (tally.late_expired, "too late to count"),
        (tally.duplicates, "dropped as repeated"),
        (tally.clamped, "with a clock ahead of time"),
        (outcome.beyond, "after --until, not read"),
    ):
        if count:
            facts.append(f"{count:,} {what}")
    if reasons:
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        facts.append(f"{counted(outcome.dead_letters, 'dead letter')} ({told})")
    stderr.print("; ".join(facts), highlight=False, soft_wrap=True)
