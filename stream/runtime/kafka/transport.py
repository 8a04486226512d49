"""Batches through Faust: one Faust message carries all that a fetch brought of a topic, a batch for each partition.

Faust stays what it is good at: membership of the consumer group, agents, lifecycle, web server. What it does per
message (an asyncio hop chain, an event) is done per fetch here, which is the difference between 5 thousand and several
hundred thousand records a second. What is acknowledged is each partition's batch, by itself.

Whose word counts for the position is the other difference. The group's committed offsets are written for the eyes of
operators (lag) and never read: `positions` says where each partition goes on, and that is what its own changelog says.
For the same reason nothing resets a position silently: `auto_offset_reset` is `none`, an offset that is gone ends the
worker.

Overridden parts of faust.transport.drivers.aiokafka (0.15.3):

    _drain_messages        one message per topic and fetch
    _filter_tps_with_pending_acks, _new_offset
                           the longest acknowledged prefix of the batches in flight: O(1), indifferent to gaps
    perform_seek           to `positions`, not to the committed offsets
    on_partitions_revoked  finish and commit what is in flight before the partitions are gone
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, NoOffsetForPartitionError
from faust import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream.errors import OperatorError
from stream.runtime.kafka.handover import Handover, Records
from stream.runtime.kafka.quick import fetch_quickly
from stream.runtime.kafka.raw import Fetched, SeenEnd, deliver_raw_records, rest_after_few, seek, watch_ends

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 100
"""How long the broker may hold a fetch open when there is nothing: the resolution of the idle watermark."""


BUFFERED_LOADS = 8
"""Loads that may wait for the worker: `stream_buffer_maxsize`."""
_FEW = 200
_REST_SECONDS = 0.01
"""After a fetch of a few records in aiokafka's own way the next begins so much later, see `rest_after_few`."""
_QUICK_REST_SECONDS = 0.006
"""The same in the quick way, see `fetch_quickly`: the resolution of live work. Shorter takes more CPU."""


_COMMIT_SECONDS = 5.0


class Delivery:
    """A partition's batch, in flight until it is acknowledged."""

    __slots__ = ("acked", "batch", "tp")

    def __init__(self, tp: TP, batch: Fetched) -> None:
        self.tp = tp
        self.batch = batch
        self.acked = False

    def ack(self) -> None:
        """Nothing of it can be lost any more."""
        self.acked = True


class Load(list[Delivery]):
    """What a fetch brought of a topic: the value of a Faust message."""

    taken = False
    """Who it is for has room for the next one."""


class BatchSchema(Schema):
    """Hands loads on undecoded."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka fetches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handover = Handover(self.parent_loop)
        self._is_asked = False
        """Whatever comes on aiokafka's own way will be handed over."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = self.app.assignor
        return AIOKafkaConsumer(
            **transport.client_options,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
        )

    async def on_start(self) -> None:
        await super().on_start()
        deliver_raw_records(self._consumer)
        watch_ends(self._consumer, self.consumer.ends)
        fetch_quickly(self._consumer, self._handover, self.consumer.ends, _QUICK_REST_SECONDS)
        rest_after_few(self._consumer, _FEW, _REST_SECONDS)

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's
        """Faust's way to the thread and back, a queue with workers that wait for it, costs as much as the fetch.

        What `fetch_quickly` brings is handed over without being asked for. For all else one asks aiokafka, and need not
        ask again before it has answered, were it after several quick fetches.
        """
        if not self._is_asked:
            self._is_asked = True
            asking = self._ask(active_partitions, timeout)
            asyncio.run_coroutine_threadsafe(asking, self.thread_loop)
        return await self._handover.take(active_partitions)

    async def _ask(self, active_partitions: set[TP] | None, timeout: float) -> None:  # noqa: ASYNC109
        """Hands over what aiokafka has within that time: records, an error, or nothing."""
        found: Records | Exception
        try:
            consumer = self._ensure_consumer()
            found = await self._fetch_records(
                consumer, active_partitions, timeout=timeout, max_records=consumer._max_poll_records
            )
        except Exception as error:  # noqa: BLE001  # raised where it is taken
            found = error
        except asyncio.CancelledError:
            self._is_asked = False
            self._handover.give(ConsumerStoppedError())
            raise
        self._is_asked = False
        self._handover.give(found)

    async def seek_all(self, offsets: Mapping[TP, int]) -> None:
        """Seek in the thread's own loop. What was fetched before and not taken is forgotten, of all partitions."""

        async def do() -> None:
            self._handover.clear()
            assigned = self._consumer.assignment()
            wanted = {driver.ensure_aiokafka_TP(tp): offset for tp, offset in offsets.items()}
            seek(self._consumer, {tp: offset for tp, offset in wanted.items() if tp in assigned})

        await self.call_thread(do)

    async def rejoin(self) -> None:
        """Ask the group for a rebalance."""

        async def do() -> None:
            self._consumer._coordinator.request_rejoin()

        await self.call_thread(do)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, by the batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ends: dict[TP, SeenEnd] = {}
        self._in_flight: dict[TP, deque[Delivery]] = {}
        self._latest: dict[str, deque[Load]] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def rejoin(self) -> None:
        """Ask for a rebalance: everything that is assigned is revoked and assigned again."""
        await self._thread.rejoin()

    async def perform_seek(self) -> None:
        self._in_flight.clear()
        assignment = self.assignment()
        offsets = {tp: offset for tp, offset in self.transport.positions().items() if tp in assignment}
        await self._thread.seek_all(offsets)
        self._read_offset.clear()
        self._read_offset.update(offsets)
        self._committed_offset.clear()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commits what is acknowledged, for the eyes of operators. A group that does not answer is not waited for.

        It may be unable to: while members are revoked, aiokafka waits for them before it looks for a new coordinator.
        """
        try:
            committed: bool = await asyncio.wait_for(
                super().commit(topics, start_new_transaction), _COMMIT_SECONDS
            )
        except TimeoutError:
            log.warning("the group's offsets were not committed: no answer within %.0f s", _COMMIT_SECONDS)
            return False
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.transport.before_revoke()
        await self.commit()
        await super().on_partitions_revoked(revoked)
        self._in_flight.clear()

    def on_buffer_full(self, tp: TP) -> None:
        """The blocking put into the agent's queue is the back-pressure; Faust's sleeps for a second."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[TP]:
        return [tp for tp in self._in_flight if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        in_flight = self._in_flight.get(tp)
        offset = None
        while in_flight and in_flight[0].acked:
            offset = in_flight.popleft().batch.next_offset
        return offset

    async def _drain_messages(self, fetcher: Any) -> None:
        stopped = self._stopped.is_set
        fetcher_stopped = fetcher._stopped.is_set
        try:
            while not (stopped() or fetcher_stopped()):
                try:
                    records, active = await self._wait_next_records(1.0)
                except NoOffsetForPartitionError:
                    if self.flow_active:
                        raise
                    continue  # assigned a moment ago, and not restored: a seek will tell the position
                generation = self.app.consumer_generation_id
                await asyncio.sleep(0)
                if records is None or self.should_stop:
                    continue
                if not self.flow_active:
                    await self.perform_seek()
                    continue
                loads: dict[str, Load] = {}
                is_out_of_step = False
                for tp, fetched in records.items():
                    if tp in active and fetched.start == self._read_offset[tp]:
                        delivery = Delivery(TP(*tp), fetched)
                        self._in_flight.setdefault(delivery.tp, deque()).append(delivery)
                        self._read_offset[tp] = fetched.next_offset
                        loads.setdefault(tp.topic, Load()).append(delivery)
                    else:  # fetched before a seek, or before a pause
                        is_out_of_step = True
                if is_out_of_step:  # everything once more from where it belongs
                    read = ((tp, self._read_offset[tp]) for tp in self.assignment())
                    await self._thread.seek_all({tp: offset for tp, offset in read if offset is not None})
                for load in loads.values():
                    if not self.flow_active or self.app.consumer_generation_id != generation:
                        break  # a seek follows
                    await self._deliver(load, generation)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
            log.info("the broker stopped the consumer")
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        except driver.KafkaError as error:
            await self.app.crash(
                OperatorError(
                    f"the input cannot be read on: {error!r}. If its offsets are gone (trimmed, or the topic was made "
                    "anew), the state no longer fits it: see docs/operations.md"
                )
            )
            raise

    async def _deliver(self, load: Load, generation: int) -> None:
        last = load[-1]
        tp, offset = last.tp, last.batch.next_offset - 1
        message = ConsumerMessage(
            tp.topic, tp.partition, offset, 0.0, 0, None, None, load, None, 0, 0, tp, generation_id=generation
        )
        # Each topic has an agent, whose queue is first in, first out: if the oldest of as many as it holds has been
        # taken, there is room for one more and nothing to wait for. To be able to wait costs four tasks, which was a
        # fifth of what a small fetch cost.
        latest = self._latest.setdefault(tp.topic, deque(maxlen=BUFFERED_LOADS))
        has_room = len(latest) == latest.maxlen and latest[0].taken
        latest.append(load)
        if has_room:
            await self.callback(message)
        else:
            await self.wait_first(self.callback(message), self.suspend_flow.wait())


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer
    client_options: dict[str, Any]
    """How to reach the brokers and to be a member of the group. This and what follows is set by the app."""
    positions: Callable[[], Mapping[TP, int]]
    """Where each owned partition goes on."""
    before_revoke: Callable[[], Awaitable[None]]
    """Stops taking and finishes what is in flight."""
