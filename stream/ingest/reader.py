"""A mapping file → its parts. What is wrong is noted with its place and read as nothing, so that all of it is found."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from stream.definitions.model import Place
from stream.definitions.source import Source, kind, listing, suggest
from stream.definitions.zones import find_zone
from stream.events import CLOCK_ADVANCED, ENVELOPE_FIELDS
from stream.ingest.conditions import ConditionReader
from stream.ingest.parts import (
    ABSENT,
    Body,
    Build,
    Choose,
    Condition,
    Constant,
    Field,
    First,
    ForEach,
    Items,
    Listing,
    Merge,
    Part,
    Product,
    Read,
    Template,
    Unique,
)
from stream.ingest.paths import Path, parse_path
from stream.ingest.rows import DELIMITERS, Rows
from stream.ingest.transform_reader import TransformReader
from stream.ingest.transforms import Transform
from stream.ingest.yaml_values import is_text, plain

BODY_KEYS = ("match", "each", "drop", "event", "cases")
MAPPING_KEYS = ("name", "description", "timezone", "rows", "decode", "identity", *BODY_KEYS)
ROW_KEYS = ("delimiter", "columns", "skip", "encoding", "quotes")
FORMS = {
    "path": ("path", "as", "clock", "table", "else", "default"),
    "first": ("first", "as", "table", "else", "default"),
    "template": ("template", "as", "table", "else", "default"),
    "const": ("const",),
    "uuid5": ("uuid5",),
    "multiply": ("multiply",),
    "when": ("when", "then", "else"),
    "each": ("each", "match", "drop", "item", "as"),
    "merge": ("merge",),
}
"""The ways to say a value: by the word that starts it, the words that may go with it."""
_REASONS = {
    "type": "bad_type",
    "time": "bad_time",
    "id": "bad_id",
    "user_id": "bad_user",
    "anonymous_id": "bad_user",
}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([{}])")
_BROKEN = Constant(None)
_NULL = "tag:yaml.org,2002:null"


class MappingReader:
    """Reads one file; `body` is None where records are canonical already."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._transforms = TransformReader(source, self._inner_path)
        self._conditions = ConditionReader(source, self.path, self._transforms.read)
        self._depth = 0
        self._alternative = False
        self._label = ""
        self.name: str | None = None
        self.description = ""
        self.identity = False
        self.rows: Rows | None = None
        self.body: Body | None = None
        self.decode: list[tuple[str, tuple[Transform, ...]]] = []
        self.needs: list[tuple[Path, Place]] = []
        """Paths into the record, with where they stand; not those that are one of several ways."""
        self.reads_origin = False

    def read(self, text: str) -> None:
        source = self._source
        root = source.compose(text)
        if root is None:
            if not source.problems.errors:
                source.problems.error(Place(source.file, 1, 1), "the file is empty; start with `name:`")
            return
        fields = source.fields(root, "a mapping", MAPPING_KEYS)
        if fields is None:
            return
        if "name" in fields:
            self.name = source.text(fields["name"][1], "name")
        if "description" in fields:
            self.description = source.text(fields["description"][1], "description") or ""
        if "timezone" in fields and (zone := find_zone(source, fields["timezone"][1])):
            self._transforms.zone = ZoneInfo(zone)
        if "rows" in fields:
            self.rows = self._rows(fields["rows"][1])
        if "decode" in fields:
            self._decode(fields["decode"][1])
        self.identity = "identity" in fields and source.boolean(fields["identity"][1], "identity") is True
        given = [key for key in BODY_KEYS if key in fields]
        if self.identity and given:
            message = f"a mapping with `identity: true` changes nothing; leave {listing(given)} out"
            source.error(fields[given[0]][0], message)
        elif not self.identity:
            self.body = self._body(root, fields, MAPPING_KEYS)
        if self.rows is not None and self.rows.columns is not None:
            self._check_columns(self.rows.columns)

    def _decode(self, node: yaml.Node) -> None:
        for name, (key, value) in (self._source.fields(node, "`decode`", None) or {}).items():
            path = self.path(key, "decode")
            if path is not None and (path.root != "item" or len(path.steps) != 1):
                self._source.error(key, f"`{name}`: only whole fields of the record are decoded")
            self.decode.append((name, tuple(self._transforms.read(value))))

    # --- the shape of the file ---------------------------------------------------------------------------------------

    def _rows(self, node: yaml.Node) -> Rows:
        source = self._source
        fields = source.fields(node, "`rows`", ROW_KEYS) or {}
        delimiter = source.text(fields["delimiter"][1], "delimiter") if "delimiter" in fields else None
        if delimiter is not None:
            delimiter = DELIMITERS.get(delimiter, delimiter)
            if len(delimiter) != 1 or delimiter in '"\r\n':
                near = suggest(delimiter, DELIMITERS)
                message = f"a delimiter is one character, or one of {listing(DELIMITERS)}{near}"
                source.error(fields["delimiter"][1], message)
                delimiter = None
        columns: tuple[str, ...] | None = None
        if "columns" in fields:
            nodes = source.items(fields["columns"][1], "columns") or []
            names = [source.text(each, "the name of a column") for each in nodes]
            columns = tuple(name or "" for name in names)
            for each, name in zip(nodes, names, strict=True):
                if name and names.index(name) < nodes.index(each):
                    source.error(each, f"the column `{name}` is named twice")
        encoding = source.text(fields["encoding"][1], "encoding") if "encoding" in fields else None
        if encoding is not None and not _is_encoding(encoding):
            near = suggest(encoding, ("utf-8", "utf-16", "latin-1", "cp1252", "euc-kr", "shift-jis"))
            source.error(fields["encoding"][1], f"unknown encoding `{encoding}`{near}")
            encoding = None
        skip = source.integer(fields["skip"][1], "skip", 0) if "skip" in fields else 0
        quotes = source.boolean(fields["quotes"][1], "quotes") if "quotes" in fields else True
        return Rows(delimiter, columns, skip or 0, encoding, quotes is not False)

    def _check_columns(self, columns: tuple[str, ...]) -> None:
        for path, at in self.needs:
            name = path.column
            if name is not None and name not in columns:
                self._source.problems.error(at, f"unknown column `{name}`{suggest(name, columns)}")

    def _body(self, node: yaml.Node, fields: dict[str, Any], allowed: tuple[str, ...]) -> Body | None:
        source = self._source
        match = self._optional_condition(fields, "match")
        depth = self._depth
        each: tuple[Items, ...] = ()
        if "each" in fields:
            each = self._levels(fields["each"][1])
        drop = self._optional_condition(fields, "drop")
        event: Build | None = None
        cases: tuple[Body, ...] = ()
        if "event" in fields and "cases" in fields:
            source.error(fields["cases"][0], "there is either one `event`, or `cases` with one each")
        if "event" in fields:
            event = self._event(fields["event"][1])
        elif "cases" in fields:
            found = [self._case(each_) for each_ in source.items(fields["cases"][1], "cases") or ()]
            cases = tuple(case for case in found if case is not None)
        else:
            source.lacks(node, node, allowed, "`event` is missing: the template of a canonical event")
        self._depth = depth
        if match is not None and allowed is MAPPING_KEYS:
            return Body(None, (), None, None, (Body(match, each, drop, event, cases),))
        return Body(match, each, drop, event, cases)

    def _case(self, node: yaml.Node) -> Body | None:
        fields = self._source.fields(node, "a case", BODY_KEYS)
        return None if fields is None else self._body(node, fields, BODY_KEYS)

    def _levels(self, node: yaml.Node) -> tuple[Items, ...]:
        """`each: path`, or a list of them, from the outer items to the inner."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = []
        for each in nodes:
            found.append(self._items(each))
            self._depth += 1
        return tuple(found)

    def _items(self, node: yaml.Node) -> Items:
        if isinstance(node, yaml.MappingNode):
            entries = self._source.fields(node, "`each`", None) or {}
            pairs = [(name, self.path(value, "each")) for name, (_, value) in entries.items()]
            if not pairs:
                self._source.error(node, "`each` names no list")
            return Items(None, tuple((name, path) for name, path in pairs if path is not None))
        return Items(self.path(node, "each"))

    def _event(self, node: yaml.Node) -> Build:
        source = self._source
        what = "an event template (other facts go under `props`)"
        entries = source.fields(node, what, ENVELOPE_FIELDS)
        if entries is None:
            return Build(())
        for required in ("type", "time"):
            if required not in entries:
                source.lacks(
                    node, node, ENVELOPE_FIELDS, f"`{required}` is missing: a canonical event needs it"
                )
        parts = []
        for name, (_, value) in entries.items():
            self._label = name
            parts.append((name, self.part(value, _REASONS.get(name, "bad_row"))))
        whose = "user_id" in entries or "anonymous_id" in entries
        if not whose and dict(parts).get("type") != Constant(CLOCK_ADVANCED):
            message = "`user_id` is missing: an event needs it, or `anonymous_id`"
            source.lacks(node, node, ENVELOPE_FIELDS, message)
        return Build(tuple(parts))

    # --- parts -------------------------------------------------------------------------------------------------------

    def part(self, node: yaml.Node, reason: str) -> Part:
        """A value of the template."""
        if isinstance(node, yaml.ScalarNode):
            path = self.path(node, "a value")
            return _BROKEN if path is None else Read(path)
        if isinstance(node, yaml.SequenceNode):
            return Listing(tuple(self.part(child, reason) for child in node.value))
        entries = self._source.fields(node, "a part of an event", None) or {}
        form = _form_of({name: value for name, (_, value) in entries.items()})
        if form is None:
            return Build(tuple((name, self.part(value, reason)) for name, (_, value) in entries.items()))
        fields = self._source.fields(node, f"a value with `{form}`", FORMS[form]) or {}
        if form == "const":
            return Constant(plain(fields["const"][1]))
        if form == "uuid5":
            return Unique(self._parts(fields["uuid5"][1], reason))
        if form == "multiply":
            return Product(self._parts(fields["multiply"][1], reason), self._label)
        if form == "merge":
            return Merge(self._parts(fields["merge"][1], reason))
        if form == "when":
            return self._choose(fields, reason)
        if form == "each":
            return self._for_each(fields, reason)
        return self._field(form, fields, reason)

    def _parts(self, node: yaml.Node, reason: str) -> tuple[Part, ...]:
        if not node.value:
            self._source.error(node, "this list is empty")
        return tuple(self.part(each, reason) for each in node.value)

    def _choose(self, fields: dict[str, Any], reason: str) -> Part:
        condition = self._conditions.condition(fields["when"][1], "when")
        then = self.part(fields["then"][1], reason)
        otherwise = self.part(fields["else"][1], reason) if "else" in fields else None
        return _BROKEN if condition is None else Choose(condition, then, otherwise)

    def _for_each(self, fields: dict[str, Any], reason: str) -> Part:
        items = self._items(fields["each"][1])
        self._depth += 1
        match = self._optional_condition(fields, "match")
        drop = self._optional_condition(fields, "drop")
        part = self.part(fields["item"][1], reason)
        self._depth -= 1
        found = ForEach(items, match, drop, part)
        if "as" not in fields:
            return found
        return Field(found, reason, self._label, tuple(self._transforms.read(fields["as"][1])))

    def _optional_condition(self, fields: dict[str, Any], name: str) -> Condition | None:
        return self._conditions.condition(fields[name][1], name) if name in fields else None

    def _field(self, form: str, fields: dict[str, Any], reason: str) -> Part:
        source = self._source
        node = fields[form][1]
        part, label = self._origin_of(form, node, reason)
        chosen = tuple(self._transforms.read(fields["as"][1])) if "as" in fields else ()
        sent = received = None
        if "clock" in fields:
            clock = source.fields(fields["clock"][1], "`clock`", ("sent", "received")) or {}
            for name in ("sent", "received"):
                if name not in clock:
                    source.error(fields["clock"][1], f"`clock` needs `{name}:`, the path of a time")
            if len(clock) == 2:
                both = [self._clock(clock[name][1], reason, chosen) for name in ("sent", "received")]
                sent, received = both
        table: dict[str, Any] | None = None
        if "table" in fields:
            rows = source.fields(fields["table"][1], "a table", None) or {}
            table = {key: plain(value) for key, (_, value) in rows.items()}
        elif "else" in fields:
            source.error(fields["else"][0], "`else` says what a `table` gives for what it lacks")
        otherwise = plain(fields["else"][1]) if "else" in fields else ABSENT
        default = plain(fields["default"][1]) if "default" in fields else None
        return Field(part, reason, label, chosen, sent, received, table, otherwise, default)

    def _clock(self, node: yaml.Node, reason: str, chosen: tuple[Transform, ...]) -> Part:
        part = self.part(node, reason)
        label = part.path.text if isinstance(part, Read) else self._label
        return Field(part, reason, label, chosen) if isinstance(part, Read) else part

    def _origin_of(self, form: str, node: yaml.Node, reason: str) -> tuple[Part, str]:
        """Where a field's value comes from, and what errors call it."""
        if form == "template":
            return Template(self._template(node)), self._label
        if form == "first" or isinstance(node, yaml.SequenceNode):
            before, self._alternative = self._alternative, len(node.value) > 1
            parts = self._parts(node, reason)
            self._alternative = before
            labels = [part.path.text for part in parts if isinstance(part, Read)]
            return First(parts), " | ".join(labels) or self._label
        path = self.path(node, "path")
        return (_BROKEN, self._label) if path is None else (Read(path), path.text)

    def _template(self, node: yaml.Node) -> tuple[str | Part, ...]:
        """`{store}-{number}`; doubled braces stand for themselves."""
        text = self._source.text(node, "template") or ""
        pieces: list[str | Part] = []
        at = 0
        for found in _PLACEHOLDER.finditer(text):
            pieces.append(text[at : found.start()])
            at = found.end()
            if found[0] in ("{{", "}}"):
                pieces.append(found[0][0])
            elif found[2] is not None:
                self._source.error(
                    node, f"a `{found[2]}` stands alone in the template; write it twice to mean itself"
                )
            else:
                path = self._path_of(found[1].strip(), node)
                pieces.append(_BROKEN if path is None else Read(path))
        pieces.append(text[at:])
        return tuple(piece for piece in pieces if piece != "")

    # --- paths and transforms ----------------------------------------------------------------------------------------

    def path(self, node: yaml.Node, what: str) -> Path | None:
        """A path, noted among the columns that are needed."""
        if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
            self._source.error(node, f"expected a path for {what}, not {kind(node)}")
            return None
        if not is_text(node):
            self._source.error(
                node, f"`{node.value}` is no path: a constant is written {{const: {node.value}}}"
            )
            return None
        return self._path_of(node.value, node)

    def _inner_path(self, node: yaml.Node, what: str) -> Path | None:
        """A path in the items of a list."""
        self._depth += 1
        path = self.path(node, what)
        self._depth -= 1
        return path

    def _path_of(self, text: str, node: yaml.Node) -> Path | None:
        try:
            path = parse_path(text)
        except ValueError as error:
            self._source.error(node, str(error))
            return None
        if path.up > self._depth:
            self._source.error(node, f"`{text}` leaves more items than stand around it ({self._depth})")
            return None
        if path.root in ("headers", "key", "timestamp"):
            self.reads_origin = True
        elif path.column is not None and not self._alternative and self._is_of_record(path):
            self.needs.append((path, self._source.place(node)))
        return path

    def _is_of_record(self, path: Path) -> bool:
        return path.root == "record" or path.up == self._depth


def _form_of(values: dict[str, yaml.Node]) -> str | None:
    """Which way of saying a value this is; None for an object whose keys are names of its own."""
    scalar, sequence, mapping = yaml.ScalarNode, yaml.SequenceNode, yaml.MappingNode
    shapes: dict[str, tuple[type[yaml.Node], ...]] = {
        "path": (scalar, sequence), "const": (scalar, sequence, mapping), "first": (sequence,), "uuid5": (sequence,),
        "merge": (sequence,), "multiply": (sequence,), "template": (scalar,),
    }  # fmt: skip
    if "when" in values and "then" in values:
        return "when"
    if "each" in values and "item" in values:
        return "each"
    for name, shape in shapes.items():
        if isinstance(values.get(name), shape) and (name != "template" or "{" in values[name].value):
            return name
    return None


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True
