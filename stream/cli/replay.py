"""`segstream replay`: recorded logs through the engine."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

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
from stream.cli.tables import changes_table, counted
from stream.config import Settings
from stream.engine import TimeSettings, compile_plan
from stream.errors import OperatorError
from stream.ingest import DeadLetter, load_mapping
from stream.replay import BATCH_SIZE, Log, Outcome, Replay, write_members, write_stats
from stream.state import MemoryStore, Store


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
@click.option(
    "--batch-size", default=BATCH_SIZE, show_default=True, type=click.IntRange(1), help="Records at once."
)
@click.option(
    "--partitions", type=click.IntRange(1, 10_000), help="How many.  [default: as recorded, else 1]"
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
    batch_size: int,
    partitions: int | None,
) -> None:
    """Replay recorded logs (JSON lines, CSV, Parquet; .gz, .zst; - is standard input) without a broker.

    Changes come out ordered by effective_at, user, segment, instance and seq. The same logs give the same bytes,
    whatever the batch size. With --config, its definitions, mapping and time settings hold where no option says
    otherwise.

    \b
    Example:
      segstream replay shop.jsonl.gz --segments pack:retail --out changes.jsonl --stats stats.json
    """
    settings = read_settings(config_file) if config_file else None
    names = segments or (settings.definitions if settings else ())
    if not names:
        raise click.UsageError("say which definitions: --segments FILE, or --segments pack:retail")
    given = {"lateness": lateness, "clock_skew": clock_skew, "dedup_window": dedup_window}
    times = replace(_times(settings), **{name: value for name, value in given.items() if value is not None})
    if idle_after is not None:
        times = replace(times, idle_after=None if idle_after == OFF else idle_after)
    plan = compile_plan(load_definitions(names))
    compiled = load_mapping(mapping or (settings.mapping if settings else "canonical"))
    opened = [Log(path) for path in logs]
    reasons: Counter[str] = Counter()
    began = time.perf_counter()
    with ExitStack() as files:
        to_changes = files.enter_context(writing(out))
        letters = files.enter_context(writing(dead_letters)) if dead_letters else None
        run = Replay(
            plan,
            times,
            mapping=compiled,
            partitions=partitions,
            batch_size=batch_size,
            until=until,
            max_event_bytes=settings.max_event_bytes if settings else 256 << 10,
            store=_rocks(Path(state), partitions or 1) if state else lambda partition: MemoryStore(),
            on_dead_letter=_keep(letters, reasons),
        )
        files.callback(run.runtime.close)
        # Batches leave no cycles behind: collecting young objects all the time finds nothing.
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        _feed(run, opened)
        outcome = run.finish()
        to_changes.writelines(change.value + b"\n" for change in outcome.changes)
        seconds = time.perf_counter() - began
        if members:
            write_members(outcome, files.enter_context(writing(members)))
        if stats:
            write_stats(run, reasons, seconds, files.enter_context(writing(stats)))
    _summarise(run, outcome, reasons, seconds)


def _times(settings: Settings | None) -> TimeSettings:
    if settings is None:
        return TimeSettings()
    clock = settings.time
    return TimeSettings(clock.lateness, clock.clock_skew, clock.idle_after, clock.dedup_window)


def _rocks(folder: Path, partitions: int) -> Callable[[int], Store]:
    """Stores in a folder. What an earlier replay left there is continued, as a worker continues after a restart."""
    from stream.state.rocks import RocksStore  # loads RocksDB

    found = sorted(place.name for place in folder.iterdir()) if folder.exists() else []
    if found != [str(number) for number in range(len(found))]:
        raise OperatorError(
            f"{folder} is no state of a replay: name an empty folder, or one that a replay left"
        )
    if found and len(found) != partitions:
        raise OperatorError(
            f"{folder} holds the state of {len(found)} partitions: go on with `--partitions {len(found)}`, or name "
            "another folder"
        )

    def open_store(partition: int) -> Store:
        place = folder / str(partition)
        place.mkdir(parents=True, exist_ok=True)
        return RocksStore(place)

    return open_store


def _keep(file: IO[bytes] | None, reasons: Counter[str]) -> Callable[[DeadLetter], None]:
    def keep(letter: DeadLetter) -> None:
        reasons[letter.reason] += 1
        if file is not None:
            file.write(letter.to_json() + b"\n")

    return keep


def _feed(run: Replay, logs: list[Log]) -> None:
    """All logs, with a progress bar on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(
        *columns, TimeRemainingColumn(), console=stderr, disable=not stderr.is_terminal, transient=True
    ) as bar:
        for log in logs:
            task = bar.add_task(Path(log.path).name, total=log.size, rate="")
            began, before = time.perf_counter(), run.outcome.records
            for records in run.feed(log):
                speed = (records - before) / (time.perf_counter() - began)
                bar.update(task, completed=log.position, rate=f"{speed:,.0f} records/s")


def _summarise(run: Replay, outcome: Outcome, reasons: Counter[str], seconds: float) -> None:
    tally = run.runtime.tally
    names = [rule.name for rule in run.runtime.plan.rules]
    if stderr.is_terminal:
        stderr.print(changes_table(names, tally.changes, run.runtime.members()))
    read, users = counted(outcome.records, "record"), counted(run.runtime.users, "user")
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
