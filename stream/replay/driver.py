"""Replay: recorded logs through the same engine as live, and its changes in one order.

    logs → ingest → merged by record time → partition → engine → changes, sorted

Every record goes to the partition that Kafka's default partitioner would choose for its user, unless the log was
recorded from a topic and knows better. The clock_advanced records of an ordinary log move every partition: they speak
of the source, not of a user.

A replay ends at T: the time given with `until`, or the largest event time of all records, after clamping. Everything
due up to T fires. With `until`, records later than T are not read and move no watermark.

A part of a replay
------------------
A user's changes depend on other users in one thing only: the watermark of the partition. So the users of one replay
can be spread over several runs that together give its output to the byte, if each run is told of time what all records
say. `mine` names the users of a run; of everybody else's records it takes their times and nothing more, as if they
were clock_advanced records. That is how several processes share a replay (workers.py), and how a few users are looked
at closely (why.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

from stream.engine import Plan, TimeSettings
from stream.events import CLOCK_ADVANCED, Event
from stream.ingest import MAX_EVENT_BYTES, DeadLetter, Ingest, Mapping
from stream.replay.logs import Log, LogError
from stream.replay.partitioner import partition_of
from stream.replay.reading import NO_PARTITION, EventReader, merged
from stream.replay.spool import Spool
from stream.runtime.embedded import EmbeddedRuntime, Tally
from stream.state import MemoryStore, Store

BATCH_SIZE = 5_000
_REMEMBERED = 1_000_000
"""Users whose partition is kept at hand."""

Mine = Callable[[str, int], bool]
"""Whether a user (empty: a clock_advanced record) of a partition belongs to this run."""


@dataclass(slots=True)
class Outcome:
    """What a replay gave."""

    changes: Spool = field(default_factory=Spool)
    """In the order of the output once the replay has ended."""
    dead_letters: int = 0
    records: int = 0
    beyond: int = 0
    """Records later than `until`, not read."""
    first: int | None = None
    """The smallest event time; None if there were no events."""
    until: int | None = None
    """Where the replay ended; None if it had no events."""
    tally: Tally = field(default_factory=Tally)
    users: int = 0
    """Users with a profile."""
    members: dict[str, int] = field(default_factory=dict)
    """Open memberships per segment, and users per ladder, at the end."""


class Replay:
    """One run. `feed` takes the logs, all at once or, where the one follows the other, in turn; `finish` ends it.

    `partitions`: how many; None takes what a recorded log says, else one. `on_dead_letter` is given each one.
    `mine`: which users this run is about, None for everybody. `spool_in`: where changes are kept that do not fit into
    memory, None for a temporary folder.
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
        mine: Mine | None = None,
        spool_in: Path | None = None,
    ) -> None:
        self.runtime = EmbeddedRuntime(plan, settings, partitions=partitions or 1, store=store)
        self.outcome = Outcome(changes=Spool(folder=spool_in), until=until)
        self._ingest = Ingest(mapping, event_type=plan.event_type, max_event_bytes=max_event_bytes)
        self._by_log = partitions is None
        self._as_recorded: bool | None = None if self._by_log else False
        self._partitions_of: dict[str, int] = {}
        self._batch_size = batch_size
        self._until = until
        self._first: int | None = None
        self._latest: int | None = None
        self._skew = self.runtime.settings.clock_skew
        self._idle = self.runtime.settings.idle_after is not None
        self._on_dead_letter = on_dead_letter
        self._mine = mine
        self._foreign = Tally()
        self._told: dict[int, int] = {}
        """Partition → what time its engine was told it is, where others' records tell it."""

    def feed(self, *logs: Log) -> Iterator[int]:
        """Replay logs, merged by record time; yields the number of records read after each batch."""
        before = self.outcome.records
        readers = [EventReader(log, self._ingest, self._batch_size, self._refuse) for log in logs]
        for events in merged(readers):
            for partition, part in self._share_out(events).items():
                self.apply(partition, part)
            self.outcome.records = before + sum(reader.records for reader in readers)
            yield self.outcome.records

    def apply(self, partition: int, events: list[Event]) -> None:
        """Take events of one partition."""
        for changes in self.runtime.steps(partition, events):
            self.outcome.changes.add(changes)

    def finish(self) -> Outcome:
        """Let everything due up to the end fire."""
        outcome = self.outcome
        if outcome.until is None:
            outcome.until = self._latest
        if outcome.until is not None:
            for changes in self.runtime.last_steps(outcome.until):
                outcome.changes.add(changes)
        outcome.first = self._first
        outcome.tally = self.runtime.tally
        outcome.tally.events -= self._foreign.events
        outcome.tally.clamped -= self._foreign.clamped
        outcome.users = self.runtime.users
        outcome.members = dict(self.runtime.members())
        return outcome

    def _refuse(self, letter: DeadLetter) -> None:
        self.outcome.dead_letters += 1
        self._on_dead_letter(letter)

    # --- whose is it -------------------------------------------------------------------------------------------------

    def _share_out(self, events: Sequence[Event]) -> dict[int, list[Event]]:
        """The events of each partition, in order."""
        parts: dict[int, list[Event]] = {}
        until, skew, mine = self._until, self._skew, self._mine
        first, latest = self._first, self._latest
        for event in events:
            time = event.time
            if time > event.record_time + skew:
                time = event.record_time  # as the engine will
            if until is not None and time > until:
                self.outcome.beyond += 1
                continue
            if latest is None or time > latest:
                latest = time
            if first is None or time < first:
                first = time
            partition = self._partition(event)
            if partition is None:
                for every in range(len(self.runtime.partitions)):
                    one = copy(event)
                    if mine is None or mine("", every) or self._tells_time(one, every):
                        parts.setdefault(every, []).append(one)
            elif mine is None or mine(event.user, partition) or self._tells_time(event, partition):
                part = parts.get(partition)
                if part is None:
                    part = parts[partition] = []
                part.append(event)
        self._first, self._latest = first, latest
        return parts

    def _partition(self, event: Event) -> int | None:
        """Where an event belongs; None: everywhere."""
        if self._by_log:
            is_recorded = event.offset != NO_PARTITION
            if self._as_recorded is None:
                self._as_recorded = is_recorded
            if self._as_recorded != is_recorded:
                raise LogError(
                    "recorded and plain logs in one replay: say how many --partitions to make of them"
                )
        if self._as_recorded:
            if event.offset >= len(self.runtime.partitions):
                self.runtime.grow(event.offset + 1)
            return event.offset
        user = event.user
        if not user:
            return None
        count = len(self.runtime.partitions)
        if count == 1:
            return 0
        partition = self._partitions_of.get(user)
        if partition is None:
            if len(self._partitions_of) >= _REMEMBERED:
                self._partitions_of.clear()
            partition = self._partitions_of[user] = partition_of(user.encode(), count)
        return partition

    def _tells_time(self, event: Event, partition: int) -> bool:
        """Leaves of somebody else's event what it says of time; False if that is nothing new."""
        recorded, time = event.record_time, event.time
        is_ahead = time > recorded + self._skew
        low = recorded if is_ahead else min(time, recorded)
        told = self._told.get(partition)
        if not self._idle and told is not None and low <= told:
            return False  # with idle_after, the gap between any two records counts
        self._told[partition] = low if told is None else max(told, low)
        event.type, event.user, event.traits = CLOCK_ADVANCED, "", None
        self._foreign.events += 1
        self._foreign.clamped += is_ahead
        return True
