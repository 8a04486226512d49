"""Progress on a terminal: how far, how fast, how long still. Elsewhere nothing is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stream.cli.options import stderr
from stream.replay.logs import STDIN

_UNTOLD_SECONDS = 0.1


@contextmanager
def reading_progress(logs: Sequence[str], what: str = "") -> Iterator[Callable[[int, int | None], None]]:
    """A bar over the bytes of all logs; what it gives is told records and bytes read so far."""
    total = None if STDIN in logs else sum(Path(path).stat().st_size for path in logs if Path(path).exists())
    name = what or (Path(logs[0]).name if len(logs) == 1 else f"{len(logs)} logs")
    with _bar(name, total) as tell:
        yield lambda records, position: tell(records, position, None)


@contextmanager
def counting_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over records; what it gives is told how many were handled so far, and how many there are."""
    with _bar(name, None) as tell:
        yield lambda done, total: tell(done, done, total)


@contextmanager
def _bar(name: str, total: int | None) -> Iterator[Callable[[int, int | None, int | None], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(
        *columns, TimeRemainingColumn(), console=stderr, disable=not stderr.is_terminal, transient=True
    ) as bar:
        task = bar.add_task(name, total=total, rate="")
        began = told = time.perf_counter()

        def tell(records: int, completed: int | None, out_of: int | None) -> None:
            nonlocal told
            now = time.perf_counter()
            if now - told >= _UNTOLD_SECONDS:
                told = now
                rate = f"{records:,} records, {records / (now - began):,.0f}/s"
                bar.update(task, completed=completed, total=out_of or total, rate=rate)

        yield tell
