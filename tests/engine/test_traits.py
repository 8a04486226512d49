"""Traits: last write by (time, id) wins per leaf."""

from __future__ import annotations

from typing import Any

import pytest

from stream.engine.profile import blank_profile
from stream.engine.traits import CAPACITY, leaves_of, write_traits
from tests.engine.driven import Driven, T, happened

Write = tuple[int, str, dict[str, Any]]


def known(*writes: Write) -> dict[str, Any]:
    """The values of the leaves after some writes, in this and in the opposite order of arrival."""
    found = []
    for order in (writes, writes[::-1]):
        profile = blank_profile("u")
        for time, event_id, traits in order:
            write_traits(profile, happened("t", time, id=event_id), leaves_of(traits))
        found.append({path: entry[2] for path, entry in profile.traits.items() if entry[2] is not None})
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("writes", "leaves"),
    [
        ([(1, "a", {"x": 1}), (2, "b", {"x": 2})], {"x": 2}),
        ([(1, "a", {"x": 1}), (1, "b", {"x": 2})], {"x": 2}),  # the larger id of one millisecond
        ([(1, "a", {"x": 1}), (2, "b", {"y": True})], {"x": 1, "y": True}),
        ([(1, "a", {"x": 1}), (2, "b", {"x": None})], {}),
        ([(1, "a", {"x": 1}), (2, "b", {"x": None}), (3, "c", {"x": "z"})], {"x": "z"}),
        ([(1, "a", {"p": {"q": 1, "r": 2}}), (2, "b", {"p": {"q": 3}})], {"p.q": 3, "p.r": 2}),
        ([(1, "a", {"p": {"q": 1, "r": 2}}), (2, "b", {"p": None})], {}),
        ([(1, "a", {"p": {"q": 1}}), (2, "b", {"p": 5})], {"p": 5}),
        ([(1, "a", {"p": 5}), (2, "b", {"p": {"q": 1}})], {"p.q": 1}),
        ([(1, "a", {"p": {"q": 1}}), (2, "b", {"p": None}), (3, "c", {"p": {"r": 1}})], {"p.r": 1}),
        ([(1, "a", {"p": {"q": {"s": 1}}}), (2, "b", {"p": {"q": 2}}), (3, "c", {"p": 3})], {"p": 3}),
        ([(1, "a", {"p": 3}), (2, "b", {"p": {"q": 2}}), (3, "c", {"p": {"q": {"s": 1}}})], {"p.q.s": 1}),
        ([(1, "a", {"p": {}}), (2, "b", {"p": {"q": {}}})], {}),  # an empty object writes no leaf
        ([(1, "a", {"x": 1}), (2, "b", {"x": [1, 2]})], {}),  # a list is a leaf of no kind that compares
    ],
)
def test_writes(writes: list[Write], leaves: dict[str, Any]) -> None:
    assert known(*writes) == leaves


def test_no_more_than_256_leaves_are_kept_the_newest_writes() -> None:
    profile = blank_profile("u")
    for n in range(CAPACITY + 10):
        write_traits(profile, happened("t", n, id=f"e{n}"), [(f"x{n}", n)])
    assert sorted(profile.traits) == sorted(f"x{n}" for n in range(10, CAPACITY + 10))


def test_any_event_may_carry_traits_and_wakes_the_segments_that_read_them() -> None:
    run = Driven(
        """
events: {a: {type: a}}
segments:
  seoul: {when: "traits.city == 'Seoul'"}
  unrelated: {when: {do: a}}
"""
    )
    assert run.feed(happened("never selected", T, traits={"city": "Seoul"})) == ["seoul entered @ 00:00"]
    assert run.feed(happened("x", T + 1000, traits={})) == []
    assert run.counts["ignored"] == 1, "an empty object is no traits"
    assert run.feed(happened("x", T + 2000, traits={"city": None})) == [], "unknown ends nothing"
    assert run.feed(happened("x", T + 3000, traits={"city": "Busan"})) == ["seoul exited @ 00:00:03"]
    assert run.feed(happened("x", T + 2500, traits={"city": "Seoul"})) == [], "an older write comes too late"


def test_an_event_brings_no_more_leaves_than_a_user_can_have() -> None:
    wide = {f"x{n}": {"a": n, "b": n} for n in range(10_000)}
    assert len(leaves_of(wide)) == CAPACITY
