"""Which engine the tests run, plain or compiled; and that a compiled one never runs in place of newer sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import stream.engine
from stream import compiled
from stream.compiled import PACKAGE, STAMP, checksums, describe_engine, is_compiled, is_outdated
from tests.conftest import IN_CI

BESIDE = {"stream.durations", "stream.identifiers", "stream.ingest.plain", "stream.instants"}
"""What is compiled besides the engine."""
PLAIN = {f"stream.engine.{name}" for name in ("cost", "explain")}
"""What tools/compile_engine.py leaves as it is."""
TESTED = os.environ.get("TESTED_ENGINE", "plain Python" if IN_CI else "")


def test_the_engine_under_test_is_the_one_that_is_meant() -> None:
    loaded = {
        name: str(module.__file__)
        for name, module in sys.modules.items()
        if (name.startswith("stream.engine.") or name in BESIDE) and getattr(module, "__file__", None)
    }
    assert "stream.engine.engine" in loaded
    meant = TESTED or describe_engine()
    plain = {name for name, file in loaded.items() if not file.endswith(EXTENSION_SUFFIXES[0])}
    assert plain == (loaded.keys() & PLAIN if meant == "compiled" else loaded.keys())
    assert describe_engine() == meant
    engine = Path(str(stream.engine.__file__)).parent
    package = engine.parent
    assert {Path(file).parent for file in loaded.values()} <= {engine, package, package / "ingest"}
    if TESTED == "compiled":
        assert ".cache" in PACKAGE.parts, "a copy, not the checkout"


def copy(tmp_path: Path) -> Path:
    """The sources, with something that Python would take for the compiled engine."""
    package = tmp_path / "stream"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.so", STAMP))
    assert not is_compiled(package)
    assert not is_outdated(package)
    (package / "engine" / f"engine{EXTENSION_SUFFIXES[0]}").touch()
    (package / STAMP).write_text("\n".join(["mypyc", *checksums(package)]) + "\n", encoding="utf-8")
    assert is_compiled(package)
    assert not is_outdated(package)
    return package


@pytest.mark.parametrize("name", ["engine/cells.py", "definitions/model.py", "durations.py"])
def test_compiled_modules_of_other_sources_are_noticed(tmp_path: Path, name: str) -> None:
    package = copy(tmp_path)
    (package / name).write_text("# edited\n", encoding="utf-8")
    assert is_outdated(package)


def test_compiled_modules_without_a_stamp_or_without_a_source_are_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = copy(tmp_path)
    (package / "engine" / "new.py").touch()
    assert is_outdated(package)
    (package / STAMP).unlink()
    assert is_outdated(package)
    monkeypatch.setattr(compiled, "is_outdated", lambda: True)
    with pytest.raises(compiled.OperatorError, match="make compile"):
        describe_engine()


ROOT = Path(__file__).parents[1]


def test_a_wheel_is_compiled_with_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert set(hook["dependencies"]) <= set(pinned)
    assert not hook["enable-by-default"], "without a compiler there is a wheel, too"


@pytest.mark.skipif(TESTED != "compiled", reason="the engine is not compiled for these tests")
def test_a_wheel_brings_the_compiled_engine_along(tmp_path: Path) -> None:
    build = (
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        ".",
    )
    switched_on = {
        **os.environ,
        "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    subprocess.run([sys.executable, "-m", *build], cwd=ROOT, env=switched_on, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-none-any" not in wheel.name, "it fits this platform and Python alone"
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    code = "import stream.compiled, stream.engine.engine as e; print(stream.compiled.describe_engine(), e.__file__)"
    alone = {**os.environ, "PYTHONPATH": str(site)}
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=alone, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["compiled", str(site / f"stream/engine/engine{EXTENSION_SUFFIXES[0]}")]
