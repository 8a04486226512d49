"""Rounds: step, changelog, publish, store, acknowledge, in this order and for all partitions together.

    arrived batches ─ compute ─▶ drafts ─ commit ─▶ changelog ─▶ changes, members ─▶ store ─▶ acknowledge
                                                ▲ dead letters first

Two tasks take turns. *Compute* runs the engine over what has arrived and adds the steps to their partition's draft.
*Commit* takes all drafts at once, as one round, and waits for Kafka; meanwhile compute goes on, for the engine answers
from what it has decided, stored or not. So the slower the acknowledgements, the larger the rounds: at a low rate one is
a handful of events and takes milliseconds, with a backlog it is megabytes. A draft that is full makes compute wait.

A round is for who waits for it. A draft with a change or a dead letter goes at once; one that tells nobody anything may
wait a little for more to go with it. A crash then costs the steps of that moment once more, and they are not missed: no
output came of them. At a low rate, where a round costs as much as a hundred events, that is most of the rounds.

What a round goes through, and why in that order, stands in `commit`. A round that fails, or that finds a damaged
store, ends all that is owned here: nobody knows how far it came, so the partitions are taken anew from the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from stream.errors import OperatorError
from stream.events import Event
from stream.ingest import DeadLetter, Ingest
from stream.metrics import Metrics
from stream.runtime.kafka.batches import encode_headers
from stream.runtime.kafka.changelog import OutcomeUnknownError, Pending
from stream.runtime.kafka.commit import Committer
from stream.runtime.kafka.journal import name_user
from stream.runtime.kafka.owned import Arrived, Draft, Owned
from stream.runtime.kafka.publish import PublishError
from stream.runtime.kafka.raw import Fetched, RawRecord
from stream.state import StoreDamagedError

if TYPE_CHECKING:
    from stream.engine import Engine, Step

log = logging.getLogger(__name__)

_SLICE = 512
"""Records stepped at once: the longest that the event loop waits for the engine."""
_AT_A_STRETCH = 100
"""Records and timers stepped before others have their turn. Partitions that a small fetch brought something for are
stepped together: if the first one's round could begin before the others are ready, they would wait for its end."""
_OFFSET = attrgetter("offset")
_TIMERS = 250
"""Users whose timers fire at once, and about how many a round of a partition holds unless it holds more records: what
happens now goes along with the next round, and must not wait for a hundred thousand timers of the same midnight."""
_HOLD_SECONDS = 0.2
"""How long a draft without output may wait; from half of it on it goes with any other partition's round."""
_WAITING = 2
"""Batches that may wait for their step, per partition."""


class Rounds:
    """Everything between a batch that arrived and its acknowledgement."""

    def __init__(
        self,
        engine: Engine,
        ingest: Ingest,
        metrics: Metrics,
        *,
        topic: str,
        partitions: int,
        source: str,
        step_bytes: int,
        failed: Callable[[BaseException], Awaitable[None]],
        lost: Callable[[Exception], Awaitable[None]],
    ) -> None:
        """`failed` ends the worker; `lost` must take everything that is owned anew."""
        self._engine = engine
        self._ingest = ingest
        self._metrics = metrics
        self._topic = topic
        self._partitions = partitions
        self._source = source
        self._full = step_bytes // 4
        self._failed = failed
        self._lost = lost
        self._owned: dict[int, Owned] = {}
        self._committer: Committer | None = None
        self._running = False
        self._damage: StoreDamagedError | None = None
        self._generation = 0
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._alarm: asyncio.TimerHandle | None = None
        """Rings when the oldest draft has waited long enough."""
        self._tasks: list[asyncio.Task[None]] = []
        self.committing_since: float | None = None
        """Monotonic time at which the round that waits for Kafka began."""

    @property
    def owned(self) -> Mapping[int, Owned]:
        return self._owned

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._guard(work)) for work in (self._compute, self._commit)]

    async def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def resume(self, owned: dict[int, Owned], committer: Committer) -> None:
        """These partitions, from their positions on."""
        self._owned = owned
        self._committer = committer
        for each in owned.values():
            each.more = _has_overdue(each)  # a crash may have come between a watermark and its timers
        self._running = True
        self._work.set()

    async def pause(self) -> None:
        """Takes nothing more, forgets what was not stepped, and waits until what was stepped is acknowledged."""
        self._running = False
        self._generation += 1
        self._room.set()
        self._ready.set()
        for owned in self._owned.values():
            owned.forget_arrived()
        if self._tasks and not any(task.done() for task in self._tasks):
            await self._drained.wait()

    async def offer(self, event: object, number: int, batch: Fetched) -> None:
        """A batch from Faust. Returns when there is room for the next one."""
        generation = self._generation
        owned = self._owned.get(number)
        if not self._running or owned is None:
            return
        if batch.start != owned.read:
            raise OperatorError(
                f"{self._topic}-{number}: expected records from offset {owned.read}, got some from {batch.start}"
            )
        owned.read = batch.next_offset
        owned.arrived.append(Arrived(event, batch))
        self._work.set()
        while len(owned.arrived) >= _WAITING and self._generation == generation:
            self._room.clear()
            await self._room.wait()

    def idle(self, number: int, watermark: int) -> None:
        """Nothing can come any more that would be older than `watermark`."""
        owned = self._owned[number]
        if not owned.arrived and watermark > owned.state.watermark:
            owned.idle = watermark
            self._work.set()

    def remark(self, number: int) -> None:
        """Write a marker even if nothing happens."""
        self._owned[number].remark = True
        self._work.set()

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, the worker must not go on
            self._running = False
            self._drained.set()
            await self._failed(error)

    async def _give_up(self, error: Exception) -> None:
        """Nothing that is owned can be trusted any more, nor continued."""
        self._running = False
        self._generation += 1
        self._room.set()
        self._owned = {}
        try:
            await self._lost(error)
        finally:
            self._drained.set()

    # compute

    async def _compute(self) -> None:
        spent = 0
        while True:
            await self._work.wait()
            progress = False
            for owned in list(self._owned.values()):
                if cost := self._advance(owned):
                    progress = True
                    if owned.draft:
                        self._drained.clear()
                        self._announce(owned.draft)
                    spent += cost
                    if spent >= _AT_A_STRETCH:
                        spent = 0
                        await asyncio.sleep(0)
            if not progress:
                self._work.clear()

    def _announce(self, draft: Draft) -> None:
        """A round for it: now, or when it has waited."""
        if draft.is_urgent or draft.size >= self._full:
            self._ready.set()
        elif self._alarm is None:
            left = draft.begun + _HOLD_SECONDS - time.monotonic()
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, left), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._ready.set()

    def _advance(self, owned: Owned) -> int:
        """One slice of work for a partition: how many records and timers it was; 0 if none, or if there is no room."""
        draft = owned.draft
        if not self._running or draft.size >= self._full:
            return 0
        before = draft.records + draft.timers
        try:
            if owned.arrived:
                self._step(owned)
            elif owned.remark or owned.idle is not None or (owned.more and _has_room_for_timers(owned.draft)):
                self._tick(owned)
            else:
                return 0
        except StoreDamagedError as error:  # the round that is on its way may come to its end
            self._running = False
            self._damage = error
            self._drained.clear()
            self._ready.set()
        return 1 + draft.records + draft.timers - before

    def _step(self, owned: Owned) -> None:
        arrived = owned.arrived[0]
        records, next_offset = arrived.take(_SLICE)
        fresh = self._drop_below(owned, records)
        began = time.perf_counter()
        self._apply(owned, fresh, next_offset)
        self._metrics.step_duration.observe(time.perf_counter() - began)
        if owned.position < next_offset:  # the draft is full
            arrived.ahead = records[bisect_left(records, owned.position, key=_OFFSET) :]
        elif arrived.is_read:
            owned.draft.acknowledge.append(arrived.event)
            owned.arrived.popleft()
            arrived.batch.clear()  # Faust keeps it until it has committed, which may be hundreds of thousands later
            self._room.set()

    def _apply(self, owned: Owned, records: list[RawRecord], next_offset: int) -> None:
        """Steps them, up to where the draft is full: the rest is for the next one, and read again."""
        draft, state = owned.draft, owned.state
        events, errors, placed = self._ingest.read_records(records)
        if not placed and self._partitions > 1:
            self._check_keys(owned, events, records)
        while True:
            step = self._engine.step(state, events, next_offset)
            self._add(owned, step, records)
            if step.consumed >= len(events):
                break
            if draft.size >= self._full and events[step.consumed - 1].offset < step.next_offset:
                break  # not within a record that became several events
            events = events[step.consumed :]
        owned.position = step.next_offset
        for index, error in errors:
            record = records[index]
            if record.offset < owned.position:
                place = {"topic": self._topic, "partition": owned.number, "offset": record.offset}
                place["timestamp"] = record.timestamp
                letter = DeadLetter.of(error, record.value or b"", record.key, record.headers, **place)
                draft.dead.append(letter)
        draft.records += bisect_left(records, owned.position, key=_OFFSET)
        owned.more = _has_overdue(owned)
        if owned.more and _has_room_for_timers(draft):
            self._fire(owned, state.watermark, max(_TIMERS, len(records)))

    def _check_keys(self, owned: Owned, events: list[Event], records: list[RawRecord]) -> None:
        """A user's events must lie in one partition, which only the key can promise."""
        if len(events) != len(records):
            by_offset = {record.offset: record for record in records}
            records = [by_offset[event.offset] for event in events]
        for event, record in zip(events, records, strict=True):
            if event.user and event.user.encode() != record.key:
                key, user = name_user(record.key), name_user(event.user)
                raise OperatorError(
                    f"{self._topic}-{owned.number}, offset {record.offset}: the record's key is {key} and its user is "
                    f"{user}. A user's events must lie in one partition: produce with the user (`user_id`, else "
                    "`anonymous_id`) as key, or into a topic of one partition"
                )

    def _tick(self, owned: Owned) -> None:
        watermark = owned.state.watermark if owned.idle is None else max(owned.idle, owned.state.watermark)
        owned.idle = None
        self._fire(owned, watermark, _TIMERS)

    def _fire(self, owned: Owned, watermark: int, limit: int) -> None:
        step = self._engine.tick(owned.state, watermark, limit)
        owned.more = step.more
        if step.profiles or step.changes or owned.draft or owned.remark:
            owned.remark = False
            self._add(owned, step)
            owned.draft.timers += len(step.fired)
            if step.changes:
                owned.draft.fired += step.fired

    def _add(self, owned: Owned, step: Step, records: Sequence[RawRecord] = ()) -> None:
        draft = owned.draft
        if not step.changes:
            draft.add(step, [])
            return
        coordinates = [
            ("segstream_topic", self._topic.encode()),
            ("segstream_partition", b"%d" % owned.number),
        ]
        pending = []
        for change in step.changes:
            headers = change.headers(self._source) + coordinates
            if change.offset >= 0:
                trigger = records[bisect_left(records, change.offset, key=_OFFSET)]
                draft.triggered.append(trigger.timestamp)
                headers.append(("segstream_offset", b"%d" % change.offset))
            written = encode_headers(headers)
            pending.append(
                Pending(change.user.encode(), change.value, written, change.member_key, change.forget)
            )
            draft.changes[change.segment, change.type, change.cause] += 1
            for reason in change.suppressed_by:
                draft.suppressed[change.segment, reason] += 1
            if change.since is not None and change.type == "exited":
                draft.ended.append((change.segment, change.effective_at - change.since))
        draft.add(step, pending)

    def _drop_below(self, owned: Owned, records: list[RawRecord]) -> list[RawRecord]:
        if records and records[0].offset < owned.position:
            fresh = [record for record in records if record.offset >= owned.position]
            self._metrics.skipped.inc(len(records) - len(fresh))
            return fresh
        return records

    # commit

    async def _commit(self) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            if self._damage is not None:
                error, self._damage = self._damage, None
                await self._give_up(error)
            drafts = self._take_drafts()
            if drafts:
                self.committing_since = time.monotonic()
                self._work.set()
                assert self._committer is not None
                try:
                    await self._committer.commit(drafts)
                except (KafkaError, OutcomeUnknownError, PublishError, StoreDamagedError) as error:
                    await self._give_up(error)
                finally:
                    self.committing_since = None
            waiting = [owned.draft for owned in self._owned.values() if owned.draft]
            for draft in waiting:
                self._announce(draft)
            if not waiting:
                self._drained.set()

    def _take_drafts(self) -> list[tuple[Owned, Draft]]:
        """Those that go with this round: all, if nothing more comes."""
        latest = time.monotonic() - _HOLD_SECONDS / 2
        return [
            (owned, owned.take_draft())
            for owned in self._owned.values()
            if (draft := owned.draft)
            and (draft.is_urgent or draft.size >= self._full or draft.begun <= latest or not self._running)
        ]


def _has_room_for_timers(draft: Draft) -> bool:
    return draft.timers < max(_TIMERS, draft.records)


def _has_overdue(owned: Owned) -> bool:
    due = owned.state.next_due
    return due is not None and due < owned.state.watermark
