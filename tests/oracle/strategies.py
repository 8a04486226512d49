"""Random definitions and random logs for them.

Definitions come in families, one per group of constructs, so that each is met often. Logs are made for the definitions:
events like to lie a duration of the definitions after another event, give or take a millisecond, and to share their
milliseconds; some come late, some twice, some from a phone with a wrong clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, Protocol

from hypothesis import strategies as st

from tests.oracle.expressions import duration
from tests.oracle.language import durations as durations_of
from tests.oracle.timeline import Record, Settings

Raw = dict[str, Any]


class Draw(Protocol):
    """Where choices come from."""

    def pick(self, options: Sequence[Any]) -> Any: ...

    def whole(self, low: int, high: int) -> int: ...

    def flip(self) -> bool: ...

    def some(self, options: Sequence[Any], low: int, high: int) -> list[Any]:
        """Between `low` and `high` different ones of the options."""
        ...


class Shrinkable:
    """Choices that hypothesis makes: it looks for small cases, and makes failing ones smaller."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def whole(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def flip(self) -> bool:
        return self.draw(st.booleans())

    def some(self, options: Sequence[Any], low: int, high: int) -> list[Any]:
        return self.draw(st.lists(st.sampled_from(options), min_size=low, max_size=high, unique=True))


class Seeded:
    """Choices from a seed: every case is as large and as varied as any other."""

    def __init__(self, seed: int | str) -> None:
        self.random = Random(seed)

    def pick(self, options: Sequence[Any]) -> Any:
        return self.random.choice(options)

    def whole(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def flip(self) -> bool:
        return self.random.random() < 0.5

    def some(self, options: Sequence[Any], low: int, high: int) -> list[Any]:
        options = list(dict.fromkeys(options))
        return self.random.sample(options, min(len(options), self.random.randint(low, high)))


SHORT = ("1m", "10m", "30m", "1h")
LONG = ("3h", "1d", "3d")
PRODUCTS = ("p1", "p2", "p3")
CATEGORIES = ("shoes", "hats")
CHANNELS = ("web", "ios", "store")
AMOUNTS = (0, 1, 10, 25.5, 30, 100, -5, 0.1, 0.0078125, 1.0000005)
DATES = ("1990-03-29", "2000-02-29", "1988-12-31", "2001-03-08", "not a date")
STARTS = (
    1_774_738_800_000,  # 2026-03-28 23:00 UTC, two hours before the clocks of Europe go forward
    1_772_928_000_000,  # 2026-03-08 00:00 UTC, hours before those of New York do
    1_792_886_400_000,  # 2026-10-25 00:00 UTC, an hour before those of Europe go back
    1_803_816_000_000,  # 2027-02-28 12:00 UTC; no 29 February follows
    1_835_308_800_000,  # 2028-02-28 00:00 UTC, before a leap day
    1_798_664_400_000,  # 2026-12-30 21:00 UTC, before the end of a year in the middle of a week
    1_777_030_200_000,  # 2026-04-24 11:30 UTC; Cairo skips its midnight
    1_775_300_400_000,  # 2026-04-04 11:00 UTC, before Lord Howe goes back by half an hour
)
ZONES = (
    *("UTC", "Asia/Seoul", "America/New_York", "Europe/Berlin"),
    *("Africa/Cairo", "Australia/Lord_Howe", "Asia/Kathmandu"),
)
EVENTS: Raw = {
    "view": {"type": "product_viewed"},
    "cart": {"type": "product_added"},
    "buy": {"type": "order_completed"},
    "big": {"type": "order_completed", "where": "value >= 25"},
    "web": {"type": "*", "where": "channel == 'web'"},
    "active": {"type": ["product_viewed", "product_added", "order_completed"]},
    "hats": {
        "type": ["product_viewed", "order_completed"],
        "where": "any(items, category == 'hats') or category == 'hats'",
    },
    "lines": {"type": "*", "where": "count(items, price > 5) >= 1 and sum(items, price * quantity) < 100"},
    "seoul": {
        "type": "*",
        "where": "traits.city == 'Seoul' or context.device.os in ['ios', 'android'] and coupon != 'X'",
    },
    "odd": {"type": "*", "where": "not (props.size == 'M') or exists(value) and all(items, price >= 1)"},
    "by_day": {"type": "*", "where": "local_hour() >= 6 and local_hour() < 18 and local_weekday() != 7"},
    "festive": {
        "type": "*",
        "where": "until_anniversary('2000-03-29') <= 2d or until_anniversary(traits.birthday) == 0 "
        "or month(traits.birthday) == local_month()",
    },
    "new": {"type": "*", "where": "version(size) >= version('2.9') or version(coupon) < version('v2')"},
    "dated": {"type": "*", "where": "local_date() >= '2026-03-29' or local_hour() == 2"},
}
PLAIN = ("view", "cart", "buy", "view", "cart", "buy", "big", "active")
ALL_SELECTORS = tuple(EVENTS)
TYPES = ("product_viewed", "product_added", "order_completed", "page_viewed")


def some_duration(draw: Draw, pool: tuple[str, ...] = SHORT + LONG) -> str:
    return draw.pick(pool)


# features


def window(draw: Draw, kinds: tuple[str, ...]) -> Raw:
    kind = draw.pick(kinds)
    if kind == "lifetime":
        return {}
    if kind == "between":
        near, far = sorted(draw.some(SHORT + LONG, 2, 2), key=duration)
        return {"between": [far, near]}
    if kind == "calendar":
        return {"calendar": draw.pick(["hour", "day", "week", "month", "year"])}
    if kind == "since":
        return {"since": draw.pick(PLAIN)}
    return {kind: some_duration(draw)}


COUNTS = ("count", "distinct", "days", "weeks", "months")
NUMBERS = ("sum", "mean", "min", "max", "first_value", "last_value")
TIMES = ("since_first", "since_last", "mean_gap")
FIRST_AGGREGATES = ("count", "sum", "first_value", "last_value", *TIMES)
FIRST_WINDOWS = ("lifetime", "last", "last")
ALL_AGGREGATES = (*COUNTS, *NUMBERS, *TIMES)
ALL_WINDOWS = ("lifetime", "last", "between", "calendar", "session", "since")


def feature(
    draw: Draw, aggregates: tuple[str, ...], windows: tuple[str, ...], by: str | None = None
) -> tuple[Raw, Callable[[str], str]]:
    """A feature, and what makes a comparison out of its name."""
    kind = draw.pick(aggregates)
    selector = draw.pick(PLAIN if draw.flip() else ALL_SELECTORS)
    field = ""
    if kind in NUMBERS:
        field = "value"
    elif kind == "distinct":
        field = draw.pick(["product_id", "channel", "value"])
    elif kind in ("share", "top") and draw.whole(0, 2):
        field = "value"
    text = kind in ("first_value", "last_value") and draw.flip()
    if text:
        field = "channel"
    raw: Raw = {kind: f"{selector}.{field}" if field else selector, **window(draw, windows)}
    if kind == "top":
        raw["by"] = draw.pick(["product_id", "items.category"])
    elif by is not None and (kind == "share" or draw.flip()):
        raw["by"] = by
    if draw.whole(0, 4) == 0:
        raw["min_n"] = draw.whole(1, 3)
    sign = draw.pick(["<", "<=", ">", ">=", "==", "!="])

    def compare(name: str) -> str:
        if text:
            if draw.flip():
                return f"{name} in ['web', 'store']"
            return f"{name} {draw.pick(['==', '!=', '<', '>='])} '{draw.pick(CHANNELS)}'"
        if kind == "top":
            return f"{name} {draw.pick(['==', '!='])} '{draw.pick(PRODUCTS + CATEGORIES)}'"
        if kind in COUNTS:
            bound: Any = draw.whole(0, 4)
        elif kind == "share":
            bound = draw.pick([0, 0.25, 0.5, 1])
        elif kind in NUMBERS:
            bound = draw.pick(AMOUNTS)
        else:
            bound = some_duration(draw)
        return f"{name} {sign} {bound}"

    return raw, compare


def expression(draw: Draw, features: dict[str, tuple[Raw, Callable[[str], str]]]) -> str:
    """One to three comparisons of features, or one of two moving numbers."""
    names = sorted(features)
    moving = [name for name in names if set(features[name][0]) & {"since_first", "since_last", "mean_gap"}]
    if len(moving) >= 2 and draw.flip():
        a, b = draw.some(moving, 2, 2)
        return draw.pick(
            [
                f"{a} > 3 * {b}",
                f"{a} > max(2 * {b}, 30m)",
                f"abs({a} - {b}) < 10m",
                f"min({a}, 1h) >= {b} / 2",
                f"coalesce({a}, 1d) - {b} >= 10m",
                f"{a} + {b} == 1h",
                f"abs({a} - 1h) <= 10m and {b} < 3h",
                f"({a} - 30m) * -2 < {b} - 1d",
            ]
        )
    numbers = [name for name in names if set(features[name][0]) & {*COUNTS, "sum", "mean", "min", "max"}]
    if numbers and draw.whole(0, 2) == 0:
        return arithmetic(draw, draw.pick(numbers), draw.pick(numbers), draw.pick(moving) if moving else None)
    leaves = [features[name][1](name) for name in [draw.pick(names) for _ in range(draw.whole(1, 3))]]
    leaves = [f"not {leaf}" if draw.whole(0, 5) == 0 else leaf for leaf in leaves]
    if draw.whole(0, 7) == 0:
        leaves.append(f"exists({names[0]})")
    if draw.whole(0, 7) == 0 and not set(features[names[0]][0]) & {"top", "first_value", "last_value"}:
        leaves.append(f"coalesce({names[0]}, 3) > 2")
    return draw.pick([" and ", " or "]).join(f"({leaf})" for leaf in leaves)


def arithmetic(draw: Draw, a: str, b: str, moving: str | None) -> str:
    """A comparison of numbers that stand still, or of one that moves with some that do not."""
    bound = draw.pick([0, 0.5, 1, 2, 30])
    options = [
        f"{a} / {b} > {bound}",
        f"{a} * {b} >= {bound}",
        f"{a} - {b} == 0 or {a} + {b} < {bound}",
        f"-{a} < -{bound}",
        f"min({a} + 1, {b}, 3) >= {bound}",
        f"{a} + min({b}, 2) > {bound}",
        f"max({a}, 2) == 2",
        f"abs({a} - {b}) in [0, {bound}]",
        f"coalesce({a} / {b}, 1) <= {bound}",
        f"{a} != {b} or {a} > {bound}",
    ]
    if moving is not None:
        options = [
            f"{moving} > 10m * {a}",
            f"{moving} / {a} >= 10m",
            f"{moving} * ({a} - {b}) < 1h",
            f"{moving} in [10m, 30m] or {moving} == 1h",
            f"max({moving} - 30m, {a}) > {b}",
            f"(1h - {moving}) / 2 <= {bound} * 1m",
        ]
    return draw.pick(options)


def features_of(
    draw: Draw, aggregates: tuple[str, ...], windows: tuple[str, ...], by: str | None = None, most: int = 3
) -> dict[str, tuple[Raw, Callable[[str], str]]]:
    return {f"f{n}": feature(draw, aggregates, windows, by) for n in range(draw.whole(1, most))}


# conditions


def steps(draw: Draw, full: bool, pool: tuple[str, ...] = PLAIN) -> Raw:
    """A sequence. Only `do … not` unless `full`."""
    first = draw.pick(pool)
    items: list[Raw] = [{"do": first}]
    for _ in range(draw.whole(0, 2) if full else 0):
        then: Raw = {"then": draw.pick(pool), "within": some_duration(draw, ("30m", *LONG))}
        if draw.whole(0, 3) == 0:
            then["without"] = draw.pick(pool)
        items.append(then)
    raw: Raw = {"seq": items}
    if len(items) == 1 or draw.flip():
        closing = draw.some(pool, 1, 1 if draw.flip() else 2)
        items.append({"not": closing[0] if len(closing) == 1 else closing, "for": some_duration(draw, SHORT)})
    if full and "not" in items[-1] and draw.whole(0, 2) == 0:
        raw["restart"] = draw.pick(["last", "first"])
    return raw


def condition(draw: Draw, full: bool, leaves: list[Callable[[Draw], Any]], depth: int = 2) -> Any:
    """A tree of all, any, not (and at_least) over leaves."""
    if depth == 0 or draw.whole(0, 2) > 0:
        return draw.pick(leaves)(draw)
    kind = draw.pick(["all", "any", "not", "at_least"] if full else ["all", "any", "not"])
    if kind == "not":
        return {"not": condition(draw, full, leaves, depth - 1)}
    of = [condition(draw, full, leaves, depth - 1) for _ in range(draw.whole(1, 3))]
    if kind == "at_least":
        return {"at_least": draw.whole(1, len(of)), "of": of}
    return {kind: of}


def done(draw: Draw) -> Raw:
    raw: Raw = {"do": draw.pick(PLAIN)}
    if draw.flip():
        raw["last"] = some_duration(draw)
    return raw


def sequences_in(raw: Any) -> list[Raw]:
    """The sequences of a condition that stand outside every `not`."""
    if not isinstance(raw, dict) or "not" in raw:
        return []
    if "seq" in raw:
        return [raw]
    return [
        each
        for part in raw.get("all") or raw.get("any") or raw.get("of") or ()
        for each in sequences_in(part)
    ]


def dwelling(draw: Draw, full: bool, ending: Callable[[Draw], Any]) -> Raw:
    """What else a segment may say: exit, ttl, min_dwell, renew."""
    raw: Raw = {}
    if draw.flip():
        raw["exit"] = {"do": draw.pick(PLAIN)} if draw.flip() else ending(draw)
    if draw.flip():
        raw["ttl"] = some_duration(draw)
    if full and draw.whole(0, 2) == 0:
        dwell = some_duration(draw)
        if "ttl" not in raw or duration(dwell) <= duration(raw["ttl"]):
            raw["min_dwell"] = dwell
    if full and draw.whole(0, 2) == 0:
        raw["renew"] = True
    return raw


def anchored(draw: Draw, segment: Raw) -> Raw:
    """Names the anchor where a segment has two sequences."""
    found = sequences_in(segment["when"])
    for number, each in enumerate(found):
        each["name"] = f"s{number}"
    if len(found) > 1:
        segment["anchor"] = f"s{draw.whole(0, len(found) - 1)}"
    elif found and draw.flip():
        del found[0]["name"]
    return segment


# families


def file(features: dict[str, Any], segments: Raw, ladders: Raw | None = None, **more: Any) -> Raw:
    raw: Raw = {"version": 1, **more, "events": EVENTS, "features": {}, "segments": segments}
    raw["features"] = {name: each[0] if isinstance(each, tuple) else each for name, each in features.items()}
    if ladders:
        raw["ladders"] = ladders
    return raw


def first_windows(draw: Draw) -> Raw:
    features = features_of(draw, FIRST_AGGREGATES, FIRST_WINDOWS)
    return file(features, {f"s{n}": {"when": expression(draw, features)} for n in range(draw.whole(1, 2))})


def first_sequences(draw: Draw) -> Raw:
    segment = {"when": steps(draw, False), **dwelling(draw, False, done_or_seq)}
    return file({}, {"s": segment})


def done_or_seq(draw: Draw) -> Raw:
    """For an `exit`, where `do` is an event after the entry."""
    event = {"do": draw.pick(PLAIN)}
    return draw.pick([event, steps(draw, False), {"any": [event, steps(draw, False)]}])


def first_membership(draw: Draw) -> Raw:
    features = features_of(draw, FIRST_AGGREGATES, FIRST_WINDOWS)
    leaves = [lambda d: expression(d, features), done, lambda d: steps(d, False)]
    segments = {}
    for number in range(draw.whole(1, 2)):
        segment = {"when": condition(draw, False, leaves)}
        segment |= dwelling(draw, False, lambda d: expression(d, features))
        segments[f"s{number}"] = anchored(draw, segment)
    return file(features, segments)


def first_ladders(draw: Draw) -> Raw:
    features = features_of(draw, FIRST_AGGREGATES, FIRST_WINDOWS)
    tiers = [{"name": name, "when": expression(draw, features)} for name in ("gold", "silver", "bronze")]
    ladder: Raw = {"tiers": tiers[: draw.whole(1, 3)]}
    if draw.flip():
        ladder["demote_after"] = some_duration(draw)
    return file(features, {}, {"l": ladder})


def windows(draw: Draw) -> Raw:
    features = features_of(draw, (*ALL_AGGREGATES, "top"), ALL_WINDOWS)
    return file(
        features,
        {f"s{n}": {"when": expression(draw, features)} for n in range(draw.whole(1, 3))},
        timezone=draw.pick(ZONES),
    )


def calendars(draw: Draw) -> Raw:
    features = features_of(draw, (*ALL_AGGREGATES, "days", "weeks", "months"), ("calendar",))
    return file(
        features,
        {f"s{n}": {"when": expression(draw, features)} for n in range(draw.whole(1, 2))},
        timezone=draw.pick(ZONES),
    )


def sequences(draw: Draw) -> Raw:
    segment = anchored(draw, {"when": steps(draw, True), **dwelling(draw, True, done_or_seq)})
    if draw.flip():
        sequences_in(segment["when"])[0]["by"] = draw.pick(["product_id", "items.category", "category"])
    return file({}, {"s": segment})


def membership(draw: Draw) -> Raw:
    features = features_of(draw, ALL_AGGREGATES, ALL_WINDOWS)
    leaves = [lambda d: expression(d, features), done, lambda d: steps(d, True)]
    segments = {}
    for number in range(draw.whole(1, 2)):
        segment = {"when": condition(draw, True, leaves)}
        segment |= dwelling(draw, True, lambda d: condition(d, True, [leaves[0], leaves[2], done_or_seq], 1))
        for raw in sequences_in(segment.get("exit")):
            raw.pop("name", None)
        segments[f"s{number}"] = anchored(draw, segment)
    return file(features, segments, timezone=draw.pick(ZONES))


def for_each(draw: Draw) -> Raw:
    by = draw.pick(["product_id", "items.category", "items.category", "category"])
    features = features_of(draw, (*ALL_AGGREGATES, "share", "top"), ALL_WINDOWS, by)
    leaves = [lambda d: expression(d, features), done, lambda d: steps(d, True)]
    # A positive condition on the key, so that an instance that nobody saw has nothing to say.
    seed = draw.pick([lambda d: {"do": d.pick(PLAIN)}, lambda d: steps(d, True), lambda d: steps(d, False)])(
        draw
    )
    more = [condition(draw, True, leaves, 1)] if draw.whole(0, 3) else []
    segment: Raw = {"for_each": by, "when": {"all": [seed, *more]}}
    segment |= dwelling(draw, True, lambda d: expression(d, features))
    return file(features, {"s": anchored(draw, segment)}, timezone=draw.pick(ZONES))


def shares(draw: Draw) -> Raw:
    """Parts of a whole and favourites, per key."""
    by = draw.pick(["product_id", "items.category", "category"])
    features = features_of(draw, ("share", "share", "top"), ALL_WINDOWS, by)
    when = {"all": [{"do": draw.pick(PLAIN)}, expression(draw, features)]}
    return file(features, {"s": {"for_each": by, "when": when}}, timezone=draw.pick(ZONES))


def ladders(draw: Draw) -> Raw:
    features = features_of(draw, ALL_AGGREGATES, ("lifetime", "last", "last", "session", "between"))
    leaves = [lambda d: expression(d, features), done, lambda d: steps(d, True)]
    tiers: list[Raw] = []
    for name in ("gold", "silver", "bronze")[: draw.whole(1, 3)]:
        tier = {"name": name, "when": condition(draw, True, leaves, 1)}
        if draw.whole(0, 2) == 0:
            tier["from"] = draw.pick(["none", "silver", ["bronze", "none"], ["gold", "silver"]])
        if draw.whole(0, 2) == 0:
            tier["ttl"] = some_duration(draw)
        tiers.append(tier)
    known = {tier["name"] for tier in tiers} | {"none"}
    for tier in tiers:
        sources = tier.get("from")
        if (
            sources is not None and not {sources} <= known
            if isinstance(sources, str)
            else not set(sources or ()) <= known
        ):
            del tier["from"]
    ladder: Raw = {"tiers": tiers}
    if draw.flip():
        ladder["demote_after"] = some_duration(draw)
    return file(features, {}, {"l": ladder})


def clocks(draw: Draw) -> Raw:
    """Functions of the hour, the day, birthdays and places; traits."""
    features = features_of(draw, ("count", "since_last"), FIRST_WINDOWS, most=2)
    leaf = [
        "local_hour() >= 9 and local_hour() < 18",
        "local_hour() == 2",
        "local_weekday() in [6, 7]",
        "local_weekday() == 1",
        "local_date() == '2026-03-29'",
        "local_date() >= '2026-03-29'",
        "local_month() == month(traits.birthday)",
        "local_month() >= 4",
        "version(traits.app) < version('2.10') or distance_km(traits.lat, traits.lon, 52, 13) < 100",
        "version(traits.app) != version('2.9') and month(traits.birthday) > 2",
        "until_anniversary(traits.birthday) <= 1d",
        "until_anniversary(traits.birthday) == 0",
        "until_anniversary(traits.birthday) < f0",
        "age(traits.birthday) >= 38",
        "age(traits.birthday) == 26",
        "traits.city == 'Seoul'",
        "not exists(traits.city)",
        "traits.size.eu > 40",
        "traits.vip",
        "traits.vip == false or traits.size.eu != 41",
        "distance_km(traits.lat, traits.lon, 37.57, 126.98) < 100",
        "distance_km(traits.lat, traits.lon, 52.5, 13.4) > 5000",
    ]
    segments = {}
    for number in range(draw.whole(1, 2)):
        text = draw.pick(leaf)
        if draw.flip():
            text = f"({text}) {draw.pick(['and', 'or'])} ({expression(draw, features)})"
        segments[f"s{number}"] = {"when": text}
        if draw.whole(0, 3) == 0:
            segments[f"s{number}"]["ttl"] = some_duration(draw, LONG)
    if "f0" in str(segments) and not set(features["f0"][0]) & {"since_last", "count"}:
        raise AssertionError
    return file(features, segments, timezone=draw.pick(ZONES))


def decays(draw: Draw) -> Raw:
    """`half_life`: weights that fade, compared with constants."""
    by = draw.pick([None, "product_id"])
    features: dict[str, Any] = {}
    leaves = []
    for number in range(draw.whole(1, 2)):
        name = f"f{number}"
        raw: Raw = {"half_life": some_duration(draw)}
        kind = draw.pick(["count", "sum", "count", "share"] if by else ["count", "sum"])
        field = ".value" if kind == "sum" or (kind == "share" and draw.flip()) else ""
        raw[kind] = draw.pick(PLAIN) + field
        if by:
            raw["by"] = by
        features[name] = raw
        bound = draw.pick([0.25, 0.5, 0.7, 1, 1.5, 2, 10] if kind == "count" else [-1, 0.3, 0.5, 5, 12.5, 25])
        sign = draw.pick(["<", "<=", ">", ">="])
        leaves.append(f"{name} {sign} {bound}")
    segment: Raw = {"when": draw.pick([" and ", " or "]).join(leaves)}
    if by:
        segment = {"for_each": by, "when": {"all": [{"do": draw.pick(PLAIN)}, segment["when"]]}}
    if draw.flip():
        segment["ttl"] = some_duration(draw)
    return file(features, {"s": segment})


def references(draw: Draw) -> Raw:
    features = features_of(draw, FIRST_AGGREGATES, FIRST_WINDOWS, most=2)
    tiers = [{"name": name, "when": expression(draw, features)} for name in ("gold", "silver")]
    ladder: Raw = {"tiers": tiers, "demote_after": some_duration(draw)}
    one = anchored(draw, {"when": steps(draw, True), **dwelling(draw, True, done_or_seq)})
    links = [
        "segment.b",
        "not segment.b",
        "ladder.l == 'gold'",
        "ladder.l == null",
        "ladder.l in ['gold', 'silver']",
    ]
    link = draw.pick(links)
    text = draw.pick([link, f"{link} and ({expression(draw, features)})", f"({link}) or segment.b"])
    segments: Raw = {"a": {"when": text}, "b": one}
    if draw.flip():
        segments["a"]["min_dwell"] = some_duration(draw)
    if draw.flip():
        segments["c"] = {
            "when": {"all": [{"do": "view"}, "not segment.a"]},
            "exit": draw.pick(
                ["segment.a or ladder.l == 'gold'", "ladder.l != null", "segment.a or ladder.l == null"]
            ),
        }
    return file(features, segments, {"l": ladder})


def tenures(draw: Draw) -> Raw:
    """How long somebody has been in a tier."""
    features = features_of(draw, FIRST_AGGREGATES, FIRST_WINDOWS, most=2)
    ladder: Raw = {
        "tiers": [{"name": name, "when": expression(draw, features)} for name in ("gold", "silver")]
    }
    if draw.flip():
        ladder["demote_after"] = some_duration(draw)
    asked = draw.pick(
        [
            f"time_in(ladder.l) >= {some_duration(draw)}",
            f"time_in(ladder.l) < {some_duration(draw)}",
            f"ladder.l == 'silver' and time_in(ladder.l) > {some_duration(draw)}",
            f"coalesce(time_in(ladder.l), {some_duration(draw)}) > {some_duration(draw)}",
        ]
    )
    text = draw.pick([asked, f"{asked} and ({expression(draw, features)})", f"({asked}) or ladder.l == null"])
    return file(features, {"a": {"when": text}, "b": {"when": f"not segment.a and {asked}"}}, {"l": ladder})


SALTS = ("a", "b", "c", "d")


def some_actions(draw: Draw) -> Raw:
    raw: Raw = {}
    if draw.flip():
        raw["cooldown"] = some_duration(draw)
    if draw.whole(0, 2) == 0:
        raw["cap"] = {"n": draw.whole(1, 3), "per": some_duration(draw)}
    if draw.whole(0, 3) == 0:
        raw["holdout"] = {"percent": draw.pick([0, 10, 50, 62.5, 100]), "salt": draw.pick(SALTS)}
    if draw.whole(0, 2) == 0:
        raw["consent"] = draw.pick(["marketing", "push"])
    if draw.whole(0, 2) == 0:
        raw["quiet_hours"] = draw.pick([["22:00", "08:00"], ["02:30", "03:30"], ["00:00", "02:00"]])
    if draw.flip():
        raw |= {"priority": draw.whole(1, 2), "group": draw.pick(["g", "g", "h"])}
    return raw


def some_attachment(draw: Draw) -> Raw:
    raw: Raw = {"collect": draw.pick(PLAIN)}
    if draw.flip():
        raw["since"] = draw.pick(PLAIN)
    if draw.flip():
        raw["remove"] = draw.pick(PLAIN)
    if draw.flip():
        raw["max"] = draw.whole(1, 3)
    return raw


def actions(draw: Draw) -> Raw:
    """Policies and attachments: several short-lived memberships of one user."""
    segments: Raw = {}
    for number in range(draw.whole(1, 3)):
        when = draw.pick([{"do": draw.pick(PLAIN), "last": some_duration(draw, SHORT)}, steps(draw, False)])
        segment: Raw = {"when": when, "actions": some_actions(draw)}
        if draw.whole(0, 2) == 0:
            segment["for_each"] = "product_id"
        segment |= dwelling(draw, True, done_or_seq)
        if draw.flip():
            segment["attach"] = {"cart": some_attachment(draw)}
        segments[f"s{number}"] = segment
    tiers = [
        {"name": name, "when": {"do": draw.pick(PLAIN), "last": some_duration(draw, SHORT)}}
        for name in ("gold", "silver")
    ]
    ladder = {"l": {"tiers": tiers, "actions": some_actions(draw)}} if draw.flip() else None
    return file({}, segments, ladder, timezone=draw.pick(ZONES))


def of_time(draw: Draw) -> Raw:
    """Small definitions with many due instants, for logs in which everything happens on a grid of ten minutes."""
    options: list[Raw] = [
        {"when": {"seq": [{"do": "cart"}, {"not": "buy", "for": "30m"}]}},
        {"when": {"seq": [{"do": "cart"}, {"not": "buy", "for": "30m"}]}, "exit": {"do": "buy"}},
        {
            "when": {"seq": [{"do": "cart"}, {"not": ["buy", "view"], "for": "10m"}]},
            "exit": {"do": "buy"},
            "ttl": "30m",
        },
        {"when": {"seq": [{"do": "view"}, {"not": "cart", "for": "10m"}]}, "exit": "carts >= 2"},
        {"when": "silence >= 30m"},
        {"when": "silence > 10m", "exit": {"do": "cart"}},
        {"when": "carts >= 1"},
        {"when": {"all": [{"do": "view"}, "carts == 0"]}},
        {"when": "rhythm < 15m or silence > 2 * rhythm"},
        {"when": {"any": [{"do": "cart", "last": "30m"}, "spend > 20"]}, "ttl": "1h"},
        {
            "when": {"seq": [{"do": "cart"}, {"then": "buy", "within": "10m", "without": "view"}]},
            "ttl": "30m",
        },
        {
            "when": {
                "seq": [{"do": "view"}, {"then": "cart", "within": "30m"}, {"not": "buy", "for": "10m"}]
            },
            "renew": True,
        },
        {"when": "run >= 3"},
        {"when": "before >= 1 and before < 3"},
        {"when": "marked == 2", "min_dwell": "10m"},
    ]
    features: Raw = {
        "silence": {"since_last": "active"},
        "carts": {"count": "cart", "last": "30m"},
        "rhythm": {"mean_gap": "active", "last": "1h"},
        "spend": {"sum": "buy.value", "last": "1h"},
        "run": {"count": "active", "session": "10m"},
        "before": {"count": "active", "between": ["30m", "10m"]},
        "marked": {"count": "active", "since": "cart"},
    }
    tiers = [{"name": "gold", "when": "spend >= 25"}, {"name": "silver", "when": "carts >= 1"}]
    ladder = {"l": {"tiers": tiers, "demote_after": draw.pick(["10m", "30m"])}} if draw.flip() else None
    segments = {f"s{number}": option for number, option in enumerate(draw.some(range(len(options)), 1, 3))}
    return file(features, {name: options[number] for name, number in segments.items()}, ladder)


FIRST: dict[str, Callable[[Draw], Raw]] = {
    "time": of_time,
    "first_windows": first_windows,
    "first_sequences": first_sequences,
    "first_membership": first_membership,
    "first_ladders": first_ladders,
    "clocks": clocks,
}
FAMILIES: dict[str, Callable[[Draw], Raw]] = {
    **FIRST,
    "windows": windows,
    "calendars": calendars,
    "sequences": sequences,
    "membership": membership,
    "for_each": for_each,
    "shares": shares,
    "ladders": ladders,
    "decays": decays,
    "actions": actions,
    "references": references,
    "tenures": tenures,
}


# logs


@dataclass(frozen=True)
class Case:
    """One comparison of oracle and engine."""

    raw: Raw
    records: tuple[Record, ...]
    settings: Settings
    until: int | None


def body(draw: Draw, number: int, shaped: int = 0) -> Raw:
    kind = draw.pick(TYPES + TYPES[:3])
    raw: Raw = {"id": f"e{number}", "type": kind, "user_id": draw.pick(["a", "a", "a", "b"])}
    shape = draw.whole(0, 63) | shaped
    if kind == "order_completed" or shape & 1:
        raw["value"] = draw.pick(AMOUNTS)
    if shape & 2:
        raw["channel"] = draw.pick(CHANNELS)
    if shape & 4:
        raw["props"] = {
            "product_id": draw.pick(PRODUCTS),
            "category": draw.pick(CATEGORIES),
        }
        if shape & 8:
            raw["props"]["size"] = draw.pick(["M", "L", 3, "2.10", "2.9.1-b"])
    if shape & 16:
        raw["items"] = [
            {
                "product_id": p,
                "category": draw.pick(CATEGORIES),
                "price": draw.pick([1, 7.5, 60]),
            }
            for p in draw.some(PRODUCTS, 0, 3)
        ]
        if shape & 8 and raw["items"]:
            raw["items"][0]["quantity"] = 3
            del raw["items"][-1]["category"]
    if shape >= 60:
        raw["value"] = "twelve"
    if draw.whole(0, 5) == 0:
        raw["context"] = {"device": {"os": draw.pick(["ios", "linux", 5])}}
        raw["coupon"] = draw.pick(["X", "Y"])  # no field of the envelope: it belongs to props
    return raw


def some_traits(draw: Draw, wanted: str) -> Raw:
    """Traits, mostly of those that the definitions ask for."""
    options: list[Raw] = [
        {"city": "Seoul"},
        {"city": None},
        {"vip": True},
        {"vip": "yes"},
        *({"app": app} for app in ("2.9", "v2.9.0 (12)", "2.10.1", "1.100000", "beta", 3)),
        {"size": {"eu": 41}},
        {"size": {"eu": 39, "us": 8}},
        {"size": None},
        {"size": 5},
        {"lat": 37.6, "lon": 127.0},
        {"lat": 52.5, "lon": 13.4},
        {"lat": None},
        {},
        *({"birthday": day} for day in DATES),
        *({"consent": {"marketing": agreed}} for agreed in (True, False, "true", None)),
        {"consent": {"marketing": True, "push": True}},
        {"timezone": "America/New_York"},
        {"timezone": "Mars/Olympus"},
        {"timezone": None},
    ]
    if draw.whole(0, 4):
        options = [each for each in options if any(name in wanted for name in each)] or options
    return draw.pick(options)


def cases(family: str) -> st.SearchStrategy[Case]:
    return st.composite(lambda draw: case(Shrinkable(draw), FAMILIES[family], family))()


def seeded(family: str, seed: int) -> Case:
    return case(Seeded(f"{family} {seed}"), FAMILIES[family], family)


GRID = 600_000


def case_of_time(draw: Draw, raw: Raw) -> Case:
    """Times, record times and settings lie on the grid or a millisecond beside it, so that edges meet all the time."""
    settings = Settings(
        lateness=draw.pick([0, 0, GRID, GRID, 3 * GRID]),
        clock_skew=draw.pick([300_000, GRID]),
        idle_after=draw.pick([None, 500, GRID, 2 * GRID]),
        dedup_window=draw.pick([86_400_000, GRID, 3 * GRID]),
    )
    start = draw.pick(STARTS)
    live = draw.flip()
    partitions = {"a": 0, "b": 0, "c": draw.whole(0, 1)}
    disorder = draw.pick([0, 0, 2, 6])
    repeats = draw.pick([0, 1, 4])
    records: list[Record] = []
    now = start
    for number in range(draw.pick([2, 4, 8, 12, 16, 24, 32])):
        step = number // 2 + draw.whole(-disorder, 2)
        time = start + max(step, 0) * GRID + draw.pick([-1, 0, 0, 0, 1])
        event: Raw = {
            "type": draw.pick((*TYPES[:3], "product_added", "page_viewed", "clock_advanced")),
            "time": time,
        }
        user = draw.pick(["a", "a", "b", "c"])
        home = partitions[user] if event["type"] != "clock_advanced" else draw.whole(0, 1)
        if event["type"] != "clock_advanced":
            event |= {
                "id": f"e{number if draw.whole(0, 9) >= repeats else draw.whole(0, number)}",
                "user_id": user,
            }
            if event["type"] == "order_completed" or draw.flip():
                event["value"] = draw.pick([10, 30])
        if not live:
            records.append(Record(event, None, home))
            continue
        lags = [0, 0, 499, 500, 501, GRID - 1, GRID, GRID + 1]
        now = max(now, time) + draw.pick(lags)
        if draw.whole(0, 9) == 0:
            event["time"] = now + settings.clock_skew + draw.pick([-1, 0, 1, 30 * GRID])
        records.append(Record(event, now, home))
    until = None if draw.flip() else start + draw.whole(0, 20) * GRID + draw.whole(-1, 1)
    return Case(raw, tuple(records), settings, until)


def case(draw: Draw, definitions: Callable[[Draw], Raw], family: str) -> Case:
    raw = definitions(draw)
    if family == "time":
        return case_of_time(draw, raw)
    spans = sorted({*durations_of({k: v for k, v in raw.items() if k != "events"}), 60_000, *literals(raw)})
    days = family in ("calendars", "clocks", "windows", "membership", "for_each")
    wanted = str(raw["segments"]) + ("timezone" if "quiet_hours" in str(raw) else "")
    start = draw.pick(STARTS) + draw.pick([0, 0, 1, 3_599_999, 7_200_000])
    times = [start]
    bodies: list[Raw] = []
    for number in range(draw.pick([1, 4, 8, 12, 16, 20, 24, 28])):
        mode = draw.pick(["same", "edge", "edge", "next edge", "step", "step", "jump"])
        if mode == "same":
            time = times[-1]
        elif mode == "edge":
            time = draw.pick(times) + draw.pick(spans) + draw.whole(-1, 1)
        elif mode == "next edge":
            time = times[-1] + draw.pick(spans) + draw.whole(-1, 1)
        elif mode == "step":
            time = times[-1] + draw.whole(1, 20) * 60_000
        else:
            far = 9 if days else 1
            if family == "calendars" and "hour" not in str(raw):
                far = 40
            time = times[-1] + draw.pick([2 * 3_600_000, 86_400_000, far * 86_400_000])
        times.append(time)
        event = {
            **body(draw, number, 4 if family in ("for_each", "shares", "sequences", "actions") else 0),
            "time": time,
        }
        if family in ("clocks", "actions") and draw.flip():
            event["traits"] = some_traits(draw, wanted)
        bodies.append(event)
    disorder = draw.pick(["ordered", "ordered", "some", "as drawn"])
    if disorder != "as drawn":
        bodies.sort(key=lambda each: each["time"])
    if disorder == "some":
        for _ in range(draw.whole(1, 4)):
            place = draw.whole(0, len(bodies) - 1)
            moved = bodies.pop(place)
            bodies.insert(place + draw.whole(1, 4), moved)
    if draw.whole(0, 3) == 0:  # the same event again
        bodies.insert(draw.whole(0, len(bodies)), draw.pick(bodies))
    end = max(each["time"] for each in bodies) + draw.pick([0, 1, *spans, 2 * max(spans)])
    if draw.whole(0, 4) == 0:
        bodies.insert(
            draw.whole(0, len(bodies)),
            {"type": "clock_advanced", "time": draw.pick(times)},
        )
    close = draw.pick(["until", "clock_advanced", "nothing"])
    if close == "clock_advanced":
        bodies.append({"type": "clock_advanced", "time": end})
    records = tuple(dressed(draw, stamped(draw, bodies)))
    settings = Settings(
        lateness=draw.pick([0, 0, 60_000, 3_600_000]),
        idle_after=draw.pick([None, None, 500, 1_800_000]),
        dedup_window=draw.pick([86_400_000, 600_000]),
    )
    return Case(raw, records, settings, end if close == "until" else None)


def literals(raw: Raw) -> set[int]:
    """The durations that stand inside expressions."""
    words = str({key: raw[key] for key in raw if key != "events"}).replace("'", " ").replace(")", " ").split()
    return {span for word in words for span in durations_of(word.rstrip(",}]"))}


def dressed(draw: Draw, records: list[Record]) -> list[Record]:
    """The same events as other sources would send them: times as text, ids to be derived, users not yet known."""
    looks: dict[Any, int] = {}
    found = []
    for record in records:
        event = dict(record.event)
        look = looks.setdefault((event.get("id"), event["time"]), draw.whole(0, 40))
        if look == 1:
            zone = draw.pick([UTC, timezone(timedelta(hours=9)), timezone(-timedelta(hours=3, minutes=30))])
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                milliseconds=event["time"], microseconds=999
            )
            event["time"] = moment.astimezone(zone).isoformat()
        elif look in (2, 3):
            event.pop("id", None)
        elif look == 4 and "user_id" in event:
            event["anonymous_id"] = event.pop("user_id")
        found.append(replace(record, event=event))
    return found


def stamped(draw: Draw, bodies: list[Raw]) -> list[Record]:
    """Record times: none, those of a live topic, or with a phone whose clock is ahead."""
    mode = draw.pick(["none", "none", "live", "wrong"])
    partition = {"a": 0, "b": draw.whole(0, 1)}
    wrong = draw.whole(0, len(bodies) - 1) if mode == "wrong" else -1
    records: list[Record] = []
    now = 0
    for number, each in enumerate(bodies):
        home = partition.get(each.get("user_id", "a"), 0)
        if mode == "none":
            records.append(Record(each, None, home))
            continue
        now = max(now, each["time"]) + draw.pick([0, 1, 400, 700, 90_000])
        if number == wrong:
            ahead = draw.pick([299_999, 300_000, 300_001, 365 * 86_400_000])
            records.append(Record({**each, "time": now + ahead}, now, home))
        else:
            records.append(Record(each, now, home))
    return records
