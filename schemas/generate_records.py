"""Writes what is made of the types and words of records: event-1, segment-change-1 and segment-diff-1.

    python schemas/generate_records.py     rewrites the files

The fields of events are those of the envelope that ingest reads, with the types under which definitions see them. The
words of changes are those that the engine writes; which fields a change has is held against real ones by
tests/test_schemas.py, in both directions. A comparison is described by the types that `segstream diff --json` writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from stream.changes import SCHEMA as CHANGE_SCHEMA
from stream.definitions.bounds import MIRRORED
from stream.events import CLOCK_ADVANCED, ENVELOPE_FIELDS, ENVELOPE_TYPES
from stream.instants import SMALLEST_EPOCH_MS
from stream.metrics import SUPPRESSIONS
from stream.reports.json import SCHEMA as DIFF_SCHEMA
from stream.reports.json import DiffFields
from stream.reports.pictures import CAUSES

HERE = Path(__file__).parent
Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
INSTANT: Schema = {"$ref": "#/$defs/instant"}
TEXT: Schema = {"type": "string"}
UUID: Schema = {"type": "string", "format": "uuid"}
COUNT: Schema = {"type": "integer", "minimum": 1}
JSON_TYPES = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
MUST_BE = ("type", "time")
"""Not null, in every event."""
RESERVED_CAUSES = ("backfill", "merge", "deletion")
"""Of later releases."""


def said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def record(properties: dict[str, Schema], *required: str) -> Schema:
    """An object that has at least these keys, and may get more of them."""
    return {"type": "object", "properties": properties, "required": list(required)}


def event() -> Schema:
    """event-1.schema.json."""
    user = (
        {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}
        for name in ("user_id", "anonymous_id")
    )
    return {
        "$schema": DIALECT,
        "$id": "urn:segstream:event:1",
        "title": "segstream event, version 1",
        "description": "What producers should send. The reader is more lenient: a field of another type than here, but "
        "for type, time, user_id, anonymous_id and id, is kept and reads as unknown; unknown fields are kept in props.",
        **record({name: field(name) for name in ENVELOPE_FIELDS}, *MUST_BE),
        "if": {"properties": {"type": {"const": CLOCK_ADVANCED}}},
        "else": {"anyOf": list(user)},
        "$defs": {
            "instant": {
                "description": "RFC 3339 with a zone, or epoch milliseconds",
                "oneOf": [
                    {
                        "type": "string",
                        "pattern": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$",
                    },
                    {"type": "integer", "minimum": SMALLEST_EPOCH_MS},
                ],
            }
        },
    }


def field(name: str) -> Schema:
    """A field of the envelope."""
    meanings = {
        "id": "unique per event; derived where it is absent",
        "type": "past-tense snake_case: product_viewed, order_completed, …",
        "user_id": "the key, if it is there",
        "anonymous_id": "the key otherwise",
        "received_at": "when the collector got it",
        "channel": "web, ios, android, store, email, sms, push, call_center, …",
        "currency": "ISO 4217",
        "items": "lines of a cart or an order",
        "props": "anything else about the event",
        "traits": "facts about the user",
        "context": "device, os, app_version, country, region, city, lat, lon, campaign",
    }
    if name in ("time", "received_at"):
        return said(INSTANT, meanings[name]) if name in meanings else INSTANT
    kinds = sorted({JSON_TYPES[kind] for kind in ENVELOPE_TYPES.get(name, (str,))})
    schema: Schema = {"type": kinds[0], "minLength": 1} if name in MUST_BE else {"type": [*kinds, "null"]}
    if name == "currency":
        schema["pattern"] = "^[A-Z]{3}$"
    if name == "items":
        text: Schema = {"type": ["string", "null"]}
        number: Schema = {"type": ["number", "null"]}
        line = {"product_id": TEXT, "name": text, "category": text, "brand": text, "price": number}
        schema["items"] = {"type": "object", "properties": {**line, "quantity": {**number, "default": 1}}}
    return said(schema, meanings[name]) if name in meanings else schema


def change() -> Schema:
    """segment-change-1.schema.json."""
    segment = record(
        {
            "key": TEXT,
            "kind": {"enum": ["segment", "ladder"]},
            "version": said(COUNT, "the definition's own"),
            "hash": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "value": said(TEXT, "a ladder's tier after the change"),
            "previous": said(TEXT, "a ladder's tier before it"),
        },
        "key",
        "kind",
        "hash",
    )
    user = record(
        {"id": {"type": "string", "minLength": 1}, "ids": {"type": "object", "additionalProperties": TEXT}},
        "id",
    )
    trigger = record(
        {
            "event_id": TEXT,
            "type": TEXT,
            "time": INSTANT,
            "clamped": said({"const": True}, "its time lay too far ahead and was set to its record time"),
        },
        "event_id",
        "type",
        "time",
    )
    evidence = record({"event_id": TEXT, "time": INSTANT}, "event_id", "time")
    leaf = record(
        {
            "leaf": said(TEXT, "the text of the condition"),
            "value": said({}, "of a comparison: what it was; durations as in definitions, null if unknown"),
            "op": {"enum": [*MIRRORED, "in"]},
            "bound": said({}, "what it was compared with"),
            "evidence": {"type": "array", "maxItems": 3, "items": evidence},
        },
        "leaf",
    )
    policy = record(
        {
            "actionable": {"type": "boolean"},
            "variant": {"enum": ["treatment", "control"]},
            "suppressed_by": {"type": "array", "items": {"enum": list(SUPPRESSIONS)}},
            "entry": said(COUNT, "which entry of this user it is"),
            "not_before": said({"anyOf": [INSTANT, {"type": "null"}]}, "the end of quiet hours"),
        },
        "actionable",
        "suppressed_by",
        "entry",
    )
    return {
        "$schema": DIALECT,
        "$id": "urn:segstream:segment-change:1",
        "title": "segstream segment change, version 1",
        "description": "The value of a record in the changes topic, and a line of a replay's output. Fields that do "
        "not apply are left out. Later releases may add fields.",
        **record(
            {
                "schema": {"const": CHANGE_SCHEMA},
                "event_id": said(UUID, "the same in every run"),
                "type": {"enum": ["entered", "exited", "moved", "renewed", "retracted"]},
                "segment": segment,
                "user": user,
                "instance": said(TEXT, "the for_each key"),
                "seq": said(COUNT, "counts the changes of a user and a segment"),
                "effective_at": said(INSTANT, "since when it holds"),
                "expires_at": said(INSTANT, "until when at most"),
                "cause": {"enum": [*CAUSES, *RESERVED_CAUSES]},
                "trigger": trigger,
                "retracts": said(UUID, "the event_id of the entry that is taken back"),
                "reason": {"type": "array", "items": leaf},
                "context": said({"type": "object"}, "attachments, by name"),
                "policy": policy,
            },
            *("schema", "event_id", "type", "segment", "user", "seq", "effective_at", "cause", "reason"),
        ),
        "allOf": [
            {"if": {"properties": {"type": {"const": "retracted"}}}, "then": {"required": ["retracts"]}},
            {
                "if": {"properties": {"type": {"enum": ["entered", "moved", "renewed"]}}},
                "then": {"required": ["policy"]},
            },
        ],
        "$defs": {"instant": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"}},
    }


def diff() -> Schema:
    """segment-diff-1.schema.json."""
    (top,), parts = msgspec.json.schema_components([DiffFields], ref_template="#/$defs/{name}")
    whole = parts.pop(top["$ref"].rpartition("/")[2])
    parts["MomentFields"]["properties"]["change"] = said(
        {"type": "object"}, "as it was published: segment-change-1.schema.json"
    )
    for part in parts.values():
        part.pop("title")
    return {
        "$schema": DIALECT,
        "$id": f"urn:segstream:{DIFF_SCHEMA.replace('/', ':')}",
        **whole,
        "title": "segstream diff, version 1",
        "$defs": dict(sorted(parts.items())),
    }


def written() -> dict[Path, str]:
    """What each file holds."""
    documents = {
        "event-1.schema.json": event(),
        "segment-change-1.schema.json": change(),
        "segment-diff-1.schema.json": diff(),
    }
    return {
        HERE / name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


if __name__ == "__main__":
    for path, content in written().items():
        path.write_text(content, encoding="utf-8")
