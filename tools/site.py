"""What the site needs beyond the pages: hooks of MkDocs (mkdocs.yml).

The pages are written to be read in the repository too. There, a fence may say more than its language (what the tests do
with the block), a heading's anchor is GitHub's, and a link may lead out of the folder. Here each becomes what MkDocs
understands.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^( *```\w+)[ ].*$", re.MULTILINE)


def anchor(text: str, _separator: str = "-") -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fences with their language alone, links that lead to pages of the site."""
    plain = _FENCE.sub(r"\1", markdown)
    return re.sub(r"\]\(\.\./(README\.md(?:#[\w-]+)?|schemas/)", _inside, plain)


def _inside(link: re.Match[str]) -> str:
    target = {"README.md#install": "installation.md"}.get(link[1], link[1])
    return "](" + ("index.md" if target.startswith("README") else target)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """The schemas that pages link to come along."""
    for schema in sorted((ROOT / "schemas").glob("*.json")):
        files.append(File.generated(config, f"schemas/{schema.name}", abs_src_path=str(schema)))
    return files
