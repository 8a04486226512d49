"""`segstream diff`: what changes between two outputs, or between two sets of definitions on one log."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from stream.cli.options import keep_apart, load_definitions, read_settings, segments_option, stderr, writing
from stream.cli.progress import reading_progress
from stream.cli.replaying import log_options, make_job, period_of
from stream.definitions import Definitions
from stream.engine import Explained, Plan, compile_plan
from stream.errors import SegstreamError
from stream.replay import Job, Outcome, run_job
from stream.replay.compare import Comparison, Example, Kind, compare
from stream.replay.history import RowHistory
from stream.replay.outputs import moves, read_output
from stream.replay.why import Ask, explain_all
from stream.replay.workers import with_copy_of_stdin
from stream.reports.difference import (
    Whys,
    asked_after,
    difference_page,
    headline,
    is_minor,
    order_of,
    sentences,
)
from stream.reports.json import comparison_fields
from stream.reports.ladders import ladders_of, moved_sentence
from stream.reports.pictures import check_matplotlib
from stream.reports.run import About, rows_of, zone_of

SAME, DIFFERENT, TROUBLE = 0, 1, 2
_FILES = 2
_WIDE = 200


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="A B | LOG...")
@segments_option
@click.option(
    "--against", multiple=True, metavar="FILE", help="The new definitions; files and packs, like --segments."
)
@click.option("--mapping", metavar="NAME|FILE", help="How records are read.  [default: canonical]")
@log_options
@click.option("--report", metavar="FILE", help="A page with pictures and examples, for people.")
@click.option("--json", "json_file", metavar="FILE", help="Everything, for machines; - is standard output.")
def diff(
    files: tuple[str, ...],
    segments: tuple[str, ...],
    against: tuple[str, ...],
    config_file: str | None,
    workers: int,
    report: str | None,
    json_file: str | None,
    **options: Any,
) -> None:
    """Say what would change: who enters, leaves or moves in one of two runs only, when, and why.

    With --against, logs are replayed under the definitions of --segments and under the new ones. Without it, A and B
    are outputs of `segstream replay`, or recordings of the changes topic. Memberships are compared, and what may be
    done about them, not ids, hashes and reasons, which differ whenever a definition does.

    Ends like diff(1): 0 nothing differs, 1 something does, 2 the command, a file or a definition is wrong.

    \b
    Example:
      segstream diff october.jsonl.zst --segments live.yaml --against new.yaml --report report.html
    """
    try:
        differs = _diff(files, segments, against, config_file, workers, report, json_file, options)
    except SegstreamError as error:
        if error.exit_code == DIFFERENT:  # that code has another meaning here
            error.exit_code = TROUBLE
        raise
    raise click.exceptions.Exit(DIFFERENT if differs else SAME)


def _diff(
    files: tuple[str, ...],
    segments: tuple[str, ...],
    against: tuple[str, ...],
    config_file: str | None,
    workers: int,
    report: str | None,
    json_file: str | None,
    options: dict[str, Any],
) -> bool:
    settings = read_settings(config_file) if config_file else None
    keep_apart((*files, *segments, *against, options["mapping"], config_file), report, json_file)
    if report:
        check_matplotlib()
    with ExitStack() as stack:
        if against:
            names = segments or (settings.definitions if settings else ())
            if not names:
                raise click.UsageError(
                    "say which definitions hold now: --segments FILE, or --segments pack:retail"
                )
            olds, news = load_definitions(names), load_definitions(against)
            jobs = [make_job(files, each, settings, **options) for each in (names, against)]
            if "-" in files:
                copy = Path(stack.enter_context(TemporaryDirectory(prefix="segstream-")))
                jobs[0] = with_copy_of_stdin(jobs[0], copy)
                jobs[1] = replace(jobs[1], logs=jobs[0].logs)
            is_told = report is not None or json_file is not None
            found = _of_definitions(jobs, (olds, news), workers, stack, is_told=is_told)
            comparison, outcome, whys, about = found
            rows, descriptions = rows_of(news)
            for name in (before_rows := rows_of(olds))[0]:
                if name not in descriptions:
                    rows.append(name)
                    descriptions[name] = before_rows[1][name]
            about = replace(
                about,
                logs=[Path(log).name for log in files],
                rows=rows,
                descriptions=descriptions,
                removed=frozenset(before_rows[0]) - frozenset(rows_of(news)[0]),
                added=frozenset(rows_of(news)[0]) - frozenset(before_rows[0]),
            )
            sides = (" + ".join(names), " + ".join(against))
            period = period_of(outcome, (comparison.before, comparison.after), zone_of(news))
            texts = _texts(jobs)
        else:
            if segments or len(files) != _FILES:
                raise click.UsageError(
                    "name two outputs of `segstream replay`; or a log, --segments with the definitions that hold now, "
                    "and --against with the new ones"
                )
            before, after = map(read_output, files)
            comparison = compare(moves(before), moves(after))
            sides, about, whys, texts = (files[0], files[1]), About(()), {}, []
            period = period_of(None, (comparison.before, comparison.after), None)
        if report:
            page = difference_page(comparison, period, about, sides, whys, texts)
            stack.enter_context(writing(report)).write(page.encode())
        if json_file:
            fields = comparison_fields(comparison, sides, whys)
            text = msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"
            stack.enter_context(writing(json_file)).write(text)
        _print(comparison, about, stderr if json_file == "-" else Console(highlight=False))
    return comparison.differs


def _of_definitions(
    jobs: list[Job],
    definitions: tuple[Definitions, Definitions],
    workers: int,
    stack: ExitStack,
    *,
    is_told: bool,
) -> tuple[Comparison, Outcome, Whys, About]:
    plans = [compile_plan(each) for each in definitions]
    outcomes = []
    for job, plan, what in zip(jobs, plans, ("before", "after"), strict=True):
        with reading_progress(job.logs, what) as progress:
            outcomes.append(run_job(job, workers, plan=plan, progress=progress, files=stack).outcome)
    comparison = compare(*(moves(outcome.changes) for outcome in outcomes))
    hashes = [{rule.name: rule.hash for rule in plan.rules} for plan in plans]
    edited = {name for name, _ in hashes[0].items() ^ hashes[1].items()}
    rows = {row for one in definitions for row in rows_of(one)[0] if row.partition(": ")[0] in edited}
    about = About((), outcomes[0].records, outcomes[0].users, edited=frozenset(rows))
    shown = [name for name in order_of(comparison, about) if not is_minor(name, comparison, about)]
    # Examples are explained where they are shown: it takes reading the log once more for each side.
    whys = _ask(jobs, plans, comparison.examples(shown)) if is_told else {}
    return comparison, outcomes[0], whys, about


def _ask(jobs: list[Job], plans: list[Plan], examples: Iterable[Example]) -> dict[Any, Explained | None]:
    """How it stood, at the instant of a change, on the side that had none."""
    asks: tuple[dict[Ask, list[Example]], dict[Ask, list[Example]]] = ({}, {})
    for example in examples:
        is_after = asked_after(example.kind)
        at, change = (example.before_at, example.before) if is_after else (example.after_at, example.after)
        if at is not None and change is not None and example.kind is not Kind.INTERRUPTED:
            late = change.cause == "late_event"
            trigger = msgspec.json.decode(change.value)["trigger"]["event_id"] if late else None
            ask = Ask(example.user, change.segment, example.instance, at, trigger)
            asks[is_after].setdefault(ask, []).append(example)
    whys = {}
    for job, plan, wanted in zip(jobs, plans, asks, strict=True):
        for ask, answer in explain_all(job, plan, list(wanted)).items():
            for example in wanted[ask]:
                whys[example.place] = answer
    return whys


def _texts(jobs: list[Job]) -> list[tuple[str, str, str]]:
    """The two sets of definitions, side by side as long as they are files of the same number."""
    files = [[Path(name.partition("?")[0]) for name in job.definitions] for job in jobs]
    if len(files[0]) != len(files[1]):
        return []
    pairs = zip(*files, strict=True)
    texts = [
        (old, new, old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8")) for old, new in pairs
    ]
    return [(f"{old.name} → {new.name}", one, other) for old, new, one, other in texts if one != other]


def _print(comparison: Comparison, about: About, console: Console) -> None:
    """The answer, for people at a terminal."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    console.print(headline(comparison, about), style="bold")
    names = order_of(comparison, about)
    if not names:
        return
    table = Table("segment", "what changes", show_lines=True)
    minor = []
    for name in names:
        if is_minor(name, comparison, about):
            minor.append(name)
            continue
        before, after = (side.rows.get(name, RowHistory()) for side in (comparison.before, comparison.after))
        table.add_row(name, "\n".join(sentences(name, comparison.rows[name], before, after)))
    if table.row_count:
        console.print(table)
    major = [name for name in names if name not in minor]
    for name in ladders_of(comparison, major):
        console.print(moved_sentence(name, comparison.ladders[name], about.rows), soft_wrap=True)
    if minor:
        console.print(f"Hardly touched, and not edited: {', '.join(minor)}", soft_wrap=True)
