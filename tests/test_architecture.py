"""The house keeps its shape: layers and purity (import-linter), and what imports alone cannot show."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "stream"
MODULES = sorted(PACKAGE.rglob("*.py"))
PURE = [
    path
    for path in MODULES
    if path.relative_to(PACKAGE).parts[0]
    in {
        "engine",
        "definitions",
        "changes.py",
        "durations.py",
        "errors.py",
        "events.py",
        "identifiers.py",
        "instants.py",
    }
]
FOLDERS = (".ci", "benchmarks", "deploy", "docs", "schemas", "stream", "tests", "tools")
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".lark", ".xml", ""}
WRITTEN = [
    path
    for folder in FOLDERS
    for path in [*(ROOT / folder).rglob("*"), *ROOT.glob("*")]
    if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
]


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_imports_follow_the_contracts() -> None:
    """The layers of the house, and the purity of the engine, also through other modules (pyproject.toml)."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("lint-imports")),
            "--cache-dir",
            str(ROOT / ".cache/import-linter"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PURE, ids=names(PURE))
def test_pure_rooms_ask_neither_the_clock_nor_chance_nor_the_process(path: Path) -> None:
    """`datetime.now()`, `uuid4()`, `hash()` and files: imports do not show them, and replays would differ."""
    forbidden = re.compile(r"(.*\.)?(now|utcnow|today|uuid1|uuid4|urandom)|hash|input|print")
    reads_files = path.relative_to(PACKAGE).parts[0] == "definitions"
    found = [
        f"{path.name}:{line}: {name}()"
        for line, name in calls(path)
        if forbidden.fullmatch(name) or (name == "open" and not reads_files)
    ]
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_modules_stay_small_and_named_after_things(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600
    assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "common"}


def test_nothing_names_the_machine_it_was_written_on() -> None:
    """No absolute paths of somebody's machine and no registry hosts: the project builds anywhere."""
    machine = re.compile(
        r"(?<![\w.])/(?:root|work|home/\w+)/|://[\w.-]*(?:pypi|npmjs|mvnrepository|maven\.org)[\w.-]*/?"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in sorted(set(WRITTEN))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if machine.search(line)
    ]
    assert not found


def test_constraints_pin_every_dependency_and_only_by_name_and_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line), line
        name, _, version = line.partition("==")
        pinned[canonical(name)] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    for requirement in wanted:
        name = canonical(re.match(r"[A-Za-z0-9._-]+", requirement)[0])  # type: ignore[index]
        assert name in pinned, f"constraints.txt does not pin {name}"
    assert pinned["faust-streaming"] == "0.15.3"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_package_carries_its_data_files() -> None:
    """Grammar, packs and the typing marker are read at run time: they must lie inside the package."""
    assert (PACKAGE / "py.typed").is_file()
    assert list(PACKAGE.rglob("*.lark"))
    assert (PACKAGE / "packs" / "retail" / "definitions.yaml").is_file()
