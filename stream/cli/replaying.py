"""What `replay` and `diff` share: how logs are read, and what is written of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import reduce
from typing import Any
from zoneinfo import ZoneInfo

import click

from stream.cli.options import DURATION, DURATION_OR_OFF, INSTANT, OFF, config_option
from stream.config import Settings
from stream.engine import TimeSettings
from stream.ingest import load_mapping
from stream.packs import locate
from stream.replay import Job, Outcome
from stream.replay.history import History
from stream.reports.pictures import Period

_OPTIONS = (
    click.option("--until", type=INSTANT, help="Where to end.  [default: the largest event time]"),
    config_option,
    click.option("--lateness", type=DURATION, help="How long the watermark waits.  [default: 0s]"),
    click.option(
        "--idle-after", type=DURATION_OR_OFF, help="Silence that moves a watermark.  [default: off]"
    ),
    click.option("--clock-skew", type=DURATION, help="Later events get their record time.  [default: 5m]"),
    click.option("--dedup-window", type=DURATION, help="How old a repeat may be.  [default: 1d]"),
    click.option("--dedup-size", type=click.IntRange(1), help="Ids remembered of a user.  [default: 64]"),
    click.option(
        "--partitions", type=click.IntRange(1, 10_000), help="How many.  [default: as recorded, else 1]"
    ),
    click.option(
        "--workers",
        default=1,
        show_default=True,
        type=click.IntRange(1, 64),
        help="Processes that share the users.",
    ),
)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of how a log is replayed."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def make_job(
    logs: tuple[str, ...],
    names: tuple[str, ...],
    settings: Settings | None,
    *,
    mapping: str | None,
    until: int | None,
    lateness: int | None,
    idle_after: int | None,
    clock_skew: int | None,
    dedup_window: int | None,
    dedup_size: int | None,
    partitions: int | None,
    **more: Any,
) -> Job:
    """The job of these options; those that are not given come from the settings. DefinitionError for a bad mapping."""
    given = {
        "lateness": lateness,
        "clock_skew": clock_skew,
        "dedup_window": dedup_window,
        "dedup_size": dedup_size,
    }
    times = replace(_times(settings), **{name: value for name, value in given.items() if value is not None})
    if idle_after is not None:
        times = replace(times, idle_after=None if idle_after == OFF else idle_after)
    if settings is not None:
        more["max_event_bytes"] = settings.max_event_bytes
    job = Job(
        logs=logs,
        definitions=tuple(map(locate, names)),
        mapping=mapping or (settings.mapping if settings else "canonical"),
        times=times,
        partitions=partitions,
        until=until,
        **more,
    )
    load_mapping(job.mapping)
    return job


def period_of(outcome: Outcome | None, histories: tuple[History, ...], zone: str | None) -> Period:
    """What pictures show: all of the log, or where that is not known, from the first change to the last."""
    known = [at for history in histories for at in (history.first, history.last) if at is not None] or [0]
    first, last = min(known), max(known)
    if outcome is not None and outcome.first is not None and outcome.until is not None:
        first, last = min(first, outcome.first), max(last, outcome.until)
    place: tzinfo = ZoneInfo(zone) if zone else UTC
    return Period(first, last, place)


def _times(settings: Settings | None) -> TimeSettings:
    if settings is None:
        return TimeSettings()
    clock = settings.time
    return TimeSettings(
        clock.lateness, clock.clock_skew, clock.idle_after, clock.dedup_window, clock.dedup_size
    )
