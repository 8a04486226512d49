"""The pages say what is so: examples load, commands exist, and those marked `run` are run.

The convention (docs/contributing.md): the first word after a fence is the language, the second what the block is.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from stream.cli import main
from stream.config import load_settings
from stream.definitions import loads
from stream.ingest import load_mapping
from tests.scripts import load_script

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\S*)[ ]*(.*)$")
YAML_KINDS = {"segments", "example", "config", "mapping", "compose", "fragment"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, and its text."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def kind(self) -> str:
        return next((word for word in self.words if "=" not in word), "")

    @property
    def file(self) -> str | None:
        """The name under which commands of the page find this block's text."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    found: list[Block] = []
    opened: tuple[int, str, str, tuple[str, ...]] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened = (number, fence[1], fence[2], tuple(fence[3].split()))
            lines = []
        else:
            start, indent, language, words = opened
            text = "".join(f"{each.removeprefix(indent)}\n" for each in lines)
            found.append(Block(page, start, language, words, text))
            opened = None
    assert opened is None, f"{page}: a block is left open"
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of(block: Block) -> list[tuple[str, list[str]]]:
    """Each `$ command` of a console block (or line of a bash block) with the output shown below it."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if block.language == "bash":
            if line.strip() and not line.startswith("#"):
                commands.append((line, []))
        elif line.startswith("$ "):
            commands.append((line[2:], []))
        elif commands and commands[-1][0].endswith("\\"):
            commands[-1] = (f"{commands[-1][0][:-1]} {line.strip()}", [])
        elif commands:
            commands[-1][1].append(line)
    return commands


def of(language: str, kind: str | None = None) -> list[Block]:
    return [block for block in BLOCKS if block.language == language and kind in (None, block.kind)]


def test_every_yaml_block_says_what_it_is() -> None:
    unmarked = [str(block) for block in of("yaml") if block.kind not in YAML_KINDS]
    assert not unmarked, f"write ```yaml followed by one of {sorted(YAML_KINDS)}"


@pytest.mark.parametrize("block", of("yaml", "segments"), ids=str)
def test_definition_examples_load(block: Block) -> None:
    loads(block.text, str(block))


@pytest.mark.parametrize("block", of("yaml", "config"), ids=str)
def test_configuration_examples_load(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "segstream.yaml"
    file.write_text(block.text, encoding="utf-8")
    load_settings(file, {})


@pytest.mark.parametrize("block", of("yaml", "mapping"), ids=str)
def test_mapping_examples_load(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(block.text, encoding="utf-8")
    load_mapping(str(file))


def words_of(command: str) -> list[list[str]]:
    """The simple commands of a shell line, without redirections: enough for the lines that stand in our pages."""
    parts = re.split(r"\s(?:\||&&|;)\s", command.removesuffix("&").strip())
    simple = []
    for part in parts:
        words = shlex.split(re.sub(r"\s\d?[<>]{1,2}\s*\S+", "", part), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        simple.append(words)
    return [words for words in simple if words]


def check_command(words: list[str]) -> None:
    """That a command of ours exists as written: the options of `segstream`, the targets of `make`."""
    program, *rest = words
    if program.endswith("segstream") and rest:
        with click.Context(main) as context:
            own = rest[0].startswith("-")
            command = main if own else main.get_command(context, rest[0])
            assert command is not None, f"no such command: segstream {rest[0]}"
            while isinstance(command, click.Group) and rest[1:2] and not rest[1].startswith("-"):
                rest = rest[1:]
                command = command.get_command(context, rest[0])
                assert command is not None, f"no such command: {' '.join(words)}"
            known = {
                name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
            }
            for word in rest if own else rest[1:]:
                if word.startswith("-") and word != "-" and not re.fullmatch(r"-\d+", word):
                    assert word.partition("=")[0] in {*known, "--help"}, f"segstream {rest[0]} has no {word}"
    elif program == "make":
        targets = set(
            re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        )
        for word in rest:
            assert "=" in word or word in targets, f"no such target: make {word}"


@pytest.mark.parametrize("block", [*of("console"), *of("bash")], ids=str)
def test_commands_in_the_pages_exist(block: Block) -> None:
    commands = commands_of(block)
    assert commands, f"{block}: a console block needs lines that start with `$ `"
    for command, _ in commands:
        for words in words_of(command):
            check_command(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_marked_run_do_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """In page order and in one folder, which also gets the blocks marked `file=NAME`."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEGSTREAM_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    for block in blocks_of(page):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        if block.language not in {"console", "bash"} or block.kind != "run":
            continue
        for command, shown in commands_of(block):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            assert done.returncode == 0, f"{block}: {command}\n{done.stdout}{done.stderr}"
            missing = first_missing(shown, done.stdout + done.stderr)
            assert missing is None, f"{block}: {command}\nnot printed: {missing}\n{done.stdout}{done.stderr}"


def first_missing(shown: list[str], printed: str) -> str | None:
    """The first shown line that is not printed, in order; a line `…` and blanks at the ends of lines are free."""
    remaining = iter([line.rstrip() for line in printed.splitlines()])
    for line in shown:
        if line.strip() in {"…", ""}:
            continue
        if line.rstrip() not in remaining:
            return line
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page if not path else (page.parent / path).resolve()
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as the anchors they get."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_made_of_the_program_are_up_to_date() -> None:
    generate = load_script("docs/generate.py")
    assert generate.COMMANDS.read_text(encoding="utf-8") == generate.commands_page(), "run make docs"
    assert generate.CONFIGURATION.read_text(encoding="utf-8") == generate.configuration_page(), (
        "run make docs"
    )
