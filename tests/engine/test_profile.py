"""The encoding of profiles."""

from __future__ import annotations

import pytest

from stream.durations import HOUR
from stream.engine.profile import (
    FOREVER,
    VERSION,
    blank_profile,
    decode_profile,
    due_of,
    stamp_of,
)
from stream.engine.tables import Table
from stream.errors import OperatorError
from tests.engine.driven import Driven, T, clock, happened
from tests.engine.wide import FILES, plan_of

STAMP = b"abcd"


def test_a_profile_survives_its_encoding() -> None:
    profile = blank_profile("u")
    profile.clock, profile.newest, profile.recent_ids = T, T - 1, b"\x00" * 16
    profile.traits = {"city": [T, "e", "Seoul"]}
    profile.ids = [T, "e", "anonymous"]
    table = Table()
    table.add(["key", None, True, 0.1])
    profile.units.put(0, [1, 2, 3])
    profile.units.put(2, table)
    profile.put_state(1, [1, 2, [T], [False, None]])
    profile.set_due(1, T + 5)
    profile.find_due()
    raw = profile.encode(STAMP)
    assert decode_profile("u", raw).encode(STAMP) == raw, "what nobody asked for is left as it is"
    again = decode_profile("u", raw)
    assert (again.states_of(0), again.part(0, 1)) == ([1, 2, 3], 2)
    assert (again.states_of(1), again.part(1, 0), again.table(1)) == (None, None, None)
    table = again.table(2)
    assert table is not None
    assert table.entry("key") == ["key", None, True, 0.1]
    assert table.entry("other") is None
    assert [again.state(index) for index in (0, 1)] == [None, [1, 2, [T], [False, None]]]
    for name in (
        "user",
        "clock",
        "newest",
        "recent_ids",
        "traits",
        "ids",
        "dues",
        "due",
        "retired",
    ):
        assert getattr(again, name) == getattr(profile, name), name
    assert again.encode(STAMP) == raw
    assert (again.size, profile.size, stamp_of(raw), due_of(raw)) == (len(raw), len(raw), STAMP, T + 5)


@pytest.mark.parametrize("due", [FOREVER, 0, -1, -32_400_000, T])
def test_any_instant_may_be_due(due: int) -> None:
    profile = blank_profile("u")
    profile.due = due
    assert due_of(profile.encode(STAMP)) == due


def test_an_event_before_1970_stops_nobody() -> None:
    run = Driven(
        "events: {a: {type: a}, b: {type: b}}\nsegments: {s: {when: {seq: [{do: a}, {not: b, for: 30m}]}}}"
    )
    run.feed(happened("a", -32_400_000), clock(0))
    assert run.drain() == ["s entered @ 1969-12-31T15:30:00.000Z (timer)"]


def test_an_unknown_version_is_a_clear_error() -> None:
    raw = blank_profile("u").encode(STAMP)
    with pytest.raises(
        OperatorError, match=rf"user 'u' .* encoding {VERSION + 1}, this release reads {VERSION}"
    ):
        decode_profile("u", bytes([VERSION + 1]) + raw[1:])


def test_somebody_new_costs_little() -> None:
    assert len(blank_profile("u").encode(STAMP)) <= 13 + 32


def test_reading_and_writing_leaves_the_bytes_alone() -> None:
    for name in FILES:
        run = Driven(plan_of(name))
        run.feed(
            *(
                happened(kind, T + n * HOUR, value=n, product_id=f"p{n % 2}")
                for n, kind in enumerate(("view", "cart", "buy") * 4)
            )
        )
        ((_, raw),) = run.store.scan()
        assert decode_profile("u", raw).encode(stamp_of(raw)) == raw
