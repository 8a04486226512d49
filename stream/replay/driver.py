"""Replay: recorded logs through the same engine as live, and its changes in one order.

    log → ingest → partition → engine → changes, sorted by (effective_at, user, segment, instance, seq)

Every record goes to the partition that Kafka's default partitioner would choose for its user, unless the log was
recorded from a topic and knows better. The clock_advanced records of an ordinary log move every partition: they speak
of the source, not of a user.

A replay ends at T: the time given with `until`, or the largest event time of all records, after clamping. Everything
due up to T fires. With `until`, records later than T are not read and move no watermark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import islice

from stream.changes import Change
from stream.engine import Plan, TimeSettings
from stream.errors import RecordError
from stream.events import Event
from stream.ingest import MAX_EVENT_BYTES, DeadLetter, Ingest, Mapping
from stream.replay.logs import Log, LogError, LogRecord
from stream.replay.partitioner import partition_of
from stream.runtime.embedded import EmbeddedRuntime
from stream.state import MemoryStore, Store

BATCH_SIZE = 5_000


@dataclass(slots=True)
class Outcome:
    """What a replay gave."""

    changes: list[Change] = field(default_factory=list)
    """In the order of the output once the replay has ended."""
    members: dict[bytes, bytes] = field(default_factory=dict)
    """The last change of each membership, by key of the members topic."""
    dead_letters: int = 0
    records: int = 0
    beyond: int = 0
    """Records later than `until`, not read."""
    until: int | None = None
    """Where the replay ended; None if it had no events."""


class Replay:
    """One run. `feed` takes logs, one after the other; `finish` ends it.

    `partitions`: how many; None takes what a recorded log says, else one. `on_dead_letter` is given each one.
    """

    def __init__(
        self,
        plan: Plan,
        settings: TimeSettings | None = None,
        *,
        mapping: Mapping | None = None,
        partitions: int | None = None,
        batch_size: int = BATCH_SIZE,
        until: int | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        store: Callable[[int], Store] = lambda partition: MemoryStore(),
        on_dead_letter: Callable[[DeadLetter], object] = lambda letter: None,
    ) -> None:
        self.runtime = EmbeddedRuntime(plan, settings, partitions=partitions or 1, store=store)
        self.outcome = Outcome(until=until)
        self._ingest = Ingest(mapping, event_type=plan.event_type, max_event_bytes=max_event_bytes)
        self._as_recorded = None if partitions is None else False
        self._partitions_of: dict[str, int] = {}
        self._batch_size = batch_size
        self._until = until
        self._latest: int | None = None
        self._skew = self.runtime.settings.clock_skew
        self._on_dead_letter = on_dead_letter

    def feed(self, log: Log) -> Iterator[int]:
        """Replay a log; yields the number of records read after each batch."""
        records = log.records()
        while batch := list(islice(records, self._batch_size)):
            self._apply(batch, self._read(batch, log.path))
            self.outcome.records += len(batch)
            yield self.outcome.records

    def finish(self) -> Outcome:
        """Let everything due up to the end fire, and sort."""
        outcome = self.outcome
        if outcome.until is None:
            outcome.until = self._latest
        if outcome.until is not None:
            self._keep(self.runtime.finish(outcome.until))
        outcome.changes.sort(key=lambda change: change.sort_key)
        return outcome

    def _read(self, batch: list[LogRecord], path: str) -> list[Event]:
        """The events of a batch; `offset` is the record's index in it."""
        if all(record.row is None and record.error is None for record in batch):
            rows = [(record.raw, index, record.record_time) for index, record in enumerate(batch)]
            events, errors = self._ingest.read_batch(rows)
            for index, error in errors:
                self._refuse(batch[index], error, path)
            return events
        events = []
        for index, record in enumerate(batch):
            try:
                events += self._read_one(record, index)
            except RecordError as refused:
                self._refuse(record, refused, path)
        return events

    def _read_one(self, record: LogRecord, index: int) -> list[Event]:
        if record.error is not None:
            raise record.error
        if record.row is None:
            return self._ingest.read_all(record.raw, offset=index, record_time=record.record_time)
        return self._ingest.read_row(record.row, offset=index, record_time=record.record_time)

    def _refuse(self, record: LogRecord, error: RecordError, path: str) -> None:
        self.outcome.dead_letters += 1
        letter = DeadLetter.of(error, record.raw or b"", record.key, file=path, line=record.line)
        self._on_dead_letter(letter)

    def _apply(self, batch: list[LogRecord], events: Iterable[Event]) -> None:
        parts: dict[int, list[Event]] = {}
        until, latest, skew = self._until, self._latest, self._skew
        for event in events:
            time = event.time
            if time > event.record_time + skew:
                time = event.record_time  # as the engine will
            if until is not None and time > until:
                self.outcome.beyond += 1
                continue
            if latest is None or time > latest:
                latest = time
            partition = self._partition(event, batch[event.offset])
            if partition is None:
                for every in range(len(self.runtime.partitions)):
                    parts.setdefault(every, []).append(copy(event))
            else:
                parts.setdefault(partition, []).append(event)
        self._latest = latest
        for partition, part in parts.items():
            self._keep(self.runtime.feed(partition, part))

    def _partition(self, event: Event, record: LogRecord) -> int | None:
        """Where an event belongs; None: everywhere."""
        if self._as_recorded is None:
            self._as_recorded = record.partition is not None
        if self._as_recorded:
            if record.partition is None:
                raise LogError(
                    "recorded and plain logs in one replay: say how many --partitions to make of them"
                )
            self.runtime.grow(record.partition + 1)
            return record.partition
        if not event.user:
            return None
        count = len(self.runtime.partitions)
        if count == 1:
            return 0
        partition = self._partitions_of.get(event.user)
        if partition is None:
            partition = self._partitions_of[event.user] = partition_of(event.user.encode(), count)
        return partition

    def _keep(self, changes: list[Change]) -> None:
        self.outcome.changes += changes
        members = self.outcome.members
        for change in changes:
            if change.forget:
                members.pop(change.member_key, None)
            else:
                members[change.member_key] = change.value
