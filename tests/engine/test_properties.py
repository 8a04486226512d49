"""What must hold for every aggregate in every window and for every condition, on logs that nobody chose.

The output is a function of the log: however the work is cut into batches, steps and slices of timers, however late
the store answers, and wherever a worker dies and starts again. And what a condition says is a function of the set of
events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from stream.changes import Change
from stream.definitions.model import Ladder
from stream.durations import DAY, HOUR, MINUTE
from stream.engine import Engine, Plan, Step, TimeSettings
from stream.engine.cells import Shape
from stream.engine.comparisons import Comparison, Member
from stream.engine.conditions import Composite, Condition, Explanation, Leaf
from stream.engine.ladders import LadderRule
from stream.engine.membership import SegmentRule, reasons
from stream.engine.packed import unpack_all
from stream.engine.profile import FOREVER, Profile, decode_profile, stamp_of
from stream.engine.references import MemberOf, TierOf
from stream.engine.summaries import ACTIVITY, DecaySummary, NewestSummary, Summary, WindowSummary
from stream.engine.traits import leaves_of, write_traits
from stream.events import Event
from stream.state import MemoryStore
from tests.engine.driven import gather, put
from tests.engine.wide import FILES, copied, logs, plan_of

TIMES = (
    TimeSettings(),
    TimeSettings(lateness=10 * MINUTE, dedup_window=HOUR),
    TimeSettings(idle_after=20 * MINUTE, lateness=MINUTE, clock_skew=0),
)
Output = tuple[list[bytes], dict[str, bytes]]
"""The changes in the order of a replay's output, and the profiles at the end."""


@dataclass
class Worker:
    """One partition with everything that may happen to it: slices, late stores, small steps, death."""

    plan: Plan
    times: TimeSettings
    step_bytes: int
    events: Sequence[Event]
    store: MemoryStore = field(default_factory=MemoryStore)
    published: dict[str, Change] = field(default_factory=dict)
    pending: deque[Step] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new process: what was not written is gone, and is done again from the marker on."""
        self.pending.clear()
        self.engine = Engine(self.plan, self.times, step_bytes=self.step_bytes)
        self.partition = self.engine.open(self.store, self.store.marker())

    def take(self, step: Step) -> None:
        """Publishes; what was published before a death must come again as it was."""
        for change in step.changes:
            known = self.published.setdefault(change.event_id, change)
            assert known.value == change.value
        self.pending.append(step)

    def write(self, left: int) -> None:
        while len(self.pending) > left:
            step = self.pending.popleft()
            self.store.write(step.profiles, step.marker)
            self.partition.settle(step)

    def feed(self, size: int) -> bool:
        """Applies up to so many records; False at the end of the log."""
        start = self.partition.next_offset
        batch = [copied(event) for event in self.events[start : start + size]]
        if not batch:
            return False
        for number, event in enumerate(batch, start):
            event.offset = number
        step = self.engine.step(self.partition, batch, start + len(batch))
        assert 1 <= step.consumed <= len(batch)
        self.take(step)
        return True

    def tick(self, limit: int) -> bool:
        step = self.engine.tick(self.partition, self.partition.watermark, limit)
        self.take(step)
        return step.more

    def finish(self, until: int, limit: int) -> Output:
        while self.tick(limit):
            pass
        more = True
        while more:
            step = self.engine.finish(self.partition, until, limit)
            self.take(step)
            more = step.more
        self.write(0)
        assert self.partition.next_due is None or self.partition.next_due > until
        changes = sorted(self.published.values(), key=lambda change: change.sort_key)
        return [change.value for change in changes], dict(self.store.scan())


def end_of(events: Sequence[Event]) -> int:
    return max(min(event.time, event.record_time) for event in events) + 2 * HOUR


def plainly(plan: Plan, times: TimeSettings, events: Sequence[Event]) -> Output:
    """Everything in one batch."""
    worker = Worker(plan, times, 6 << 20, events)
    worker.feed(len(events))
    return worker.finish(end_of(events), 1000)


def without_timers(profiles: dict[str, bytes]) -> dict[str, bytes]:
    """The profiles as if nothing were due."""
    found = {}
    for user, raw in profiles.items():
        profile = decode_profile(user, raw)
        profile.due, profile.dues = FOREVER, []
        found[user] = profile.encode(stamp_of(raw))
    return found


MOVES = st.one_of(
    st.tuples(st.just("feed"), st.integers(1, 9)),
    st.tuples(st.just("tick"), st.integers(1, 3)),
    st.tuples(st.just("write"), st.integers(0, 3)),
    st.tuples(st.just("die"), st.just(0)),
)


class EnoughSeen(Exception):  # noqa: N818  # it is no error
    """Ends the search for examples."""


@pytest.mark.parametrize("name", FILES)
def test_the_logs_of_these_tests_make_every_segment_change(name: str) -> None:
    plan = plan_of(name)
    silent = {rule.name for rule in plan.rules}

    @settings(
        max_examples=300, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
    )
    @given(events=logs())
    def run(events: list[Event]) -> None:
        worker = Worker(plan, TIMES[0], 6 << 20, events)
        worker.feed(len(events))
        worker.finish(end_of(events), 1000)
        silent.difference_update(change.segment for change in worker.published.values())
        if not silent:
            raise EnoughSeen

    with suppress(EnoughSeen):
        run()
    assert not silent


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    events=logs(),
    times=st.sampled_from(TIMES),
    moves=st.lists(MOVES, max_size=40),
    step_bytes=st.sampled_from((1, 3_000, 6 << 20)),
)
def test_how_the_work_is_cut_does_not_matter(
    name: str, events: list[Event], times: TimeSettings, moves: list[tuple[str, int]], step_bytes: int
) -> None:
    plan = plan_of(name)
    worker = Worker(plan, times, step_bytes, events)
    for move, n in moves:
        if move == "feed":
            worker.feed(n)
        elif move == "tick":
            worker.tick(n)
        elif move == "write":
            worker.write(n)
        else:
            worker.start()
    while worker.feed(2):
        pass
    changes, profiles = worker.finish(end_of(events), 1)
    expected_changes, expected_profiles = plainly(plan, times, events)
    assert changes == expected_changes
    if any(move == "tick" for move, _ in moves):
        # Waking for nothing leaves no trace: how far a user's timers have been looked at is no part of the state.
        profiles, expected_profiles = map(without_timers, (profiles, expected_profiles))
    assert profiles == expected_profiles


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(events=logs(late=False))
def test_partitions_do_not_matter_to_a_log_in_order(name: str, events: list[Event]) -> None:
    plan, outputs = plan_of(name), []
    for split in (lambda user: 0, lambda user: "uvw".find(user), lambda user: int(user == "v")):
        changes: list[bytes] = []
        for part in range(3):
            own = [event for event in events if not event.user or split(event.user) == part]
            if own:
                worker = Worker(plan, TIMES[0], 6 << 20, own)
                while worker.feed(3):
                    worker.tick(1)
                worker.finish(end_of(events), 2)
                changes += [change.value for change in worker.published.values()]
        outputs.append(sorted(changes))
    assert outputs[0] == outputs[1] == outputs[2]


# --- what conditions say is a function of the set of events ----------------------------------------------------------


def conditions_in(plan: Plan) -> list[tuple[str, Condition]]:
    """The conditions of all rules that say something of the user's events alone, with the rule's name."""
    found: list[tuple[str, Condition]] = []
    for rule in plan.rules:
        if isinstance(rule, LadderRule):
            found += [(rule.name, tier.when) for tier in rule._tiers]
        elif isinstance(rule, SegmentRule):
            found.append((rule.name, rule._when))
    return [(name, node) for name, node in found if not speaks_of_membership(node)]


def keyed_rules(plan: Plan) -> list[SegmentRule]:
    """Segments with a membership per key that say something of the user's events alone."""
    return [
        rule
        for rule in plan.rules
        if isinstance(rule, SegmentRule) and rule.keys_of is not None and not speaks_of_membership(rule._when)
    ]


def speaks_of_membership(node: Any) -> bool:
    """Whether a condition asks for segments or ladders, which events alone do not decide."""
    if isinstance(node, (MemberOf, TierOf)):
        return True
    if isinstance(node, Comparison):
        return speaks_of_membership(node._left) or speaks_of_membership(node._right)
    if isinstance(node, Member):
        return speaks_of_membership(node._options)
    return isinstance(node, Composite) and any(map(speaks_of_membership, node._operands))


KEYS = (None, "p1", "p2", "p3")


def keys_of(plan: Plan, name: str) -> tuple[str | None, ...]:
    owner = plan.definitions.segments.get(name) or plan.definitions.ladders[name]
    return (None,) if isinstance(owner, Ladder) or owner.for_each is None else KEYS[1:]


def answers(plan: Plan, profile: Profile, instant: int) -> list[Any]:
    """Everything that any condition says, with values, evidence and the next instant of every node."""
    return [
        (name, key, node.explain(profile, instant, key))
        for name, node in conditions_in(plan)
        for key in keys_of(plan, name)
    ]


def normal(plan: Plan, profile: Profile) -> list[Any]:
    """The state of all summaries, without what is out of reach but not yet dropped, and without the order of ties."""
    return [
        normal_state(summary, summary.state(profile, None), profile.clock)
        if (table := profile.table(summary.unit) if summary.is_split else None) is None
        else [
            (entry[: ACTIVITY + 1], normal_state(summary, entry[summary.place], profile.clock))
            for entry in sorted(table.all())
        ]
        for summary in plan.summaries
    ]


def normal_state(summary: Summary, state: Any, clock: int) -> Any:
    if isinstance(summary, NewestSummary) and state is not None:
        cut = summary.window.cut(clock)
        return sorted((value, time) for value, time in state[0].items() if time >= cut), state[1]
    if isinstance(summary, DecaySummary) and state is not None:
        return sorted(zip(state[0], state[1], strict=True)), sorted(state[2].items())
    if not isinstance(summary, WindowSummary) or state is None:
        return state
    cut = summary.window.cut(clock)
    times, values, ids, panes = (state, None, None, []) if type(state) is bytes else state
    times, values = unpack_all(times), unpack_all(values) if type(values) is bytes else values
    columns = [times, values or [None] * len(times), ids or [None] * len(times)]
    entries = [entry for entry in zip(*columns, strict=True) if entry[0] >= cut]
    shape: Shape = summary.shape
    if not shape.keeps_ids:
        entries.sort(key=lambda entry: (entry[0], -FOREVER if entry[1] is None else entry[1]))
    return entries, [pane for pane in panes if pane[0] >= cut]


def arrivals(events: list[Event], seed: int, lateness: int) -> list[Event]:
    """Another order of arrival, in which no event comes more than `lateness` late."""
    random = Random(seed)
    return sorted(events, key=lambda event: event.time + random.randint(0, lateness))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    events=logs(users=1, most=30, late=False, traits=False),
    seed=st.integers(0, 2**32),
    lateness=st.sampled_from((0, 1, 30 * MINUTE, 50 * MINUTE, 30 * DAY)),
    after=st.sampled_from((0, 1, 10 * MINUTE, HOUR - 1, HOUR, 30 * HOUR)),
)
def test_the_order_of_arrival_does_not_matter(
    name: str, events: list[Event], seed: int, lateness: int, after: int
) -> None:
    plan = plan_of(name)
    events = [event for event in events if event.user]
    assume(events)
    other = gather(plan, [])
    assume(all(put(plan, other, event) for event in arrivals(events, seed, lateness)))
    profile = gather(plan, events)
    assert normal(plan, other) == normal(plan, profile)
    instant = profile.clock + after
    assert answers(plan, other, instant) == answers(plan, profile, instant)


def deciding(said: Explanation) -> list[Explanation]:
    """The leaves of a tree that made its verdict what it is."""
    if not said.parts:
        return [said]
    same = said.parts if said.text == "not" else [part for part in said.parts if part.verdict is said.verdict]
    return [leaf for part in same for leaf in deciding(part)]


def facts(leaf: Leaf | Explanation) -> tuple[Any, ...]:
    return (leaf.text, leaf.value, leaf.operator, leaf.bound, leaf.duration, leaf.evidence)


@pytest.mark.parametrize("name", ["conditions", "memberships"])
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(events=logs(users=1), after=st.sampled_from([0, 1, MINUTE, HOUR, DAY]))
def test_the_reasons_of_a_change_are_the_leaves_that_decide_in_the_explanation(
    name: str, events: list[Event], after: int
) -> None:
    plan = plan_of(name)
    profile = gather(plan, [event for event in events if event.user])
    instant = max(profile.clock, events[0].time) + after  # of somebody to whom nothing happened, too
    for rule, node in conditions_in(plan):
        for key in keys_of(plan, rule):
            said = node.explain(profile, instant, key)
            found = reasons(node, profile, instant, key, said.verdict)
            assert [facts(leaf) for leaf in found] == [facts(leaf) for leaf in deciding(said)]


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(events=logs(users=1, most=12, late=False), data=st.data())
def test_traits_do_not_depend_on_the_order_of_arrival(events: list[Event], data: st.DataObject) -> None:
    writes = [event for event in events if event.traits]
    for number, event in enumerate(writes):
        event.id = f"e{number % 3}{number}"  # ids that do not rise with time

    def written(order: list[Event]) -> dict[str, Any]:
        profile = gather(plan_of("conditions"), [])
        for event in order:
            write_traits(profile, event, leaves_of(event.traits))
        return profile.traits

    assert written(data.draw(st.permutations(writes))) == written(writes)


# --- every node knows how long its answer holds ----------------------------------------------------------------------


def all_nodes(node: Condition) -> list[Condition]:
    parts: list[Any] = list(getattr(node, "_operands", ()))
    return [node, *(below for part in parts for below in all_nodes(part))]


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    events=logs(users=1, most=16, late=False),
    after=st.sampled_from((0, 1, 10 * MINUTE, HOUR - 1, HOUR, 30 * HOUR)),
    seed=st.integers(0, 2**32),
)
def test_no_verdict_changes_before_its_time(name: str, events: list[Event], after: int, seed: int) -> None:
    plan, random = plan_of(name), Random(seed)
    events = [event for event in events if event.user]
    assume(events)
    profile = gather(plan, events)
    start = profile.clock + after
    for owner, condition in conditions_in(plan):
        for key in keys_of(plan, owner):
            for node in all_nodes(condition):
                verdict, until = node.test(profile, start, key)
                assert until > start
                holds, sooner, _ = node.holds(profile, start, key)
                assert (holds, sooner > start) == (verdict is True, True)
                end = min(until, start + 400 * DAY)
                for instant in {end - 1, *(random.randrange(start, end) for _ in range(4))} - {start}:
                    asked = node.test(profile, instant, key)[0]
                    assert asked is verdict, (node.text, instant - start, until - start)
                end = min(sooner, start + 400 * DAY)
                for instant in (end - 1, random.randrange(start, end), random.randrange(start, end)):
                    assert (node.test(profile, instant, key)[0] is True) is holds, (
                        node.text,
                        instant - start,
                    )


@pytest.mark.parametrize("name", [name for name in FILES if keyed_rules(plan_of(name))])
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    events=logs(users=1, most=16),
    more=logs(users=1, most=8),
    key=st.sampled_from(KEYS[1:]),
    seed=st.integers(0, 2**32),
)
def test_what_only_a_keys_own_events_can_begin_no_others_do(
    name: str, events: list[Event], more: list[Event], key: str, seed: int
) -> None:
    plan, random = plan_of(name), Random(seed)
    events, more = [event for event in events if event.user], [event for event in more if event.user]
    assume(events and more)
    profile = gather(plan, events)
    start = profile.clock
    rules = keyed_rules(plan)
    waiting = [
        (node, until)
        for rule in rules
        for node in all_nodes(rule._when)
        for holds, until, own in [node.holds(profile, start, key)]
        if own and not holds
    ]
    for event in more:
        if all(key not in rule.keys_of(event) for rule in rules if rule.keys_of is not None):
            put(plan, profile, event)
    for node, until in waiting:
        end = min(until, profile.clock + 400 * DAY)
        if end > profile.clock:
            for instant in {profile.clock, end - 1, random.randrange(profile.clock, end)}:
                assert node.test(profile, instant, key)[0] is not True, (node.text, instant - start)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(events=logs(users=1, most=16, traits=False))
def test_an_engine_with_nothing_due_does_nothing(name: str, events: list[Event]) -> None:
    worker = Worker(plan_of(name), TIMES[0], 6 << 20, events)
    worker.feed(len(events))
    while worker.tick(1):
        pass
    for _ in range(20):
        worker.write(0)
        due = worker.partition.next_due
        if due is None:
            break
        assert due >= worker.partition.watermark
        step = worker.engine.tick(worker.partition, due)  # time must be beyond an instant for it to fire
        assert (step.changes, step.fired, step.profiles, step.more) == ([], [], {}, False)
        worker.tick(1)
        step = worker.engine.tick(worker.partition, due + 1)
        assert all(change.effective_at == due for change in step.changes)
        worker.take(step)


WITHOUT_CALENDAR = [
    name
    for name in FILES
    if name not in ("conditions", "window day", "window week", "window month", "window year")
]


@pytest.mark.parametrize("name", WITHOUT_CALENDAR)
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(events=logs(users=1, most=16, traits=False))
def test_nothing_is_ever_due_again_for_who_stays_away(name: str, events: list[Event]) -> None:
    worker = Worker(plan_of(name), TIMES[0], 6 << 20, events)
    worker.feed(len(events))
    end = end_of(events) + 10 * DAY
    worker.finish(end, 1000)
    assert worker.partition.next_due is None, "whoever polls has something due after any time"
