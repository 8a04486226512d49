"""The Faust application around a worker, whatever engine it runs.

One agent on the events topic hands what each fetch brought to the worker. Agents are supervised by crashing: a
restarted agent would go on behind the message that failed. Whatever goes wrong ends the process; what is true then
stands in the changelog, and the next start goes on from there.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import faust
from faust.app.base import BootStrategy
from faust.types import TP
from mode.supervisors import CrashingSupervisor

from stream.compiled import describe_engine
from stream.config import Settings
from stream.errors import SegstreamError
from stream.ingest import Ingest
from stream.runtime.kafka.connection import aiokafka_options, group_options
from stream.runtime.kafka.http import guard, serve
from stream.runtime.kafka.journal import quiet_libraries, set_up_logging
from stream.runtime.kafka.sources import SourceStage
from stream.runtime.kafka.transport import BUFFERED_LOADS, BatchSchema, BatchTransport
from stream.runtime.kafka.waypoints import Passing, nobody
from stream.runtime.kafka.worker import Worker

if TYPE_CHECKING:
    from stream.engine import Engine

log = logging.getLogger("stream.start")

_LEAVE_SECONDS = 5.0
"""How long Faust may take to leave the group once the worker has stopped, which has bounds of its own."""
STOP_SECONDS = 25.0
"""All bounds of a stop together. A container is given more (docker-compose.yml, deploy/kubernetes)."""


class _BootStrategy(BootStrategy):
    """Without Faust's own producer: the worker has its own."""

    enable_kafka_producer = False


AppT = TypeVar("AppT", bound="App")


class App(faust.App):
    """A Faust app that carries the worker and the settings."""

    BootStrategy = _BootStrategy

    worker: Worker
    settings: Settings
    definitions_hash: str
    stage: SourceStage | None = None
    """The ingest stage, where it runs here."""

    patience: threading.Timer | None = None
    """Runs while the app stops."""

    @property
    def failure(self) -> BaseException | None:
        """What ended the process, if that was no signal."""
        return self.worker.failure

    async def on_first_start(self) -> None:
        await super().on_first_start()
        quiet_libraries(self.settings.log)  # once more: Faust's own command has set up logging meanwhile
        spare_the_collector()
        try:
            await self.worker.start()
            if self.stage is not None:
                await self.stage.start()
        except SegstreamError as error:
            self.worker.failure = error
            raise
        log.info(
            "segstream %s, engine %s, definitions %s",
            *(version("segstream"), describe_engine(), self.definitions_hash),
            extra={"app": self.settings.app, **self.worker.describe()},
        )

    async def stop_work(self) -> None:
        """Finishes what is under way."""
        if self.stage is not None:
            await self.stage.stop()
        await self.worker.stop()

    async def on_stop(self) -> None:
        await self.stop_work()
        self.patience = threading.Timer(_LEAVE_SECONDS, self._leave)
        self.patience.daemon = True
        self.patience.start()
        await super().on_stop()

    def _leave(self) -> None:
        """Faust's consumer may wait for a broker that is gone. The worker has stopped: there is nothing to lose."""
        log.warning("leaving without a word to Kafka, which does not answer within %.0f s", _LEAVE_SECONDS)
        logging.shutdown()
        os._exit(exit_code(self.failure))


def exit_code(failure: BaseException | None) -> int:
    """What the process ends with."""
    if failure is None:
        return 0
    return failure.exit_code if isinstance(failure, SegstreamError) else 3


def bare_app(settings: Settings, group: str, kind: type[AppT]) -> AppT:
    """An app without agents: the settings of Faust, and the transport by the batch."""
    quicken_loops()
    app = kind(
        group,
        version=1,
        id_format="{id}",
        broker=[f"kafka://{broker}" for broker in settings.kafka.brokers.split(",")],
        datadir=settings.state_dir,
        agent_supervisor=CrashingSupervisor,
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=1,
        stream_wait_empty=False,
        stream_buffer_maxsize=BUFFERED_LOADS,
        broker_max_poll_records=settings.batch.max_poll_records,
        consumer_max_fetch_size=settings.batch.fetch_bytes,
        broker_request_timeout=40.0,
        web_bind=settings.http.host,
        web_host=settings.http.host,
        web_port=settings.http.port or _free_port(settings.http.host),
        web_router_enabled=False,
        web_tables_enabled=False,
        web_stats_enabled=False,
        web_graph_enabled=False,
        worker_redirect_stdouts=False,
        web_application_options={"middlewares": [guard(settings.http.token)]}
        if settings.http.token
        else None,
        store="memory://",
    )
    app.settings = settings
    transport = BatchTransport(
        [f"kafka://{broker}" for broker in settings.kafka.brokers.split(",")], app, loop=app.loop
    )
    transport.client_options = {**aiokafka_options(settings), **group_options(settings)}
    app.transport = transport
    return app


def add_sources(app: App, stage: SourceStage) -> None:
    """An agent for each source topic, which hands its batches to the stage."""
    app.stage = stage
    for number, name in enumerate(stage.topics):
        _add_source(app, stage, number, name)


def _add_source(app: App, stage: SourceStage, number: int, name: str) -> None:
    topic = app.topic(name, schema=BatchSchema(), internal=False, allow_empty=True)

    @app.agent(topic, name=f"source-{number}", concurrency=1)
    async def take(stream: Any) -> None:
        async for load in stream.noack():
            for each in load:
                await stage.take(each, name, each.tp.partition, each.batch)
            load.taken = True


def assemble(
    settings: Settings, engine: Engine, ingest: Ingest, definitions_hash: str, passing: Passing = nobody
) -> App:
    """A worker for an engine, whatever it computes; `passing` is told where it stands."""
    app = bare_app(settings, settings.app, App)
    app.definitions_hash = definitions_hash

    async def failed(error: BaseException) -> None:
        await app.crash(error)

    async def rejoin() -> None:
        await app.consumer.rejoin()

    worker = app.worker = Worker(settings, engine, ingest, failed, rejoin, passing)
    worker.metrics.lateness.set(settings.time.lateness / 1000)
    worker.metrics.definitions.info({"hash": definitions_hash})
    worker.metrics.build.info({"version": version("segstream")})
    topic_name = settings.topics.events
    stage = SourceStage(settings, worker.metrics, settings.app) if _has_stage(settings) else None
    if stage is not None:
        add_sources(app, stage)

    def positions() -> dict[TP, int]:
        own = {TP(topic_name, number): at for number, at in worker.positions().items()}
        return own if stage is None else own | stage.positions

    async def rest() -> None:
        await asyncio.gather(worker.revoke(), *([] if stage is None else [stage.pause()]))

    app.transport.positions = positions
    app.transport.before_revoke = rest

    topic = app.topic(topic_name, schema=BatchSchema(), internal=False, allow_empty=True)

    @app.agent(topic, name="segstream", concurrency=1)
    async def take(stream: Any) -> None:
        async for load in stream.noack():
            for each in load:
                await worker.offer(each, each.tp.partition, each.batch)
            load.taken = True

    @app.on_rebalance_complete.connect
    async def assigned(sender: Any, **_: Any) -> None:
        consumer = app.consumer
        worker.ends = consumer.ends
        assignment = consumer.assignment()
        if stage is not None:
            await stage.assign(assignment, consumer.ends)
        await worker.assign(tp.partition for tp in assignment if tp.topic == topic_name)

    serve(app)
    return app


def _has_stage(settings: Settings) -> bool:
    return bool(settings.sources) and settings.ingest == "worker"


def _free_port(host: str) -> int:
    """Faust wants a number of its own choice where 0 means any."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def quicken_loops() -> None:
    """Event loops made from now on are uvloop's, where there is one for the platform.

    A fetch takes turns of a loop, thirteen in aiokafka's own way, a round about as many, and what is fetched comes
    through its sockets: a worker takes a sixth less CPU than with asyncio's own.
    """
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def spare_the_collector() -> None:
    """Almost nothing here is a cycle: look for them seldom, and never among what was there at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def execute(app: App) -> int:
    """Runs a worker's app until it is told to stop."""
    set_up_logging(app.settings.log)
    os.umask(0o077)  # the state is personal data: what is written here is for this user alone
    worker = app.Worker(override_logging=False, quiet=True, stdout=sys.stderr)
    worker.spinner = None
    code: object = None
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # what crashed first is raised again, be it an agent that was cancelled
        if app.failure is None:
            raise
    if app.patience is not None:
        app.patience.cancel()
    failure = app.failure
    if failure is not None:
        print(failure, file=sys.stderr)
        return exit_code(failure)
    return code if isinstance(code, int) else 3
