"""Writes what is made of the words of ingest: mapping-1 and dead-letter-1 as JSON Schemas, and asyncapi.json.

    python schemas/generate_ingest.py     rewrites the files

The schema of mappings knows the shape of a file, for editors: what paths and transforms mean is checked by `segstream
check`. The AsyncAPI document describes the topics of a deployment with default names.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stream.config import Settings
from stream.events import ENVELOPE_FIELDS
from stream.ingest.conditions import OPERATORS
from stream.ingest.reader import BODY_KEYS, FORMS, MAPPING_KEYS, ROW_KEYS
from stream.ingest.rows import DELIMITERS
from stream.ingest.transforms import TRANSFORMS, WITH_ARGUMENT
from stream.metrics import REASONS
from stream.runtime.kafka.topics import TopicPlan, plan_topics

HERE = Path(__file__).parent
Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
VALUE: Schema = {"$ref": "#/$defs/value"}
CONDITION: Schema = {"$ref": "#/$defs/condition"}
ITEMS: Schema = {"$ref": "#/$defs/items"}
AS: Schema = {"$ref": "#/$defs/transforms"}
ANY: Schema = {}


def said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def record(properties: dict[str, Schema], *required: str, **more: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def one_or_more(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


def form(name: str) -> Schema:
    """A way to say a value: the word that starts it, and those that may go with it."""
    paths = {"oneOf": [TEXT, {"type": "array", "items": VALUE, "minItems": 1}]}
    values: Schema = {"type": "array", "items": VALUE, "minItems": 1}
    meanings: dict[str, Schema] = {
        "path": said(paths, "what the path leads to; of a list, the first that is there"),
        "first": said(values, "the first value that is there"),
        "template": said({"type": "string", "pattern": r"\{"}, "text around paths: {shop}-{no}"),
        "const": said(ANY, "the same always"),
        "uuid5": said(values, "a UUID of these values"),
        "multiply": said(values, "the product of these numbers"),
        "merge": said(values, "objects laid over each other"),
        "when": said(CONDITION, "which of the two"),
        "then": said(VALUE, "where the condition holds"),
        "each": said(ITEMS, "a list with a value for each item of this one"),
        "match": said(CONDITION, "only items for which it holds"),
        "drop": said(CONDITION, "no items for which it holds"),
        "item": said(VALUE, "the value for one item"),
        "as": said(AS, "transforms, in order"),
        "clock": said(
            record({"sent": VALUE, "received": VALUE}, "sent", "received"),
            "corrects the device's clock: received − (sent − time)",
        ),
        "table": said({"type": "object"}, "looked up in; what it lacks passes unchanged, or is `else`"),
        "else": said(VALUE if name == "when" else ANY, "otherwise"),
        "default": said(ANY, "where there is nothing"),
    }
    needed = {"when": ("when", "then"), "each": ("each", "item")}.get(name, (name,))
    return record({word: meanings[word] for word in FORMS[name]}, *needed)


def value() -> Schema:
    shapes: dict[str, Schema] = {
        "path": {"type": ["string", "array"]},
        "const": ANY,
        "first": {"type": "array"},
        "uuid5": {"type": "array"},
        "multiply": {"type": "array"},
        "merge": {"type": "array"},
        "template": {"type": "string", "pattern": r"\{"},
    }
    taken: list[Schema] = [
        {"required": [name], "properties": {name: shape}} for name, shape in shapes.items()
    ]
    taken += [{"required": ["when", "then"]}, {"required": ["each", "item"]}]
    return {
        "description": "a path, a list of values, one of the ways to say a value, or an object of values",
        "oneOf": [
            {"type": ["string", "boolean"], "description": "a path (YAML takes `no` and `on` for booleans)"},
            {"type": "array", "items": VALUE},
            *(form(name) for name in FORMS),
            {"type": "object", "not": {"anyOf": taken}, "additionalProperties": VALUE},
        ],
    }


def condition() -> Schema:
    plain: Schema = {"type": ["string", "number", "boolean"]}
    meanings: dict[str, Schema] = {
        "is": one_or_more(plain),
        "not": one_or_more(plain),
        "present": FLAG,
        "as": AS,
        "starts_with": TEXT,
        "contains": TEXT,
    }
    asked = record({name: meanings.get(name, {"type": "number"}) for name in OPERATORS}, minProperties=1)
    fields: Schema = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"oneOf": [*one_or_more(plain)["oneOf"], asked]},
    }
    return {
        "description": "fields and what is asked of them: all of an object, any of a list",
        "oneOf": [fields, {"type": "array", "items": CONDITION, "minItems": 1}],
    }


def transforms() -> Schema:
    arguments: dict[str, Schema] = {
        "date": one_or_more({"type": "string", "pattern": "%"}),
        "decimal": {"enum": [",", "."]},
        "times": {"type": "number"},
        "divide": {"type": "number"},
        "split": TEXT,
        "pivot": record({"key": TEXT, "value": one_or_more(TEXT)}, "key", "value"),
    }
    one: Schema = {
        "oneOf": [
            {"enum": sorted([*TRANSFORMS, "excel"])},
            *(record({name: arguments[name]}, name) for name in WITH_ARGUMENT),
        ]
    }
    return one_or_more(one)


def mapping() -> Schema:
    """mapping-1.schema.json."""
    event = record(dict.fromkeys(ENVELOPE_FIELDS, VALUE), "type", "time")
    body: dict[str, Schema] = {
        "match": said(CONDITION, "what must hold of a record"),
        "each": said(one_or_more(ITEMS), "a list: an event for each of its items; several go deeper"),
        "drop": said(CONDITION, "what must not hold of an item"),
        "event": said(event, "the template of an event"),
        "cases": said(
            {"type": "array", "items": {"$ref": "#/$defs/case"}, "minItems": 1},
            "the first that matches counts",
        ),
    }
    rows: dict[str, Schema] = {
        "delimiter": said(
            {"anyOf": [{"enum": list(DELIMITERS)}, {"type": "string", "maxLength": 1}]}, "between cells"
        ),
        "columns": said({"type": "array", "items": TEXT, "minItems": 1}, "names, where no header gives them"),
        "skip": said({"type": "integer", "minimum": 0}, "lines before the header"),
        "encoding": said(TEXT, "of the file, if not UTF-8"),
        "quotes": said(FLAG, "false: quotation marks mean nothing"),
    }
    words: dict[str, Schema] = {
        "name": said(TEXT, "for people"),
        "description": said(TEXT, "for people"),
        "timezone": said(TEXT, "of times that have none of their own"),
        "rows": said(record({key: rows[key] for key in ROW_KEYS}), "how a table is cut"),
        "decode": said(
            {"type": "object", "additionalProperties": AS}, "fields transformed before paths are read"
        ),
        "identity": said(FLAG, "records are events already"),
        **body,
    }
    return {
        "$schema": DIALECT,
        "$id": "urn:segstream:mapping:1",
        "title": "segstream mapping, version 1",
        **record({key: words[key] for key in MAPPING_KEYS}),
        "oneOf": [{"required": [key]} for key in ("event", "cases", "identity")],
        "$defs": {
            "value": value(),
            "condition": condition(),
            "transforms": transforms(),
            "items": {"oneOf": [TEXT, {"type": "object", "minProperties": 1, "additionalProperties": TEXT}]},
            "case": record({key: body[key] for key in BODY_KEYS}),
        },
    }


def dead_letter() -> Schema:
    """dead-letter-1.schema.json: a line of a dead-letters file."""
    text: Schema = {"type": ["string", "null"]}
    packed = said({"type": "string", "contentEncoding": "base64"}, "in the place of what is not UTF-8")
    place = {
        "topic": {"type": "string"},
        "partition": {"type": "integer"},
        "offset": {"type": "integer"},
        "timestamp": {"type": "integer"},
        "file": {"type": "string"},
        "line": {"type": "integer"},
        "columns": {"type": "array", "items": {"type": "string"}},
    }
    header = record({"name": {"type": "string"}, "value": text, "value_base64": packed}, "name")
    return {
        "$schema": DIALECT,
        "$id": "urn:segstream:dead-letter:1",
        "title": "segstream dead letter, version 1",
        **record(
            {
                "schema": {"const": "dead-letter/1"},
                "reason": said({"enum": list(REASONS)}, "a stable code"),
                "message": said({"type": "string"}, "for people, with the JSON path or the column"),
                "coordinates": said({"type": "object", "properties": place}, "where it came from"),
                "key": said(text, "of the Kafka record"),
                "key_base64": packed,
                "value": said(text, "the record as it came"),
                "value_base64": packed,
                "headers": said({"type": "array", "items": header}, "of the Kafka record"),
                "cut_from_bytes": said({"type": "integer"}, "size of a record whose beginning this is"),
            },
            *("schema", "reason", "message", "coordinates"),
        ),
    }


WHAT = {
    "source": ("a topic of another shape, with a mapping of its own", "receive", "source"),
    "events": ("events in, keyed by user", "receive", "event"),
    "changes": ("segment changes out, keyed by user", "send", "change"),
    "members": (
        "the last change of each membership, compacted; a tombstone when it is forgotten",
        "send",
        "member",
    ),
    "dead_letters": ("records that could not be read, as they came", "send", "dead_letter"),
    "state": ("internal: the changelog of the state, compacted", "send", "state"),
}


def asyncapi() -> Schema:
    """asyncapi.json: an AsyncAPI 3.0 document of all topics."""
    plans = plan_topics(Settings(sources={"clicks": "segment"}))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "segstream",
            "version": version("segstream"),
            "description": "The topics of a deployment with default names. `clicks` stands for any source topic.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka"}},
        "channels": {plan.role: channel(plan) for plan in plans},
        "operations": {
            f"{WHAT[plan.role][1]}_{plan.role}": {
                "action": WHAT[plan.role][1],
                "channel": {"$ref": f"#/channels/{plan.role}"},
                "summary": WHAT[plan.role][0],
            }
            for plan in plans
        },
        "components": {"messages": messages()},
    }


def channel(plan: TopicPlan) -> Schema:
    what, _, message = WHAT[plan.role]
    policy = plan.configs.get("cleanup.policy", "delete")
    return {
        "address": plan.name,
        "description": what,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "kafka": {
                "partitions": plan.partitions,
                "replicas": plan.replication_factor,
                "topicConfiguration": {"cleanup.policy": [policy]},
                "bindingVersion": "0.5.0",
            }
        },
    }


def messages() -> Schema:
    user: Schema = {"type": "string", "description": "the user: `user_id`, else `anonymous_id`"}
    texts = lambda *names: {"type": "object", "properties": {name: {"type": "string"} for name in names}}  # noqa: E731
    coordinates = ("source_topic", "source_partition", "source_offset", "source_timestamp")
    cloud = ("ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_specversion", "content-type")
    change = said({"type": "object"}, "segment-change-1.schema.json")
    member = said({"type": "string"}, "JSON array of segment, user, and instance or null")

    def message(
        title: str, payload: Schema, key: Schema | None = None, headers: Schema | None = None
    ) -> Schema:
        found: Schema = {"name": title, "title": title, "payload": payload}
        if headers is not None:
            found["headers"] = headers
        if key is not None:
            found["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
        return found

    return {
        "source": {**message("source record", said({}, "whatever its mapping reads"))},
        "event": message("event", said({"type": "object"}, "event-1.schema.json"), user, texts(*coordinates)),
        "change": message(
            "segment change",
            change,
            user,
            texts(*cloud, "segstream_topic", "segstream_partition", "segstream_offset"),
        ),
        "member": message("membership", change, member, texts(*cloud)),
        "dead_letter": {
            **message(
                "dead letter",
                said(
                    {"type": ["string", "null"]},
                    "the bytes of the record, or null with the header `resubmitted` where it was sent back; as a "
                    "line of a file: dead-letter-1.schema.json",
                ),
                said({"type": "string"}, "the record's own"),
                texts("reason", "message", *coordinates, "cut_from_bytes", "resubmitted"),
            ),
            "contentType": "application/octet-stream",
        },
        "state": {
            **message("state", said({"type": "string"}, "private; it changes between releases")),
            "contentType": "application/octet-stream",
        },
    }


def written() -> dict[Path, str]:
    """What each file holds."""
    documents = {
        "mapping-1.schema.json": mapping(),
        "dead-letter-1.schema.json": dead_letter(),
        "asyncapi.json": asyncapi(),
    }
    return {
        HERE / name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


if __name__ == "__main__":
    for path, content in written().items():
        path.write_text(content, encoding="utf-8")
