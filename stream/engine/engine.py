"""The engine: records in, segment changes out. Pure: time and state come in as arguments.

Time
----
A record of user u with time t is applied in this order:

1. What the log says of time so far is taken in: the watermark W of the records before it, raised first if the log was
   silent for longer than `idle_after` (an idle partition must not hold time back; record times say that it was one).
2. An event later than its record time plus `clock_skew` is set to its record time. One phone with a wrong clock must
   not fire anybody's timers.
3. An event that no selector matches and that carries no traits is counted and ignored; a duplicate is dropped.
4. The user's due instants below max(t, W) are evaluated in order, each at its own instant.
5. The event is added, and the user is evaluated at max(clock, t). If t lay before the clock, the event is late: it
   corrects the present, at the clock, and may retract what it shows to have been wrong.
6. W rises to min(t, record time) − lateness. It never goes back.

Due instants of other users below W fire whenever `tick` is called: nothing in the output depends on when, for each is
evaluated at its own instant, on a state that only that user's own records change.

A user's clock moves with events and with changes of state, not with waking up: evaluating without a change leaves no
trace. So summaries forget relative to the clock, never relative to the instant of an evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stream.engine.decisions import Decision, Occasion
from stream.engine.duplicates import CAPACITY, hash_id, is_known, remember
from stream.engine.migration import end_removed
from stream.engine.partition import Counts, Dues, Partition, Profiles, Step
from stream.engine.plan import Dispatch, Plan, Route
from stream.engine.profile import FOREVER, Profile
from stream.engine.records import dress
from stream.engine.traits import leaves_of, write_traits
from stream.errors import OperatorError
from stream.events import Event

_SLICE: Final = 512
"""Events of which those of one user are applied one after the other, on one profile.

What decides an event's effect is its user's profile and the watermark before it, which the events before it tell
without being applied. So who comes first does not matter, and one profile at a time is decoded, changed and encoded
while all of it lies in the processor's cache: a simulated one of 1 MiB is missed half as often as with hundreds alive.
"""
_GROWTH: Final = 512
"""Upper estimate of how many bytes an event adds to a profile, besides its id and traits."""


@dataclass(frozen=True, slots=True)
class TimeSettings:
    """How time is told from records; durations in milliseconds."""

    lateness: int = 0
    """How far the watermark stays behind."""
    clock_skew: int = 300_000
    """How much later than its record time an event may be."""
    idle_after: int | None = None
    """Silence after which a partition's watermark follows record time; None: never."""
    dedup_window: int = 86_400_000
    """How long before a user's newest event ids are remembered, inclusive."""
    dedup_size: int = CAPACITY
    """How many ids of a user are remembered at most."""


class Engine:
    """Decides segment changes. Holds no state of its own: partitions do."""

    def __init__(
        self, plan: Plan, settings: TimeSettings | None = None, *, step_bytes: int = 6 * 1024 * 1024
    ) -> None:
        self.plan = plan
        self.settings = settings or TimeSettings()
        self._step_bytes = step_bytes

    def gather_dues(self) -> Dues:
        """For who reads all profiles anyway before a partition is opened on them."""
        return Dues(self.plan.stamp)

    def open(
        self,
        profiles: Profiles,
        marker: bytes | None = None,
        *,
        generation: int | None = None,
        dues: Dues | None = None,
    ) -> Partition:
        """A partition on stored profiles; `marker` is that of the last step stored, None for an empty one.

        Where the marker was written under other definitions, those of this engine take over. A worker that is already
        running says which `generation` of definitions it runs (the largest of its partitions so far): what newer ones
        have taken over, it refuses with an OperatorError. `dues` of all profiles spare a scan of them, and are used up.
        """
        return Partition(self.plan, profiles, marker, generation, dues)

    def step(self, partition: Partition, events: Sequence[Event], next_offset: int) -> Step:
        """Applies events of one partition in order. `next_offset` follows the last record of the batch.

        If the step would grow beyond its limit, it stops early: `step.consumed` says how many events were applied.
        """
        run = _Run(self, partition)
        step = run.apply(list(events))
        partition.next_offset = next_offset if step.consumed == len(events) else events[step.consumed].offset
        return run.close()

    def tick(self, partition: Partition, watermark: int, limit: int = 1000) -> Step:
        """Raises the watermark and fires due instants below it, for at most `limit` users."""
        partition.watermark = max(partition.watermark, watermark)
        return self._fire(partition, partition.watermark, limit)

    def finish(self, partition: Partition, until: int, limit: int = 1000) -> Step:
        """Ends a replay: fires due instants ≤ `until`, for at most `limit` users."""
        return self._fire(partition, until + 1, limit)

    def _fire(self, partition: Partition, before: int, limit: int) -> Step:
        run = _Run(self, partition)
        run.fire_all(before, limit)
        return run.close()


_Written = tuple[str, bytes, int]
"""A user, the encoded profile, and the next due instant."""


class _Arrival:
    """An event that concerns its user, with what the events before it say of time."""

    __slots__ = ("event", "leaves", "matched", "position", "route", "time", "watermark")

    def __init__(
        self,
        event: Event,
        time: int,
        route: Route,
        matched: int,
        leaves: list[tuple[str, Any]],
        position: int,
        watermark: int,
    ) -> None:
        self.event = event
        self.time = time
        self.route = route
        self.matched = matched
        """Bits of the selectors that match it."""
        self.leaves = leaves
        """Its traits."""
        self.position = position
        """Among the events of its slice."""
        self.watermark = watermark
        """That of the events before it."""


class _Mark:
    """How far a step had come, to go back to."""

    __slots__ = ("_bytes", "_changes", "_fired", "_members", "_tiers", "_users")

    def __init__(self, run: _Run) -> None:
        step, partition = run.step, run.partition
        self._bytes, self._changes, self._fired = run.bytes, len(step.changes), len(step.fired)
        self._users = partition.users
        self._members, self._tiers = dict(partition.members), dict(partition.tiers)

    def go_back(self, run: _Run) -> None:
        """Undoes what a run decided since."""
        step, partition = run.step, run.partition
        run.bytes = self._bytes
        del step.changes[self._changes :]
        del step.fired[self._fired :]
        partition.users, partition.members, partition.tiers = self._users, self._members, self._tiers


class _Run:
    """One call of the engine: the profiles it touches and what it decides."""

    def __init__(self, engine: Engine, partition: Partition) -> None:
        self._plan = engine.plan
        self._rules = engine.plan.rules
        self._settings = engine.settings
        self._limit = engine._step_bytes
        self.partition = partition
        self.step = Step()
        self.bytes = 0
        """Upper estimate of what the step's profiles and changes take."""
        self._counts = Counts()
        """What happened to the events of a slice."""
        self._is_dirty = False
        """Whether the profile at hand was changed."""
        self._dues: dict[str, int] = {}

    # --- events ------------------------------------------------------------------------------------------------------

    def apply(self, events: list[Event]) -> Step:
        """Applies events, slice by slice, until the step has reached its size.

        It may become twice as large by the last slice. A slice that makes it larger still is undone and halved.
        """
        step, size = self.step, _SLICE
        while step.consumed < len(events) and self.bytes <= self._limit:
            some = events[step.consumed : step.consumed + size]
            if self._apply_slice(some):
                step.consumed += len(some)
            else:
                size = len(some) // 2
        return step

    def _apply_slice(self, events: list[Event]) -> bool:
        """Applies some events; False, and none of them, if the step would have grown too large."""
        plan, partition, settings = self._plan, self.partition, self._settings
        skew, lateness, idle_after = settings.clock_skew, settings.lateness, settings.idle_after
        mark = _Mark(self)
        counts = self._counts = Counts()
        watermark, last_record = partition.watermark, partition.last_record_time
        arrivals: dict[str, list[_Arrival]] = {}
        for position, event in enumerate(events):
            recorded: int = event.record_time
            if idle_after is not None and last_record is not None and recorded - last_record > idle_after:
                watermark = max(watermark, recorded - idle_after - lateness)
            last_record = recorded
            time: int = event.time
            if time > recorded + skew:
                event.time, event.clamped = recorded, True
                time = recorded
            if event.clamped:
                counts.clamped += 1
            route = plan.route(event.type)
            if not route.is_clock:
                matched = 0
                for bit, where in route.selectors:
                    if where is None or where(event) is True:
                        matched |= bit
                traits = event.traits
                leaves = leaves_of(traits) if type(traits) is dict else []
                if matched or leaves:
                    user: str = event.user
                    arrival = _Arrival(event, time, route, matched, leaves, position, watermark)
                    same = arrivals.get(user)
                    if same is None:
                        arrivals[user] = [arrival]
                    else:
                        same.append(arrival)
                else:
                    counts.ignored += 1
            low = min(recorded, time) - lateness
            if low > watermark:
                watermark = low
        written = self._apply_arrivals(arrivals, 0 if len(events) == 1 else 2 * self._limit)
        if written is None:
            mark.go_back(self)
            return False
        partition.watermark, partition.last_record_time = watermark, last_record
        self.step.counts.add(counts)
        self._keep(written)
        return True

    def _apply_arrivals(self, arrivals: dict[str, list[_Arrival]], limit: int) -> list[_Written] | None:
        """Applies the events of each user, and orders the changes as the events are; what they wrote.

        None as soon as the step is larger than `limit`, if that is not 0.
        """
        changes = self.step.changes
        first = len(changes)
        order: list[int] = []
        written: list[_Written] = []
        for (user, mine), raw in zip(arrivals.items(), self._read(list(arrivals)), strict=True):
            is_new = raw is None
            profile = self.partition.create(user) if raw is None else self.partition.decode(user, raw)
            self._is_dirty = False
            for arrival in mine:
                self._apply_event(profile, arrival, is_new)
                is_new = False
                if len(changes) > first + len(order):
                    order += [arrival.position] * (len(changes) - first - len(order))
            if limit and self.bytes > limit:
                return None
            if self._is_dirty:
                written.append((user, profile.encode(self._plan.stamp), profile.due))
        if order:
            at = sorted(range(len(order)), key=order.__getitem__)
            changes[first:] = [changes[first + place] for place in at]
        return written

    def _apply_event(self, profile: Profile, arrival: _Arrival, is_new: bool) -> None:
        if profile.review is not None:
            self._review(profile)
        event, leaves = arrival.event, arrival.leaves
        event_id: str = event.id
        hashed = hash_id(event_id)
        if not is_new and is_known(profile.recent_ids, hashed):
            self._counts.duplicates += 1
            return
        self._touch(profile)
        self.bytes += _GROWTH + 8 * len(event_id) + 300 * len(leaves)
        begin = max(arrival.time, arrival.watermark)
        if profile.due < begin:
            self._fire(profile, begin)
        dispatch = self._plan.dispatch(arrival.route, arrival.matched)
        rules = dispatch.rules[is_new + 2 * bool(leaves)]
        self._add(profile, event, arrival.time, event_id, hashed, arrival.matched, leaves, dispatch, rules)

    def _add(
        self,
        profile: Profile,
        event: Event,
        time: int,
        event_id: str,
        hashed: bytes,
        matched: int,
        leaves: list[tuple[str, Any]],
        dispatch: Dispatch,
        rules: tuple[int, ...],
    ) -> None:
        is_late = time < profile.clock
        occasion = Occasion("late_event" if is_late else "event", event, matched)
        if is_late:
            occasion.before = {}
            for index in self._plan.with_dependents(rules):
                self._rules[index].look(profile, event, occasion)
            if leaves or any(summary.covers(profile, event, role) for summary, role in dispatch.deciding):
                self._counts.late_applied += 1
            else:
                self._counts.late_expired += 1
        else:
            profile.clock = time
        if time > profile.newest:
            profile.newest = time
        profile.recent_ids = remember(
            profile.recent_ids,
            hashed,
            time,
            profile.newest,
            self._settings.dedup_window,
            self._settings.dedup_size,
        )
        other = event.anonymous_id
        if type(other) is str and other and event.user_id is not None:
            known = profile.ids
            if known is None:
                profile.ids = [time, event_id, other]
            elif known[0] < time or (known[0] == time and known[1] < event_id):
                known[0], known[1], known[2] = time, event_id, other
        if leaves:
            write_traits(profile, event, leaves)
        for bundle, role in dispatch.adds:
            bundle.add(profile, event, time, event_id, role)
        if profile.evicted:
            self._counts.evicted += profile.evicted
            profile.evicted = 0
        for rule in dispatch.notes:
            rule.note(profile, event, matched)
        self._evaluate(profile, profile.clock, rules, occasion)

    # --- time --------------------------------------------------------------------------------------------------------

    def fire_all(self, before: int, limit: int) -> None:
        """Fires what is due before an instant, for at most `limit` users and within the step's size."""
        partition = self.partition
        while limit > 0 and self.bytes <= self._limit:
            users = partition.take_due(before, min(limit, 256))
            if not users:
                break
            limit -= len(users)
            written: list[_Written] = []
            for user, raw in zip(users, self._read(users), strict=True):
                if raw is None:
                    continue
                profile = partition.decode(user, raw)
                self._is_dirty = False
                if (profile.due < before or profile.review is not None) and self._fire(profile, before):
                    self._touch(profile)
                    written.append((user, profile.encode(self._plan.stamp), profile.due))
                else:
                    partition.schedule(user, profile.due)
            self._keep(written)
        next_due = partition.next_due
        self.step.more = next_due is not None and next_due < before

    def _fire(self, profile: Profile, before: int) -> bool:
        """Evaluates the user's due instants below `before` in order, each at its own; True if anything changed."""
        changed = False
        if profile.review is not None:
            self._review(profile)
            changed = True
        while (due := profile.due) < before:
            self.step.fired.append(due)
            changed |= self._evaluate(profile, due, (), Occasion("timer"))
            if profile.due <= due:
                raise OperatorError(
                    f"timers of user {profile.user!r} do not advance beyond {due}; please report this"
                )
        return changed

    def _review(self, profile: Profile) -> None:
        """Asks everything anew, since the profile was written under other definitions."""
        review, profile.review = profile.review, None
        occasion = Occasion("definition_change", redefined=review.redefined)
        instant = max(profile.clock, self.partition.change)
        ended = end_removed(profile, review, self._rules)
        if ended:
            profile.clock = instant
            self._publish(profile, instant, occasion, ended)
        self._evaluate(profile, instant, tuple(range(len(self._rules))), occasion)
        self._touch(profile)

    def _touch(self, profile: Profile) -> None:
        """Notes that the profile at hand is changed, and so will be written."""
        if not self._is_dirty:
            self._is_dirty = True
            if profile.user not in self.step.profiles:
                self.bytes += profile.size

    def _evaluate(self, profile: Profile, instant: int, rules: tuple[int, ...], occasion: Occasion) -> bool:
        """Asks `rules`, those that are due, and those that refer to one that changed; True if any changed state."""
        todo = list(rules)
        if profile.due <= instant:
            todo += [index for index in profile.due_at(instant) if index not in rules]
            if len(todo) > len(rules):
                todo.sort()
        changed = False
        position = 0
        decisions: list[Decision] = []
        while position < len(todo):
            rule = self._rules[todo[position]]
            position += 1
            if rule.evaluate(profile, instant, occasion, decisions):
                changed = True
                if rule.dependents:
                    todo[position:] = sorted({*todo[position:], *rule.dependents})
        if todo:
            profile.find_due()
        if changed and instant > profile.clock:
            profile.clock = instant
        if decisions:
            self._publish(profile, instant, occasion, decisions)
        return changed

    def _publish(self, profile: Profile, instant: int, occasion: Occasion, decisions: list[Decision]) -> None:
        changes = dress(decisions, profile, instant, occasion, self._rules)
        self.step.changes.extend(changes)
        members, tiers = self.partition.members, self.partition.tiers
        for change in changes:
            self.bytes += 2 * len(change.value) + 512  # published again as the membership's last change
        for decision in decisions:
            name = decision.rule.name
            if decision.rule.kind == "ladder":
                for tier, by in ((decision.previous, -1), (decision.value, 1)):
                    if tier is not None:
                        tiers[(name, tier)] = tiers.get((name, tier), 0) + by
            elif decision.type != "renewed":
                members[name] = members.get(name, 0) + (1 if decision.type == "entered" else -1)

    # --- profiles ----------------------------------------------------------------------------------------------------

    def _read(self, users: list[str]) -> list[bytes | None]:
        """The encoded profiles of `users`, as this step left them so far; None for who has none."""
        written = self.step.profiles
        if not written:
            return self.partition.read(users)
        found: dict[str, bytes | None] = {user: written[user] for user in users if user in written}
        others = [user for user in users if user not in found]
        found.update(zip(others, self.partition.read(others), strict=True))
        return [found[user] for user in users]

    def _keep(self, written: list[_Written]) -> None:
        """Makes profiles part of the step."""
        profiles, dues = self.step.profiles, self._dues
        for user, raw, due in written:
            profiles[user] = raw
            dues[user] = due

    def close(self) -> Step:
        """What the step decided."""
        step, partition = self.step, self.partition
        for user, due in self._dues.items():
            if due < FOREVER:
                partition.schedule(user, due)
        partition.hold(step.profiles)
        step.counts.consumed = step.consumed
        step.next_offset, step.watermark = partition.next_offset, partition.watermark
        step.marker = partition.marker()
        return step
