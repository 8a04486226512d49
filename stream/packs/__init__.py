"""Ready segment packs: what marketers do, as definitions that ship with the project.

A pack is a folder: `definitions.yaml`, in which `parameters:` stand for what differs between companies; `scenario.txt`,
the days of a few named people; `expected.txt`, what the definitions make of them. `pack:retail` is the name of a pack
wherever definitions are named, with other values for its parameters as in `pack:retail?cart_wait=45m&currency=USD`.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from stream.errors import ConfigError

PREFIX: Final = "pack:"
DEFINITIONS: Final = "definitions.yaml"
SCENARIO: Final = "scenario.txt"
EXPECTED: Final = "expected.txt"
_FOLDER: Final = Path(__file__).parent


def pack_names() -> list[str]:
    """Names of the packs, sorted."""
    return sorted(folder.parent.name for folder in _FOLDER.glob(f"*/{DEFINITIONS}"))


def pack_path(name: str) -> Path:
    """The definitions of a pack."""
    return pack_folder(name) / DEFINITIONS


def pack_folder(name: str) -> Path:
    """The folder of a pack."""
    names = pack_names()
    if name not in names:
        near = get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ConfigError(f"unknown pack `{name}`{hint}; there are: {', '.join(names)}")
    return _FOLDER / name


def locate(name: str) -> str:
    """The file behind a name of definitions: `pack:retail?cart_wait=45m` is a pack's, anything else is itself."""
    if not name.startswith(PREFIX):
        return name
    pack, mark, given = name.removeprefix(PREFIX).partition("?")
    return f"{pack_path(pack)}{mark}{given}"


def summary(name: str) -> str:
    """What a pack is for: the first line of its definitions."""
    with pack_path(name).open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()
