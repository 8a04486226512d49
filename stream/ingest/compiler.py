"""A mapping → one Python function.

A template of thirty fields read by thirty little functions costs several microseconds an event in calls alone. So the
parts are written out as the statements that somebody would write by hand, compiled once, and run as they are:

    p1 = row.get('properties')
    if type(p1) is not dict: p1 = EMPTY
    v2 = p1.get('order_id')
    if not v2 and v2 == '': v2 = None
    if v2 is not None: e3['order_id'] = v2

Names and constants of the mapping get into the text by `repr` or as names of the namespace, never as they stand.

A *scope* is what paths start from: the record, or the item of a loop. An object that several paths step through is
looked up once per scope, at its beginning.

There are three functions of a mapping: of any row; of structs that hold just what is read of a JSON record (`Shape`);
and, for readers that have a batch to read, of such structs → finished events, without the row in between. That last one
knows which fields of an event anybody reads, and leaves the others out where making them could not have failed:
whether a record is readable does not depend on who reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from stream.events import Event
from stream.ingest.calls import CALLS, MAX_EVENTS, Memo
from stream.ingest.parts import (
    ABSENT,
    PRESENT,
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
    Test,
    Unique,
)
from stream.ingest.paths import Path, Step
from stream.ingest.shape import Shape
from stream.ingest.times import Iso8601
from stream.ingest.transforms import OF_TEXT, Transform

TEXTS = frozenset({"id", "user_id", "anonymous_id", "session_id", "order_id", "product_id"})
"""Fields whose numbers become text: ids are text, and sources disagree about that."""
NUMBERS = frozenset({"value", "price", "quantity", "lat", "lon"})
"""Fields whose digits in text become numbers: a table has nothing but text."""

Apply = Callable[..., list[dict[str, Any]]]
MakeEvents = Callable[[msgspec.Struct, Any, int | None, int], list[Event] | None]
"""(what `decode` gave, origin, timestamp, offset) → events, ready for the engine; None where one of them needs another
look, if only because it has no id."""


class Compiled(NamedTuple):
    """A mapping as functions (row, origin=None, timestamp=None) → canonical rows; they raise RecordError."""

    apply: Apply
    """For rows that are decoded already: dictionaries, or lists."""
    apply_struct: Apply | None
    """For what `decode` gives, where the shape of a record can be told."""
    decode: Callable[[bytes], msgspec.Struct] | None
    """A record into what is read of it; msgspec.ValidationError where it does not fit."""


def compile_body(
    body: Body, decode: Iterable[tuple[str, tuple[Transform, ...]]] = (), structs: bool = True
) -> Compiled:
    """`decode`: fields of the record and the transforms that they go through before any path is read.

    `structs`: records are JSON objects, of which only what is read needs to be decoded.
    """
    general = _Writer(None)
    apply = general.function(body, decode)
    if not structs or tuple(decode) or not general.read or () in general.read:
        return Compiled(apply, None, None)
    shape = Shape(general.read)
    return Compiled(apply, _Writer(shape).function(body, ()), msgspec.json.Decoder(shape.root).decode)


def compile_events(
    body: Body, event_type: type[Event]
) -> tuple[Callable[[bytes], msgspec.Struct], MakeEvents] | None:
    """A mapping as a decoder of JSON objects and a function that makes events of what it gives.

    None where events are not to be made without their rows: nothing gives them an id, or the record's shape is unknown.
    """
    if not all("id" in dict(event.entries) for event in _templates(body)):
        return None
    general = _Writer(None, event_type)
    general.function(body, ())
    if not general.read or () in general.read:
        return None
    shape = Shape(general.read)
    return msgspec.json.Decoder(shape.root).decode, _Writer(shape, event_type).function(body, ())


def _templates(body: Body) -> list[Build]:
    inner = [template for case in body.cases for template in _templates(case)]
    return inner if body.event is None else [body.event, *inner]


class _Scope:
    """Where paths start; `lines` is the place at its beginning where what it looks up once is written."""

    def __init__(
        self, item: str, lines: list[Any], indent: int, around: _Scope | None, same: _Scope | None
    ) -> None:
        self.item = item
        self.lines = lines
        self.indent = indent
        self.around = around
        """The scope of the item around this one."""
        self.same = same
        """A scope of the same item that began before: what it has looked up holds here."""
        self.known: dict[tuple[Step, ...], str] = {}

    def find(self, steps: tuple[Step, ...]) -> str | None:
        found = self.known.get(steps)
        return found if found is not None or self.same is None else self.same.find(steps)


class _Writer:
    def __init__(self, shape: Shape | None, event_type: type[Event] | None = None) -> None:
        self.read: set[tuple[Step, ...]] = set()
        """Where in the record something is read."""
        self._shape = shape
        self._event_type = event_type
        self._names: dict[str, Any] = dict(CALLS)
        self._lines: list[Any] = []
        self._indent = 1
        self._count = 0

    def function(self, body: Body, decode: Iterable[tuple[str, tuple[Transform, ...]]]) -> Any:
        self._put("out = []")
        decode = tuple(decode)
        if decode:
            self._put("if type(row) is dict:")
            self._put(f" row = DECODE(row, {self._name('d', decode)})")
        scope = self._open("row", None, None)
        self._body(body, scope, "return out")
        self._put("return out")
        offset = "" if self._event_type is None else ", offset=-1"
        source = f"def apply(row, origin=None, timestamp=None{offset}):\n" + "".join(_flat(self._lines))
        exec(compile(source, "<mapping>", "exec"), self._names)
        return self._names["apply"]

    # text

    def _put(self, line: str) -> None:
        self._lines.append(f"{' ' * self._indent}{line}\n")

    def _new(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _name(self, letter: str, value: Any) -> str:
        """A name of the namespace for a value."""
        name = self._new(letter.upper())
        self._names[name] = value
        return name

    def _open(self, item: str, around: _Scope | None, same: _Scope | None) -> _Scope:
        lines: list[Any] = []
        self._lines.append(lines)
        return _Scope(item, lines, self._indent, around, same)

    # paths

    def _raw(self, path: Path, scope: _Scope) -> str:
        """An expression for what stands at a path, "" and all."""
        if path.root == "headers":
            return f"HEADER(origin, {path.steps[0]!r})"
        if path.root == "key":
            return "KEY(origin)"
        if path.root == "timestamp":
            return "timestamp"
        start = scope
        if path.root == "record":
            while start.around is not None:
                start = start.around
        for _ in range(path.up):
            assert start.around is not None
            start = start.around
        if start.around is None:
            self.read.add(path.steps)
        return self._node(path.steps, start)

    def _node(self, steps: tuple[Step, ...], scope: _Scope) -> str:
        if not steps:
            return scope.item
        *before, step = steps
        if isinstance(step, int):
            return f"AT({self._node(tuple(before), scope)}, {step})"
        if self._is_struct(tuple(before), scope):
            return f"{self._object(tuple(before), scope)}.{self._attribute(tuple(before), step)}"
        return f"{self._object(tuple(before), scope)}.get({step!r})"

    def _object(self, steps: tuple[Step, ...], scope: _Scope) -> str:
        """The name of what stands there if it is an object, else of an empty one."""
        known = scope.find(steps)
        if known is not None:
            return known
        if not steps and self._is_struct(steps, scope):
            return scope.item
        value = self._node(steps, scope)
        name = self._new("p")
        space = " " * scope.indent
        if self._is_struct(steps, scope):
            assert self._shape is not None
            blank = self._name("b", self._shape.blank(steps))
            scope.lines.append(f"{space}{name} = {value}\n{space}if {name} is None: {name} = {blank}\n")
            scope.known[steps] = name
            return name
        scope.lines.append(f"{space}{name} = {value}\n{space}if type({name}) is not dict: {name} = EMPTY\n")
        scope.known[steps] = name
        return name

    def _is_struct(self, steps: tuple[Step, ...], scope: _Scope) -> bool:
        return self._shape is not None and scope.around is None and self._shape.is_struct(steps)

    def _attribute(self, steps: tuple[Step, ...], step: Step) -> str:
        assert self._shape is not None
        return self._shape.attribute(steps, step)

    # parts: each writes what it needs and returns the name of its value, None where there is nothing

    def _part(self, part: Part, scope: _Scope) -> str:
        if isinstance(part, Constant):
            return self._name("c", part.value)
        if isinstance(part, Read):
            return self._read(part.path, scope)
        if isinstance(part, Field):
            return self._field(part, scope)
        if isinstance(part, First):
            return self._first(part, scope)
        if isinstance(part, Template):
            return self._template(part, scope)
        if isinstance(part, Unique):
            value = self._new("v")
            parts = [self._part(each, scope) for each in part.parts]
            self._put(f"{value} = UNIQUE({', '.join(parts)})")
            return value
        if isinstance(part, Product):
            value = self._new("v")
            parts = [self._part(each, scope) for each in part.parts]
            self._put(f"{value} = PRODUCT({part.label!r}, {', '.join(parts)})")
            return value
        if isinstance(part, Choose):
            return self._choose(part, scope)
        if isinstance(part, Build):
            value = self._build(part, scope)
            self._put(f"if not {value}: {value} = None")
            return value
        if isinstance(part, Merge):
            return self._merge(part, scope)
        if isinstance(part, Listing):
            value = self._new("l")
            self._put(f"{value} = []")
            for each in part.parts:
                item = self._part(each, scope)
                self._put(f"if {item} is not None: {value}.append({item})")
            self._put(f"if not {value}: {value} = None")
            return value
        return self._for_each(part, scope)

    def _read(self, path: Path, scope: _Scope) -> str:
        expression = self._raw(path, scope)
        value = self._new("v")
        self._put(f"{value} = {expression}")
        self._put(f"if not {value} and {value} == '': {value} = None")
        return value

    def _first(self, part: First, scope: _Scope) -> str:
        value = self._new("v")
        indent = self._indent
        for index, each in enumerate(part.parts):
            inner = self._part(each, scope)
            self._put(f"{value} = {inner}")
            if index < len(part.parts) - 1:
                self._put(f"if {value} is None:")
                self._indent += 1
        self._indent = indent
        return value

    def _template(self, part: Template, scope: _Scope) -> str:
        value = self._new("v")
        named = [piece if isinstance(piece, str) else (self._part(piece, scope),) for piece in part.pieces]
        names = [piece[0] for piece in named if isinstance(piece, tuple)]
        present = " and ".join(f"{name} is not None" for name in names) or "True"
        text_ = " + ".join(repr(piece) if isinstance(piece, str) else f"PLAIN({piece[0]})" for piece in named)
        self._put(f"{value} = None")
        self._put(f"if {present}:")
        self._put(f" try: {value} = {text_ or repr('')}")
        self._put(
            " except ValueError as error: raise ERROR('bad_row', f'$: in a template: {error}') from None"
        )
        return value

    def _field(self, field: Field, scope: _Scope) -> str:
        value = self._part(field.source, scope)
        message = self._name("m", f"$.{field.label}: ") if field.transforms or field.sent is not None else ""
        if field.transforms and field.sent is None and _is_of_text(field):
            memo = self._name("y", Memo(field.transforms, field.table))
            self._put(f"if type({value}) is str: {value} = {memo}[{value}]")
            self._put(f"elif {value} is not None:")
            self._indent += 1
            self._change(value, field, scope, message)
            self._indent -= 1
        elif field.transforms or field.sent is not None or field.table is not None:
            self._change(value, field, scope, message)
        if field.default is not None:
            self._put(f"if {value} is None: {value} = {self._name('c', field.default)}")
        return value

    def _change(self, value: str, field: Field, scope: _Scope, message: str) -> None:
        """Transforms, clock and table of a field."""
        if len(field.transforms) == 1 and isinstance(field.transforms[0], Iso8601):
            self._put(f"if {value} is not None:")
            self._put(f" try: {value} = HOURS[{value}[:14]] + SECONDS[{value}[14:19]] + RESTS[{value}[19:]]")
            self._put(" except (KeyError, TypeError):")
            self._put(f"  try: {value} = {self._name('t', field.transforms[0])}({value})")
            self._refuse(field.reason, message, indent=2)
        elif field.transforms:
            self._put(f"if {value} is not None:")
            self._put(" try:")
            for index, transform in enumerate(field.transforms):
                call = f"{value} = {self._name('t', transform)}({value})"
                self._put(f"  {'if ' + value + ' is not None: ' if index else ''}{call}")
            self._refuse(field.reason, message)
        if field.sent is not None and field.received is not None:
            self._correct(value, field, scope, message)
        if field.table is not None:
            table = self._name("d", dict(field.table))
            if field.otherwise is ABSENT:
                self._put(f"if type({value}) is str: {value} = {table}.get({value}, {value})")
                self._put(f"elif {value} is not None: {value} = LOOK({table}, {value}, {value})")
            else:
                otherwise = self._name("c", field.otherwise)
                self._put(f"if {value} is not None: {value} = LOOK({table}, {value}, {otherwise})")

    def _correct(self, value: str, field: Field, scope: _Scope, message: str) -> None:
        """received − (sent − time): the device's own clock tells only how long before sending it happened."""
        assert field.sent is not None
        assert field.received is not None
        sent, received = self._part(field.sent, scope), self._part(field.received, scope)
        self._put(f"if {value} is not None and {sent} is not None and {received} is not None:")
        self._put(f" try: {value} = {received} - ({sent} - {value})")
        self._put(
            f" except TypeError: raise ERROR({field.reason!r}, {message} + 'times need `as:` here') from None"
        )

    def _refuse(self, reason: str, message: str, indent: int = 1) -> None:
        self._put(
            f"{' ' * indent}except ValueError as error: raise ERROR({reason!r}, {message} + str(error)) from None"
        )

    def _choose(self, part: Choose, scope: _Scope) -> str:
        value = self._new("v")
        self._put(f"if {self._condition(part.when, scope)}:")
        self._indent += 1
        self._put(f"{value} = {self._part(part.then, scope)}")
        self._indent -= 1
        self._put("else:")
        self._indent += 1
        self._put(f"{value} = {'None' if part.otherwise is None else self._part(part.otherwise, scope)}")
        self._indent -= 1
        return value

    def _build(self, part: Build, scope: _Scope) -> str:
        value = self._new("o")
        self._put(f"{value} = {{}}")
        for name, each in part.entries:
            if isinstance(each, Read):
                inner = self._new("v")
                self._put(f"{inner} = {self._raw(each.path, scope)}")
                self._put(f"if {inner} or {inner} is not None and {inner} != '':")
            else:
                inner = self._part(each, scope)
                self._put(f"if {inner} is not None:")
            if name in TEXTS:
                self._put(f" {value}[{name!r}] = {inner} if type({inner}) is str else TEXT({inner})")
            elif name in NUMBERS:
                self._put(f" {value}[{name!r}] = NUMBER({inner}) if type({inner}) is str else {inner}")
            else:
                self._put(f" {value}[{name!r}] = {inner}")
        return value

    def _event(self, template: Build, scope: _Scope, made: type[Event]) -> None:
        """Appends the event, checked as ingest checks every event; returns None if there is anything to say of it."""
        unread = {field.name for field in msgspec.structs.fields(made) if field.encode_name != field.name}
        values = dict.fromkeys(made.__struct_fields__, "None")
        for name, each in template.entries:
            if name in unread and _never_fails(each):
                continue
            value = values[name] = self._own(self._part(each, scope))
            if name in TEXTS:
                self._put(f"if {value} is not None and type({value}) is not str: {value} = TEXT({value})")
            elif name in NUMBERS:
                self._put(f"if type({value}) is str: {value} = NUMBER({value})")
        time, received = values["time"], values["received_at"]
        user = self._new("v")
        self._put(f"{user} = {values['user_id']}")
        self._put(f"if {user} is None: {user} = {values['anonymous_id']}")
        self._put(f"if type({time}) is not int: {time} = INSTANT({time})")
        texts = " and ".join(
            f"type({text}) is str and {text}" for text in (values["type"], values["id"], user)
        )
        self._put(f"if not (FIRST_INSTANT <= {time} <= LAST_INSTANT and {texts}): return None")
        values |= {
            "user": user,
            "record_time": f"RECEIVED({received}, {time}) if timestamp is None else timestamp",
            "offset": "offset",
            "clamped": "False",
        }
        self._put(f"out.append({self._name('e', made)}({', '.join(values.values())}))")

    def _own(self, value: str) -> str:
        """A name that may be assigned to: constants and what is looked up once belong to others, too."""
        own = self._new("v")
        self._put(f"{own} = {value}")
        return own

    def _merge(self, part: Merge, scope: _Scope) -> str:
        value = self._new("o")
        self._put(f"{value} = {{}}")
        for each in part.parts:
            inner = self._part(each, scope)
            self._put(f"if type({inner}) is dict: {value}.update({inner})")
        self._put(f"if not {value}: {value} = None")
        return value

    def _for_each(self, part: ForEach, scope: _Scope) -> str:
        value, item = self._new("l"), self._new("i")
        if part.items.path is None:
            items = self._items(part.items, scope)
        else:
            items = self._new("x")
            self._put(f"{items} = {self._raw(part.items.path, scope)}")
            self._put(f"if type({items}) is dict: {items} = ({items},)")
            self._put(f"elif type({items}) is not list: {items} = ()")
        self._put(f"{value} = []")
        self._put(f"for {item} in {items}:")
        self._indent += 1
        inner = self._open(item, scope, None)
        if part.match is not None:
            self._put(f"if not ({self._condition(part.match, inner)}): continue")
        if part.drop is not None:
            self._put(f"if {self._condition(part.drop, inner)}: continue")
        made = self._part(part.part, inner)
        self._put(f"if {made} is not None: {value}.append({made})")
        self._indent -= 1
        self._put(f"if not {value}: {value} = None")
        return value

    def _items(self, items: Items, scope: _Scope) -> str:
        if items.path is not None:
            return f"ITEMS({self._raw(items.path, scope)}, {items.path.text!r})"
        lists = ", ".join(f"({name!r}, {self._raw(path, scope)})" for name, path in items.beside)
        return f"BESIDE(({lists},))"

    # conditions

    def _condition(self, condition: Condition, scope: _Scope) -> str:
        """An expression; what it reads is looked up before."""
        if not isinstance(condition, Test):
            parts = [self._condition(each, scope) for each in condition.conditions]
            joined = (" and " if condition.of == "all" else " or ").join(parts)
            return f"({joined or str(condition.of == 'all')})"
        value = self._raw(condition.path, scope)
        if condition.words is not None:
            name = self._new("w")
            if condition.words is PRESENT:
                return f"(({name} := {value}) is not None and {name} != '')"
            if len(condition.words) == 1:
                return f"{value} == {next(iter(condition.words))!r}"
            return f"type({name} := {value}) is str and {name} in {self._name('s', condition.words)}"
        return f"{self._name('q', condition.holds)}({value})"

    # events

    def _body(self, body: Body, scope: _Scope, skip: str) -> None:
        indent = self._indent
        for items in body.each:
            item = self._new("i")
            self._put(f"for {item} in {self._items(items, scope)}:")
            self._indent += 1
            scope, skip = self._open(item, scope, None), "continue"
        if body.drop is not None:
            self._put(f"if {self._condition(body.drop, scope)}: {skip}")
        for case in body.cases:
            self._put(f"if {self._condition(case.match, scope) if case.match is not None else 'True'}:")
            self._indent += 1
            inner = self._open(scope.item, scope.around, scope)
            self._body(case, inner, skip)
            self._put(skip)
            self._indent -= 1
        if body.cases:
            self._put("NONE_FITS()")
        if body.event is not None:
            if self._event_type is None:
                self._put(f"out.append({self._build(body.event, scope)})")
            else:
                self._event(body.event, scope, self._event_type)
            if indent != self._indent:
                self._put(f"if len(out) > {MAX_EVENTS}: TOO_MANY()")
        self._indent = indent


def _is_of_text(field: Field) -> bool:
    """Whether a text always becomes the same, and never an error."""
    return field.otherwise is ABSENT and all(transform in OF_TEXT for transform in field.transforms)


def _never_fails(part: Part | None) -> bool:
    """Whether making a value can raise no error, so that nobody misses it where nobody reads it."""
    match part:
        case None | Constant() | Read():
            return True
        case First() | Listing() | Merge():
            return all(map(_never_fails, part.parts))
        case Build():
            return all(_never_fails(inner) for _, inner in part.entries)
        case Choose():
            plain = isinstance(part.when, Test) and part.when.words is not None
            return plain and _never_fails(part.then) and _never_fails(part.otherwise)
        case Field():
            return not part.transforms and part.sent is None and _never_fails(part.source)
        case ForEach():
            plain = part.items.path is not None and part.match is None and part.drop is None
            return plain and _never_fails(part.part)
        case Template() | Unique() | Product():
            return False


def _flat(lines: list[Any]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if isinstance(line, list):
            found += _flat(line)
        else:
            found.append(line)
    return found
