"""The schemas of mappings and dead letters and the AsyncAPI document: they describe what is read and written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from stream.config import Settings
from stream.events import ENVELOPE_FIELDS
from stream.runtime.kafka.topics import plan_topics
from tests.conftest import lacking
from tests.ingest.test_deadletters import LETTERS
from tests.scripts import load_script
from tests.test_docs import of

ROOT = Path(__file__).parent.parent
PARSER = ROOT / ".cache" / "asyncapi"
RELEASE = "@asyncapi/parser@3.6.3"
PRESETS = sorted((ROOT / "stream" / "ingest" / "presets").glob("*.yaml"))
GOLDEN = sorted((ROOT / "tests" / "ingest" / "presets").glob("*.json"))


def document(name: str) -> Any:
    return json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))


MAPPING = Draft202012Validator(document("mapping-1.schema.json"))
DEAD_LETTER = Draft202012Validator(document("dead-letter-1.schema.json"))
EVENT = Draft202012Validator(document("event-1.schema.json"))
ASYNCAPI = document("asyncapi.json")


def test_the_files_are_what_their_generator_writes() -> None:
    generate = load_script("schemas/generate_ingest.py")
    for path, content in generate.written().items():
        assert path.read_text(encoding="utf-8") == content, "run python schemas/generate_ingest.py"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_satisfy_the_schema(path: Path) -> None:
    MAPPING.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("block", of("yaml", "mapping"), ids=str)
def test_mappings_in_the_pages_satisfy_the_schema(block: Any) -> None:
    MAPPING.validate(yaml.safe_load(block.text))


@pytest.mark.parametrize(
    "text",
    [
        "evnt: {type: a, time: b}",
        "name: x",
        "identity: true\nevent: {type: a, time: b}",
        "event: {tipe: a, time: b}",
        "event: {type: a}",
        "event: {type: {path: a, tabel: {}}, time: b}",
        "event: {type: {path: a, as: mss}, time: b}",
        "event: {type: {path: a, as: {date: dd.MM}}, time: b}",
        "event: {type: {when: {a: {bellow: 0}}, then: b}, time: b}",
        "event: {type: {each: a, item: b, iff: c}, time: b}",
        "event: {type: 5, time: b}",
        "rows: {delimeter: ';'}\nevent: {type: a, time: b}",
        "drop: {}\nevent: {type: a, time: b}",
        "cases: []",
    ],
)
def test_editors_see_mistakes_of_shape(text: str) -> None:
    assert not MAPPING.is_valid(yaml.safe_load(text))


def test_the_schema_of_events_knows_the_fields_of_the_envelope() -> None:
    assert tuple(EVENT.schema["properties"]) == ENVELOPE_FIELDS


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_presets_make_satisfies_the_schema_of_events(path: Path) -> None:
    for case in json.loads(path.read_text(encoding="utf-8")):
        for event in case.get("events", ()):
            EVENT.validate(event)


@pytest.mark.parametrize("letter", LETTERS, ids=lambda letter: letter.reason)
def test_dead_letters_satisfy_their_schema(letter: Any) -> None:
    DEAD_LETTER.validate(json.loads(letter.to_json()))
    assert not DEAD_LETTER.is_valid({**json.loads(letter.to_json()), "reason": "unheard_of"})


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)


def test_the_asyncapi_document_names_all_topics_and_holds_together() -> None:
    found = {channel["address"] for channel in ASYNCAPI["channels"].values()}
    assert found == {plan.name for plan in plan_topics(Settings(sources={"clicks": "segment"}))}
    for reference in references(ASYNCAPI):
        node = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    operated = {operation["channel"]["$ref"] for operation in ASYNCAPI["operations"].values()}
    assert operated == {f"#/channels/{name}" for name in ASYNCAPI["channels"]}
    described = {
        word for word in json.dumps(ASYNCAPI).replace('"', " ").split() if word.endswith(".schema.json")
    }
    assert described == {"event-1.schema.json", "segment-change-1.schema.json", "dead-letter-1.schema.json"}
    assert all((ROOT / "schemas" / name).exists() for name in described)


VALIDATE = """
const { Parser } = require('@asyncapi/parser');
new Parser().parse(require('fs').readFileSync(0, 'utf8')).then(({ document, diagnostics }) => {
  for (const found of diagnostics) if (found.severity === 0) console.log(found.path.join('.'), found.message);
  process.exit(document ? 0 : 1);
});
"""


@pytest.fixture(scope="session")
def parser() -> Path:
    """The folder of AsyncAPI's own parser, fetched once, as Maven fetches the broker."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            lacking(f"{command} is not installed, which AsyncAPI's parser needs")
    if not (PARSER / "node_modules" / "@asyncapi" / "parser").exists():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(PARSER), RELEASE]
        PARSER.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        if done.returncode:
            lacking(f"npm could not fetch {RELEASE}: {done.stdout}{done.stderr}")
    return PARSER


def test_the_public_parser_of_asyncapi_accepts_the_document(parser: Path) -> None:
    done = subprocess.run(
        ["node", "-e", VALIDATE],
        cwd=parser,
        input=json.dumps(ASYNCAPI),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
