"""Mappings: what turns the records of a source into canonical events, written as YAML and compiled once.

    name: retailrocket
    event:
      type: {path: event, table: {view: product_viewed, addtocart: product_added}}
      time: {path: timestamp, as: ms}
      user_id: visitorid
      items:
        - product_id: itemid

The language is described in docs/sources.md. A mapping is a function of a record → canonical rows: none and many are
allowed, so that sources whose record holds several events fit. `identity` marks the mapping of a source that is
canonical already; nothing is applied to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path as File
from typing import Any

import msgspec
import yaml

from stream.definitions.model import Place
from stream.definitions.source import Problems, Source, suggest
from stream.errors import DefinitionError, Problem
from stream.ingest.compiler import Compiled, compile_body
from stream.ingest.origin import Origin
from stream.ingest.parts import Body
from stream.ingest.paths import Path
from stream.ingest.reader import BODY_KEYS, MappingReader
from stream.ingest.rows import Rows

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A compiled mapping."""

    name: str
    description: str
    identity: bool
    rows: Rows | None
    """How tables of this source are cut, where they do not say so themselves."""
    reads_origin: bool
    """It reads the key, the headers or the timestamp of records."""
    compiled: Compiled
    """Its functions, for readers that cannot wait; `apply` is for everybody else."""
    needs: tuple[tuple[Path, Place], ...]
    """Paths into the record that must lead somewhere, with where the mapping says so."""
    body: Body | None = None
    """What was compiled, for readers of batches; None where records have to be taken as a whole."""
    whole: bool = False
    """The record may be a list: its items are what `each` looks at."""

    def apply(self, row: Any, origin: Origin | None = None, timestamp: int | None = None) -> list[Row]:
        """The canonical rows of a record, without those that are dropped.

        RecordError where a value is not what a transform expects, or no case matches. Rows of one record whose ids
        are the same get `/2`, `/3`, … behind theirs, in order: or all but the first would be taken for repeats.
        """
        rows = self.compiled.apply(row, origin, timestamp)
        return rows if len(rows) < 2 else _with_own_ids(rows)

    def apply_json(
        self, value: bytes, origin: Origin | None = None, timestamp: int | None = None
    ) -> list[Row] | None:
        """The same of a JSON object, decoding only what is read of it. None if that cannot be done: use `apply`.

        msgspec.DecodeError where it is no JSON.
        """
        decode, apply = self.compiled.decode, self.compiled.apply_struct
        if decode is None or apply is None:
            return None
        try:
            record = decode(value)
        except msgspec.ValidationError:
            return None
        rows = apply(record, origin, timestamp)
        return rows if len(rows) < 2 else _with_own_ids(rows)

    def check_columns(self, header: Iterable[str]) -> None:
        """DefinitionError if the mapping needs columns that a table has not."""
        names = list(header)
        needed = [(path.column, at) for path, at in self.needs if path.column is not None]
        if len(names) == 1 and len(needed) > 1:
            hint = next((each for each in ";\t|," if each in names[0]), None)
            shown = {"\t": "tab"}.get(hint or "", hint)
            told = (
                f"; its header is one column, so perhaps `rows: {{delimiter: '{shown}'}}` is missing"
                if hint
                else ""
            )
        else:
            told = ""
        problems = [
            Problem(
                at.file, at.line, at.column, f"the table has no column `{name}`{told or suggest(name, names)}"
            )
            for name, at in needed
            if name not in names
        ]
        if problems:
            raise DefinitionError(problems)


def preset_names() -> list[str]:
    """The mappings that come with the package."""
    return sorted(_presets())


@cache
def _presets() -> frozenset[str]:
    presets = resources.files("stream.ingest") / "presets"
    return frozenset(
        entry.name.removesuffix(".yaml") for entry in presets.iterdir() if entry.name.endswith(".yaml")
    )


def load_mapping(name: str | File) -> Mapping:
    """The preset of that name, else the mapping in that file; DefinitionError with everything that is wrong in it."""
    if str(name) in _presets():
        preset = resources.files("stream.ingest") / "presets" / f"{name}.yaml"
        return parse_mapping(preset.read_text(encoding="utf-8"), str(name))
    try:
        source = File(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        near = suggest(str(name), preset_names())
        presets = ", ".join(preset_names())
        message = f"no such mapping: neither a preset ({presets}) nor a readable file ({reason}){near}"
        raise DefinitionError([Problem(str(name), 1, 1, message)]) from None
    return parse_mapping(source, str(name))


def is_mapping(source: str) -> bool:
    """Whether a YAML file is a mapping rather than definitions, judged by its top-level keys."""
    root = Source("", Problems()).compose(source)
    keys = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    return bool(keys & {"event", "cases", "identity", "rows"})


def parse_mapping(text: str, file: str) -> Mapping:
    """Compile the YAML text of a mapping; `file` names it in errors."""
    problems = Problems()
    reader = MappingReader(Source(file, problems))
    reader.read(text)
    if problems.errors:
        raise DefinitionError(problems.errors)
    body = reader.body
    return Mapping(
        reader.name or File(file).stem,
        reader.description,
        reader.identity,
        reader.rows,
        reader.reads_origin,
        Compiled(_unchanged, None, None)
        if body is None
        else compile_body(body, reader.decode, reader.rows is None or reader.rows.columns is None),
        tuple(reader.needs),
        None if reader.decode else body,
        body is not None and _takes_lists(body),
    )


def _takes_lists(body: Body) -> bool:
    if body.each and body.each[0].path is not None and not body.each[0].path.steps:
        return True
    return any(_takes_lists(case) for case in body.cases)


def _unchanged(row: Row, _origin: Origin | None = None, _timestamp: int | None = None) -> list[Row]:
    return [row]


def _with_own_ids(rows: list[Row]) -> list[Row]:
    seen: Counter[str] = Counter()
    for row in rows:
        given = row.get("id")
        if isinstance(given, str) and given:
            seen[given] += 1
            if seen[given] > 1:
                row["id"] = f"{given}/{seen[given]}"
    return rows


__all__ = ["BODY_KEYS", "Mapping", "is_mapping", "load_mapping", "parse_mapping", "preset_names"]
