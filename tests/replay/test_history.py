"""What is counted of a run."""

from __future__ import annotations

from stream.changes import Change
from stream.durations import HOUR
from stream.replay.history import BUCKET, History
from stream.replay.outputs import moves
from tests.replay.test_compare import T, change, stay


def history(changes: list[Change]) -> History:
    made = History()
    for move in moves(sorted(changes, key=lambda one: one.sort_key)):
        made.take(move)
    made.close()
    return made


def test_members_entries_and_stays() -> None:
    changes = [*stay("a", 1, 3), *stay("b", 2, None), *stay("c", 2, 8)]
    changes += [change(9, "a", "entered", seq=3), change(9, "c", "renewed", seq=3)]
    row = history(changes).rows["s"]
    assert (row.entered, row.left, row.renewals, row.people) == (4, 2, 1, 3)
    assert (row.members, row.peak) == (2, 3)
    assert row.series() == ([T + hour * HOUR for hour in (1, 2, 3, 8, 9)], [1, 3, 2, 1, 2])
    assert row.stays == {2 * HOUR: 1, 6 * HOUR: 1}
    assert row.typical_stay() == 2 * HOUR
    assert row.entries == {"event": 4}
    assert row.exits == {"exited by event": 2}
    assert all(at % BUCKET == 0 for counter in row.entries_at.values() for at in counter)


def test_who_was_in_before_the_changes_began_is_a_member_from_the_start() -> None:
    row = history([change(5, "a", "exited"), *stay("b", 6, None)]).rows["s"]
    assert row.series() == ([T + 5 * HOUR, T + 6 * HOUR], [0, 1])
    assert (row.before, row.members, row.stays) == (1, 1, {})


def test_overlap_counts_people_who_were_in_both_at_the_same_time() -> None:
    changes = [
        *stay("a", 1, 3),
        *stay("a", 2, 4, segment="t"),
        *stay("b", 1, 2),
        *stay("b", 2, 3, segment="t"),  # in t from the instant on at which b left s
        *stay("c", 1, None, segment="t"),
    ]
    for one in changes:
        assert one.segment in "st"
    made = history([one for one in changes if one.type == "entered" or one.segment == "s"])
    assert made.overlap(["s", "t", "none"]) == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]


def test_tiers_are_left_by_moving() -> None:
    changes = [
        change(1, "a", "entered", "tier", value="bronze"),
        change(4, "a", "moved", "tier", 2, previous="bronze", value="gold"),
        change(6, "a", "exited", "tier", 3, previous="gold"),
    ]
    rows = history(changes).rows
    assert rows["tier: bronze"].stays == {3 * HOUR: 1}
    assert rows["tier: bronze"].exits == {"moved by event": 1}
    assert (rows["tier: gold"].entered, rows["tier: gold"].members) == (1, 0)
