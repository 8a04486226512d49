"""`segstream replay`: recorded logs through the engine."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import click

from stream.cli.options import (
    DURATION,
    DURATION_OR_OFF,
    INSTANT,
    OFF,
    config_option,
    load_definitions,
    read_settings,
    segments_option,
    stderr,
    writing,
)
from stream.cli.progress import reading_progress
from stream.cli.tables import changes_table, counted
from stream.config import Settings
from stream.engine import TimeSettings, compile_plan
from stream.ingest import load_mapping
from stream.packs import locate
from stream.replay import BATCH_SIZE, Job, Outcome, run_job, write_members, write_stats


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
@click.option("--until", type=INSTANT, help="Where to end.  [default: the largest event time]")
@config_option
@click.option("--lateness", type=DURATION, help="How long the watermark waits.  [default: 0s]")
@click.option("--idle-after", type=DURATION_OR_OFF, help="Silence that moves a watermark.  [default: off]")
@click.option("--clock-skew", type=DURATION, help="Later events get their record time.  [default: 5m]")
@click.option("--dedup-window", type=DURATION, help="How old a repeat may be.  [default: 1d]")
@click.option("--dedup-size", type=click.IntRange(1), help="Ids remembered of a user.  [default: 64]")
@click.option(
    "--batch-size", default=BATCH_SIZE, show_default=True, type=click.IntRange(1), help="Records at once."
)
@click.option(
    "--partitions", type=click.IntRange(1, 10_000), help="How many.  [default: as recorded, else 1]"
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes that share the users.",
)
def replay(
    logs: tuple[str, ...],
    segments: tuple[str, ...],
    mapping: str | None,
    out: str,
    dead_letters: str | None,
    members: str | None,
    stats: str | None,
    state: str | None,
    until: int | None,
    config_file: str | None,
    lateness: int | None,
    idle_after: int | None,
    clock_skew: int | None,
    dedup_window: int | None,
    dedup_size: int | None,
    batch_size: int,
    partitions: int | None,
    workers: int,
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
    given = {
        "lateness": lateness,
        "clock_skew": clock_skew,
        "dedup_window": dedup_window,
        "dedup_size": dedup_size,
    }
    times = replace(_times(settings), **{name: value for name, value in given.items() if value is not None})
    if idle_after is not None:
        times = replace(times, idle_after=None if idle_after == OFF else idle_after)
    if state and (partitions or 1) < workers:
        raise click.UsageError(
            f"with --state a process has whole partitions: --workers {workers} needs --partitions {workers} or more"
        )
    plan = compile_plan(load_definitions(names))
    job = Job(
        logs=logs,
        definitions=tuple(map(locate, names)),
        mapping=mapping or (settings.mapping if settings else "canonical"),
        times=times,
        partitions=partitions,
        batch_size=batch_size,
        until=until,
        state=state,
        dead_letters=dead_letters,
        **({"max_event_bytes": settings.max_event_bytes} if settings else {}),
    )
    load_mapping(job.mapping)
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
    _summarise([rule.name for rule in plan.rules], outcome, run.reasons, seconds)


def _times(settings: Settings | None) -> TimeSettings:
    if settings is None:
        return TimeSettings()
    clock = settings.time
    return TimeSettings(
        clock.lateness, clock.clock_skew, clock.idle_after, clock.dedup_window, clock.dedup_size
    )


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
