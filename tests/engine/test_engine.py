"""The engine's time: clocks, watermarks, idle partitions, late events, duplicates of time."""

from __future__ import annotations

import pytest

from stream.durations import DAY, HOUR, MINUTE
from stream.engine import TimeSettings
from stream.engine.profile import FOREVER
from stream.events import Event
from stream.state import MemoryStore
from tests.engine.driven import Driven, T, body, clock, happened

CART = """
events: {cart: {type: cart}, buy: {type: buy}}
segments: {abandoned: {when: {seq: [{do: cart}, {not: buy, for: 30m}]}}}
"""


def other(time: int) -> Event:
    """Somebody else, who moves time."""
    return happened("cart", time, "w")


# --- the watermark ---------------------------------------------------------------------------------------------------


def test_the_watermark_follows_event_and_record_time_and_never_goes_back() -> None:
    run = Driven(CART, TimeSettings(lateness=MINUTE))
    assert run.partition.watermark == -FOREVER
    run.feed(happened("cart", T, record_time=T + HOUR))
    assert run.partition.watermark == T - MINUTE, "the event time is the smaller"
    run.feed(happened("ignored", T + 5 * MINUTE, record_time=T + 4 * MINUTE))
    assert run.partition.watermark == T + 3 * MINUTE, (
        "the record time is the smaller; ignored events are readable"
    )
    run.feed(happened("cart", T + MINUTE))
    assert run.partition.watermark == T + 3 * MINUTE
    run.drain(T)
    assert run.partition.watermark == T + 3 * MINUTE


def test_an_event_is_applied_under_the_watermark_of_the_records_before_it() -> None:
    """Its own time fires its user's due instants, but nobody else's."""
    run = Driven(CART)
    run.feed(happened("cart", T))
    assert run.feed(other(T + HOUR)) == []
    assert run.drain() == ["abandoned entered @ 00:30 (timer)"]


def test_what_is_due_exactly_at_the_event_waits_for_it() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T))
    assert run.feed(happened("buy", T + 30 * MINUTE)) == [], "bought in the very millisecond"
    run = Driven(CART)
    run.feed(happened("cart", T))
    assert run.feed(happened("buy", T + 30 * MINUTE + 1)) == [
        "abandoned entered @ 00:30 (timer)",
        "abandoned exited @ 00:30:00.001",
    ]


@pytest.mark.parametrize(("watermark", "fires"), [(T + 30 * MINUTE, False), (T + 30 * MINUTE + 1, True)])
def test_due_instants_fire_strictly_below_the_watermark(watermark: int, fires: bool) -> None:
    run = Driven(CART)
    run.feed(happened("cart", T))
    assert bool(run.feed(clock(watermark)) + run.drain()) is fires
    assert bool(run.finish(T + 30 * MINUTE)) is not fires, "the end of a replay includes its last instant"


def test_due_instants_below_the_watermark_fire_before_a_late_event_is_added() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T), clock(T + HOUR))
    assert run.feed(happened("buy", T + 10 * MINUTE)) == [
        "abandoned entered @ 00:30 (timer)",
        "abandoned retracted @ 00:30 (late_event)",
    ]


def test_lateness_holds_timers_back() -> None:
    run = Driven(CART, TimeSettings(lateness=HOUR))
    run.feed(happened("cart", T), clock(T + HOUR))
    assert run.feed(happened("buy", T + 10 * MINUTE)) == []
    assert run.counts["late_applied"] == 0, "it is not older than the user's clock"
    assert run.drain(T + 10 * HOUR) == []


# --- the clock of a user ---------------------------------------------------------------------------------------------


def test_waking_without_a_change_leaves_the_clock_where_it_was() -> None:
    run = Driven(
        """
events: {cart: {type: cart}}
features: {n: {count: cart, last: 1h}}
segments: {busy: {when: "n >= 5"}, quiet: {when: "n < 1"}}
"""
    )
    run.feed(happened("cart", T), happened("cart", T + MINUTE))
    run.feed(clock(T + HOUR + 1))
    assert run.drain() == []
    assert run.fired, "something was due"
    assert run.profile().clock == T + MINUTE
    run.feed(clock(T + 2 * HOUR))
    assert run.drain() == ["quiet entered @ 01:01 (timer)"]
    assert run.profile().clock == T + HOUR + MINUTE


def test_an_event_at_exactly_the_clock_is_not_late() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T, id="x"), happened("cart", T, id="a"), happened("cart", T - 1))
    assert (run.counts["late_applied"], run.counts["late_expired"]) == (1, 0)


def test_a_late_event_is_evaluated_at_the_clock() -> None:
    run = Driven("events: {a: {type: a}}\nfeatures: {n: {count: a}}\nsegments: {s: {when: 'n >= 2'}}")
    run.feed(happened("a", T + HOUR))
    assert run.feed(happened("a", T)) == ["s entered @ 01:00 (late_event)"]
    assert body(run.changes[0])["trigger"]["time"] == "2026-11-02T00:00:00.000Z"


def test_an_event_that_no_window_reaches_changes_nothing() -> None:
    run = Driven(
        "events: {a: {type: a}}\nfeatures: {n: {sum: a.value, last: 1h}}\nsegments: {s: {when: 'n >= 2'}}"
    )
    run.feed(happened("a", T + 2 * HOUR, value=1))
    # That it counts as expired is left out: for now evidence, which is kept whatever its age, makes it applied.
    run.feed(happened("a", T, value=1))
    assert run.feed(happened("a", T + HOUR, value=1)) == [], "a window ends where it begins"
    assert run.feed(happened("a", T + HOUR + 1, value=1)) == ["s entered @ 02:00 (late_event)"]


# --- phones with wrong clocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "clamped"), [(5 * MINUTE, False), (5 * MINUTE + 1, True), (365 * DAY, True)]
)
def test_an_event_later_than_its_record_by_more_than_the_skew_gets_its_record_time(
    ahead: int, clamped: bool
) -> None:
    run = Driven("events: {a: {type: a}}\nsegments: {s: {when: {do: a}}}")
    run.feed(happened("a", T + ahead, record_time=T))
    (change,) = run.changes
    assert change.effective_at == (T if clamped else T + ahead)
    assert body(change)["trigger"].get("clamped", False) is clamped
    assert (run.counts["clamped"], run.partition.watermark) == (int(clamped), T)


def test_one_phone_a_year_ahead_fires_nobodys_timers() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T))
    assert run.feed(happened("cart", T + 365 * DAY, "v", record_time=T + MINUTE)) == []
    assert run.drain() == []
    assert run.finish(T + HOUR) == [
        "abandoned entered @ 00:30 (timer)",
        "v: abandoned entered @ 00:31 (timer)",
    ]


# --- idle partitions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("silence", "watermark"), [(MINUTE, T), (MINUTE + 1, T + 1)])
def test_a_silent_log_has_moved_time_before_its_next_record(silence: int, watermark: int) -> None:
    run = Driven(CART, TimeSettings(idle_after=MINUTE))
    run.feed(happened("cart", T))
    run.feed(happened("x", T - HOUR, record_time=T + silence))
    assert run.partition.watermark == watermark


def test_the_first_record_and_one_that_goes_back_move_nothing() -> None:
    run = Driven(CART, TimeSettings(idle_after=MINUTE, lateness=MINUTE))
    run.feed(happened("x", T, record_time=T + DAY))
    assert run.partition.watermark == T - MINUTE
    run.feed(happened("x", T, record_time=T))
    assert run.partition.watermark == T - MINUTE
    run.feed(happened("x", T, record_time=T + HOUR))
    assert run.partition.watermark == T + 58 * MINUTE


def test_replaying_the_log_gives_what_an_idle_worker_said() -> None:
    times = TimeSettings(idle_after=MINUTE)
    live, replayed = Driven(CART, times), Driven(CART, times)
    late = [happened("buy", T + 20 * MINUTE, record_time=T + 2 * HOUR)]
    live.feed(happened("cart", T))
    live.drain(T + 2 * HOUR - 2 * MINUTE)  # the wall clock, while the partition was silent
    live.feed(*late)
    replayed.feed(happened("cart", T), *late)
    assert [change.value for change in live.changes] == [change.value for change in replayed.changes]
    assert [change.type for change in live.changes] == ["entered", "retracted"]


# --- clock_advanced and what nobody asks for -------------------------------------------------------------------------


def test_clock_advanced_moves_the_watermark_and_nothing_else() -> None:
    run = Driven(
        "events: {any_: {type: '*'}}\nsegments: {s: {when: {do: any_}}}", TimeSettings(lateness=MINUTE)
    )
    assert run.feed(clock(T)) == []
    assert (run.partition.watermark, run.partition.users) == (T - MINUTE, 0)
    ahead = clock(T + DAY)
    ahead.record_time = T
    run.feed(ahead)
    assert run.counts["clamped"] == 1, "also a source may have a wrong clock"


def test_an_event_that_nobody_asks_for_creates_no_user_and_moves_no_clock() -> None:
    run = Driven(CART)
    run.feed(happened("cart", T), happened("page", T + HOUR), happened("page", T + HOUR, "new"))
    assert (run.counts["ignored"], run.partition.users, run.profile().clock) == (2, 1, T)


def test_everybody_who_exists_counts_for_pure_negations() -> None:
    run = Driven(
        """
events: {a: {type: a}, b: {type: b}}
segments: {never: {when: {not: {do: b}}}, seen: {when: {do: a}}}
"""
    )
    assert run.feed(happened("a", T), happened("b", T, "v")) == [
        "never entered @ 00:00",
        "seen entered @ 00:00",
    ]


# --- steps -----------------------------------------------------------------------------------------------------------


def test_a_step_stops_when_it_has_grown_and_goes_on_where_it_was() -> None:
    run = Driven(CART, step_bytes=1)
    events = [happened("cart", T + n, f"u{n}") for n in range(5)]
    for n, event in enumerate(events):
        event.offset = 10 + n
    step = run.engine.step(run.partition, events, 20)
    assert (step.consumed, step.next_offset, step.watermark) == (1, 11, T)
    run.keep(step)
    step = run.engine.step(run.partition, events[4:], 20)
    assert (step.consumed, step.next_offset) == (1, 20), (
        "beyond the last record of the batch, readable or not"
    )


def test_what_would_be_too_large_is_undone_and_taken_in_smaller_slices() -> None:
    skewed = happened("cart", T + 30 * HOUR, "skewed", record_time=T)
    shop = [
        happened(kind, T + minute * MINUTE, f"u{n}", id=f"{kind}-{n}")
        for minute, kind in enumerate(("cart", "page", "buy", "cart"))
        for n in range(8)
    ]
    events = [*shop, skewed, *(happened("buy", T + 2 * HOUR, f"u{n}") for n in range(8))]
    whole, cut = Driven(CART), Driven(CART, step_bytes=4_000)
    steps = []
    for run in (whole, cut):
        left = events
        while left:
            step = run.engine.step(run.partition, left, len(events))
            run.keep(step)
            left = left[step.consumed :]
            if run is cut:
                steps.append(step.consumed)
    assert 1 < min(steps[:-1]) <= max(steps) < len(events) / 2, "larger than one event, smaller than all"
    assert cut.drain() == whole.drain() != []
    assert cut.counts == whole.counts
    assert cut.counts["clamped"] == 1
    assert (cut.partition.users, cut.partition.members) == (whole.partition.users, whole.partition.members)
    assert [one.value for one in cut.changes] == [one.value for one in whole.changes]


def test_a_slice_fires_for_so_many_users_and_says_whether_more_are_due() -> None:
    run = Driven(CART)
    run.feed(*(happened("cart", T, f"u{n}") for n in range(5)), clock(T + HOUR))
    said = []
    for _ in range(3):
        step = run.engine.tick(run.partition, run.partition.watermark, 2)
        run.keep(step)
        said.append((len(step.changes), step.more))
    assert said == [(2, True), (2, True), (1, False)]


class Watched(MemoryStore):
    """Counts what is asked of it."""

    asked = 0

    def get_many(self, users: object) -> list[bytes | None]:
        self.asked += 1
        return super().get_many(users)  # type: ignore[arg-type]


def test_nothing_due_means_nothing_read() -> None:
    store = Watched()
    run = Driven(CART, store=store)
    run.feed(*(happened("cart", T, f"u{n}") for n in range(100)))
    asked = store.asked
    for minute in range(30):
        step = run.engine.tick(run.partition, T + minute * MINUTE)
        assert (step.profiles, step.changes, step.fired, step.more) == ({}, [], [], False)
    assert store.asked == asked


def test_an_active_user_is_looked_at_once_for_all_the_timers_that_moved_on() -> None:
    run = Driven(CART)
    run.feed(*(happened("cart", T + n * MINUTE) for n in range(200)))
    run.drain()
    assert run.partition.timers_pending == 1
    assert run.fired == [], "each cart took the place of the one before"
