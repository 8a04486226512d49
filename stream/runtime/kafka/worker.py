"""The worker: which partitions are ours, and the life of everything around them.

Faust tells of assignments, this class turns them into restored, claimed partitions and hands them to the rounds:

    revoke    pause: nothing more is taken, what was stepped is acknowledged; stores stay open
    complete  close what is not ours any more; keep what nobody has touched; restore and claim the rest; resume

Assignment is eager: every rebalance revokes everything first. A partition that comes back and whose log has not grown
in the meantime is kept as it is, warm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError
from stream.ingest import Ingest
from stream.metrics import Metrics
from stream.runtime.kafka import changelog, publish, upkeep
from stream.runtime.kafka.changelog import OutcomeUnknownError
from stream.runtime.kafka.cluster import USUAL_LAG_SECONDS, Bounds, Cluster
from stream.runtime.kafka.commit import Committer
from stream.runtime.kafka.connection import aiokafka_options, group_options
from stream.runtime.kafka.failures import kind_of, note_failure, read_failures
from stream.runtime.kafka.gauges import set_gauges
from stream.runtime.kafka.owned import Owned
from stream.runtime.kafka.producers import Producers
from stream.runtime.kafka.pulse import Pulse
from stream.runtime.kafka.raw import Fetched, SeenEnd
from stream.runtime.kafka.repair import Repairer
from stream.runtime.kafka.restore import Restored, Restorer, keep_private, open_rocks
from stream.runtime.kafka.rounds import Rounds
from stream.runtime.kafka.waypoints import Passing, Waypoint, nobody
from stream.state import StoreDamagedError
from stream.state.rocks import Memory

if TYPE_CHECKING:
    from stream.engine import Engine

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_STUCK_SECONDS = 300.0
"""A round that waits for Kafka longer is reported by /live."""
_GAUGE_SECONDS = 1.0
_SILENT_SECONDS = 15.0
"""Fetches are answered every tenth of a second: a worker that waits longer for one does not serve."""
_DRAIN_SECONDS = 15.0
"""How long a worker that is told to stop waits for the acknowledgement of what it has decided. What is not acknowledged
by then is not lost: the next start goes on from the log."""
_FLUSH_SECONDS = 30.0
"""What the local stores took since then is read from the changelog again after a crash."""
_MOST_LOSSES = 5
_PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds between tries to restore while Kafka cannot be reached."""


class Worker:
    """One process's share of the input."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        ingest: Ingest,
        failed: Callable[[BaseException], Awaitable[None]],
        rejoin: Callable[[], Awaitable[None]],
        passing: Passing = nobody,
    ) -> None:
        """`failed` ends the process, `rejoin` asks for a rebalance, `passing` is told where the worker stands."""
        self.settings = settings
        self.metrics = Metrics()
        self.ends: dict[Any, SeenEnd] = {}
        """When each partition was seen to its end; the consumer fills it in."""
        self.failure: BaseException | None = None
        self._ingest = ingest
        self._tell_failure = failed
        self._rejoin = rejoin
        self._passing = passing
        self._options = aiokafka_options(settings)
        self._engine = engine
        self._state_topic = settings.topics.state or f"{settings.app}-state"
        self._memory = Memory()
        self._owned: dict[int, Owned] = {}
        self._partitions = 0
        self._assigning: asyncio.Task[None] | None = None
        self._generation: int | None = None  # of definitions; None until the first assignment
        self._ticker: asyncio.Task[None] | None = None
        self._producers = Producers(self._options)
        self._rounds: Rounds | None = None
        self._ready = False
        self._stopping = False
        self._resumed = 0.0
        for kind, count in read_failures(Path(settings.state_dir)).items():
            self.metrics.failures.labels(kind).inc(count)
        self._cluster = Cluster(self._options, settings, self._state_topic)
        self._repairer = Repairer(self._options, self._state_topic, passing)
        self._pulse = Pulse(group_options(settings)["session_timeout_ms"] / 1000)
        self._mark_seconds = USUAL_LAG_SECONDS / 4
        self._committer: Committer | None = None
        self._losses = 0
        """Times that everything was let go since a round last came to its end."""

    # life

    async def start(self) -> None:
        """Connects the producers and looks at the topics; OperatorError if something is missing."""
        keep_private(Path(self.settings.state_dir))
        try:
            await self._producers.open()
        except KafkaError as error:
            raise OperatorError(
                f"Kafka at {self.settings.kafka.brokers} cannot be reached: {error}"
            ) from error
        self._partitions = await self._cluster.check_topics(self._producers.changelog)
        self._mark_seconds = await self._cluster.compaction_lag() / 4
        self._rounds = Rounds(
            self._engine,
            self._ingest,
            self.metrics,
            topic=self.settings.topics.events,
            partitions=self._partitions,
            source=f"/segstream/{self.settings.app}",
            step_bytes=self.settings.batch.step_bytes,
            failed=self.fail,
            lost=self._let_go,
        )
        self._rounds.start()
        self._ticker = asyncio.create_task(self._keep_ticking())

    async def stop(self) -> None:
        """Finishes the rounds unless the worker failed, then closes the stores. Takes no longer than its bounds."""
        self._stopping = True
        self.ready = False
        if self.failure is None:
            try:
                await asyncio.wait_for(self.revoke(), _DRAIN_SECONDS)
            except TimeoutError:
                log.warning(
                    "Kafka has not acknowledged what was decided within %.0f s: stopping all the same, the next start "
                    "goes on from the changelog",
                    _DRAIN_SECONDS,
                )
        if self._ticker is not None:
            self._ticker.cancel()
        if self._rounds is not None:
            await self._rounds.stop()
        self._close_stores()
        await self._producers.close()

    async def fail(self, error: BaseException) -> None:
        """The first error that ends the worker is the one that is reported."""
        if self.failure is None:
            self.failure = error
            self.ready = False
            self._count(error)
            log.error("the worker stops: %s", error, exc_info=not isinstance(error, OperatorError))
            await self._tell_failure(error)

    @property
    def ready(self) -> bool:
        """Partitions are assigned and restored, nothing is about to take them away, and Kafka answers."""
        return self._ready and self._silence() < _SILENT_SECONDS

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._ready = ready
        self._resumed = time.time()

    @property
    def state(self) -> str:
        """What it is doing, for people."""
        if self.failure is not None:
            return "failed"
        if self._stopping:
            return "stopping"
        if self._assigning is not None:
            return "restoring"
        if self._ready:
            silence = self._silence()
            return "serving" if silence < _SILENT_SECONDS else f"no answer of Kafka for {silence:.0f} s"
        return "waiting for partitions" if self._rounds is not None else "starting"

    def describe(self) -> dict[str, Any]:
        """What this worker reads and writes, for the log."""
        topics = self.settings.topics
        names = (topics.events, topics.changes, topics.members, topics.dead_letters, self._state_topic)
        return {
            "topics": ", ".join(names),
            "partitions": self._partitions,
            "state_dir": self.settings.state_dir,
            "brokers": self.settings.kafka.brokers,
        }

    @property
    def live(self) -> bool:
        """No failure, and no round that Kafka has not acknowledged for minutes."""
        since = self._rounds.committing_since if self._rounds else None
        return self.failure is None and (since is None or time.monotonic() - since < _STUCK_SECONDS)

    @property
    def owned(self) -> Mapping[int, Owned]:
        return self._owned

    # what Faust tells

    async def offer(self, event: object, number: int, batch: Fetched) -> None:
        if self._rounds is not None:
            await self._rounds.offer(event, number, batch)

    async def revoke(self) -> None:
        """The partitions may be taken away: come to rest."""
        self.ready = False
        if self._assigning is not None:
            self._assigning.cancel()
            await asyncio.gather(self._assigning, return_exceptions=True)
        if self._rounds is not None:
            await self._rounds.pause()
        self._pulse.stop()
        if self._owned:
            await self._passing(Waypoint.RESTING)
        self.ends.clear()
        self.metrics.forget_partitions()

    async def assign(self, numbers: Iterable[int]) -> None:
        """These partitions are ours until the next revoke, which cancels this if it comes early."""
        self._assigning = asyncio.create_task(self._assign_patiently(sorted(numbers)))
        try:
            await asyncio.shield(self._assigning)
        except asyncio.CancelledError:
            if not self._assigning.cancelled():
                raise
            log.info("restoring was cut short by a rebalance")
        except Exception as error:  # noqa: BLE001  # reported by fail
            await self.fail(error)
        finally:
            self._assigning = None

    def positions(self) -> dict[int, int]:
        """Where the input of each owned partition goes on."""
        return {number: owned.position for number, owned in self._owned.items()}

    async def _assign_patiently(self, numbers: list[int]) -> None:
        """What fails because Kafka cannot be reached, or because a store is damaged, is tried again."""
        assert self._rounds is not None
        self.metrics.rebalances.inc()
        for number in numbers:
            self.metrics.add_partition(number)
        pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
        while True:
            try:
                await self._producers.open()
                await self._assign(self._rounds, numbers)
                return
            except (KafkaError, OutcomeUnknownError) as error:
                log.warning("the partitions cannot be restored yet: %r", error)
                await self._producers.abandon()
                self._close_stores()  # what was restored writes through them
            except StoreDamagedError as error:
                log.warning("%s; it is restored from the changelog", error)
            await asyncio.sleep(next(pauses))

    async def _assign(self, rounds: Rounds, numbers: list[int]) -> None:
        began = time.monotonic()
        for number in set(self._owned) - set(numbers):
            self._owned.pop(number).store.close()
        await self._drop_touched()
        missing = [number for number in numbers if number not in self._owned]
        read = 0
        if missing:
            restorer = Restorer(
                self._options,
                self._state_topic,
                open_rocks(Path(self.settings.state_dir), self._memory),
                gather_dues=self._engine.gather_dues,
                progress=lambda number, remaining: self.metrics.restore_remaining.labels(number).set(
                    remaining
                ),
                passing=self._passing,
            )
            bounds = await self._cluster.input_bounds(missing)
            waiting = await restorer.restore(missing, self._producers.changelog)
            try:
                while waiting:
                    restored = waiting[0]
                    number = restored.partition
                    self._owned[number] = await self._take(restored, bounds[number])
                    read += waiting.pop(0).read
            finally:
                for restored in waiting:
                    restored.store.close()
        # What was started with may take over older definitions; what newer ones take over from now on is refused.
        generations = (owned.state.generation for owned in self._owned.values())
        self._generation = max(generations, default=self._generation or 0)
        for owned in self._owned.values():
            owned.forget_arrived()
        self._pulse.start()
        self._committer = Committer(
            self._publisher(self._passing),
            self._repairer,
            self.metrics,
            self._pulse,
            self._passing,
            topic=self.settings.topics.events,
            partitions=self._partitions,
        )
        rounds.resume(self._owned, self._committer)
        self.ready = True
        log.info(
            "partitions %s: %d kept, %d restored from %d changelog records in %.2f s; input goes on at %s",
            numbers,
            len(numbers) - len(missing),
            len(missing),
            read,
            time.monotonic() - began,
            self.positions(),
        )

    async def _let_go(self, error: Exception) -> None:
        """A round failed: what it left in the log is unknown. Everything is taken again, as after a crash."""
        self.ready = False
        self._count(error)
        self._pulse.stop()
        if self._committer is not None and self._committer.rounds:
            self._losses = 0
        self._losses += 1
        if self._losses > _MOST_LOSSES:
            raise error
        log.warning("a round failed, the partitions are restored from the changelog: %r", error)
        await self._producers.abandon()
        self._close_stores()
        await self._rejoin()

    def _close_stores(self) -> None:
        for owned in self._owned.values():
            owned.store.close()
        self._owned = {}

    def _publisher(self, passing: Passing = nobody) -> publish.Publisher:
        return publish.Publisher(self._producers.outputs, self.settings.topics, self._partitions, passing)

    async def _drop_touched(self) -> None:
        """Partitions whose log has grown behind our back are restored like any other."""
        if not self._owned:
            return
        for number, end in (await self._cluster.log_ends(self._owned)).items():
            if end != self._owned[number].changelog.end:
                self._owned.pop(number).store.close()

    async def _take(self, restored: Restored, bounds: Bounds) -> Owned:
        """A restored partition becomes an owned one: its pending changes are published again, the engine opens it."""
        marker = restored.marker
        place = f"{self.settings.topics.events}-{restored.partition}"
        if marker is not None:
            self._check_position(place, marker, bounds)
            if restored.pending:
                await self._publisher().changes([(restored.partition, restored.pending)])
        elif bounds.begin > 0 and bounds.committed is not None:
            raise OperatorError(
                f"{self._state_topic}-{restored.partition} holds no state, but this group has read {place} up to "
                f"{bounds.committed} and the input begins at {bounds.begin}: the state is lost and cannot be computed "
                "again. Restore the topic, or start over under another `app` name"
            )
        if restored.anchor is not None:
            restored.store.write({}, changelog.encode(restored.anchor))
        await self._passing(Waypoint.REPUBLISHED)
        state = self._engine.open(
            restored.store,
            marker.engine if marker else None,
            generation=self._generation,
            dues=restored.dues,
        )
        position = marker.next_offset if marker else bounds.begin
        return Owned(
            restored.partition,
            restored.store,
            restored.changelog,
            state,
            position,
            committed=position,
            unflushed=True,
        )

    def _check_position(self, place: str, marker: changelog.Marker, bounds: Bounds) -> None:
        begin, end, _ = bounds
        if marker.partitions != self._partitions:
            raise OperatorError(
                f"the topic {self.settings.topics.events} had {marker.partitions} partitions and now has "
                f"{self._partitions}: users have moved between them, their state has not. Start over under another "
                "`app` name, or restore the topic"
            )
        if not begin <= marker.next_offset <= end:
            what = "deleted by retention" if marker.next_offset < begin else "lost: the topic was made anew"
            raise OperatorError(
                f"{place} holds offsets {begin} to {end}, but the state goes on at {marker.next_offset}: records were "
                f"{what}. Start over under another `app` name, or restore the topic"
            )

    # helpers

    def _count(self, error: BaseException) -> None:
        kind = kind_of(error)
        self.metrics.failures.labels(kind).inc()
        note_failure(Path(self.settings.state_dir), kind)

    def _silence(self) -> float:
        """Seconds since Kafka last answered a fetch; 0 without partitions, which nobody fetches."""
        if not self._owned:
            return 0.0
        answered = max((seen.instant for seen in self.ends.values()), default=0) / 1000
        return time.time() - max(answered, self._resumed)

    async def _keep_ticking(self) -> None:
        try:
            await self._tick()
        except Exception as error:  # noqa: BLE001  # reported by fail
            await self.fail(error)

    async def _tick(self) -> None:
        """Lets the wall clock move time where nothing comes, and keeps the gauges."""
        gauges_at = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._pulse.beat()
            if not self.ready or self._rounds is None:
                continue
            topic = self.settings.topics.events
            upkeep.tell_idle(self._rounds, self._owned, self.ends, topic, self.settings.time)
            upkeep.mark(self._rounds, self._owned, self._mark_seconds)
            if time.monotonic() - gauges_at >= _GAUGE_SECONDS:
                gauges_at = time.monotonic()
                set_gauges(
                    *(self.metrics, self._owned, self.ends),
                    topic=topic,
                    folder=Path(self.settings.state_dir),
                    now=time.time(),
                )
            upkeep.flush(self._owned, _FLUSH_SECONDS)
