"""Whether the engine runs as plain Python or compiled ahead of time, and whether what was compiled is still the source.

`tools/compile_engine.py` makes extension modules of the engine with mypyc. They lie beside their sources and win over
them whenever Python imports one, so an edited source beside an old extension would be ignored in silence. A stamp
beside them names the sources that they were made of; whoever runs the engine for a test or a figure asks here first.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from stream.errors import OperatorError

PACKAGE = Path(__file__).parent
STAMP = "compiled.sum"
INPUTS = (
    "changes.py",
    "definitions/*.py",
    "durations.py",
    "engine/*.py",
    "errors.py",
    "events.py",
    "identifiers.py",
    "ingest/instants.py",
    "ingest/origin.py",
    "ingest/plain.py",
    "instants.py",
)
"""What compiled modules are made of: the engine, the loop that reads events, and what those import, for constants are
compiled in."""


def is_compiled(package: Path = PACKAGE) -> bool:
    """Whether Python imports extension modules as the engine."""
    return any((package / "engine" / f"engine{suffix}").exists() for suffix in EXTENSION_SUFFIXES)


def checksums(package: Path = PACKAGE) -> list[str]:
    """A line for each source that takes part in compiling."""
    sources = sorted({file for pattern in INPUTS for file in package.glob(pattern)})
    return [
        f"{sha256(file.read_bytes()).hexdigest()}  {file.relative_to(package).as_posix()}" for file in sources
    ]


def is_outdated(package: Path = PACKAGE) -> bool:
    """Whether the engine is compiled, and from other sources than those beside it."""
    if not is_compiled(package):
        return False
    stamp = package / STAMP
    return not stamp.is_file() or stamp.read_text(encoding="utf-8").splitlines()[1:] != checksums(package)


def describe_engine() -> str:
    """`plain Python` or `compiled`; OperatorError where what runs is not what the sources say."""
    if is_outdated():
        raise OperatorError(
            "the compiled engine was made of other sources than those beside it, and would run in their place: "
            "`make compile` compiles these, `make clean-compiled` goes back to plain Python"
        )
    return "compiled" if is_compiled() else "plain Python"
