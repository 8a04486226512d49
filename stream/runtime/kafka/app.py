"""The worker as it is started: settings and definitions in, a running process out.

segstream run --config FILE                                       `run(settings)`
SEGSTREAM_CONFIG=FILE faust -A stream.runtime.kafka.app worker    Faust's own command, the same thing
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from stream.config import Settings, load_settings
from stream.definitions import load
from stream.engine import Engine, TimeSettings, compile_plan
from stream.errors import ConfigError, SegstreamError
from stream.ingest import Ingest, load_mapping
from stream.runtime.kafka.faust_app import App, assemble, execute
from stream.runtime.kafka.watch import DefinitionsWatch
from stream.runtime.kafka.waypoints import Passing, nobody

_LOOK_SECONDS = 10.0
"""How often the definition files are looked at."""


def create_app(settings: Settings, passing: Passing = nobody) -> App:
    """The app, not started. DefinitionError or ConfigError if it cannot be. `passing` is told where it stands."""
    if not settings.definitions:
        raise ConfigError("no definitions are configured: set `definitions` to files, or to `pack:retail`")
    plan = compile_plan(load(list(settings.definitions)))
    engine = Engine(plan, time_settings(settings), step_bytes=settings.batch.step_bytes // 2)
    mapping = None if settings.mapping == "canonical" else load_mapping(settings.mapping)
    ingest = Ingest(mapping, event_type=plan.event_type, max_event_bytes=settings.max_event_bytes)
    app = assemble(settings, engine, ingest, plan.hash, passing)
    definitions, metrics = plan.definitions, app.worker.metrics
    ladders = {name: [tier.name for tier in each.tiers] for name, each in definitions.ladders.items()}
    metrics.prepare(settings.topics.events, definitions.segments, ladders)
    metrics.definitions_reload.labels("loaded").inc()
    watch = DefinitionsWatch(settings.definitions, plan.hash, metrics)

    @app.timer(_LOOK_SECONDS)
    async def look() -> None:
        await asyncio.to_thread(watch.look)

    return app


def time_settings(settings: Settings) -> TimeSettings:
    """What the engine needs to know of the clock."""
    times = settings.time
    return TimeSettings(
        lateness=times.lateness,
        clock_skew=times.clock_skew,
        idle_after=times.idle_after,
        dedup_window=times.dedup_window,
        dedup_size=times.dedup_size,
    )


def run(settings: Settings) -> int:
    """Runs a worker until it is told to stop. The exit code: 0, or that of the error that ended it."""
    try:
        app = create_app(settings)
    except SegstreamError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return execute(app)


def __getattr__(name: str) -> Any:
    """`app` for Faust's command line, made of `SEGSTREAM_CONFIG` when it is asked for."""
    if name != "app":
        raise AttributeError(name)
    made = globals()["app"] = create_app(load_settings(None, os.environ))
    return made
