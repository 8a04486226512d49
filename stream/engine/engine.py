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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stream.engine.decisions import Decision, Occasion
from stream.engine.duplicates import CAPACITY, hash_id, is_known, remember
from stream.engine.migration import end_removed
from stream.engine.partition import Dues, Partition, Profiles, Step
from stream.engine.plan import Dispatch, Plan, Route
from stream.engine.profile import FOREVER, Profile
from stream.engine.records import dress
from stream.engine.traits import leaves_of, write_traits
from stream.errors import OperatorError
from stream.events import Event

_SLICE: Final = 256
"""Events applied before the profiles that they touched are encoded and dropped.

A profile costs a few microseconds to decode and encode, and more if it was touched so long ago that it has left the
processor's cache. So it is cheaper to decode a user twice in a step than to keep thousands of profiles alive.
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


class _Run:
    """One call of the engine: the profiles it touches and what it decides."""

    def __init__(self, engine: Engine, partition: Partition) -> None:
        self._plan = engine.plan
        self._rules = engine.plan.rules
        self._settings = engine.settings
        self._limit = engine._step_bytes
        self._partition = partition
        self._profiles: dict[str, Profile] = {}
        self._dirty: dict[str, Profile] = {}
        self._dues: dict[str, int] = {}
        self._step = Step()
        self._bytes = 0

    # --- events ------------------------------------------------------------------------------------------------------

    def apply(self, events: list[Event]) -> Step:
        for start in range(0, len(events), _SLICE):
            if not self._apply_slice(events[start : start + _SLICE]):
                break
        return self._step

    def _apply_slice(self, events: list[Event]) -> bool:
        """Applies some events; False if the step would have grown too large."""
        plan, partition, step, settings = self._plan, self._partition, self._step, self._settings
        skew, lateness, idle_after = settings.clock_skew, settings.lateness, settings.idle_after
        routes: list[Route] = []
        wanted: dict[str, None] = {}
        for event in events:
            route = plan.route(event.type)
            routes.append(route)
            if route.selectors or event.traits:
                wanted[event.user] = None
        self._profiles = self._load(wanted)
        watermark, last_record = partition.watermark, partition.last_record_time
        is_full = False
        for event, route in zip(events, routes, strict=True):
            if self._bytes > self._limit and step.consumed:
                is_full = True
                break
            step.consumed += 1
            recorded: int = event.record_time
            if idle_after is not None and last_record is not None and recorded - last_record > idle_after:
                watermark = max(watermark, recorded - idle_after - lateness)
            last_record = recorded
            time: int = event.time
            if time > recorded + skew:
                event.time, event.clamped = recorded, True
                time = recorded
                step.counts.clamped += 1
            if not route.is_clock:
                self._apply_event(event, time, route, watermark)
            low = min(recorded, time) - lateness
            if low > watermark:
                watermark = low
        partition.watermark, partition.last_record_time = watermark, last_record
        self._encode()
        return not is_full

    def _apply_event(self, event: Event, time: int, route: Route, watermark: int) -> None:
        matched = 0
        for bit, where in route.selectors:
            if where is None or where(event) is True:
                matched |= bit
        traits = event.traits
        leaves = leaves_of(traits) if type(traits) is dict else []
        has_traits = bool(leaves)
        if not matched and not has_traits:
            self._step.counts.ignored += 1
            return
        user: str = event.user
        event_id: str = event.id
        profile = self._profiles.get(user)
        hashed = hash_id(event_id)
        is_new = profile is None
        if profile is not None and profile.review is not None:
            self._review(profile)
        if profile is None:
            profile = self._partition.create(user)
            self._profiles[user] = profile
        elif is_known(profile.recent_ids, hashed):
            self._step.counts.duplicates += 1
            return
        self._mark_dirty(profile)
        self._bytes += _GROWTH + 8 * len(event_id) + 300 * len(leaves)
        begin = max(time, watermark)
        if profile.due < begin:
            self._fire(profile, begin)
        dispatch = self._plan.dispatch(route, matched)
        rules = dispatch.rules[is_new + 2 * has_traits]
        self._add(profile, event, time, event_id, hashed, matched, leaves, dispatch, rules)

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
                self._step.counts.late_applied += 1
            else:
                self._step.counts.late_expired += 1
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
            if known is None or (known[0], known[1]) < (time, event_id):
                profile.ids = [time, event_id, other]
        if leaves:
            write_traits(profile, event, leaves)
        for bundle, role in dispatch.adds:
            bundle.add(profile, event, time, event_id, role)
        if profile.evicted:
            self._step.counts.evicted += profile.evicted
            profile.evicted = 0
        for rule in dispatch.notes:
            rule.note(profile, event, matched)
        self._evaluate(profile, profile.clock, rules, occasion)

    # --- time --------------------------------------------------------------------------------------------------------

    def fire_all(self, before: int, limit: int) -> None:
        """Fires what is due before an instant, for at most `limit` users and within the step's size."""
        partition = self._partition
        while limit > 0 and self._bytes <= self._limit:
            users = partition.take_due(before, min(limit, 256))
            if not users:
                break
            limit -= len(users)
            for user, profile in self._load(users).items():
                if (profile.due < before or profile.review is not None) and self._fire(profile, before):
                    self._mark_dirty(profile)
                else:
                    partition.schedule(user, profile.due)
            self._encode()
        next_due = partition.next_due
        self._step.more = next_due is not None and next_due < before

    def _fire(self, profile: Profile, before: int) -> bool:
        """Evaluates the user's due instants below `before` in order, each at its own; True if anything changed."""
        changed = False
        if profile.review is not None:
            self._review(profile)
            changed = True
        while (due := profile.due) < before:
            self._step.fired.append(due)
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
        instant = max(profile.clock, self._partition.change)
        ended = end_removed(profile, review, self._rules)
        if ended:
            profile.clock = instant
            self._publish(profile, instant, occasion, ended)
        self._evaluate(profile, instant, tuple(range(len(self._rules))), occasion)
        self._mark_dirty(profile)

    def _mark_dirty(self, profile: Profile) -> None:
        user = profile.user
        if user not in self._dirty:
            self._dirty[user] = profile
            if user not in self._step.profiles:
                self._bytes += profile.size

    def _evaluate(self, profile: Profile, instant: int, rules: tuple[int, ...], occasion: Occasion) -> bool:
        """Asks `rules`, those that are due, and those that refer to one that changed; True if any changed state."""
        todo = list(rules)
        if profile.due <= instant:
            for index, due in profile.dues.items():
                if due <= instant and index not in rules:
                    todo.append(index)
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
            least = FOREVER
            for due in profile.dues.values():
                if due < least:
                    least = due
            profile.due = least
        if changed and instant > profile.clock:
            profile.clock = instant
        if decisions:
            self._publish(profile, instant, occasion, decisions)
        return changed

    def _publish(self, profile: Profile, instant: int, occasion: Occasion, decisions: list[Decision]) -> None:
        changes = dress(decisions, profile, instant, occasion, self._rules)
        self._step.changes.extend(changes)
        members, tiers = self._partition.members, self._partition.tiers
        for change in changes:
            self._bytes += 2 * len(change.value) + 512  # published again as the membership's last change
        for decision in decisions:
            name = decision.rule.name
            if decision.rule.kind == "ladder":
                for tier, by in ((decision.previous, -1), (decision.value, 1)):
                    if tier is not None:
                        tiers[(name, tier)] = tiers.get((name, tier), 0) + by
            elif decision.type != "renewed":
                members[name] = members.get(name, 0) + (1 if decision.type == "entered" else -1)

    # --- profiles ----------------------------------------------------------------------------------------------------

    def _load(self, users: Iterable[str]) -> dict[str, Profile]:
        """The profiles of those of `users` who have one, as this step left them so far."""
        partition, written = self._partition, self._step.profiles
        if not written:
            return partition.load(users)
        found = partition.load([user for user in users if user not in written])
        for user in users:
            raw = written.get(user)
            if raw is not None:
                found[user] = partition.decode(user, raw)
        return found

    def _encode(self) -> None:
        """Encodes what changed, and lets go of it."""
        stamp, written, dues = self._plan.stamp, self._step.profiles, self._dues
        for user, profile in self._dirty.items():
            written[user] = profile.encode(stamp)
            dues[user] = profile.due
        self._dirty = {}

    def close(self) -> Step:
        """What the step decided."""
        step, partition = self._step, self._partition
        for user, due in self._dues.items():
            if due < FOREVER:
                partition.schedule(user, due)
        partition.hold(step.profiles)
        step.counts.consumed = step.consumed
        step.next_offset, step.watermark = partition.next_offset, partition.watermark
        step.marker = partition.marker()
        return step
