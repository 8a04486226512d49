"""Mappings: what turns the rows of a source into canonical events, written as YAML and compiled once.

    name: retailrocket
    event:
      type: {path: event, table: {view: product_viewed, addtocart: product_added}}
      time: {path: timestamp, as: ms}
      user_id: visitorid
      items:
        - product_id: itemid

`event` is a template of a canonical event. In it, text is a path into the row (`a.b` steps into objects); an object
with `path` or `const` is a field, with `as` (a transform or a list of them) and `table` (a value that the table lacks
passes unchanged: it is a custom event as good as any); any other object, and a list, are built from their parts. A
part whose path leads to nothing (missing, null, "") is left out, and so is an object or a list of nothing else.

A mapping is a function row → rows: none and many are allowed, so that sources whose record holds several events fit.
`identity` marks the mapping of a source that is canonical already; nothing is applied to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from stream.definitions.model import Place
from stream.definitions.source import Problems, Source
from stream.errors import DefinitionError, Problem, RecordError
from stream.events import ENVELOPE_FIELDS
from stream.ingest.transforms import TRANSFORMS, Transform

Row = dict[str, Any]
Part = Callable[[Row], Any]
"""Builds one value of an event from a row; None where there is nothing."""
_FIELD_KEYS = ("path", "const", "as", "table")
_MAPPING_KEYS = ("name", "description", "identity", "event")
_REASONS = {
    "type": "bad_type",
    "time": "bad_time",
    "id": "bad_id",
    "user_id": "bad_user",
    "anonymous_id": "bad_user",
}


@dataclass(frozen=True, slots=True)
class Mapping:
    """A compiled mapping. `apply` raises RecordError where a value is not what a transform expects."""

    name: str
    description: str
    identity: bool
    apply: Callable[[Row], Iterable[Row]]


def preset_names() -> list[str]:
    """The mappings that come with the package."""
    presets = resources.files("stream.ingest") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in presets.iterdir() if entry.name.endswith(".yaml")
    )


def load_mapping(name: str | Path) -> Mapping:
    """The preset of that name, else the mapping in that file; DefinitionError with everything that is wrong in it."""
    if str(name) in preset_names():
        preset = resources.files("stream.ingest") / "presets" / f"{name}.yaml"
        return parse_mapping(preset.read_text(encoding="utf-8"), str(name))
    try:
        source = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = (
            f"no such mapping: neither a preset ({', '.join(preset_names())}) nor a readable file ({reason})"
        )
        raise DefinitionError([Problem(str(name), 1, 1, message)]) from None
    return parse_mapping(source, str(name))


def is_mapping(source: str) -> bool:
    """Whether a YAML file is a mapping rather than definitions, judged by its top-level keys."""
    root = Source("", Problems()).compose(source)
    keys = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    return "event" in keys or "identity" in keys


def parse_mapping(text: str, file: str) -> Mapping:
    """Compile the YAML text of a mapping; `file` names it in errors."""
    problems = Problems()
    mapping = _Compiler(Source(file, problems)).mapping(text)
    if mapping is None or problems.errors:
        raise DefinitionError(problems.errors)
    return mapping


class _Compiler:
    """YAML nodes → closures. What is wrong is noted and compiled to nothing, so that all of it is found."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def mapping(self, text: str) -> Mapping | None:
        source = self._source
        root = source.compose(text)
        if root is None:
            if not source.problems.errors:
                source.problems.error(Place(source.file, 1, 1), "the file is empty; start with `name:`")
            return None
        fields = source.fields(root, "a mapping", _MAPPING_KEYS)
        if fields is None:
            return None
        name = source.text(fields["name"][1], "name") if "name" in fields else None
        description = (
            source.text(fields["description"][1], "description") if "description" in fields else None
        )
        identity = "identity" in fields and source.boolean(fields["identity"][1], "identity") is True
        apply: Callable[[Row], Iterable[Row]] = _unchanged
        if identity and "event" in fields:
            source.error(
                fields["event"][0], "a mapping with `identity: true` changes nothing; leave `event` out"
            )
        elif "event" in fields:
            apply = self._event(fields["event"][1])
        elif not identity:
            source.error(root, "`event` is missing: the template of a canonical event")
        return Mapping(name or Path(source.file).stem, description or "", identity, apply)

    def _event(self, node: yaml.Node) -> Callable[[Row], Iterable[Row]]:
        entries = (
            self._source.fields(node, "an event template (other facts go under `props`)", ENVELOPE_FIELDS)
            or {}
        )
        for required in ("type", "time"):
            if required not in entries:
                self._source.error(node, f"`{required}` is missing: a canonical event needs it")
        parts = [
            (key, self._part(value, _REASONS.get(key, "bad_row"))) for key, (_, value) in entries.items()
        ]
        return lambda row: (_build(parts, row),)

    def _part(self, node: yaml.Node, reason: str) -> Part:
        if isinstance(node, yaml.ScalarNode):
            return _path(node.value)
        if isinstance(node, yaml.SequenceNode):
            return _list([self._part(child, reason) for child in node.value])
        entries = self._source.fields(node, "a part of an event", None) or {}
        if "path" in entries or "const" in entries:
            return self._field(node, reason)
        return _object([(key, self._part(value, reason)) for key, (_, value) in entries.items()])

    def _field(self, node: yaml.Node, reason: str) -> Part:
        source = self._source
        entries = source.fields(node, "a field", _FIELD_KEYS) or {}
        if "const" in entries:
            if len(entries) > 1:
                source.error(node, "`const` stands alone")
            value = _plain(entries["const"][1])
            return lambda row: value
        path = source.text(entries["path"][1], "path") or ""
        part = _path(path)
        if "as" in entries:
            part = _transformed(part, self._transforms(entries["as"][1]), reason, path)
        if "table" in entries:
            table = source.fields(entries["table"][1], "a table", None) or {}
            part = _translated(part, {key: _plain(value) for key, (_, value) in table.items()})
        return part

    def _transforms(self, node: yaml.Node) -> list[Transform]:
        names = node.value if isinstance(node, yaml.SequenceNode) else [node]
        chosen = [self._source.choice(name, "a transform", tuple(TRANSFORMS)) for name in names]
        return [TRANSFORMS[name] for name in chosen if name is not None]


def _unchanged(row: Row) -> Iterable[Row]:
    return (row,)


def _build(fields: list[tuple[str, Part]], row: Row) -> Row:
    built = {}
    for name, part in fields:
        value = part(row)
        if value is not None:
            built[name] = value
    return built


def _path(path: str) -> Part:
    first, *rest = path.split(".")

    def read(row: Row) -> Any:
        node = row.get(first)
        for key in rest:
            if not isinstance(node, dict):
                return None
            node = node.get(key)
        return None if node == "" else node

    return read


def _object(fields: list[tuple[str, Part]]) -> Part:
    return lambda row: _build(fields, row) or None


def _list(parts: list[Part]) -> Part:
    def build(row: Row) -> list[Any] | None:
        return [value for part in parts if (value := part(row)) is not None] or None

    return build


def _transformed(part: Part, transforms: list[Transform], reason: str, path: str) -> Part:
    def read(row: Row) -> Any:
        value = part(row)
        if value is None:
            return None
        try:
            for transform in transforms:
                value = transform(value)
        except ValueError as error:
            raise RecordError(reason, f"$.{path}: {error}") from None
        return value

    return read


def _translated(part: Part, table: dict[str, Any]) -> Part:
    def read(row: Row) -> Any:
        value = part(row)
        return table.get(value, value) if isinstance(value, str) else value

    return read


def _plain(node: yaml.Node) -> Any:
    """The value of a node as YAML reads it."""
    return yaml.SafeLoader("").construct_document(node)
