"""The engine with its partitions and stores in one process: no broker, no changelog, no threads.

What `segstream replay`, the demo, the benchmark and tests run on. It does what the worker does between fetching and
publishing, in the same order: step, let timers below the watermark fire, write the store, settle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields

from stream.changes import Change
from stream.engine import Engine, Partition, Plan, Step, TimeSettings
from stream.events import Event
from stream.state import MemoryStore, Store


@dataclass(slots=True)
class Tally:
    """What the partitions did so far."""

    events: int = 0
    ignored: int = 0
    duplicates: int = 0
    evicted: int = 0
    clamped: int = 0
    late_applied: int = 0
    late_expired: int = 0
    timers: int = 0
    """Due instants that fired."""
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By segment, type and cause."""

    def add(self, step: Step) -> None:
        counts = step.counts
        self.events += counts.consumed
        self.ignored += counts.ignored
        self.duplicates += counts.duplicates
        self.evicted += counts.evicted
        self.clamped += counts.clamped
        self.late_applied += counts.late_applied
        self.late_expired += counts.late_expired
        self.timers += len(step.fired)
        for change in step.changes:
            self.changes[change.segment, change.type, change.cause] += 1

    def join(self, other: Tally) -> None:
        """Adds what partitions elsewhere did."""
        for each in fields(self):
            if each.name != "changes":
                setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        self.changes.update(other.changes)


class EmbeddedRuntime:
    """Partitions of one input, each with its own store. Changes come back from the call that decided them.

    `store` opens the store of a partition; what a store already holds is continued.
    """

    def __init__(
        self,
        plan: Plan,
        settings: TimeSettings | None = None,
        *,
        partitions: int = 1,
        store: Callable[[int], Store] = lambda partition: MemoryStore(),
    ) -> None:
        self.plan = plan
        self.settings = settings or TimeSettings()
        self.tally = Tally()
        self._engine = Engine(plan, self.settings)
        self._open_store = store
        self._stores: list[Store] = []
        self.partitions: list[Partition] = []
        self.grow(partitions)

    def grow(self, partitions: int) -> None:
        """Have at least that many partitions."""
        for number in range(len(self.partitions), partitions):
            store = self._open_store(number)
            self._stores.append(store)
            self.partitions.append(self._engine.open(store, store.marker()))

    def feed(self, partition: int, events: Sequence[Event]) -> list[Change]:
        """Apply events of one partition in order. Their offsets are given here."""
        return [change for changes in self.steps(partition, events) for change in changes]

    def steps(self, partition: int, events: Sequence[Event]) -> Iterator[list[Change]]:
        """`feed`, with the changes of each step as soon as it is stored: a mass expiry need not fit into memory."""
        state = self.partitions[partition]
        end = state.next_offset
        for event in events:
            event.offset = end
            end += 1
        while events:
            step = self._engine.step(state, events, end)
            yield self._settle(partition, step)
            events = events[step.consumed :]
        yield from self._advance(partition, state.watermark)

    def advance(self, partition: int, watermark: int) -> list[Change]:
        """Raise a partition's watermark and let what is due below it fire."""
        return [change for changes in self._advance(partition, watermark) for change in changes]

    def finish(self, until: int) -> list[Change]:
        """The end of a replay: everything due up to and including `until` fires, in every partition."""
        return [change for changes in self.last_steps(until) for change in changes]

    def last_steps(self, until: int) -> Iterator[list[Change]]:
        """`finish`, with the changes of each step as soon as it is stored."""
        for partition, state in enumerate(self.partitions):
            yield from self._drain(partition, lambda state=state: self._engine.finish(state, until))  # type: ignore[misc]

    def members(self) -> Counter[str]:
        """Open memberships per segment, and users per ladder."""
        total: Counter[str] = Counter()
        for partition in self.partitions:
            total.update(partition.members)
            for (ladder, _tier), users in partition.tiers.items():
                total[ladder] += users
        return total

    @property
    def users(self) -> int:
        """Users with a profile."""
        return sum(partition.users for partition in self.partitions)

    def close(self) -> None:
        """Close the stores; what they hold stays."""
        for store in self._stores:
            store.close()

    def _advance(self, partition: int, watermark: int) -> Iterator[list[Change]]:
        state = self.partitions[partition]
        if watermark > state.watermark or (state.next_due is not None and state.next_due < state.watermark):
            yield from self._drain(partition, lambda: self._engine.tick(state, watermark))

    def _drain(self, partition: int, fire: Callable[[], Step]) -> Iterator[list[Change]]:
        more = True
        while more:
            step = fire()
            yield self._settle(partition, step)
            more = step.more

    def _settle(self, partition: int, step: Step) -> list[Change]:
        self._stores[partition].write(step.profiles, step.marker)
        self.partitions[partition].settle(step)
        self.tally.add(step)
        return step.changes
