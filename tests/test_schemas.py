"""The JSON Schemas describe what is read and written, and stay in step with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from stream.definitions import load, loads
from stream.engine import compile_plan
from stream.engine.fields import read_field
from stream.errors import DefinitionError
from stream.events import ENVELOPE_FIELDS
from stream.ingest import Ingest
from stream.runtime.embedded import EmbeddedRuntime
from stream.simulate import Shop, simulate
from tests.definitions.golden import MISTAKES, WARNINGS, Case, read_cases
from tests.scripts import load_script
from tests.test_docs import of

ROOT = Path(__file__).parent.parent
SCHEMAS = sorted((ROOT / "schemas").glob("*.schema.json"))
PACKS = sorted((ROOT / "stream" / "packs").glob("*/definitions.yaml"))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8")))


DEFINITIONS = validator("definitions-1.schema.json")
EVENT = validator("event-1.schema.json")
CHANGE = validator("segment-change-1.schema.json")


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_schemas_are_schemas(path: Path) -> None:
    Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def test_the_schema_of_definitions_is_what_its_generator_writes() -> None:
    generate = load_script("schemas/generate.py")
    assert generate.TARGET.read_text(encoding="utf-8") == generate.written(), "run python schemas/generate.py"


def test_the_schemas_of_records_are_what_their_generator_writes() -> None:
    generate = load_script("schemas/generate_records.py")
    for path, content in generate.written().items():
        assert path.read_text(encoding="utf-8") == content, "run python schemas/generate_records.py"


def properties_of(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that the schema allows, with its schema and where it stands."""
    if isinstance(node, dict):
        for name, value in node.get("properties", {}).items():
            yield f"{path}/{name}", value
        for name, value in node.items():
            yield from properties_of(value, f"{path}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from properties_of(value, f"{path}/{index}")


def test_editors_have_something_to_show_of_every_key() -> None:
    found = list(properties_of(DEFINITIONS.schema))
    assert len(found) > 60
    assert [path for path, schema in found if "description" not in follow(schema)] == []


CASES = [case for path in WARNINGS for case in read_cases(path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title.replace(" ", "_"))
def test_what_is_legal_satisfies_the_schema(case: Case) -> None:
    DEFINITIONS.validate(yaml.safe_load(case.files["case.yaml"]))


SHAPES = {
    path.stem: [case for case in read_cases(path) if case.title != "a name twice in one file"]
    for path in MISTAKES
    if path.stem in {"shape", "actions"}
}
BEYOND = {
    "a name that is a word of the language",
    "a name taken by another file",
    "a ladder named like a segment",
    "a time zone that does not exist",
    "quiet hours without an end",
    "attached lines of what does not exist",
}
"""What a schema cannot know."""


@pytest.mark.parametrize(
    "case",
    [case for cases in SHAPES.values() for case in cases if case.title not in BEYOND],
    ids=lambda case: case.title.replace(" ", "_"),
)
def test_editors_see_mistakes_of_shape(case: Case) -> None:
    assert not DEFINITIONS.is_valid(yaml.safe_load(case.files["case.yaml"]))


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.parent.name)
def test_packs_satisfy_the_schema(path: Path) -> None:
    DEFINITIONS.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("block", of("yaml", "segments"), ids=str)
def test_examples_in_the_pages_satisfy_the_schema(block: Any) -> None:
    DEFINITIONS.validate(yaml.safe_load(block.text))


BASE = {
    "version": 1,
    "events": {"cart": {"type": "product_added"}, "buy": {"type": "order_completed"}},
    "features": {"orders": {"count": "buy"}},
    "segments": {"s": {"when": "orders >= 1"}},
    "ladders": {"l": {"tiers": [{"name": "t", "when": "orders >= 1"}]}},
}
CONDITIONS: dict[str, Any] = {
    "do": {"do": "cart"},
    "seq": {"seq": [{"do": "cart"}, {"not": "buy", "for": "30m"}]},
    "at_least": {"at_least": 1, "of": ["orders >= 1"]},
    "all": {"all": ["orders >= 1"]},
}
PLACES: dict[str, tuple[Any, ...]] = {
    "file": (),
    "selector": ("events", "cart"),
    "feature": ("features", "orders"),
    "segment": ("segments", "s"),
    "ladder": ("ladders", "l"),
    "tier": ("ladders", "l", "tiers", 0),
    "actions": ("segments", "s", "actions"),
    "cap": ("segments", "s", "actions", "cap"),
    "holdout": ("segments", "s", "actions", "holdout"),
    "attachment": ("segments", "s", "attach", "a"),
    **dict.fromkeys(CONDITIONS, ("segments", "s", "when")),
    "step do": ("segments", "s", "when", "seq", 0),
    "step not": ("segments", "s", "when", "seq", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_schema_and_reader_know_the_same_keys(place: str) -> None:
    """An unknown key is put everywhere; the reader answers with those it knows, the schema must have just these."""
    document = json.loads(json.dumps(BASE))
    segment = document["segments"]["s"]
    segment["actions"] = {"cap": {"n": 1, "per": "1d"}, "holdout": {"percent": 1, "salt": "x"}}
    segment["attach"] = {"a": {"collect": "cart"}}
    form = place if place in CONDITIONS else "seq" if place.startswith("step") else None
    if form is not None:
        segment["when"] = json.loads(json.dumps(CONDITIONS[form]))
    DEFINITIONS.validate(document)
    loads(yaml.safe_dump(document))

    at = document
    for key in PLACES[place]:
        at = at[key]
    written = set(at)
    at["zzz"] = 1
    assert not DEFINITIONS.is_valid(document)
    with pytest.raises(DefinitionError) as caught:
        loads(yaml.safe_dump(document))
    known = re.search(r"unknown key `zzz`.*\(known: (.*)\)", str(caught.value))
    assert known is not None, str(caught.value)
    assert set(known[1].split(", ")) == known_to_schema(PLACES[place], written)


def known_to_schema(path: tuple[Any, ...], written: set[str]) -> set[str]:
    """The keys that the schema allows at a place where `written` stands."""
    node = DEFINITIONS.schema
    for key in path:
        node = follow(node)
        if isinstance(key, int):
            node = node["items"]
        elif key in node.get("properties", {}):
            node = node["properties"][key]
        elif "oneOf" in node:
            node = next(
                each["properties"][key] for each in node["oneOf"] if key in each.get("properties", {})
            )
        else:
            node = node["additionalProperties"]
    node = follow(node)
    if "properties" not in node:
        node = next(each for each in node["oneOf"] if written <= set(each.get("properties", {})))
    return set(node["properties"])


def follow(node: Any) -> Any:
    if "$ref" in node:
        return DEFINITIONS.schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


@pytest.mark.parametrize(
    "event",
    [
        {"type": "page_viewed", "time": "2026-11-21T09:30:00"},
        {"type": "page_viewed", "time": 1_700_000_000, "user_id": "u"},
        {"type": "page_viewed", "time": "2026-11-21T09:30:00Z"},
        {"time": "2026-11-21T09:30:00Z", "user_id": "u"},
        {"type": "page_viewed", "time": "2026-11-21T09:30:00Z", "user_id": "u", "id": 7},
    ],
)
def test_the_schema_of_events_refuses_what_becomes_a_dead_letter(event: dict[str, Any]) -> None:
    assert not EVENT.is_valid(event)
    _, errors = Ingest().read_batch([(json.dumps(event).encode(), 0, None)])
    assert errors


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """Where something stands in a JSON value; items of lists are one place."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths_of(inner, f"{path}/*")


def described(schema: Any, path: str = "") -> Iterator[str]:
    """The places that a schema names."""
    yield path
    for name, inner in schema.get("properties", {}).items():
        yield from described(inner, f"{path}/{name}")
    if "items" in schema:
        yield from described(schema["items"], f"{path}/*")


EVERYTHING = """
version: 1
events: {view: {type: product_viewed}, cart: {type: product_added}, buy: {type: order_completed}}
features: {spent: {sum: buy.value}}
segments:
  left:
    version: 3
    when: {seq: [{do: cart}, {not: buy, for: 30m}]}
    exit: {do: buy}
    ttl: 30d
    renew: true
    attach: {cart: {collect: cart}}
    actions: {holdout: {percent: 50, salt: s}, quiet_hours: ["20:00", "08:00"]}
  seen: {for_each: product_id, when: {do: view, last: 1d}}
ladders:
  worth: {tiers: [{name: gold, when: "spent >= 100"}, {name: silver, when: "spent > 0"}]}
"""


def test_changes_have_the_fields_of_their_schema_and_no_others() -> None:
    plan = compile_plan(loads(EVERYTHING))
    lines = list(islice(simulate(Shop(users=80, days=60, seed=3)), 8_000))
    ahead = {"type": "product_viewed", "time": "2027-09-01T00:00:00Z", "user_id": "u", "id": "far"}
    ahead |= {"received_at": "2026-09-01T00:00:00Z", "items": [{"product_id": "p"}]}
    lines.insert(0, json.dumps(ahead).encode())
    events, _ = Ingest(event_type=plan.event_type).read_batch(
        [(line, at, None) for at, line in enumerate(lines)]
    )
    values = [json.loads(change.value) for change in EmbeddedRuntime(plan).feed(0, events)]
    assert {value["type"] for value in values} == {"entered", "exited", "moved", "renewed", "retracted"}
    found: set[str] = set()
    for value in values:
        CHANGE.validate(value)
        found.update(path for path in paths_of(value) if not path.startswith("/context/"))
    named = set(described(CHANGE.schema))
    found = {
        path for path in found if not path.startswith(("/user/ids/", "/reason/*/value/", "/reason/*/bound/"))
    }
    assert found == named


def test_events_have_the_fields_of_the_envelope() -> None:
    assert set(EVENT.schema["properties"]) == set(ENVELOPE_FIELDS)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("value", 9.5, "9.5"),
        ("items", [{"product_id": "p"}], {"product_id": "p"}),
        ("props", {"size": "L"}, ["L"]),
        ("channel", "web", 7),
    ],
)
def test_the_types_of_events_are_those_that_definitions_read(name: str, right: Any, wrong: Any) -> None:
    for value, is_known in ((right, True), (wrong, False)):
        event = {"type": "x", "time": "2026-11-21T09:30:00Z", "user_id": "u", "id": "e", name: value}
        (read,), _ = Ingest().read_batch([(json.dumps(event).encode(), 0, None)])
        assert EVENT.is_valid(event) is is_known
        assert (read_field(name)(read) is not None) is is_known or name == "props"


def test_simulated_events_and_their_changes_satisfy_the_schemas() -> None:
    lines = list(islice(simulate(Shop(users=60, days=60, seed=3)), 8_000))
    for line in lines:
        EVENT.validate(json.loads(line))
    EVENT.validate({"type": "clock_advanced", "time": "2026-11-21T09:30:00Z"})
    plan = compile_plan(load(PACKS))
    events, errors = Ingest(event_type=plan.event_type).read_batch(
        [(line, offset, None) for offset, line in enumerate(lines)]
    )
    assert not errors
    changes = EmbeddedRuntime(plan).feed(0, events)
    assert {change.type for change in changes} >= {"entered", "exited", "moved"}
    for change in changes:
        CHANGE.validate(json.loads(change.value))
