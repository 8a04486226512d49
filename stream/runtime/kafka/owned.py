"""A partition in this worker's hands, and the draft of its next batch in the changelog."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stream.ingest import DeadLetter
from stream.runtime.kafka.changelog import Changelog, Pending
from stream.runtime.kafka.raw import Fetched, RawRecord
from stream.state import Store

if TYPE_CHECKING:
    from stream.engine import Partition, Step

_PROFILE_OVERHEAD = 32
_CHANGE_OVERHEAD = 512


@dataclass(slots=True)
class Draft:
    """Steps of one partition that become one RecordBatch. A user who changed in several is written once."""

    steps: list[Step] = field(default_factory=list)
    profiles: dict[str, bytes | None] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    acknowledge: list[Any] = field(default_factory=list)
    """Faust events whose batches are wholly contained."""
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By segment, type and cause, for the metrics."""
    suppressed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By segment and reason, for the metrics."""
    ended: list[tuple[str, int]] = field(default_factory=list)
    """Segment of each membership that ended, and how long it lasted, in milliseconds."""
    triggered: list[int] = field(default_factory=list)
    """Record time of each change that a record brought about, for the latency."""
    records: int = 0
    """Input records that were stepped."""
    timers: int = 0
    """Due instants that fired."""
    fired: list[int] = field(default_factory=list)
    """Those that fired where changes came of it, for the delay."""
    begun: float = 0.0
    """When its first step was added, by the monotonic clock."""
    size: int = 0
    """About how many bytes its RecordBatch takes."""

    def add(self, step: Step, pending: list[Pending]) -> None:
        if not self.steps:
            self.begun = time.monotonic()
        self.steps.append(step)
        self.profiles.update(step.profiles)
        self.pending += pending
        self.size += sum([len(profile) for profile in step.profiles.values() if profile])
        self.size += sum([len(change.value) for change in pending])
        self.size += _PROFILE_OVERHEAD * len(step.profiles) + _CHANGE_OVERHEAD * len(pending)

    @property
    def is_urgent(self) -> bool:
        """Somebody waits for what it tells."""
        return bool(self.pending or self.dead)

    @property
    def next_offset(self) -> int:
        return self.steps[-1].next_offset

    @property
    def marker(self) -> bytes:
        return self.steps[-1].marker

    def __bool__(self) -> bool:
        return bool(self.steps)


@dataclass(slots=True)
class Arrived:
    """A batch that waits for its step."""

    event: Any
    batch: Fetched
    ahead: list[RawRecord] = field(default_factory=list)
    """Records that were taken out of the batch and not stepped."""
    is_read: bool = False
    """There are no others."""

    def take(self, most: int) -> tuple[list[RawRecord], int]:
        """The next records to step, and the offset from which on others are."""
        batch, records = self.batch, self.ahead
        if records:
            self.ahead = []
        else:
            records = batch.take(most)
            self.is_read = len(records) < most or records[-1].offset + 1 == batch.next_offset
        return records, batch.next_offset if self.is_read else records[-1].offset + 1


@dataclass(slots=True)
class Owned:
    """Everything that belongs to one partition."""

    number: int
    store: Store
    changelog: Changelog
    state: Partition
    position: int
    """The first input record that the engine has not seen: what is decided, not what is acknowledged."""
    arrived: deque[Arrived] = field(default_factory=deque)
    read: int = 0
    """The first input record that did not arrive."""
    committed: int = 0
    """The first input record whose step is not acknowledged."""
    caught_up: int = 0
    """Wall clock, epoch ms, at which the state last held all there was."""
    draft: Draft = field(default_factory=Draft)
    more: bool = False
    """Timers below the watermark are left to fire."""
    idle: int | None = None
    """A watermark that the wall clock allows, not yet told to the engine."""
    remark: bool = False
    """A marker must be written even if nothing happens."""
    marked_at: float = field(default_factory=time.monotonic)
    """When the last one was, by the monotonic clock."""
    unflushed: bool = False
    """The store holds what a crash of the process would lose."""
    flushed_at: float = field(default_factory=time.monotonic)
    """When it was last made to keep that, by the monotonic clock."""

    def take_draft(self) -> Draft:
        draft, self.draft = self.draft, Draft()
        return draft

    def forget_arrived(self) -> None:
        """What was not stepped is read again."""
        self.arrived.clear()
        self.read = self.position
        self.idle = None
