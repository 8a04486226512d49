"""Ready segment packs: definitions files that ship with the project."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from stream.errors import OperatorError


def pack_names() -> list[str]:
    """Names of the packs, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files(__name__).iterdir()
        if entry.name.endswith(".yaml")
    )


def pack_path(name: str) -> Path:
    """The file of a pack."""
    if name not in pack_names():
        raise OperatorError(f"there is no pack `{name}`; the packs are {', '.join(pack_names())}")
    with as_file(files(__name__).joinpath(f"{name}.yaml")) as path:
        return path
