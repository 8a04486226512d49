"""Two runs compared: memberships, not records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.changes import Change
from stream.instants import format_instant
from stream.replay import LogError
from stream.replay.compare import Comparison, Kind, compare
from stream.replay.outputs import moves, read_output

T = 1_795_262_400_000
HOUR = 3_600_000


def change(hour: float, user: str, type_: str, segment: str = "s", seq: int = 1, **fields: Any) -> Change:
    """A change of a segment; of a ladder if `value` or `previous` is given."""
    at = T + int(hour * HOUR)
    tiers = {name: fields.pop(name) for name in ("previous", "value") if name in fields}
    kind = "ladder" if tiers else "segment"
    value = {
        "schema": "segment-change/1",
        "event_id": f"{user}{segment}{hour}",
        "type": type_,
        "segment": {"key": segment, "kind": kind, "hash": "h", **tiers},
        "user": {"id": user},
        "seq": seq,
        "effective_at": format_instant(at),
        "cause": "event",
        **fields,
        "reason": [],
    }
    return Change(
        user=user,
        segment=segment,
        instance=fields.get("instance"),
        seq=seq,
        type=type_,
        cause="event",
        effective_at=at,
        event_id=str(value["event_id"]),
        value=msgspec.json.encode(value),
    )


def compared(before: list[Change], after: list[Change]) -> Comparison:
    return compare(*(moves(sorted(side, key=lambda one: one.sort_key)) for side in (before, after)))


def kinds(before: list[Change], after: list[Change], row: str = "s") -> dict[Kind, int]:
    return dict(compared(before, after).rows[row].kinds)


def stay(user: str, start: float, end: float | None, **fields: Any) -> list[Change]:
    entry = [change(start, user, "entered", **fields)]
    return entry if end is None else [*entry, change(end, user, "exited", seq=2)]


def test_the_same_is_the_same_whatever_ids_and_hashes_say() -> None:
    other = [change(1, "a", "entered", seq=7, reason=[{"leaf": "x"}]), change(2, "a", "exited", seq=8)]
    comparison = compared(stay("a", 1, 2), other)
    assert not comparison.differs
    assert comparison.rows["s"].shared == 1


def test_memberships_of_one_run_only() -> None:
    assert kinds(stay("a", 1, 2), stay("b", 1, 2)) == {Kind.LOST: 1, Kind.GAINED: 1}
    assert kinds(stay("a", 1, 2), stay("a", 3, 4)) == {Kind.LOST: 1, Kind.GAINED: 1}, "they do not touch"


def test_shared_memberships_that_begin_or_end_at_another_time() -> None:
    assert kinds(stay("a", 1, 5), stay("a", 2, 5)) == {Kind.LATER: 1}
    assert kinds(stay("a", 2, 5), stay("a", 1, 5)) == {Kind.EARLIER: 1}
    assert kinds(stay("a", 1, 4), stay("a", 1, 5)) == {Kind.LONGER: 1}
    assert kinds(stay("a", 1, 5), stay("a", 1, 4)) == {Kind.SHORTER: 1}
    assert kinds(stay("a", 1, 4), stay("a", 1, None)) == {Kind.LONGER: 1}
    assert kinds(stay("a", 1, None), stay("a", 2, None)) == {Kind.LATER: 1}
    later = compared(stay("a", 1, 5), stay("a", 1.25, 5.25)).rows["s"]
    assert [later.typical_shift(kind) for kind in (Kind.LATER, Kind.LONGER)] == [HOUR // 4, HOUR // 4]


def test_an_interruption_is_told_as_one() -> None:
    after = [*stay("a", 1, 2), change(3, "a", "entered", seq=3), change(5, "a", "exited", seq=4)]
    assert kinds(stay("a", 1, 5), after) == {Kind.INTERRUPTED: 1}


def test_tiers_are_rows() -> None:
    before = [
        change(1, "a", "entered", "tier", value="bronze"),
        change(2, "a", "moved", "tier", 2, previous="bronze", value="gold"),
    ]
    after = [
        change(1, "a", "entered", "tier", value="bronze"),
        change(3, "a", "moved", "tier", 2, previous="bronze", value="gold"),
    ]
    assert kinds(before, after, "tier: bronze") == {Kind.LONGER: 1}
    assert kinds(before, after, "tier: gold") == {Kind.LATER: 1}


def test_a_ladder_is_crossed_where_people_stand_at_the_end() -> None:
    def climbs(user: str, *tiers: str | None) -> list[Change]:
        found, last = [], None
        for seq, tier in enumerate(tiers, 1):
            type_ = "entered" if last is None else "exited" if tier is None else "moved"
            ends = {"previous": last} if last else {}
            ends |= {"value": tier} if tier else {}
            found.append(change(seq, user, type_, "tier", seq, **ends))
            last = tier
        return found

    before = [
        *climbs("a", "bronze", "gold"),
        *climbs("b", "bronze"),
        *climbs("c", "gold", None),
        *stay("d", 1, 2),
    ]
    after = [*climbs("a", "bronze"), *climbs("b", "bronze"), *climbs("c", "bronze"), *climbs("e", "gold")]
    found = compared(before, after).ladders
    assert set(found) == {"tier"}, "segments are no ladders"
    assert found["tier"].cells == {
        ("gold", "bronze"): 1,
        ("bronze", "bronze"): 1,
        (None, "bronze"): 1,
        (None, "gold"): 1,
    }
    assert found["tier"].moved == 3
    assert found["tier"].examples == {
        ("gold", "bronze"): ["a"],
        (None, "bronze"): ["c"],
        (None, "gold"): ["e"],
    }
    assert found["tier"].tiers(["silver", "gold"]) == ["gold", "bronze"]


def test_what_entries_of_the_same_instant_carry_is_compared() -> None:
    policy = {"actionable": True, "suppressed_by": [], "entry": 1}
    other = {"actionable": False, "suppressed_by": ["cap"], "entry": 4}
    comparison = compared(stay("a", 1, None, policy=policy), stay("a", 1, None, policy=other))
    assert dict(comparison.rows["s"].details) == {"policy.actionable": 1, "policy.suppressed_by": 1}
    assert comparison.differs
    assert not compared(
        stay("a", 1, 2, policy=policy), stay("a", 1, 2, policy={**policy, "entry": 3})
    ).differs


def test_renewals_in_one_run_only() -> None:
    renewed = [*stay("a", 1, 5), change(3, "a", "renewed", seq=2)]
    assert dict(compared(renewed, stay("a", 1, 5)).rows["s"].renewals) == {Kind.LOST: 1}
    assert not compared(renewed, renewed).differs


def test_a_membership_from_before_the_changes_counts_from_its_end() -> None:
    left = [change(2, "a", "exited")]
    comparison = compared(left, left)
    assert not comparison.differs
    assert comparison.before.rows["s"].before == 1


STAYS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(1, 4), st.booleans()), max_size=6
)


def as_changes(stays: list[tuple[str, int, int, bool]]) -> list[Change]:
    """Stays of each user one after the other, so that they never overlap; the last may be open."""
    changes: list[Change] = []
    clocks = {"a": 0, "b": 0}
    seqs = {"a": 0, "b": 0}
    for user, gap, length, _ in stays:
        start = clocks[user] + gap + 1
        clocks[user] = start + length
        for hour, type_ in ((start, "entered"), (start + length, "exited")):
            seqs[user] += 1
            changes.append(change(hour, user, type_, seq=seqs[user]))
    return changes


@settings(max_examples=80)
@given(STAYS, STAYS)
def test_entries_and_members_add_up(one: list[Any], other: list[Any]) -> None:
    """Against the stays themselves: lost are those that touch no stay of the other run, and so the other way round."""
    before, after = as_changes(one), as_changes(other)
    comparison = compared(before, after)
    assert comparison.differs == ([c.sort_key[:3] for c in before] != [c.sort_key[:3] for c in after])

    def intervals(changes: list[Change]) -> list[tuple[str, int, int]]:
        pairs = zip(changes[::2], changes[1::2], strict=True)
        return [(enter.user, enter.effective_at, leave.effective_at) for enter, leave in pairs]

    olds, news = intervals(before), intervals(after)
    lost = [
        old
        for old in olds
        if not any(old[0] == new[0] and old[1] <= new[2] and new[1] <= old[2] for new in news)
    ]
    row = comparison.rows.get("s")
    assert (row.kinds[Kind.LOST] if row else 0) == len(lost)
    assert comparison.before.rows["s"].entered == len(olds) if olds else "s" not in comparison.before.rows


def test_an_output_is_read_in_order_and_without_repeats(tmp_path: Path) -> None:
    changes = [*stay("b", 1, 2), *stay("a", 1, 3)]
    lines = [
        json.dumps({"partition": 0, "offset": n, "value": one.value.decode()})
        for n, one in enumerate(changes)
    ]
    file = tmp_path / "recorded.jsonl"
    file.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    read = [(one.user, one.type) for one in read_output(str(file))]
    assert read == [("a", "entered"), ("b", "entered"), ("b", "exited"), ("a", "exited")]


@pytest.mark.parametrize("line", ["{}", '{"schema": "dead-letter/1"}', "no"])
def test_what_is_no_change_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(stay("a", 1, None)[0].value + b"\n" + line.encode() + b"\n")
    with pytest.raises(LogError, match=r"out\.jsonl:2: expected a segment change"):
        read_output(str(file))
