"""Why somebody was not in a segment at an instant: the log once more, looking at a few users closely.

The replay is the same (driver.py, "A part of a replay"): of others only the time that they tell is kept. Just before
the partition's watermark, or the user's own next event, passes the instant that is asked about, the user's state is
taken and explained by the engine. So the answer is what was known then, not what late events said afterwards; unless
it was a late event that decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from stream.engine import Engine, Explained, Explainer, Plan
from stream.engine.explain import UnknownError
from stream.engine.profile import FOREVER
from stream.events import Event
from stream.ingest import load_mapping
from stream.replay.driver import Replay
from stream.replay.logs import Log
from stream.replay.workers import Job
from stream.state import MemoryStore, Store


class Ask(NamedTuple):
    """A question: how did it stand with this user and segment at that instant?"""

    user: str
    segment: str
    instance: str | None
    at: int
    after: str | None = None
    """The id of a late event that decided something at that instant: then it is asked just after it."""


Answers = dict[Ask, Explained | None]
"""None: nothing was known of the user, or no longer."""


def explain_all(job: Job, plan: Plan, asks: Sequence[Ask]) -> Answers:
    """Answers every question under the definitions of `plan`; `job` says how the log is read."""
    if not asks:
        return {}
    looking = _Looking(job, plan, asks)
    mapping = load_mapping(job.mapping)
    for _ in looking.feed(*(Log(path, mapping) for path in job.logs)):
        pass
    looking.end()
    return looking.answers


class _Looking(Replay):
    """A replay that stops at certain instants of certain users."""

    def __init__(self, job: Job, plan: Plan, asks: Sequence[Ask]) -> None:
        self._stores: dict[int, MemoryStore] = {}
        self._waiting: defaultdict[str, list[Ask]] = defaultdict(list)
        self._late: defaultdict[str, list[Ask]] = defaultdict(list)
        for ask in sorted(set(asks), key=lambda ask: ask.at):
            if ask.after is None:
                self._waiting[ask.user].append(ask)
            else:
                self._late[ask.after].append(ask)
        users = {ask.user for ask in asks}
        self.answers: Answers = dict.fromkeys(asks)
        self._engine = Engine(plan, job.times)
        self._homes: defaultdict[int, set[str]] = defaultdict(set)
        """Partition → users asked about who were seen in it."""
        self._next: dict[int, int] = {}
        """Partition → the earliest instant asked about of those users."""
        self._last_records: dict[int, int] = {}
        super().__init__(
            plan,
            job.times,
            mapping=load_mapping(job.mapping),
            partitions=job.partitions,
            batch_size=job.batch_size,
            until=job.until,
            max_event_bytes=job.max_event_bytes,
            store=self._store,
            mine=lambda user, partition: user in users,
        )

    def apply(self, partition: int, events: list[Event]) -> None:
        """Events up to the next one that passes an instant asked about; the answer; and so on."""
        start = 0
        homes = self._homes[partition]
        for place, event in enumerate(events):
            passing, time = self._reached(partition, event)
            if event.user in homes or passing > self._next.get(partition, passing):
                ready = [
                    (user, reached)
                    for user in sorted(homes)
                    if self._waiting[user]
                    and self._waiting[user][0].at
                    < (reached := max(passing, time) if user == event.user else passing)
                ]
                if ready:
                    super().apply(partition, events[start:place])
                    start = place
                for user, reached in ready:
                    self._answer(partition, user, reached)
                self._look_ahead(partition)
            if event.user and event.user not in homes:
                homes.add(event.user)
                self._look_ahead(partition)
            if event.id in self._late and event.user:
                super().apply(partition, events[start : place + 1])
                start = place + 1
                for ask in self._late.pop(event.id):
                    self._explain(partition, ask)
        super().apply(partition, events[start:])

    def end(self) -> None:
        """What was never passed is answered by the end of the log."""
        for partition, users in self._homes.items():
            for user in users:
                self._answer(partition, user, None)

    def _store(self, partition: int) -> Store:
        return self._stores.setdefault(partition, MemoryStore())

    def _reached(self, partition: int, event: Event) -> tuple[int, int]:
        """Where the watermark will be with this event, or was before it if the log was idle; and the event's time."""
        times, last = self._engine.settings, self._last_records.get(partition)
        recorded, time = event.record_time, event.time
        if time > recorded + times.clock_skew:
            time = recorded
        low = min(time, recorded)
        idle = times.idle_after
        if idle is not None and last is not None and recorded - last > idle:
            low = max(low, recorded - idle)
        self._last_records[partition] = recorded
        return low - times.lateness, time

    def _look_ahead(self, partition: int) -> None:
        asked = [waiting[0].at for user in self._homes[partition] if (waiting := self._waiting[user])]
        self._next[partition] = min(asked, default=FOREVER)

    def _answer(self, partition: int, user: str, reached: int | None) -> None:
        """Explains what is asked below `reached`, from the state as it is."""
        waiting = self._waiting[user]
        while waiting and (reached is None or waiting[0].at < reached):
            self._explain(partition, waiting.pop(0))

    def _explain(self, partition: int, ask: Ask) -> None:
        store = self._stores[partition]
        raw, marker = store.get_many([ask.user])[0], store.marker()
        if raw is None or marker is None:
            return
        try:
            explainer = Explainer(self._engine, ask.user, raw, marker)
            found = explainer.explain([ask.segment], ask.instance, ask.at, ahead=False)
        except UnknownError:
            return  # a late event moved the user's clock beyond it: None says so
        self.answers[ask] = found[0] if found else None
