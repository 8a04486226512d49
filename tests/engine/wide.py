"""Definitions that use everything, and random logs for them.

One file of definitions per window, with every aggregate in it, and a few files for conditions, memberships and
actions: a property that holds for all of these files holds for every aggregate with every window and every condition.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from hypothesis import strategies as st

from stream.definitions import loads
from stream.durations import DAY, HOUR, MINUTE
from stream.engine import Plan, compile_plan
from stream.events import Event
from tests.engine.driven import T, clock, happened

EVENTS: dict[str, Any] = {
    "view": {"type": "view"},
    "cart": {"type": "cart"},
    "buy": {"type": "buy"},
    "big": {"type": "buy", "where": "value >= 10"},
    "any_": {"type": "*"},
}
WINDOWS: dict[str, dict[str, Any]] = {
    "lifetime": {},
    "last": {"last": "1h"},
    "between": {"between": ["2h", "30m"]},
    "hour": {"calendar": "hour"},
    "day": {"calendar": "day"},
    "week": {"calendar": "week"},
    "month": {"calendar": "month"},
    "year": {"calendar": "year"},
    "session": {"session": "20m"},
    "since": {"since": "buy"},
}
BOUNDS = {
    "count: any_": [">= 3", "== 2"],
    "sum: any_.value": ["> 10", "<= 0.3"],
    "mean: any_.value": [">= 5"],
    "min: any_.value": ["< 1"],
    "max: any_.value": [">= 30"],
    "first_value: any_.channel": ["== 'web'"],
    "last_value: any_.channel": ["in ['ios', 'store']"],
    "distinct: any_.channel": [">= 2"],
    "days: any_": [">= 2"],
    "weeks: any_": [">= 1"],
    "months: any_": ["== 1"],
    "since_first: any_": [">= 30m"],
    "since_last: any_": ["> 15m"],
    "mean_gap: any_": ["< 10m"],
}


def of_window(name: str) -> dict[str, Any]:
    """Every aggregate in one window, of the user and per product, each compared in a segment."""
    window = WINDOWS[name]
    features: dict[str, Any] = {}
    segments: dict[str, Any] = {}
    for number, (aggregate, bounds) in enumerate(BOUNDS.items()):
        kind, source = aggregate.split(": ")
        if kind == "days" and name in ("last", "between", "hour", "day", "session"):
            bounds = [">= 1"]  # two days hardly fit into these
        features[f"f{number}"] = {kind: source, **window}
        for bound in bounds:
            segments[f"s{len(segments)}"] = {"when": f"f{number} {bound}"}
        if number % 3 == 0:
            features[f"f{number}"]["min_n"] = 2
        features[f"k{number}"] = {kind: source, "by": "product_id", **window}
        segments[f"s{len(segments)}"] = {
            "for_each": "product_id",
            "when": {"all": [{"do": "any_"}, f"k{number} {bounds[0]}"]},
        }
    features["share_n"] = {"share": "any_", "by": "product_id", **window}
    features["share_v"] = {"share": "any_.value", "by": "product_id", **window, "min_n": 2}
    features["top_n"] = {"top": "any_", "by": "product_id", **window}
    segments["shared"] = {
        "for_each": "product_id",
        "when": {"all": [{"do": "any_"}, "share_n >= 0.5 or share_v > 0.25"]},
    }
    segments["topped"] = {"when": "top_n == 'p1'"}
    return file(features, segments, timezone="Europe/Berlin")


def file(
    features: dict[str, Any], segments: dict[str, Any], ladders: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "version": 1, **more, "events": EVENTS, "features": features, "segments": segments, "ladders": ladders or {},
    }  # fmt: skip


def of_decay() -> dict[str, Any]:
    features = {
        "heat": {"count": "any_", "half_life": "1h"},
        "money": {"sum": "any_.value", "half_life": "30m", "min_n": 2},
        "key_heat": {"count": "any_", "half_life": "20m", "by": "product_id"},
        "part": {"share": "any_", "half_life": "1h", "by": "product_id"},
    }
    segments = {
        "hot": {"when": "heat >= 2"},
        "cold": {"when": "heat < 0.5"},
        "rich": {"when": "money > 10"},
        "warm": {"for_each": "product_id", "when": {"all": [{"do": "any_"}, "key_heat > 1.5"]}},
        "liked": {"for_each": "product_id", "when": {"all": [{"do": "any_"}, "part >= 0.5"]}},
    }
    return file(features, segments)


SEQUENCES: dict[str, Any] = {
    "pair": {"seq": [{"do": "cart"}, {"not": "buy", "for": "20m"}]},
    "pair_by": {"seq": [{"do": "cart"}, {"not": ["buy", "view"], "for": "10m"}], "by": "product_id"},
    "own": {"seq": [{"do": "big"}, {"not": "buy", "for": "10m"}]},
    "then": {"seq": [{"do": "view"}, {"then": "cart", "within": "30m"}]},
    "without": {"seq": [{"do": "view"}, {"then": "cart", "within": "1h", "without": "buy"}]},
    "long": {
        "seq": [
            {"do": "view"},
            {"then": "view", "within": "1h"},
            {"then": "cart", "within": "30m"},
            {"not": "buy", "for": "10m"},
        ]
    },
    "first": {
        "seq": [{"do": "view"}, {"then": "any_", "within": "1h"}, {"not": "buy", "for": "10m"}],
        "restart": "first",
    },
}


def of_conditions() -> dict[str, Any]:
    """Every condition, each as a segment of its own and inside others."""
    features = {
        "views": {"count": "view", "last": "1h"},
        "silence": {"since_last": "any_"},
        "rhythm": {"mean_gap": "any_"},
        "spend": {"sum": "buy.value"},
        "last_cart": {"since_last": "cart"},
    }
    conditions: dict[str, Any] = {
        **SEQUENCES,
        "done": {"do": "buy"},
        "done_lately": {"do": ["buy", "cart"], "last": "20m"},
        "never": {"not": {"do": "buy"}},
        "both": {"all": ["views >= 2", {"do": "cart"}]},
        "either": {"any": [{"do": "buy", "last": "10m"}, "silence >= 30m"]},
        "two_of": {"at_least": 2, "of": ["views >= 1", {"do": "buy"}, "silence > 10m", SEQUENCES["pair"]]},
        "lines": "silence > max(2 * rhythm, 10m)",
        "crossing": "abs(silence - 20m) <= 5m or min(silence, last_cart) == 40m",
        "known": "exists(last_cart) and coalesce(spend / views, 0) <= 5",
        "text": "traits.city == 'Seoul' or traits.vip",
        "odd": "not (traits.size.eu > 40) and traits.size.eu != 39",
        "place": "distance_km(traits.lat, traits.lon, 37.57, 126.98) < 100",
        "hour": "local_hour() in [0, 1, 2, 5] and local_weekday() != 7",
        "date": "local_date() > '2026-11-02'",
        "birthday": "until_anniversary(traits.birthday) <= 2h or age(traits.birthday) == 26",
        "member": "segment.done_lately and not segment.pair",
        "tier": "ladder.level in ['gold', 'silver'] or ladder.level == null",
    }
    segments = {name: {"when": when} for name, when in conditions.items()}
    tiers = [{"name": "gold", "when": "spend >= 30"}, {"name": "silver", "when": "views >= 2"}]
    return file(features, segments, {"level": {"tiers": tiers, "demote_after": "15m"}}, timezone="Asia/Seoul")


def of_memberships() -> dict[str, Any]:
    """Every way to end, last, renew and act."""
    features = {
        "views": {"count": "view", "by": "product_id", "last": "1h"},
        "spend": {"sum": "buy.value", "last": "1h"},
    }
    attach = {"lines": {"collect": "cart", "since": "buy", "remove": "view", "max": 3}}
    actions = {
        "cooldown": "30m",
        "cap": {"n": 2, "per": "2h"},
        "holdout": {"percent": 30, "salt": "s"},
        "consent": "mail",
        "quiet_hours": ["22:00", "01:30"],
    }
    segments = {
        "until_bought": {
            "when": SEQUENCES["pair"],
            "exit": {"do": "buy"},
            "ttl": "1h",
            "actions": {**actions, "group": "g", "priority": 1},
            "attach": attach,
        },
        "dwelling": {"when": {"do": "view", "last": "10m"}, "min_dwell": "30m", "ttl": "2h"},
        "renewed": {
            "when": SEQUENCES["then"],
            "renew": True,
            "ttl": "40m",
            "actions": {**actions, "group": "g", "priority": 2},
        },
        "again": {
            "when": {"do": "cart"},
            "renew": True,
            "exit": {"any": [{"do": "buy"}, "spend > 20"]},
            "actions": {"group": "g", "priority": 1},
        },
        "each": {
            "for_each": "product_id",
            "when": {"all": ["views >= 1", SEQUENCES["pair"]]},
            "exit": {"do": "buy"},
            "renew": True,
            "actions": {"group": "g", "priority": 1},
        },
        "each_of_spenders": {"for_each": "product_id", "when": {"all": ["views >= 1", "spend > 20"]}},
        "each_long": {
            "for_each": "product_id",
            "when": {"seq": [{"do": "view"}, {"then": "cart", "within": "1d"}, {"not": "buy", "for": "10m"}]},
            "ttl": "20m",
            "min_dwell": "5m",
            "attach": attach,
        },
    }
    tiers = [
        {"name": "gold", "when": "spend >= 30", "from": ["silver"], "ttl": "45m"},
        {"name": "silver", "when": "spend >= 10"},
        {"name": "bronze", "when": {"do": "view", "last": "30m"}, "from": ["none", "silver"]},
    ]
    ladders = {
        "slow": {"tiers": tiers, "demote_after": "10m", "actions": actions},
        "quick": {"tiers": tiers[1:2]},
    }
    return file(features, segments, ladders)


FILES: dict[str, Any] = {
    **{f"window {name}": (lambda name=name: of_window(name)) for name in WINDOWS},
    "half_life": of_decay,
    "conditions": of_conditions,
    "memberships": of_memberships,
}


@cache
def plan_of(name: str) -> Plan:
    return compile_plan(loads(yaml.safe_dump(FILES[name](), sort_keys=False)))


# --- logs ------------------------------------------------------------------------------------------------------------

TRAITS: tuple[Any, ...] = (
    *(
        {"city": "Seoul"},
        {"city": None},
        {"vip": True},
        {"size": {"eu": 41}},
        {"size": {"eu": 39}},
        {"size": {"eu": 38}},
        {"size": 5},
    ),
    *({"size": None}, {"lat": 37.6, "lon": 127.0}, {"birthday": "2000-11-02"}, {"birthday": "2000-11-03"}),
    *({"consent": {"mail": True}}, {"timezone": "Asia/Seoul"}, {}),
)
STEPS = (
    0,
    0,
    1,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE - 1,
    10 * MINUTE,
    20 * MINUTE,
    20 * MINUTE + 1,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    DAY,
)


@st.composite
def logs(
    draw: st.DrawFn, users: int = 3, most: int = 24, late: bool = True, traits: bool = True
) -> list[Event]:
    """Events of a few users whose distances are those of the definitions; some late, some twice, some ahead."""
    events: list[Event] = []
    now = T + draw(st.sampled_from((-HOUR, 0, 13 * HOUR, -2 * DAY)))
    for number in range(draw(st.integers(1, most))):
        now += draw(st.sampled_from(STEPS))
        time = now - (draw(st.sampled_from(STEPS[:-1])) if late and draw(st.integers(0, 4)) == 0 else 0)
        kind = draw(st.sampled_from(("view", "view", "cart", "cart", "buy", "other", "clock")))
        if kind == "clock":
            events.append(clock(time))
            continue
        events.append(one(draw, kind, time, number, users, traits))
        if late and draw(st.integers(0, 9)) == 0:
            events.append(copied(events[draw(st.integers(0, len(events) - 1))]))
    recorded = max(0, events[0].time)
    for event in events:
        recorded = max(recorded, event.time)
        event.record_time = recorded
        if late and draw(st.integers(0, 19)) == 0:
            event.time = recorded + draw(st.sampled_from((5 * MINUTE, 5 * MINUTE + 1, 400 * DAY)))
    return events


def one(draw: st.DrawFn, kind: str, time: int, number: int, users: int, traits: bool) -> Event:
    shape = draw(st.integers(0, 15))
    fields: dict[str, Any] = {"id": f"e{number}"}
    if kind == "buy" or shape & 1:
        fields["value"] = draw(st.sampled_from((0, 0.1, 0.2, 1, 10, 30, -5, 1.0000005)))
    if shape & 2:
        fields["channel"] = draw(st.sampled_from(("web", "ios", "store")))
    if shape & 4:
        fields["product_id"] = draw(st.sampled_from(("p1", "p2")))
    elif shape & 8:
        fields["items"] = [
            {"product_id": p, "price": 2.5} for p in draw(st.sampled_from(("p1", "p1p2", "p2p3")))[::2]
        ]
    if traits and draw(st.integers(0, 3)) == 0:
        fields["traits"] = draw(st.sampled_from(TRAITS))
    return happened(kind, time, draw(st.sampled_from("uvw"[:users])), **fields)


def copied(event: Event) -> Event:
    """The event as it was read, for the next engine: applying one may set its time."""
    return Event(**{name: getattr(event, name) for name in event.__struct_fields__})
