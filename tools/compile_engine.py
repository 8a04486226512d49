"""Compiles the engine to extension modules with mypyc: the same sources, about half the time per event.

compile_engine.py in-place       beside the sources of this checkout: `make compile`
compile_engine.py test [ARG …]   into a copy of the package, and the engine's tests against it: `make compiled`
compile_engine.py clean          back to plain Python: `make clean-compiled`

Compiling takes about a minute and a C compiler. What was compiled is kept in .cache/compiled for as long as its sources
and the versions of Python and mypy are the same. Nothing needs it: without it the engine is plain Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stream.compiled import STAMP, checksums, is_outdated  # noqa: E402  # also where nothing is installed yet

CACHE = ROOT / ".cache" / "compiled"
MODULES = CACHE / "modules"
PACKAGE = CACHE / "package"
SHARED = "segstream_engine"
"""Extension modules are thin; their code lies in one module of this name, at the top of the path."""
_PLAIN = ("__init__", "cost", "explain")
"""No event waits for them."""
_BESIDE = (
    "stream/durations.py",
    "stream/identifiers.py",
    "stream/instants.py",
    "stream/ingest/plain.py",
    "stream/runtime/kafka/batches.py",
)
"""What every change asks of the rest, and the loop that reads events."""
_CALLS = ["-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt"]
"""Nobody replaces a function of the shared module from outside, so calls within it are direct ones."""
_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
_TESTS = (
    "tests/test_compiled.py",
    "tests/engine",
    "tests/ingest/test_envelope.py",
    "tests/ingest/test_plain.py",
    "tests/kafka/test_batches.py",
    "tests/oracle/test_agreement.py",
    # Compiled classes go from one process to another.
    "tests/replay/test_workers.py",
)
_NOT_TESTED = (
    # Their conditions and values in Python are subclasses of the engine's, which compiled classes do not allow.
    "--ignore=tests/engine/test_conditions.py",
    "--ignore=tests/engine/test_values.py",
    # Long, and about order and cuts, not about what the compiler makes of a line.
    "--ignore=tests/engine/test_properties.py",
    # Counts what larger numbers of cases must hold.
    "--deselect=tests/oracle/test_agreement.py::test_every_construct_is_met_often_and_matters",
)
_ORACLE_CASES = "30"


class CompileError(Exception):
    """mypyc or the C compiler failed."""


class MissingToolError(CompileError):
    """Something that compiling needs is not there."""


def compile_engine(source: Path) -> Path:
    """A folder with the compiled modules of a checkout's or a copy's sources, laid out like it."""
    require()
    stamp = _stamp(source)
    marker = MODULES / "stream" / STAMP
    if marker.is_file() and marker.read_text(encoding="utf-8") == stamp:
        return MODULES
    build = CACHE / "build"
    shutil.rmtree(build, ignore_errors=True)
    _copy_package(source, build)
    print("compiling the engine, about a minute …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "mypyc"],
        cwd=build,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CompileError("mypyc failed:\n" + "\n".join(done.stdout.splitlines()[-30:]))
    shutil.rmtree(MODULES, ignore_errors=True)
    for file in [*build.glob(f"*{_SUFFIX}"), *build.glob(f"stream/**/*{_SUFFIX}")]:
        target = MODULES / file.relative_to(build)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, target)
    marker.write_text(stamp, encoding="utf-8")
    shutil.rmtree(build)
    return MODULES


def require() -> None:
    """MissingToolError, with what to do, where a tool is missing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise MissingToolError(
            f"there is no C compiler: {compiler!r} was not found (on Debian: apt-get install gcc)"
        )
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        raise MissingToolError("Python's header files are missing (on Debian: apt-get install python3-dev)")
    for package in ("mypy", "setuptools"):
        found, pinned = _installed(package), _pinned(package)
        if found != pinned:
            raise MissingToolError(
                f"{package} {pinned} is needed, as constraints.txt pins it, and {found or 'none'} is installed: "
                "`make env` brings the environment up to date"
            )


def put(modules: Path, target: Path) -> None:
    """Lays compiled modules beside their sources, and what was there before away."""
    clean(target)
    for file in modules.rglob("*"):
        if file.is_file():
            shutil.copy2(file, target / file.relative_to(modules))


def clean(target: Path) -> None:
    """Removes compiled modules, so that the sources count."""
    for file in [*target.glob(f"{SHARED}__mypyc.*"), *(target / "stream").rglob("*.so")]:
        file.unlink()
    (target / "stream" / STAMP).unlink(missing_ok=True)


def test(arguments: list[str]) -> int:
    """Runs the engine's tests against a compiled copy of the package."""
    shutil.rmtree(PACKAGE, ignore_errors=True)
    _copy_package(ROOT, PACKAGE)
    try:
        put(compile_engine(PACKAGE), PACKAGE)
    except MissingToolError as error:
        if os.environ.get("CI", "").lower() == "true":
            raise
        print(f"the compiled engine is not tested: {error}", file=sys.stderr)
        return 0
    env = {"ORACLE_CASES": _ORACLE_CASES, **os.environ, "TESTED_ENGINE": "compiled"}
    path = f"pythonpath={PACKAGE.relative_to(ROOT)} ."
    command = [sys.executable, "-m", "pytest", "-o", path, *(arguments or (*_TESTS, *_NOT_TESTED))]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def _mypyc() -> None:
    """In a copy of the checkout without its pyproject.toml, of which setuptools and mypy would make their own sense."""
    from mypyc.build import mypycify
    from setuptools import setup

    engine = [file for file in sorted(Path("stream/engine").glob("*.py")) if file.stem not in _PLAIN]
    modules = [*map(str, engine), *_BESIDE]
    # Whether the types are right is what `make types` asks, of the whole package.
    options = ["--config-file=", "--follow-imports=silent", "--cache-dir=mypy"]
    extensions = mypycify([*options, *modules], opt_level="3", debug_level="0", group_name=SHARED)
    for extension in extensions:
        extension.extra_compile_args += _CALLS
    setup(name="segstream", packages=[], ext_modules=extensions, script_args=["build_ext", "--inplace"])


def _stamp(source: Path) -> str:
    """What the compiled modules follow from: the first line names the tools, the others the sources."""
    tool = sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return "\n".join([f"mypyc {_pinned('mypy')} {tool} {_SUFFIX}", *checksums(source / "stream")]) + "\n"


def _copy_package(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.so", STAMP)
    shutil.copytree(source / "stream", target / "stream", ignore=ignored)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["in-place"]:
                put(compile_engine(ROOT), ROOT)
                if is_outdated():
                    raise CompileError("sources were edited meanwhile: compile again")
                return 0
            case ["test", *rest]:
                return test(rest)
            case ["clean"]:
                clean(ROOT)
                return 0
            case ["mypyc"]:
                _mypyc()
                return 0
    except CompileError as error:
        print(f"{error}\nNothing needs the compiled engine: without it, it is plain Python.", file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
