"""`segstream demo`: a simulated shop through the engine, with nothing else needed."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from itertools import groupby

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from stream.changes import Change
from stream.cli.options import load_definitions, writing
from stream.cli.tables import changes_table
from stream.durations import DAY, MINUTE
from stream.engine import compile_plan
from stream.events import Event
from stream.ingest import Ingest
from stream.instants import format_instant
from stream.runtime.embedded import EmbeddedRuntime
from stream.simulate import Shop, simulate

_SHOWN = 12
_FRAMES_PER_SECOND = 20
_LINES = 14
_WIDTHS = {"effective at": 12, "user": 8, "segment": 23, "change": 14}
_FRAME = 16
"""Characters of lines and space around five columns."""
_COLOURS = {"entered": "green", "moved": "cyan", "renewed": "cyan", "exited": "yellow", "retracted": "red"}


@click.command()
@click.option("--users", default=300, show_default=True, type=click.IntRange(1), help="Shoppers.")
@click.option("--days", default=100, show_default=True, type=click.IntRange(1), help="Simulated days.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another shop.")
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    help="How long the show takes; 0 is as fast as it goes.  [default: 15 on a terminal, else 0]",
)
@click.option("--segments", multiple=True, default=("pack:retail",), metavar="FILE", help="Definitions.")
@click.option("--out", default="demo-changes.jsonl", show_default=True, metavar="FILE", help="All changes.")
def demo(
    users: int, days: int, seed: int, seconds: float | None, segments: tuple[str, ...], out: str
) -> None:
    """Show the main job: a simulated shop, segment changes as they happen, then a summary.

    \b
    Example:
      segstream demo --users 1000 --days 30 --seconds 20
    """
    console = Console()
    if seconds is None:
        seconds = 15.0 if console.is_terminal else 0.0
    definitions = load_definitions(segments)
    plan = compile_plan(definitions)
    runtime = EmbeddedRuntime(plan)
    shop = Shop(users, days, seed)
    console.print(f"A shop with {users:,} shoppers, {days} days, {len(plan.rules)} segments")
    began = time.perf_counter()
    show = (
        _Screen(shop.start, days, seconds, console)
        if console.is_terminal
        else _Paper(shop.start, days, console)
    )
    changes: list[Change] = []
    end = shop.start
    with show:
        for until, events in _minutes(shop, Ingest(event_type=plan.event_type)):
            decided = runtime.feed(0, events)
            changes += decided
            show.step(until, len(events), decided)
            end = until
        changes += runtime.finish(end)
    took = time.perf_counter() - began
    changes.sort(key=lambda change: change.sort_key)
    with writing(out) as file:
        file.writelines(change.value + b"\n" for change in changes)
    tally = runtime.tally
    console.print(changes_table(definitions.order, tally.changes, runtime.members()))
    by_time = sum(number for (_, _, cause), number in tally.changes.items() if cause == "timer")
    console.print(
        f"{tally.events:,} events ({tally.late_applied + tally.late_expired:,} late, {tally.duplicates:,} twice, "
        f"{tally.clamped:,} from phones with a wrong clock) gave {len(changes):,} changes in {took:.1f} s, "
        f"{by_time:,} of them because nothing happened.\nAll changes: {out}",
        highlight=False,
    )


def _minutes(shop: Shop, ingest: Ingest) -> Iterator[tuple[int, list[Event]]]:
    """The shop's events as they arrive, a quarter of an hour at a time, with its end."""
    events = (ingest.read(line, offset=0) for line in simulate(shop))
    span = 15 * MINUTE
    for slot, arrived in groupby(events, key=lambda event: event.record_time // span):
        yield (slot + 1) * span, list(arrived)


class _Paper:
    """Where there is no terminal: a line every so many simulated days."""

    def __init__(self, start: int, days: int, console: Console) -> None:
        self._console = console
        self._start = start
        self._span = max(1, days // _LINES) * DAY
        self._line = 0
        self._events = self._changes = 0

    def __enter__(self) -> None:
        self._console.print("from        events  changes")

    def __exit__(self, *error: object) -> None:
        self._tell()

    def step(self, until: int, events: int, decided: list[Change]) -> None:
        line = (until - 1 - self._start) // self._span
        if line != self._line:
            self._tell()
            self._line, self._events, self._changes = line, 0, 0
        self._events += events
        self._changes += len(decided)

    def _tell(self) -> None:
        date = format_instant(self._start + self._line * self._span)[:10]
        self._console.print(f"{date} {self._events:7,} {self._changes:8,}", highlight=False)


class _Screen:
    """The latest changes and a progress bar, redrawn as simulated time passes."""

    def __init__(self, start: int, days: int, seconds: float, console: Console) -> None:
        self._start, self._span = start, days * DAY
        self._seconds = seconds
        self._latest: deque[Change] = deque(maxlen=_SHOWN)
        self._events = self._changes = 0
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[told]}")
        )
        self._task = self._bar.add_task("", total=self._span, told="")
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = self._drawn = time.perf_counter()

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def step(self, until: int, events: int, decided: list[Change]) -> None:
        self._events += events
        self._changes += len(decided)
        self._latest.extend(sorted(decided, key=lambda change: change.sort_key))
        passed = min((until - self._start) / self._span, 1.0)
        early = self._began + passed * self._seconds - time.perf_counter()
        if early > 0:
            time.sleep(early)
        now = time.perf_counter()
        if now - self._drawn >= 1 / _FRAMES_PER_SECOND or passed == 1.0:
            self._drawn = now
            self._bar.update(
                self._task,
                completed=passed * self._span,
                description=format_instant(until)[:16].replace("T", " "),
                told=f"{self._events:,} events  {self._changes:,} changes",
            )
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Group:
        rest = max(self._live.console.width - sum(_WIDTHS.values()) - _FRAME, 8)
        table = Table()
        for heading, width in (_WIDTHS | {"because": rest}).items():
            table.add_column(heading, no_wrap=True, width=width)
        for change in self._latest:
            colour = _COLOURS.get(change.type, "white")
            told = json.loads(change.value)
            value = told["segment"].get("value")
            table.add_row(
                format_instant(change.effective_at)[5:16].replace("T", " "),
                change.user,
                change.segment,
                f"[{colour}]{change.type}{f' {value}' if value else ''}[/]",
                _because(told),
            )
        for _ in range(_SHOWN - len(self._latest)):
            table.add_row("", "", "", "", "")
        return Group(table, self._bar)


def _because(told: dict[str, object]) -> str:
    """The first leaf of the reason, or else the cause, in a few words."""
    reason = told.get("reason")
    if isinstance(reason, list) and reason:
        return str(reason[0].get("leaf", ""))
    return str(told.get("cause", ""))
