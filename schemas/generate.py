"""Writes definitions-1.schema.json, the JSON Schema for editors, from the words that the reader of definitions knows.

    python schemas/generate.py          rewrites the file
    # yaml-language-server: $schema=…   in a definitions file makes editors use it

The schema knows the shape of a file. What names mean, expressions and units are checked by `segstream check`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream.definitions.reader import AGGREGATES, NEED_FIELD, NEED_KEYS, PERIODS, TAKE_FIELD, WINDOWS

TARGET = Path(__file__).with_name("definitions-1.schema.json")

Schema = dict[str, Any]

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
DURATION: Schema = {
    "type": "string",
    "pattern": r"^\s*\d+(\.\d+)?(ms|s|m|h|d|w)\s*$",
    "description": "a number and a unit: 90s, 30m, 2h, 7d, 4w",
}
TEXT: Schema = {"type": "string", "minLength": 1}
WORDS: Schema = {"oneOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
COUNT: Schema = {"type": "integer", "minimum": 1}
FLAG: Schema = {"type": "boolean"}
EXPRESSION: Schema = {"type": ["string", "boolean", "number"]}
CONDITION: Schema = {"$ref": "#/$defs/condition"}

AGGREGATE_TEXTS = {
    "count": "number of events",
    "sum": "sum of a field: `sum: buy.value`",
    "mean": "mean of a field",
    "min": "smallest value of a field",
    "max": "largest value of a field",
    "first_value": "value of a field at the earliest event",
    "last_value": "value of a field at the latest event",
    "distinct": "number of different values of a field",
    "days": "number of local calendar days with an event",
    "since_first": "time since the first event",
    "since_last": "time since the last event",
    "mean_gap": "mean time between events",
    "share": "this key's part, with `by`",
    "top": "the key with the largest count or sum, with `by`",
}
WINDOW_SCHEMAS: dict[str, Schema] = {
    "last": DURATION,
    "between": {"type": "array", "items": DURATION, "minItems": 2, "maxItems": 2},
    "calendar": {"enum": list(PERIODS)},
    "session": DURATION,
    "since": TEXT,
    "half_life": DURATION,
}


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
    return {
        "type": "string",
        "pattern": f"^[A-Za-z_][A-Za-z0-9_]*{tail}$",
        "description": AGGREGATE_TEXTS[name],
    }


def feature() -> Schema:
    properties: Schema = {name: aggregate(name) for name in AGGREGATES}
    properties |= {name: WINDOW_SCHEMAS[name] for name in WINDOWS}
    properties |= {"by": TEXT, "min_n": COUNT, "max_keys": COUNT, "assume_covered": FLAG}
    return record(
        properties,
        oneOf=[{"required": [name, "by"] if name in NEED_KEYS else [name]} for name in AGGREGATES],
    )


def condition() -> Schema:
    conditions = {"type": "array", "items": CONDITION, "minItems": 1}
    steps = {
        "type": "array",
        "minItems": 2,
        "items": {
            "oneOf": [
                record({"do": WORDS}, "do"),
                record({"then": WORDS, "within": DURATION, "without": WORDS}, "then", "within"),
                record({"not": WORDS, "for": DURATION}, "not", "for"),
            ]
        },
    }
    return {
        "oneOf": [
            EXPRESSION,
            record({"all": conditions}, "all"),
            record({"any": conditions}, "any"),
            record({"not": CONDITION}, "not"),
            record({"at_least": COUNT, "of": conditions}, "at_least", "of"),
            record({"do": WORDS, "last": DURATION}, "do"),
            record({"seq": steps, "by": TEXT, "restart": {"enum": ["last", "first"]}, "name": TEXT}, "seq"),
        ]
    }


def actions() -> Schema:
    return record(
        {
            "cooldown": DURATION,
            "cap": record({"n": COUNT, "per": DURATION}, "n", "per"),
            "holdout": record(
                {"percent": {"type": "number", "minimum": 0, "maximum": 100}, "salt": TEXT}, "percent", "salt"
            ),
            "consent": TEXT,
            "quiet_hours": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"},
                "minItems": 2,
                "maxItems": 2,
            },
            "priority": {"type": "integer", "minimum": 0},
            "group": TEXT,
        },
        dependentRequired={"priority": ["group"], "group": ["priority"]},
    )


def definitions() -> Schema:
    """The whole file."""
    attach = named(record({"collect": TEXT, "since": TEXT, "remove": TEXT, "max": COUNT}, "collect"))
    common: Schema = {
        "description": {"type": "string"},
        "version": COUNT,
        "announce": FLAG,
        "actions": {"$ref": "#/$defs/actions"},
        "attach": attach,
    }
    segment = record(
        {
            **common,
            "when": CONDITION,
            "exit": CONDITION,
            "ttl": DURATION,
            "min_dwell": DURATION,
            "for_each": TEXT,
            "renew": FLAG,
            "anchor": TEXT,
        },
        "when",
    )
    tier = record(
        {"name": {"type": "string", "pattern": NAME}, "when": CONDITION, "from": WORDS, "ttl": DURATION},
        "name",
        "when",
    )
    ladder = record(
        {**common, "tiers": {"type": "array", "items": tier, "minItems": 1}, "demote_after": DURATION},
        "tiers",
    )
    selector = record({"type": WORDS, "where": EXPRESSION}, "type")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:segstream:definitions:1",
        "title": "segstream definitions, version 1",
        **record(
            {
                "version": {"const": 1},
                "timezone": TEXT,
                "assume_covered": FLAG,
                "events": named(selector),
                "features": named(feature()),
                "segments": named(segment),
                "ladders": named(ladder),
            },
            "version",
        ),
        "$defs": {"condition": condition(), "actions": actions()},
    }


def text() -> str:
    """What the file holds."""
    return json.dumps(definitions(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
