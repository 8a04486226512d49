"""Where settings come from: a YAML or TOML file, with the line of each value, and the environment."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from stream.config.kinds import near
from stream.config.settings import BY_PATH, BY_VARIABLE, CLIENT, ENV_PREFIX, REFERENCE, SECTIONS, Setting
from stream.errors import ConfigError

CONFIG_VARIABLE: Final = "SEGSTREAM_CONFIG"


@dataclass(frozen=True, slots=True)
class Given:
    """Something that somebody wrote, and where: one value as text, a list of values, or a section."""

    where: str
    value: str | tuple[str, ...] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key of a file: where it stands, and what it holds (as text, list or plain mapping; None: nothing)."""

    name: str
    where: str
    value: str | tuple[str, ...] | Mapping[str, Any] | None
    children: tuple[_Entry, ...] | None = None


def read_file(file: Path, problems: list[str]) -> Iterator[tuple[Setting, Given]]:
    """What the file sets; unknown keys go to `problems`. ConfigError when it cannot be read at all."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot read the configuration: {error}") from error
    entries = _toml_entries(file, text) if file.suffix == ".toml" else _yaml_entries(file, text)
    yield from _settings(entries, (), problems)


def _settings(
    entries: tuple[_Entry, ...], path: tuple[str, ...], problems: list[str]
) -> Iterator[tuple[Setting, Given]]:
    seen: set[str] = set()
    for entry in entries:
        here = (*path, entry.name)
        key = ".".join(here)
        if entry.name in seen:
            problems.append(f"{entry.where}: `{key}` stands here a second time")
        seen.add(entry.name)
        if here not in BY_PATH and here not in SECTIONS:
            problems.append(f"{entry.where}: {_unknown(here)}")
        elif entry.value is None:
            continue
        elif here in BY_PATH:
            yield BY_PATH[here], Given(entry.where, entry.value)
        elif entry.children is None:
            problems.append(f"{entry.where}: `{key}` is a section: expected keys and values below it")
        else:
            yield from _settings(entry.children, here, problems)


def _unknown(path: tuple[str, ...]) -> str:
    """What to say of a key that does not exist: the nearest of its section, else one of that name elsewhere."""
    key = ".".join(path)
    if path[-1].count(".") and tuple(key.split(".")) in BY_PATH:
        return f"unknown key `{key}`: write `{key.rpartition('.')[2]}` below `{key.rpartition('.')[0]}:`"
    siblings = [".".join(other[: len(path)]) for other in BY_PATH if other[: len(path) - 1] == path[:-1]]
    elsewhere = [setting.key for setting in REFERENCE if setting.path[-1] == path[-1]]
    hint = near(key, siblings) or (f"; did you mean `{elsewhere[0]}`?" if elsewhere else "")
    return f"unknown key `{key}`{hint or near(key, [setting.key for setting in REFERENCE])}"


def _yaml_entries(file: Path, text: str) -> tuple[_Entry, ...]:
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return ()
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{file}:1:1: expected keys and values")
        return _node_entries(file, loader, root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(file)
        raise ConfigError(f"{where}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error


def _node_entries(file: Path, loader: yaml.SafeLoader, node: yaml.MappingNode) -> tuple[_Entry, ...]:
    entries = []
    for name, child in node.value:
        where = f"{file}:{name.start_mark.line + 1}:{name.start_mark.column + 1}"
        if isinstance(child, yaml.MappingNode):
            plain = {str(key): value for key, value in loader.construct_mapping(child, deep=True).items()}
            entries.append(_Entry(str(name.value), where, plain, _node_entries(file, loader, child)))
        elif isinstance(child, yaml.SequenceNode):
            entries.append(_Entry(str(name.value), where, tuple(str(item.value) for item in child.value)))
        else:
            # The text as written: `off`, `1h` and `0644` mean what the setting says, not what YAML guesses.
            empty = child.tag == "tag:yaml.org,2002:null"
            entries.append(_Entry(str(name.value), where, None if empty else str(child.value)))
    return tuple(entries)


def _toml_entries(file: Path, text: str) -> tuple[_Entry, ...]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    return _table_entries(file, text.splitlines(), document, ())


def _table_entries(
    file: Path, lines: list[str], table: Mapping[str, Any], path: tuple[str, ...]
) -> tuple[_Entry, ...]:
    entries = []
    for name, value in table.items():
        here = (*path, name)
        where = f"{file}{_toml_line(lines, here)}"
        if isinstance(value, dict):
            entries.append(_Entry(name, where, value, _table_entries(file, lines, value, here)))
        elif isinstance(value, list):
            entries.append(_Entry(name, where, tuple(str(item) for item in value)))
        else:
            entries.append(_Entry(name, where, str(value)))
    return tuple(entries)


def _toml_line(lines: list[str], path: tuple[str, ...]) -> str:
    """`:LINE` of a key. The TOML reader keeps no positions: it is the first line that sets the key in its table."""
    wanted = ".".join(path)
    table = ""
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.partition("]")[0].strip("[ ")
            key = table
        else:
            name = stripped.partition("=")[0].strip().strip('"') if "=" in stripped else ""
            key = ".".join(part for part in (table, name) if part) if name else ""
        if key == wanted:
            return f":{number}"
    return ""


def read_environment(
    environment: Mapping[str, str], client: dict[str, Any], problems: list[str]
) -> Iterator[tuple[Setting, Given]]:
    """What the environment sets. Single keys of `kafka.client` go to `client`, unknown variables to `problems`."""
    client_prefix = f"{CLIENT.variable}_"
    for name, text in sorted(environment.items()):
        if not name.startswith(ENV_PREFIX) or name == CONFIG_VARIABLE:
            continue
        where = f"environment variable {name}"
        if name in BY_VARIABLE:
            yield BY_VARIABLE[name], Given(where, text)
        elif name.startswith(client_prefix) and name != client_prefix:
            client[name.removeprefix(client_prefix).lower()] = _client_value(text)
        else:
            problems.append(f"{where}: unknown key{near(name, [*BY_VARIABLE, CONFIG_VARIABLE])}")


def _client_value(text: str) -> str | bool:
    """Text, for a password like `123` or `1e5` is text, but for the two words that can only be meant as such."""
    return text.lower() == "true" if text.lower() in ("true", "false") else text
