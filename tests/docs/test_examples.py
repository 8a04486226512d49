"""Every example of the pages gives exactly the changes that stand below it."""

from __future__ import annotations

import doctest
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.examples import Example, events_of, expected_of, part_of, read_page, replay, show
from tests.test_docs import PAGES, ROOT, blocks_of

READINGS = {page: read_page(page) for page in PAGES}
PHRASES = ROOT / "docs" / "how-do-i-say.md"
REFERENCE = ROOT / "docs" / "definitions.md"
FUNCTIONS = (
    "min", "max", "abs", "coalesce", "exists", "local_hour", "local_weekday", "local_month", "local_date", "month",
    "until_anniversary", "age", "time_in", "distance_km", "version", "any", "all", "sum", "count",
)  # fmt: skip
EXAMPLES = [example for reading in READINGS.values() for example in reading.examples]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example_gives_the_changes_that_the_page_shows(example: Example, tmp_path: Path) -> None:
    records = replay(example, tmp_path)
    expected = expected_of(example.changes)
    if example.changes.language == "json":
        assert records == expected
        return
    found = [
        {path: part_of(record, path) for path in want}
        for record, want in zip(records, expected, strict=False)
    ]
    printed = "\n".join(map(show, records)) or "none"
    assert (len(records), found) == (len(expected), expected), (
        f"{example.changes}: the engine says\n{printed}"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_is_played(page: Path) -> None:
    assert not READINGS[page].unused, "these definitions have no events and changes below them"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_sessions_print_what_the_page_shows(page: Path) -> None:
    """In page order: what one session defines, the next ones know."""
    names: dict[str, Any] = {}
    for block in blocks_of(page):
        if block.language == "pycon":
            test = doctest.DocTestParser().get_doctest(block.text, names, str(block), None, 0)
            assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
            names = test.globs


def test_thirty_phrases_and_each_lets_ann_in_and_bob_not() -> None:
    phrases = re.findall(r"^### ", PHRASES.read_text(encoding="utf-8"), re.MULTILINE)
    examples = READINGS[PHRASES].examples
    assert len(phrases) == len(examples) >= 30
    for example in examples:
        definitions = yaml.safe_load(example.definitions[-1].text)
        meant = list({**definitions.get("ladders", {}), **definitions.get("segments", {})})[-1]
        users = {event.get("user_id") for event in events_of(example.events)}
        entered = {
            want["user.id"]
            for want in expected_of(example.changes)
            if (want["segment.key"], want["type"]) == (meant, "entered")
        }
        assert (users - {None}, entered) == ({"ann", "bob"}, {"ann"}), str(example)


def test_the_reference_plays_every_word_of_the_language() -> None:
    """The words are those of the schema for editors, and the functions of expressions."""
    schema = json.loads((ROOT / "schemas" / "definitions-1.schema.json").read_text(encoding="utf-8"))
    words = {*_properties(schema), *FUNCTIONS} - {"version", "description", "assume_covered"}
    played = "".join(block.text for example in READINGS[REFERENCE].examples for block in example.definitions)
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", played)) == []


def _properties(node: Any) -> Iterator[str]:
    """Names of all properties in a schema."""
    if isinstance(node, dict):
        yield from node.get("properties", {})
        for part in node.values():
            yield from _properties(part)
    elif isinstance(node, list):
        for part in node:
            yield from _properties(part)
