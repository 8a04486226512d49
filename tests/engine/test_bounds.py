"""What a user may cost: a hundred thousand events in every window are a bounded number of bytes, and small counts stay
exact.

The bounds are per summary, for one user (and key), in bytes of the encoded state.
"""

from __future__ import annotations

from random import Random

import pytest
from librt.strings import BytesWriter

from stream.durations import DAY, HOUR, MINUTE
from stream.engine.cells import estimate_distinct
from stream.engine.parts import Parts
from stream.engine.summaries import undominated
from stream.engine.tables import KEY
from stream.events import Event
from tests.engine.driven import Driven, T, body, compiled, gather, happened, told, worth

MANY = 100_000
EVENTS = "events: {a: {type: a}, b: {type: b}, c: {type: c}}\n"


def busy(n: int = MANY, seed: int = 1, span: int = 30 * DAY) -> list[Event]:
    """Events spread over a span, with ids of 36 characters as most producers make them."""
    random = Random(seed)
    times = sorted(T + random.randrange(span) for _ in range(n))
    return [
        happened(
            "a",
            time,
            id=f"{number:036d}",
            value=random.randrange(10_000) / 100,
            channel="web",
            x=f"product-{number % 50_000}",
        )
        for number, time in enumerate(times)
    ]


def packed_size(parts: Parts) -> int:
    """Bytes that they take in a profile."""
    data, words = BytesWriter(), BytesWriter()
    parts.pack(data, words)
    return len(data) + len(words)


@pytest.fixture(scope="module")
def traffic() -> list[Event]:
    return busy()


SUMMARIES: dict[str, tuple[str, int]] = {
    # 64 entries of 9 bytes a column, 65 panes of 9 bytes a field, and the brackets.
    "count": ("{count: a, last: 30d}", 64 * 9 + 65 * 40),
    "sum": ("{sum: a.value, last: 30d}", 64 * 18 + 65 * 50),
    "range": ("{max: a.value, last: 30d}", 64 * 18 + 65 * 60),
    "ends": ("{last_value: a.channel, last: 30d}", 64 * 56 + 65 * 130),
    "past": ("{count: a, between: [30d, 10d]}", 64 * 9 + 65 * 40),
    "session": ("{count: a, session: 1h}", 2 * (64 * 9 + (8 * 24 + 400 + 1) * 40)),
    "calendar": ("{sum: a.value, calendar: year}", 64 * 18 + (8 * 24 + 400 + 1) * 50),
    "half life": ("{sum: a.value, half_life: 1d}", 64 * 18 + 65 * 40),
    "lifetime": ("{mean_gap: a}", 60),
    "days": ("{days: a, last: 30d}", 512 * 14),
    "distinct": ("{distinct: a.x, last: 30d}", 2 * 257 * 8 * 18),
    "past distinct": ("{distinct: a.x, between: [30d, 10d]}", 64 * 18 + 65 * (40 + 257 * 9)),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_hundred_thousand_events_cost_bounded_bytes(name: str, traffic: list[Event]) -> None:
    feature, bound = SUMMARIES[name]
    events = traffic[::4] if name in ("session", "calendar", "distinct", "past distinct") else traffic
    ask = "f != 'x'" if name == "ends" else "f > 3"
    plan = compiled(f'{EVENTS}features: {{f: {feature}}}\nsegments: {{s: {{when: "{ask}"}}}}')
    profile = gather(plan, events)
    evidence = 3 * (9 + 38) + 3
    size = packed_size(profile.units)
    assert size <= bound + evidence


@pytest.mark.parametrize(
    ("when", "bound"),
    [
        ("{seq: [{do: a}, {not: c, for: 30m}]}", 5 * 39),
        ("{seq: [{do: a}, {then: a, within: 1h, without: b}, {not: c, for: 30m}]}", 4 * 64 * (9 + 38) + 20),
    ],
)
def test_sequences_cost_bounded_bytes(when: str, bound: int, traffic: list[Event]) -> None:
    plan = compiled(f"{EVENTS}segments: {{s: {{when: {when}}}}}")
    assert packed_size(gather(plan, traffic[::10]).units) <= bound


def test_attachments_keep_64_events() -> None:
    plan = compiled(f"{EVENTS}segments: {{s: {{when: {{do: a}}, attach: {{c: {{collect: a}}}}}}}}")
    events = [
        happened("a", T + n, id=f"{n:036d}", product_id=f"p{n}", price=n, name="n" * 40) for n in range(1_000)
    ]
    assert packed_size(gather(plan, events).units) <= 64 * 200


def test_a_whole_profile_is_the_sum_of_its_parts_and_does_not_grow_with_time() -> None:
    run = Driven(
        f"""{EVENTS}
features: {{n: {{count: a, last: 1d}}, d: {{days: a, last: 7d}}, u: {{distinct: a.x, last: 1d}}}}
segments: {{s: {{when: "n >= 5 and d >= 1 and u >= 1"}}}}
"""
    )
    sizes = []
    for year in range(4):
        run.feed(*(happened("a", T + (year * 365 + n) * DAY // 2, x=f"x{year}-{n}") for n in range(730)))
        sizes.append(run.store.size())
    assert max(sizes) <= 512 * 14 + 512 * 18 + 64 * 20 + 65 * 16 + 1_000, sizes


# --- exact where it counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [1, 5, 63, 64])
@pytest.mark.parametrize("window", ["last: 1d", "calendar: day", "since: b", "lifetime"])
def test_comparisons_with_bounds_up_to_64_are_exact_whatever_the_traffic(window: str, bound: int) -> None:
    """Against the plain list of times, around every instant at which the true count passes the bound."""
    random = Random(f"{window} {bound}")
    events = sorted(
        (happened("a", T + random.randrange(3 * DAY), id=f"e{n}") for n in range(600)),
        key=lambda event: event.time,
    )
    marks = [happened("b", T + 2 * DAY + 5 * HOUR)] if "since" in window else []
    form = "{count: a}" if window == "lifetime" else f"{{count: a, {window}}}"
    segments = f"{{s: {{when: 'n >= {bound}'}}, t: {{when: 'n == {bound}'}}}}"
    plan = compiled(f"{EVENTS}features: {{n: {form}}}\nsegments: {segments}")
    shuffled = sorted([*events, *marks], key=lambda event: event.time + random.randrange(6 * HOUR))
    profile = gather(plan, shuffled)
    times = [event.time for event in events]

    def count(instant: int) -> int:
        start = {
            "last: 1d": instant - DAY + 1,
            "calendar: day": instant // DAY * DAY,
            "since: b": T + 2 * DAY + 5 * HOUR,
            "lifetime": 0,
        }[window]
        return sum(start <= time <= instant for time in times)

    leaving = [time + DAY for time in times[-70:]] + [T + 3 * DAY, T + 4 * DAY]
    for instant in sorted({profile.clock, *(edge + step for edge in leaving for step in (-1, 0, 1))}):
        if instant < profile.clock:
            continue
        at_least, equal = (rule._when.test(profile, instant, None)[0] for rule in plan.rules)  # type: ignore[attr-defined]
        assert (at_least, equal) == (count(instant) >= bound, count(instant) == bound), instant - T


def test_a_dense_burst_leaves_to_the_millisecond() -> None:
    run = Driven(
        f"{EVENTS}features: {{n: {{count: a, last: 1h}}}}\nsegments: {{s: {{when: 'n >= 64'}}, t: {{when: 'n >= 1'}}}}"
    )
    run.feed(*(happened("a", T + n, id=f"e{n}") for n in range(5_000)))
    run.changes.clear()
    assert run.finish(T + DAY) == [
        f"s exited @ 01:00:04.{4_936 - 4_000:03} (timer)",  # the 64th newest came at 4.936 s
        "t exited @ 01:00:04.999 (timer)",
    ]


# --- different values ------------------------------------------------------------------------------------------------


def values_of(n: int, start: int = 0) -> list[Event]:
    return [happened("a", T + i, id=f"e{i}", x=f"v{i + start}") for i in range(n)]


@pytest.mark.parametrize("window", ["", ", last: 1d", ", calendar: year", ", between: [2d, 1ms]"])
def test_up_to_256_different_values_are_counted_exactly(window: str) -> None:
    for n in (1, 255, 256):
        events = values_of(n) * 2
        assert worth(f"{{distinct: a.x{window}}}", events, T + n) == n


@pytest.mark.parametrize("window", ["", ", last: 1d", ", since: b"])
@pytest.mark.parametrize("n", [257, 1_000, 20_000])
def test_more_are_estimated_within_the_stated_error(window: str, n: int) -> None:
    """Four standard errors of 6.3 % each: true but for one sample of sixteen thousand, and these stay the same."""
    estimates = [
        worth(f"{{distinct: a.x{window}}}", values_of(n, seed), T + n) for seed in (0, 10**6, 2 * 10**6)
    ]
    assert all(abs(estimate / n - 1) < 4 * 0.063 for estimate in estimates)
    assert abs(sum(estimates) / 3 / n - 1) < 0.1


def test_the_estimate_does_not_depend_on_the_order() -> None:
    events = values_of(3_000)
    shuffled = events[:]
    Random(3).shuffle(shuffled)
    form = "{distinct: a.x, last: 1d}"
    assert worth(form, events, T + 3_000) == worth(form, shuffled, T + 3_000)


def test_after_a_burst_counting_is_exact_again() -> None:
    events = [*values_of(5_000), *(happened("a", T + 3 * DAY + n, x=f"w{n}") for n in range(200))]
    assert worth("{distinct: a.x, last: 1d}", events, T + 3 * DAY + 200) == 200


def test_a_hash_is_forgotten_once_257_smaller_ones_are_not_older() -> None:
    """Against the definition: at any instant the 257 smallest inside are those of all."""
    random = Random(7)
    newest = {random.randrange(2**63): random.randrange(10_000) for _ in range(3_000)}
    kept = undominated(newest, 257)
    assert len(kept) < 257 * 5
    for start in range(0, 10_000, 500):
        inside = sorted(value for value, time in newest.items() if time >= start)[:257]
        assert inside == sorted(value for value, time in kept.items() if time >= start)[:257]
    assert estimate_distinct(256, 2**62) == 512


# --- keys ------------------------------------------------------------------------------------------------------------

KEYED = """
features: {n: {count: a, by: product_id, last: 1d, max_keys: 3}, part: {share: a, by: product_id, max_keys: 3}}
segments: {liked: {for_each: product_id, when: "n >= 2", exit: {do: b}}}
"""


def viewed(key: str, minute: int) -> Event:
    return happened("a", T + minute * MINUTE, id=f"{key}{minute}", product_id=key)


def test_the_keys_with_the_most_recent_activity_are_kept() -> None:
    plan = compiled(EVENTS + KEYED.replace('"n >= 2"', '{all: ["n >= 2", "part > 0"]}'))
    profile = gather(plan, [viewed(key, minute) for minute, key in enumerate("pqrpsp")])
    tables = [profile.table(bundle.number) for bundle in plan.bundles if bundle.keys_of is not None]
    assert [{entry[KEY] for entry in table.all()} for table in tables if table is not None] == [set("prs")]


def test_an_evicted_membership_exits_and_is_forgotten() -> None:
    run = Driven(EVENTS + KEYED)
    run.feed(*(viewed(key, minute) for minute, key in enumerate("ppqqrr")))
    before = len(run.changes)
    run.feed(viewed("s", 10))
    (evicted,) = run.changes[before:]
    assert told([evicted]) == ["liked[p] exited @ 00:10 (evicted)"]
    assert (evicted.forget, body(evicted)["reason"]) == (True, [])
    assert run.partition.members == {"liked": 2}


def test_keys_with_an_open_membership_go_last() -> None:
    run = Driven(EVENTS + KEYED)
    run.feed(viewed("p", 0), viewed("p", 1), viewed("q", 2), viewed("r", 3))
    assert run.feed(viewed("s", 4)) == [], "q made room, though p is older"
    assert run.feed(viewed("p", 5), happened("b", T + 6 * MINUTE, product_id="p")) == [
        "liked[p] exited @ 00:06"
    ]


# Left out: a late event of a new key, older than all that are kept, should not take the place of a newer key.


def test_a_key_that_returns_is_covered_from_then_on() -> None:
    run = Driven(EVENTS + KEYED.replace('"n >= 2"', '{all: [{do: a}, "n < 2"]}'))
    run.feed(*(viewed(key, minute) for minute, key in enumerate("pqrs")))
    run.feed(viewed("p", 100))
    leaf = run.leaves("liked", T + 100 * MINUTE, key="p")[0].parts[1]
    assert (leaf.verdict, leaf.why) == (None, "history covers 0s of 1d")
    assert leaf.until == T + 100 * MINUTE + DAY - 1
    later = run.leaves("liked", leaf.until, key="p")[0].parts[1]
    assert (later.verdict, later.value) == (True, 1)


def test_the_total_of_a_share_is_kept_outside_the_keys() -> None:
    plan = compiled(EVENTS + KEYED.replace('"n >= 2"', '{all: [{do: a}, "part > 0"]}'))
    profile = gather(plan, [viewed(key, minute) for minute, key in enumerate("pqrst")])
    assert plan.rules[0].explain(profile, T + HOUR, "t")[0].parts[1].value == 0.2
