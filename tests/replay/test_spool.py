"""Spools: the order of the output, in memory and from disk."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.changes import Change
from stream.replay.spool import Spool, member_order

KEYS = st.tuples(
    st.integers(0, 5), st.sampled_from("ab"), st.sampled_from("st"), st.none() | st.text(max_size=1)
)


def change(at: int, user: str, segment: str, instance: str | None, seq: int) -> Change:
    return Change(
        user=user,
        segment=segment,
        instance=instance,
        seq=seq,
        type="entered",
        cause="event",
        effective_at=at,
        event_id=f"{user}{seq}",
        value=b"{}" * seq,
        suppressed_by=("cap",),
    )


@settings(max_examples=60)
@given(st.lists(KEYS, max_size=40), st.sampled_from([1, 1_000, 1 << 30]))
def test_a_spool_is_a_sorted_list_whatever_fits_into_memory(
    keys: list[tuple[int, str, str, str | None]], limit: int
) -> None:
    changes = [change(*key, seq) for seq, key in enumerate(keys)]
    spool = Spool(limit=limit)
    for start in range(0, len(changes), 3):
        spool.add(changes[start : start + 3])
    assert len(spool) == len(changes)
    expected = sorted(changes, key=lambda one: one.sort_key)
    assert list(spool) == expected
    assert list(spool) == expected, "a spool can be read again"
    assert len(spool.runs) == (0 if limit > 1_000_000 or not changes else len(spool.runs))


def test_runs_go_to_disk_and_disappear_with_the_spool(tmp_path: Path) -> None:
    spool = Spool(limit=1)
    spool.add([change(2, "a", "s", None, 1)])
    spool.add([change(1, "a", "s", None, 2)])
    places = [run.parent for run in spool.runs]
    assert len(places) == 2
    assert places[0].exists()
    del spool
    assert not places[0].exists()
    kept = Spool(folder=tmp_path)
    kept.add([change(1, "a", "s", None, 1)])
    kept.flush()
    del kept
    assert [run.name for run in tmp_path.iterdir()] == ["0.run"]


def test_runs_of_another_spool_are_taken_over(tmp_path: Path) -> None:
    other, spool = Spool(folder=tmp_path), Spool()
    other.add([change(2, "a", "s", None, 1), change(4, "a", "s", None, 2)])
    other.flush()
    spool.add([change(3, "b", "s", None, 1)])
    spool.adopt(other.runs, len(other))
    assert [one.effective_at for one in spool] == [2, 3, 4]
    assert len(spool) == 3


def test_members_come_by_membership_and_turn() -> None:
    spool = Spool(member_order, limit=1)
    for at, user, seq in ((9, "b", 1), (5, "a", 2), (7, "a", 1), (1, "b", 2)):
        spool.add([change(at, user, "s", None, seq)])
    assert [(one.user, one.seq) for one in spool] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
