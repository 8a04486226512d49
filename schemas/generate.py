"""Writes definitions-1.schema.json, the JSON Schema for editors, from the words that the reader of definitions knows.

    python schemas/generate.py          rewrites the file
    # yaml-language-server: $schema=…   in a definitions file makes editors use it

The schema knows the shape of a file. What names mean, expressions and units are checked by `segstream check`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream.definitions.model import AGGREGATES
from stream.definitions.parameters import KINDS as PARAMETER_KINDS
from stream.definitions.reader import (
    MAX_KEYS,
    NEED_FIELD,
    NEED_KEYS,
    PERIODS,
    TAKE_FIELD,
    WINDOWS,
)
from stream.definitions.vocabulary import WELL_KNOWN_TYPES

TARGET = Path(__file__).with_name("definitions-1.schema.json")

Schema = dict[str, Any]

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
GIVEN = r"^\$[A-Za-z_][A-Za-z0-9_]*$"
"""A parameter in place of a value."""


def said(schema: Schema, description: str) -> Schema:
    """A schema with what an editor shows of it."""
    return {**schema, "description": description}


_DURATION: Schema = {"type": "string", "pattern": rf"^\s*\d+(\.\d+)?(ms|s|m|h|d|w)\s*$|{GIVEN}"}
TEXT: Schema = {"type": "string", "minLength": 1}
_COUNT: Schema = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": GIVEN}]}
_FLAG: Schema = {"type": "boolean"}
_EXPRESSION: Schema = {"type": ["string", "boolean", "number"]}
CONDITION: Schema = {"$ref": "#/$defs/condition"}


def duration(description: str, *examples: str) -> Schema:
    shown = "a number and a unit (ms s m h d w)"
    return said({**_DURATION, "examples": list(examples or ("30m", "7d"))}, f"{description}: {shown}")


def text(description: str, *examples: str) -> Schema:
    return said({**TEXT, "examples": list(examples)} if examples else TEXT, description)


def count(description: str) -> Schema:
    return said(_COUNT, description)


def flag(description: str) -> Schema:
    return said(_FLAG, description)


def expression(description: str, *examples: str) -> Schema:
    return said({**_EXPRESSION, "examples": list(examples)}, description)


def words(description: str, one: Schema = TEXT) -> Schema:
    """A word or a list of them."""
    return said({"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]}, description)


AGGREGATE_TEXTS = {
    "count": "number of events: `count: buy`. 0 of nothing",
    "sum": "sum of a field: `sum: buy.value`. 0 of nothing",
    "mean": "mean of a field: `mean: buy.value`. Unknown of nothing",
    "min": "smallest value of a field: `min: buy.value`. Unknown of nothing",
    "max": "largest value of a field: `max: buy.value`. Unknown of nothing",
    "first_value": "value of a field at the earliest event: `first_value: buy.channel`. Unknown of nothing",
    "last_value": "value of a field at the latest event: `last_value: buy.channel`. Unknown of nothing",
    "distinct": "number of different values of a field: `distinct: view.product_id`. Exact up to 256",
    "days": "number of local calendar days with an event: `days: active`. 0 of nothing",
    "weeks": "number of local calendar weeks (from Monday) with an event: `weeks: active`. 0 of nothing",
    "months": "number of local calendar months with an event: `months: active`. 0 of nothing",
    "since_first": "time since the first event, a duration that grows: `since_first: buy`. Unknown of nothing",
    "since_last": "time since the last event, a duration that grows: `since_last: active`. Unknown of nothing",
    "mean_gap": "mean time between events, of closed gaps only: `mean_gap: buy`. Unknown below two events",
    "share": "this key's part of all, from 0 to 1, with `by`: `share: view` or `share: buy.value`",
    "top": "the key with the largest count or sum, with `by`: `top: view` or `top: buy.value`",
}
WINDOW_SCHEMAS: dict[str, Schema] = {
    "last": duration("only events of the last so long", "30d", "2h"),
    "between": said(
        {"type": "array", "items": _DURATION, "minItems": 2, "maxItems": 2, "examples": [["60d", "30d"]]},
        "only events from the first to the second duration ago, the longer first",
    ),
    "calendar": said(
        {"enum": list(PERIODS)}, "only events of the current local hour, day, week, month or year"
    ),
    "session": duration("only events of the current session, which ends after so long a silence", "30m"),
    "since": text("only events since the last event of this selector", "buy"),
    "half_life": duration("every event, weighted by half for every so long that it is old", "7d"),
}
TIMEZONE_EXAMPLES = ("UTC", "Asia/Seoul", "Europe/Berlin", "America/New_York")
_KEYS_OF = "a field of the event, or of its lines (`items`)"


def record(properties: Schema, *required: str, **more: Any) -> Schema:
    """An object that takes these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def named(values: Schema) -> Schema:
    """A section of names and what they stand for."""
    return {"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": values}


def aggregate(name: str) -> Schema:
    field = r"\.[^\s]+"
    tail = field if name in NEED_FIELD else f"({field})?" if name in TAKE_FIELD else ""
    return said({"type": "string", "pattern": f"^[A-Za-z_][A-Za-z0-9_]*{tail}$"}, AGGREGATE_TEXTS[name])


def parameter() -> Schema:
    one: Schema = {"type": ["string", "number"], "minLength": 1}
    return record(
        {
            "type": said({"enum": list(PARAMETER_KINDS)}, "what the value must be"),
            "default": words("the value unless another is given: `shop.yaml?name=value`", one),
            "description": said({"type": "string"}, "for people"),
        },
        "type",
        "default",
        description="a value that stands as $name wherever a value stands",
    )


def selector() -> Schema:
    one = {"anyOf": [{"enum": ["*", *WELL_KNOWN_TYPES]}, TEXT]}
    return record(
        {
            "type": words("type of the events, a list of types, or '*' for all", one),
            "where": expression(
                "what must hold of the event: fields of the envelope, props.x, context.x, traits.x, "
                "any(items, …), all(…), sum(items, …), count(items, …)",
                "value >= 100",
                "any(items, category == 'shoes')",
            ),
        },
        "type",
        description="which events are meant",
    )


def feature() -> Schema:
    properties: Schema = {name: aggregate(name) for name in AGGREGATES}
    properties["formula"] = expression("computed from other features", "orders_1y + 50 * reviews_1y")
    properties |= {name: WINDOW_SCHEMAS[name] for name in WINDOWS}
    properties |= {
        "by": text(f"a value for each value of {_KEYS_OF}", "product_id", "category"),
        "min_n": count("unknown below so many events"),
        "max_keys": count(f"keys kept per user, those with the most recent activity (default {MAX_KEYS})"),
        "assume_covered": flag(
            "the system has seen everything from the beginning, although it started later"
        ),
    }
    return record(
        properties,
        oneOf=[
            *({"required": [name, "by"] if name in NEED_KEYS else [name]} for name in AGGREGATES),
            {"required": ["formula"], "maxProperties": 1},
        ],
        description="a number or value kept per user: one aggregate, and at most one window (none: of all time)",
    )


def condition() -> Schema:
    conditions = {"type": "array", "items": CONDITION, "minItems": 1}
    events = "a selector, or a list of which any counts"
    steps = {
        "type": "array",
        "minItems": 2,
        "items": {
            "oneOf": [
                record({"do": words(f"the first step: {events}")}, "do"),
                record(
                    {
                        "then": words(f"the next step: {events}"),
                        "within": duration("how long after the step before at the latest", "1d"),
                        "without": words("what must not happen in between: a selector or a list"),
                    },
                    "then",
                    "within",
                ),
                record(
                    {
                        "not": words("the last step: what does not happen, a selector or a list"),
                        "for": duration("how long it has not happened since the step before", "30m"),
                    },
                    "not",
                    "for",
                ),
            ]
        },
    }
    return {
        "description": "an expression, or one of all, any, not, at_least, do, seq",
        "oneOf": [
            expression(
                "true or false of features, traits.x, segment.x, ladder.x", "orders >= 3", "silence > 7d"
            ),
            record({"all": said(conditions, "true if all are")}, "all"),
            record({"any": said(conditions, "true if one is")}, "any"),
            record({"not": said(CONDITION, "true if it is false")}, "not"),
            record(
                {"at_least": count("how many"), "of": said(conditions, "true if so many are")},
                "at_least",
                "of",
            ),
            record(
                {
                    "do": words(f"at least one event ever; in `exit`, one after the entry: {events}"),
                    "last": duration("at least one in the last so long; not in `exit`", "7d"),
                },
                "do",
            ),
            record(
                {
                    "seq": said(steps, "steps that one user's events complete in order"),
                    "by": text(f"a sequence for each value of {_KEYS_OF}", "product_id"),
                    "restart": said(
                        {"enum": ["last", "first"]},
                        "which first step counts: the last (default), or the first since the closing event",
                    ),
                    "name": text("a name for `anchor`"),
                },
                "seq",
            ),
        ],
    }


def actions() -> Schema:
    return record(
        {
            "cooldown": duration("the least time between two actionable entries of a user", "12h"),
            "cap": said(
                record(
                    {"n": count("so many"), "per": duration("in the last so long", "7d")},
                    "n",
                    "per",
                ),
                "the most actionable entries of a user in a time",
            ),
            "holdout": said(
                record(
                    {
                        "percent": said(
                            {
                                "anyOf": [
                                    {"type": "number", "minimum": 0, "maximum": 100},
                                    {"type": "string", "pattern": GIVEN},
                                ]
                            },
                            "how many users are held out",
                        ),
                        "salt": text("the same salt holds out the same users", "spring-2026"),
                    },
                    "percent",
                    "salt",
                ),
                "a control group: always the same users, never actionable",
            ),
            "consent": text("actionable only if traits.consent.<this> is true", "marketing"),
            "quiet_hours": said(
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": rf"^([01]\d|2[0-3]):[0-5]\d$|{GIVEN}"},
                    "minItems": 2,
                    "maxItems": 2,
                    "examples": [["22:00", "08:00"]],
                },
                "no message from the first to the second time of the user's local day: `not_before` says when",
            ),
            "priority": said(
                {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": GIVEN}]},
                "suppressed by a higher one of the same group",
            ),
            "group": text("whose priorities are compared"),
        },
        description="what may be done about an entry; never decides membership",
        dependentRequired={"priority": ["group"], "group": ["priority"]},
    )


def attach() -> Schema:
    return named(
        record(
            {
                "collect": text(
                    "selector whose lines (`items`, or the event's own product) are collected", "cart"
                ),
                "since": text("only since the last event of this selector", "buy"),
                "remove": text("selector whose lines take quantities away"),
                "max": count("lines at most, the newest first (default 20)"),
            },
            "collect",
        )
    )


def definitions() -> Schema:
    """The whole file."""
    common: Schema = {
        "description": said({"type": "string"}, "for people"),
        "version": count("your own version, told with every change"),
        "announce": flag("entries because definitions changed are actionable, too"),
        "actions": {"$ref": "#/$defs/actions"},
        "attach": said(attach(), "lines of events to tell with every change"),
    }
    segment = record(
        {
            **common,
            "when": said(CONDITION, "who enters"),
            "exit": said(CONDITION, "who leaves; without it, whoever `when` is false of"),
            "ttl": duration("the membership ends so long after the entry", "24h"),
            "min_dwell": duration("the membership does not end before", "1h"),
            "for_each": text(f"a membership for each value of {_KEYS_OF}", "product_id"),
            "renew": flag("tell `renewed` when it becomes true anew while a member"),
            "anchor": text("the name of the sequence that `exit`, `ttl` and `renew` count from"),
        },
        "when",
        description="who belongs, from when until when",
    )
    tier = record(
        {
            "name": said({"type": "string", "pattern": NAME}, "the value of the ladder"),
            "when": said(CONDITION, "who has it"),
            "from": words("tiers it may be reached from; `none` for no tier"),
            "ttl": duration("it is left so long after it was entered", "365d"),
        },
        "name",
        "when",
    )
    ladder = record(
        {
            **common,
            "tiers": said({"type": "array", "items": tier, "minItems": 1}, "the first that holds wins"),
            "demote_after": duration("a move down or out waits so long", "30d"),
        },
        "tiers",
        description="one value per user: the first tier that holds",
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:segstream:definitions:1",
        "title": "segstream definitions, version 1",
        **record(
            {
                "version": said({"const": 1}, "version of the language"),
                "timezone": text("of calendar windows and local times (default UTC)", *TIMEZONE_EXAMPLES),
                "parameters": said(named(parameter()), "values that whoever loads the file may set"),
                "assume_covered": flag("every feature has seen everything from the beginning"),
                "events": said(named(selector()), "selectors: names for events"),
                "features": said(named(feature()), "numbers and values kept per user"),
                "segments": said(named(segment), "who belongs, from when until when"),
                "ladders": said(named(ladder), "one value per user, like a loyalty tier"),
            },
            "version",
        ),
        "$defs": {"condition": condition(), "actions": actions()},
    }


def written() -> str:
    """What the file holds."""
    return json.dumps(definitions(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(written(), encoding="utf-8")
