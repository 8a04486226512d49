"""Each pack has a page that quotes the definitions as they are and leaves no segment out."""

from __future__ import annotations

import re

import pytest

from stream.packs import pack_names, pack_path
from tests.packs.stories import plan_of, story_of
from tests.test_docs import ROOT, blocks_of

FOLDER = ROOT / "docs" / "packs"


@pytest.mark.parametrize("pack", pack_names())
def test_the_page_quotes_every_segment_and_ladder(pack: str) -> None:
    page = FOLDER / f"{pack}.md"
    written = [line.strip() for line in pack_path(pack).read_text("utf-8").splitlines()]
    quoted: set[str] = set()
    for block in blocks_of(page):
        if f"pack={pack}" in block.words:
            lines = [line.strip() for line in block.text.splitlines() if line.strip()]
            assert [line for line in lines if line not in written] == [], f"{block}: not in the pack"
            quoted.update(
                found[1] for line in block.text.splitlines() if (found := re.match(r"(\w+):", line))
            )
    definitions = plan_of(pack).definitions
    assert {*definitions.segments, *definitions.ladders} - quoted == set()


@pytest.mark.parametrize("pack", pack_names())
def test_the_index_leads_to_the_page_and_the_page_to_the_story(pack: str) -> None:
    assert f"| [{pack}]({pack}.md) |" in (FOLDER / "README.md").read_text("utf-8")
    page = (FOLDER / f"{pack}.md").read_text("utf-8")
    assert "## The story" in page
    users = {event["user_id"] for event in story_of(pack).events if "user_id" in event}
    assert len([user for user in users if user.capitalize() in page]) >= 3, "the page names nobody"
