"""The memory of event ids: the newest 64 by time, within the window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.durations import DAY, HOUR
from stream.engine import TimeSettings
from stream.engine.duplicates import CAPACITY, ENTRY, hash_id, is_known, remember
from stream.engine.profile import FOREVER
from tests.engine.driven import Driven, T, happened

COUNTING = """
events: {a: {type: a}}
features: {n: {count: a}}
segments: {two: {when: "n >= 2"}}
"""


def test_an_id_is_remembered_by_its_hash() -> None:
    assert hash_id("a").hex() == "e6c632b61e964e1f"  # XXH3 of 64 bits, as its authors' own program prints it


def remembered(entries: list[tuple[str, int]], window: int = DAY) -> bytes:
    memory, newest = b"", -FOREVER
    for event_id, time in entries:
        newest = max(newest, time)
        memory = remember(memory, hash_id(event_id), time, newest, window)
    return memory


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-5, 5)), unique_by=lambda entry: entry[0]))
def test_the_memory_does_not_depend_on_the_order(entries: list[tuple[str, int]]) -> None:
    assert remembered(entries, 4) == remembered(sorted(entries), 4) == remembered(entries[::-1], 4)


def test_the_newest_64_are_kept() -> None:
    memory = remembered([(f"e{n}", n) for n in range(65)])
    assert len(memory) == CAPACITY * ENTRY
    assert not is_known(memory, hash_id("e0"))
    assert all(is_known(memory, hash_id(f"e{n}")) for n in range(1, 65))
    assert remember(memory, hash_id("old"), 0, 64, DAY) == memory, "older than all 64"


def test_a_hash_is_found_only_where_an_entry_has_one() -> None:
    memory = remembered([("a", 0)])
    assert not is_known(memory, memory[4:12])


def test_the_window_is_inclusive() -> None:
    for age, expected in ((HOUR, 1), (HOUR + 1, 0)):
        run = Driven(COUNTING, TimeSettings(dedup_window=HOUR))
        run.feed(happened("a", T, id="x"), happened("a", T + age, id="y"))
        run.feed(happened("a", T, id="x"))
        assert run.counts["duplicates"] == expected


def test_a_duplicate_changes_nothing_at_all() -> None:
    run = Driven(COUNTING)
    run.feed(happened("a", T, id="x"))
    before = run.store.get_many(["u"])
    assert run.feed(happened("a", T + 5, id="x"), happened("a", T + 6, "v", id="x")) == []
    assert run.store.get_many(["u"]) == before
    assert (run.counts["duplicates"], run.partition.watermark) == (1, T + 6), (
        "but it is readable, and moves time"
    )
    assert run.feed(happened("a", T + 7, id="y")) == ["two entered @ 00:00:00.007"]


def test_what_nobody_asks_for_is_not_remembered() -> None:
    run = Driven(COUNTING)
    run.feed(happened("other", T, id="x"), happened("a", T, id="x"), happened("a", T, id="y"))
    assert (run.counts["ignored"], run.counts["duplicates"], len(run.changes)) == (1, 0, 1)


def test_the_size_of_the_memory_can_be_set() -> None:
    """An id that the memory has lost counts again; one that it still holds does not."""
    for size, duplicates in ((2, 0), (3, 1)):
        run = Driven(COUNTING, TimeSettings(dedup_size=size))
        run.feed(*(happened("a", T + n, id=name) for n, name in enumerate("xyz")), happened("a", T, id="x"))
        assert run.counts["duplicates"] == duplicates
