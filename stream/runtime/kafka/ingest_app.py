"""The ingest stage in a process of its own: `segstream ingest`.

A group of its own, `<app>-ingest`, shares the source topics; as many processes as there are partitions can take part.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Any

import faust
from faust.web import Request, Response, View

from stream.config import Settings
from stream.errors import ConfigError, SegstreamError
from stream.metrics import CONTENT_TYPE, Metrics
from stream.runtime.kafka.faust_app import App, add_sources, bare_app, execute, spare_the_collector
from stream.runtime.kafka.http import exposed
from stream.runtime.kafka.journal import quiet_libraries
from stream.runtime.kafka.sources import SourceStage

log = logging.getLogger("stream.start")


class IngestApp(App):
    """A Faust app that carries an ingest stage, and no worker."""

    broken: BaseException | None = None

    @property
    def failure(self) -> BaseException | None:
        return self.broken

    async def on_first_start(self) -> None:
        await faust.App.on_first_start(self)
        quiet_libraries(self.settings.log)
        spare_the_collector()
        assert self.stage is not None
        try:
            await self.stage.start()
        except SegstreamError as error:
            self.broken = error
            raise
        log.info("segstream %s, ingest of %s", version("segstream"), ", ".join(self.stage.topics))

    async def stop_work(self) -> None:
        if self.stage is not None:
            await self.stage.stop()


def create_ingest_app(settings: Settings) -> IngestApp:
    """The app, not started. DefinitionError or ConfigError if it cannot be."""
    if not settings.sources:
        raise ConfigError("no sources are configured: set `sources` to topics and their mappings")
    if settings.ingest != "separate":
        raise ConfigError("`ingest: worker` lets each worker do this: set `ingest: separate`")
    group = f"{settings.app}-ingest"
    metrics = Metrics()
    stage = SourceStage(settings, metrics, group)
    app = bare_app(settings, group, IngestApp)
    add_sources(app, stage)
    app.transport.positions = lambda: stage.positions
    app.transport.before_revoke = stage.pause

    @app.on_rebalance_complete.connect
    async def assigned(sender: Any, **_: Any) -> None:
        await stage.assign(app.consumer.assignment(), app.consumer.ends)

    _serve(app, stage, metrics)
    return app


def _serve(app: IngestApp, stage: SourceStage, metrics: Metrics) -> None:
    @app.page("/metrics")
    async def exposition(self: View, request: Request) -> Response:
        return self.bytes(exposed(metrics, request), headers={"Content-Type": CONTENT_TYPE})

    @app.page("/live")
    async def live(self: View, request: Request) -> Response:
        return self.json({"live": app.failure is None}, status=200 if app.failure is None else 503)

    @app.page("/ready")
    async def ready(self: View, request: Request) -> Response:
        partitions = sorted(f"{tp.topic}-{tp.partition}" for tp in stage.positions)
        state = {"ready": stage.running, "partitions": partitions}
        return self.json(state, status=200 if stage.running else 503)


def run_ingest(settings: Settings) -> int:
    """Runs the ingest stage until it is told to stop. The exit code: 0, or that of the error that ended it."""
    try:
        app = create_ingest_app(settings)
    except SegstreamError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return execute(app)
