"""What may be done about a change: cooldown, cap, holdout, consent, quiet hours, priority."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.definitions.model import Actions, QuietHours
from stream.durations import DAY, HOUR, MINUTE
from stream.engine.actions import Policy, in_holdout, zone_of
from stream.engine.profile import blank_profile
from stream.instants import format_instant
from tests.engine.driven import Driven, T, at, body, clock, happened


def judged(
    instant: int = T, acted: tuple[int, ...] = (), traits: dict[str, Any] | None = None, **actions: Any
) -> dict[str, Any]:
    zone = actions.pop("zone", "UTC")
    profile = blank_profile("u1")
    profile.traits = {path: [T, "e", value] for path, value in (traits or {}).items()}
    judgement = Policy(Actions(**actions), False, zone).judge(
        profile, instant, "event", list(acted), False, 1
    )
    return dict(msgspec.json.decode(msgspec.json.encode(judgement)))


def suppressed(*given: Any, **actions: Any) -> list[str]:
    found: list[str] = judged(*given, **actions)["suppressed_by"]
    return found


# --- cooldown and cap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "expected"), [(HOUR - 1, ["cooldown"]), (HOUR, [])])
def test_a_cooldown_is_over_at_exactly_its_duration(after: int, expected: list[str]) -> None:
    assert suppressed(T + after, (T,), cooldown=HOUR) == expected


@pytest.mark.parametrize(("after", "expected"), [(HOUR - 1, ["cap"]), (HOUR, [])])
def test_a_cap_counts_what_lies_less_than_its_period_back(after: int, expected: list[str]) -> None:
    assert suppressed(T + after, (T, T + 1), cap=(2, HOUR)) == expected
    assert suppressed(T + after, (T,), cap=(2, HOUR)) == []


def test_only_actionable_entries_count_for_both() -> None:
    run = Driven(
        """
events: {a: {type: a}}
features: {n: {count: a, last: 10m}}
segments: {s: {when: "n >= 1", actions: {cooldown: 1h, cap: {n: 2, per: 3h}}}}
"""
    )
    for minute in (0, 30, 60, 90, 120, 150, 180, 191):
        run.feed(happened("a", T + minute * MINUTE))
    entered = [body(change) for change in run.changes if change.type == "entered"]
    assert [(one["policy"]["entry"], one["policy"]["suppressed_by"]) for one in entered] == [
        (1, []),
        (2, ["cooldown"]),
        (3, []),
        (4, ["cooldown", "cap"]),
        (5, ["cap"]),
        (6, ["cap"]),
        (7, []),  # the entry of minute 0 is three hours back
        (8, ["cooldown", "cap"]),
    ]
    assert all(one["policy"]["actionable"] is (one["policy"]["suppressed_by"] == []) for one in entered)


def test_a_retracted_entry_counts_since_somebody_may_have_been_messaged() -> None:
    run = Driven(
        """
events: {cart: {type: cart}, buy: {type: buy}}
segments: {s: {when: {seq: [{do: cart}, {not: buy, for: 10m}]}, actions: {cooldown: 1h}}}
"""
    )
    run.feed(happened("cart", T), clock(T + 20 * MINUTE), happened("buy", T + MINUTE))
    run.feed(happened("cart", T + 30 * MINUTE), clock(T + HOUR))
    run.drain()
    policies = [(change.type, body(change).get("policy", {}).get("suppressed_by")) for change in run.changes]
    assert policies == [("entered", []), ("retracted", None), ("entered", ["cooldown"])]


def test_a_renewal_starts_no_cooldown() -> None:
    run = Driven(
        """
events: {a: {type: a}}
segments: {s: {when: {do: a}, renew: true, actions: {cooldown: 1h}}}
"""
    )
    run.feed(
        happened("a", T), happened("a", T + HOUR - 1), happened("a", T + HOUR), happened("a", T + HOUR + 1)
    )
    policies = [(change.type, body(change)["policy"]["suppressed_by"]) for change in run.changes]
    assert policies == [("entered", []), ("renewed", ["cooldown"]), ("renewed", []), ("renewed", [])]


# --- holdout and consent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "percent"),
    [("u1", 17.5172036), ("u2", 31.8135193), ("u42", 71.2060934), ("김민지", 50.1518462)],
)
def test_holdouts_are_the_start_of_a_hash_as_a_fraction(user: str, percent: float) -> None:
    """sha256("cart-2026\\nuser"), its first 8 bytes over 2^64, in percent."""
    assert not in_holdout(user, percent - 1e-6, "cart-2026")
    assert in_holdout(user, percent + 1e-6, "cart-2026")


def test_a_holdout_names_its_groups() -> None:
    control, treated = judged(holdout=(100.0, "s")), judged(holdout=(0.0, "s"))
    assert (control["variant"], control["suppressed_by"]) == ("control", ["holdout"])
    assert (treated["variant"], treated["suppressed_by"]) == ("treatment", [])
    assert "variant" not in judged()


@pytest.mark.parametrize(
    ("value", "expected"), [(True, []), (False, ["consent"]), ("yes", ["consent"]), (1, ["consent"])]
)
def test_consent_is_a_true_trait(value: Any, expected: list[str]) -> None:
    assert suppressed(traits={"consent.mail": value}, consent="mail") == expected
    assert suppressed(consent="mail") == ["consent"]


# --- quiet hours -----------------------------------------------------------------------------------------------------

NIGHT = QuietHours(22 * 60, 8 * 60)


@pytest.mark.parametrize(
    ("hours", "zone", "now", "until"),
    [
        (NIGHT, "UTC", "2026-11-02T21:59:59.999", None),
        (NIGHT, "UTC", "2026-11-02T22:00:00", "2026-11-03T08:00:00"),
        (NIGHT, "UTC", "2026-11-03T07:59:59.999", "2026-11-03T08:00:00"),
        (NIGHT, "UTC", "2026-11-03T08:00:00", None),
        (NIGHT, "Asia/Seoul", "2026-11-02T13:00:00", "2026-11-02T23:00:00"),
        (QuietHours(12 * 60, 13 * 60 + 30), "UTC", "2026-11-02T13:29:59", "2026-11-02T13:30:00"),
        (QuietHours(12 * 60, 13 * 60 + 30), "UTC", "2026-11-02T13:30:00", None),
        # The nights in which the clocks of Berlin change have 9 and 11 quiet hours.
        (NIGHT, "Europe/Berlin", "2026-03-28T21:00:00", "2026-03-29T06:00:00"),
        (NIGHT, "Europe/Berlin", "2026-10-24T20:00:00", "2026-10-25T07:00:00"),
        # Half past two does not exist: quiet until the first instant after the gap.
        (QuietHours(60, 150), "Europe/Berlin", "2026-03-29T00:30:00", "2026-03-29T01:00:00"),
        # In autumn it comes twice. Left out: the second time round the end should be the second half past two
        # (01:30 UTC from 01:10 UTC on), but is the first.
        (QuietHours(60, 150), "Europe/Berlin", "2026-10-25T00:10:00", "2026-10-25T00:30:00"),
    ],
)
def test_quiet_hours(hours: QuietHours, zone: str, now: str, until: str | None) -> None:
    expected = None if until is None else format_instant(at(until))
    policy = judged(at(now), quiet_hours=hours, zone=zone)
    assert (policy["not_before"], policy["actionable"]) == (expected, True)
    elsewhere = judged(at(now), (), {"timezone": zone}, quiet_hours=hours, zone="America/New_York")
    assert elsewhere["not_before"] == expected, "the user's own zone goes first"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", 5, None, "../etc", "a\0b", "Europe"])
def test_a_zone_that_is_none_is_not_used(name: Any) -> None:
    assert zone_of(name) is None


# --- priority --------------------------------------------------------------------------------------------------------

GROUP = """
events: {a: {type: a}, b: {type: b}, c: {type: c}, stop: {type: stop}}
features: {stops: {count: stop, last: 1h}}
segments:
  low: {when: {do: a}, exit: {do: stop}, actions: {group: g, priority: 1}}
  high: {when: {do: b}, exit: {do: stop}, actions: {group: g, priority: 2}}
  also_high: {when: {do: [b, c]}, exit: {do: stop}, actions: {group: g, priority: 2}}
  other: {when: {do: b}, actions: {group: h, priority: 9}}
  picky: {when: {do: c}, actions: {group: g, priority: 3, consent: mail}}
"""


def outranked(*kinds: str) -> dict[str, list[str]]:
    run = Driven(GROUP)
    run.feed(*(happened(kind, T + n) for n, kind in enumerate(kinds)))
    return {
        change.segment: body(change)["policy"]["suppressed_by"]
        for change in run.changes
        if change.type == "entered"
    }


def test_an_open_membership_of_higher_rank_suppresses() -> None:
    assert outranked("b", "a") == {"also_high": [], "high": ["priority"], "other": [], "low": ["priority"]}
    assert outranked("a")["low"] == []
    assert outranked("a", "b")["also_high"] == [], "the lower one was first, but is lower"


def test_of_one_instant_and_rank_the_smaller_key_goes_first() -> None:
    assert outranked("b") == {"also_high": [], "high": ["priority"], "other": []}


def test_of_one_rank_the_earlier_goes_first() -> None:
    assert outranked("c", "b")["high"] == ["priority"]


def test_whose_own_entry_was_suppressed_outranks_nobody() -> None:
    assert outranked("c") == {"also_high": [], "picky": ["consent"]}


def test_nothing_comes_again_when_the_higher_one_ends() -> None:
    run = Driven(GROUP)
    run.feed(happened("b", T), happened("a", T + 1), happened("stop", T + 2))
    assert [change.segment for change in run.changes if change.effective_at == T + 2] == [
        "low",
        "high",
        "also_high",
    ]
    assert {change.type for change in run.changes if change.effective_at == T + 2} == {"exited"}


def test_instances_of_one_segment_rank_by_time_and_then_by_key() -> None:
    run = Driven(
        """
events: {a: {type: a}}
segments: {s: {for_each: product_id, when: {do: a}, actions: {group: g, priority: 1}}}
"""
    )
    run.feed(
        happened("a", T, items=[{"product_id": "q"}, {"product_id": "p"}]),
        happened("a", T + 1, product_id="o"),
    )
    assert [(change.instance, body(change)["policy"]["suppressed_by"]) for change in run.changes] == [
        ("p", []),
        ("q", ["priority"]),
        ("o", ["priority"]),
    ]
    assert [body(change)["policy"]["entry"] for change in run.changes] == [1, 2, 3]


def test_days_between_actionable_entries_are_remembered_without_growing() -> None:
    run = Driven(
        """
events: {a: {type: a}}
features: {n: {count: a, last: 1m}}
segments: {s: {when: "n >= 1", actions: {cap: {n: 3, per: 1000d}, cooldown: 1m}}, t: {when: "n >= 1"}}
"""
    )
    run.feed(*(happened("a", T + n * DAY) for n in range(50)))
    assert [run.profile().state(index)[2] for index in (0, 1)] == [[T, T + DAY, T + 2 * DAY], []]
