"""Windows: what is inside, to the millisecond, and how little is kept of what is older than the newest 64."""

from __future__ import annotations

import pytest

from stream.durations import DAY, HOUR, MINUTE
from stream.engine import cells
from stream.engine.packed import EMPTY, count, pack
from stream.engine.profile import FOREVER
from stream.engine.summaries import WindowSummary
from stream.engine.windows import Last, Lifetime, Suffix, insert, insert_time
from stream.events import Event
from tests.engine.driven import T, at, compiled, gather, happened, put, states_of, worth


def days(*instants: int) -> list[Event]:
    return [happened("a", instant, id=f"e{n}") for n, instant in enumerate(instants)]


@pytest.mark.parametrize(
    ("window", "events", "instant", "count"),
    [
        ("last: 1h", [T], T, 1),
        ("last: 1h", [T], T + HOUR - 1, 1),
        ("last: 1h", [T], T + HOUR, 0),
        ("last: 1h", [T, T, T + 1], T + HOUR, 1),
        ("between: [2h, 30m]", [T], T + 30 * MINUTE - 1, 0),
        ("between: [2h, 30m]", [T], T + 30 * MINUTE, 1),
        ("between: [2h, 30m]", [T], T + 2 * HOUR - 1, 1),
        ("between: [2h, 30m]", [T], T + 2 * HOUR, 0),
        ("calendar: day", [T - 1, T], T, 1),
        ("calendar: day", [T - 1, T], T + DAY - 1, 1),
        ("calendar: day", [T - 1, T], T + DAY, 0),
        ("calendar: week", [T - 1, T, T + 6 * DAY], T + 7 * DAY - 1, 2),  # T is a Monday
        ("calendar: week", [T - 1, T, T + 6 * DAY], T + 7 * DAY, 0),
        ("calendar: hour", [T - 1, T], T + HOUR - 1, 1),
        ("session: 20m", [T], T + 20 * MINUTE, 1),
        ("session: 20m", [T], T + 20 * MINUTE + 1, 0),
        ("session: 20m", [T, T + 20 * MINUTE], T + 20 * MINUTE, 2),
        ("session: 20m", [T, T + 20 * MINUTE + 1], T + 20 * MINUTE + 1, 1),
        ("session: 20m", [T, T + 30 * MINUTE, T + 50 * MINUTE], T + 70 * MINUTE, 2),
    ],
)
def test_edges(window: str, events: list[int], instant: int, count: int) -> None:
    assert worth(f"{{count: a, {window}}}", days(*events), instant) == count


def test_since_counts_from_the_last_mark_on_its_millisecond_included() -> None:
    events = [*days(T, T + 5, T + 5, T + 9), happened("b", T + 5), happened("b", T + 1)]
    assert worth("{count: a, since: b}", events, T + 9) == 3
    assert worth("{count: a, since: b}", days(T, T + 5), T + 9) == 2, (
        "before the first mark, everything counts"
    )


def test_a_session_is_a_run_of_all_events_also_of_those_without_the_field_or_key() -> None:
    events = [
        happened("a", T, value=1, product_id="p"),
        happened("a", T + 15 * MINUTE),
        happened("a", T + 30 * MINUTE, value=2, product_id="p"),
    ]
    assert worth("{sum: a.value, session: 20m}", events, T + 50 * MINUTE) == 3
    # With `by`, events without a key are no events of it: the run is broken.
    assert worth("{sum: a.value, session: 20m, by: product_id}", events, T + 50 * MINUTE, "p") == 2
    other = [*events[:1], happened("a", T + 15 * MINUTE, product_id="q"), events[2]]
    assert worth("{sum: a.value, session: 20m, by: product_id}", other, T + 50 * MINUTE, "p") == 3


@pytest.mark.parametrize(("after", "weight"), [(0, 4), (HOUR, 2), (2 * HOUR, 1), (10 * HOUR, 1 / 256)])
def test_half_lives(after: int, weight: float) -> None:
    events = [happened("a", T, value=2.0), happened("a", T - HOUR, value=4.0)]
    found = worth("{sum: a.value, half_life: 1h}", events, T + after, ask="f > -1")
    assert found == pytest.approx(weight, rel=1e-15)


def test_the_distinct_of_a_past_window_looks_at_every_event() -> None:
    events = [happened("a", T, x="p"), happened("a", T + HOUR, x="p"), happened("a", T + HOUR, x="q")]
    assert worth("{distinct: a.x, between: [2h, 30m]}", events, T + HOUR) == 1
    assert worth("{distinct: a.x, last: 1h}", events, T + HOUR) == 2


def test_the_days_of_a_past_window_look_at_every_event() -> None:
    events = days(T, T + 23 * HOUR)
    assert worth("{days: a, between: [2d, 12h]}", events, T + DAY) == 1


# --- panes -----------------------------------------------------------------------------------------------------------


def test_older_than_the_newest_64_fold_into_a_fixed_grid() -> None:
    """`last: 64m` has panes of a minute; each leaves whole, with its newest entry."""
    events = days(*(T + n * 10_000 for n in range(64 + 12)))
    newest = events[-1].time
    count = "{count: a, last: 64m}"
    assert worth(count, events, newest) == 76
    # The oldest 12 fold into two panes: six of the minute 0, six of the minute 1.
    first_pane = T + 50_000
    assert worth(count, events, first_pane + 64 * MINUTE - 1) == 76
    assert worth(count, events, first_pane + 64 * MINUTE) == 70
    assert worth(count, events, T + 110_000 + 64 * MINUTE - 1) == 70
    assert worth(count, events, T + 110_000 + 64 * MINUTE) == 64, "from here on to the millisecond"
    assert worth(count, events, T + 120_000 + 64 * MINUTE - 1) == 64
    assert worth(count, events, T + 120_000 + 64 * MINUTE) == 63


def test_a_late_event_folds_into_the_pane_of_its_time_or_expires() -> None:
    plan = compiled(
        "events: {a: {type: a}}\nfeatures: {n: {count: a, last: 64m}}\nsegments: {s: {when: 'n > 0'}}"
    )
    on_time = days(*(T + n * 10_000 for n in range(76)))
    late = happened("a", T + 5_000, id="late")
    one, other = gather(plan, [*on_time, late]), gather(plan, [late, *on_time])
    assert one.encode(b"abcd") == other.encode(b"abcd")
    ((times, _, _, panes),) = states_of(plan, one, WindowSummary)
    assert count(times) == 64
    assert panes == [[T, 7, T, T + 50_000], [T + MINUTE, 6, T + MINUTE, T + 110_000]]
    later = happened("a", T + 70 * MINUTE, id="later")
    assert put(plan, one, later)
    assert not put(plan, one, happened("a", T + 5 * MINUTE, id="too late")), "its pane is out of reach"
    assert put(plan, one, happened("a", T + 6 * MINUTE + 1000, id="just in time"))


def test_hours_become_days_and_days_one_pane_as_the_newest_moves_on() -> None:
    suffix = Suffix()
    newest = at("2026-11-10T12:00:00")
    assert suffix.pane_start(at("2026-11-10T11:59:59"), newest) == at("2026-11-10T11:00:00")
    assert suffix.pane_start(at("2026-11-03T00:30:00"), newest) == at("2026-11-03T00:00:00")
    assert suffix.pane_start(at("2026-11-02T23:59:00"), newest) == at("2026-11-02T00:00:00")
    old = newest - 400 * DAY
    assert suffix.pane_start(old, newest) == old // DAY * DAY
    assert suffix.pane_start(old - DAY, newest) == -FOREVER


def test_entries_that_are_out_of_reach_are_dropped() -> None:
    window, state, times = Last(64 * MINUTE), [EMPTY, None, None, []], EMPTY
    for n in (0, 1, 2, 2 * HOUR):
        insert(state, window, cells.TIMES, T + n, "", None, T + n)
        times = insert_time(times, window, T + n, T + n)
    assert state == [pack([T + 2 * HOUR]), None, None, []]
    assert times == pack([T + 2 * HOUR])
    insert(state, window, cells.TIMES, T, "", None, T + 2 * HOUR)
    assert state == [pack([T + 2 * HOUR]), None, None, []], "expired"
    assert insert_time(times, window, T, T + 2 * HOUR) == times
    assert Lifetime().cut(T) < 0
