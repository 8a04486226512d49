"""Every example of the pages gives exactly the changes that stand below it."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

from tests.docs.examples import Example, expected_of, part_of, read_page, replay, show
from tests.test_docs import PAGES, blocks_of

READINGS = {page: read_page(page) for page in PAGES}
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
