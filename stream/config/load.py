"""Settings out of what was given: every value read by its kind, every mistake reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast, get_type_hints

import yaml

from stream.config.kinds import ANYTHING, PATH, PATHS, TABLE
from stream.config.settings import BY_PATH, CLIENT, SECTIONS, Setting, Settings
from stream.config.sources import CONFIG_VARIABLE, Given, read_environment, read_file
from stream.errors import ConfigError, OperatorError
from stream.packs import PREFIX, locate

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def load_settings(path: str | Path | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """The effective settings of `path` (None: defaults) under the environment `env`; ConfigError lists all errors."""
    environment = {} if env is None else env
    chosen = path or environment.get(CONFIG_VARIABLE) or None
    values: dict[tuple[str, ...], Any] = {}
    problems: list[str] = []
    places: dict[tuple[str, ...], str] = {}
    if chosen is not None:
        file = Path(chosen)
        for key, given in read_file(file, problems):
            places[key.path] = f"{given.where}: "
            _accept(key, given, file.parent, values, problems)
    client: dict[str, Any] = {}
    for key, given in read_environment(environment, client, problems):
        places[key.path] = f"{given.where}: "
        _accept(key, given, None, values, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    if client:
        values[CLIENT.path] = {**values.get(CLIENT.path, {}), **client}
    app = values.get(("app",), BY_PATH["app",].default)
    values.setdefault(("topics", "state"), f"{app}-state")
    _check_topics(values, places, problems)
    _check_sources(values, places, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return cast(Settings, _build(Settings, (), values))


def _check_topics(
    values: Mapping[tuple[str, ...], Any], places: Mapping[tuple[str, ...], str], problems: list[str]
) -> None:
    """Names that Kafka takes, and no two the same: a worker would read what it writes."""
    seen: dict[str, str] = {}
    for path, setting in BY_PATH.items():
        if path[0] != "topics":
            continue
        name = values.get(path, setting.default)
        told = path if path in places else ("app",) if path == ("topics", "state") else path
        place = f"{places.get(told, '')}`{'.'.join(told)}`"
        if not _TOPIC.fullmatch(name) or name in (".", ".."):
            allowed = "at most 249 letters, digits, `.`, `_` and `-`"
            problems.append(f"{place}: Kafka takes no topic `{name}`; its names are {allowed}")
        elif name in seen:
            problems.append(
                f"{place}: `{name}` is `{seen[name]}` already; every topic needs a name of its own"
            )
        seen.setdefault(name, setting.key)


def _check_sources(
    values: Mapping[tuple[str, ...], Any], places: Mapping[tuple[str, ...], str], problems: list[str]
) -> None:
    """What the ingest stage writes must be read as it is, and not by itself."""
    sources = values.get(("sources",))
    if not sources:
        return
    events = values.get(("topics", "events"), BY_PATH["topics", "events"].default)
    if events in sources:
        problems.append(
            f"{places['sources',]}`sources`: `{events}` is the topic that events are written to; its mapping is "
            "`mapping`"
        )
    if values.get(("mapping",), "canonical") != "canonical":
        problems.append(
            f"{places['mapping',]}`mapping`: with `sources`, the events topic is canonical: leave `mapping` out"
        )


def _build(cls: type, path: tuple[str, ...], values: Mapping[tuple[str, ...], Any]) -> object:
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for each in fields(cls):
        here = (*path, each.name)
        if here in SECTIONS:
            arguments[each.name] = _build(hints[each.name], here, values)
        elif here in values:
            arguments[each.name] = values[here]
    return cls(**arguments)


def _accept(
    setting: Setting,
    given: Given,
    folder: Path | None,
    values: dict[tuple[str, ...], Any],
    problems: list[str],
) -> None:
    """Reads one given value into `values`, or says what is wrong with it."""
    kind = setting.kind
    written = given.value
    try:
        if isinstance(written, str):
            value: Any = kind.parse(written)
        elif isinstance(written, tuple) and kind is PATHS:
            value = written
        elif isinstance(written, Mapping) and kind is ANYTHING:
            value = dict(written)
        elif isinstance(written, Mapping) and kind is TABLE:
            value = kind.parse(yaml.safe_dump(dict(written)))
        else:
            raise ValueError("expected one value, not a list or a section")
        if kind is ANYTHING and not isinstance(value, dict):
            raise ValueError("expected a section of keys and values")
    except (ValueError, yaml.YAMLError) as error:
        problems.append(f"{given.where}: `{setting.key}`: {error}")
        return
    if setting.key == "definitions":
        value = tuple(_locate(item, folder, given.where, problems) for item in value)
    elif kind is PATH or (setting.key == "mapping" and value.endswith((".yaml", ".yml"))):
        value = _locate(value, folder, given.where, problems)
    elif setting.key == "sources":
        value = {
            topic: _locate(name, folder, given.where, problems) if name.endswith((".yaml", ".yml")) else name
            for topic, name in value.items()
        }
    values[setting.path] = value


def _locate(text: str, folder: Path | None, where: str, problems: list[str]) -> str:
    """A path as the program will open it."""
    if text.startswith(PREFIX):
        try:
            return locate(text)
        except OperatorError as error:
            problems.append(f"{where}: {error}")
            return text
    path = Path(text).expanduser()
    return str(path if folder is None or path.is_absolute() else folder / path)
