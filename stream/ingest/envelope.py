"""The canonical envelope: what a record must have to be an event.

A record is one JSON object. It must have

* `type`: text that is not empty;
* `time`: RFC 3339 with a zone, or epoch milliseconds; finer is cut;
* `user_id` or `anonymous_id`: text; null and "" count as absent. The key is `user_id`, else `anonymous_id`.

A `clock_advanced` record needs only its time. `id` is text; where it is absent (null, "") it is derived from the
canonical event: the object as it was sent, with the unknown fields moved into `props`. Every other field may be of any
type: it is kept, and reads as unknown in definitions where it is none of theirs.

What JSON itself leaves open is decided here, alike for every reader: text is UTF-8, the last of repeated keys counts,
NaN is an error, a number beyond a double is one where definitions read it, and nesting ends at MAX_DEPTH. Whether a
record is readable does not depend on where it is read.

The worker decodes every event, so the common case is one pass of msgspec and a few attribute writes (`plain`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

import msgspec

from stream.compiled import is_compiled
from stream.errors import RecordError
from stream.events import CLOCK_ADVANCED, ENVELOPE_FIELDS, Event
from stream.identifiers import derive_event_id
from stream.ingest.compiler import MakeEvents, compile_events
from stream.ingest.instants import LARGEST_PLAIN, read_instant, received_or
from stream.ingest.mapping import Mapping
from stream.ingest.origin import Origin, Record
from stream.ingest.plain import MAX_DEPTH, Judge, PlainReader, may_be_deep
from stream.instants import SMALLEST_EPOCH_MS

MAX_EVENT_BYTES = 256 * 1024
_KNOWN = frozenset(ENVELOPE_FIELDS)
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_decode_row = msgspec.json.Decoder().decode
_ROW = attrgetter("value", "offset", "timestamp")


class Ingest:
    """Reads records of one source. Without a mapping, or with the identity, records are canonical events already.

    `event_type` is the struct to decode into: `Plan.event_type` has the fields that the definitions read.
    """

    def __init__(
        self,
        mapping: Mapping | None = None,
        *,
        event_type: type[Event] = Event,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._mapping = None if mapping is None or mapping.identity else mapping
        self._event_type = event_type
        self._decode = msgspec.json.Decoder(event_type).decode
        rows = None if self._mapping is None else self._mapping.rows
        self._cut = rows.cut if rows is not None and rows.columns is not None else None
        self._max_event_bytes = max_event_bytes
        self._plain = PlainReader(self._decode, max_event_bytes, by_digits=is_compiled())

    def read(self, value: bytes | None, *, offset: int, record_time: int | None = None) -> Event:
        """The one event of a record; RecordError where there is none to read.

        `record_time` is when the record reached the log; None takes `received_at`, else the event time. The event's
        time is as sent: the engine clamps. For mappings that make none or many events of a record: `read_all`.
        """
        (event,) = self.read_all(value, offset=offset, record_time=record_time)
        return event

    def read_all(
        self,
        value: bytes | None,
        *,
        offset: int,
        record_time: int | None = None,
        origin: Origin | None = None,
    ) -> list[Event]:
        """The events of a record, as the mapping makes them; `origin` is what a mapping may read beside the value."""
        if self._mapping is not None:
            made = self._map(self._mapping, value, origin, record_time)
            return [self._made(each, offset, record_time) for each in made]
        readable = self._readable(value)
        try:
            event = self._decode(readable)
        except msgspec.ValidationError as error:
            raise _not_an_event(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError("bad_json", f"$: {error}") from None
        _complete(event, offset, record_time)
        if not event.id and event.type != CLOCK_ADVANCED:
            event.id = _derive_id(event, _decode_row(readable))
        return [event]

    def _readable(self, value: bytes | None) -> bytes:
        """The value, if it may be looked into."""
        if value is None:
            raise RecordError("bad_json", "$: the record has no value")
        if len(value) > self._max_event_bytes:
            raise RecordError("too_large", f"$: {len(value)} bytes, at most {self._max_event_bytes} are read")
        if may_be_deep(value):
            _check_depth(value)
        if not value.isascii():
            try:
                value.decode()  # fields that nobody reads are skipped undecoded: they must be UTF-8 all the same
            except UnicodeDecodeError as error:
                raise RecordError("bad_json", f"$: {error}") from None
        return value

    def _map(
        self, mapping: Mapping, value: bytes | None, origin: Origin | None, record_time: int | None
    ) -> list[dict[str, Any]]:
        """The canonical rows of a record."""
        if self._cut is None:
            try:
                rows = mapping.apply_json(self._readable(value), origin, record_time)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordError("bad_json", f"$: {error}") from None
            if rows is not None:
                return rows
        return mapping.apply(self.mappable(value), origin, record_time)

    def mappable(self, value: bytes | None) -> Any:
        """What the mapping is applied to: the columns of a row, an object, or a list where it takes one."""
        if self._cut is not None and value is not None and len(value) <= self._max_event_bytes:
            return self._cut(value)
        try:
            row = _decode_row(self._readable(value))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError("bad_json", f"$: {error}") from None
        if type(row) is not dict and not (self._mapping and self._mapping.whole and type(row) is list):
            raise RecordError("not_an_object", f"$: expected an object, not {_kind(row)}")
        return row

    def canonical(
        self,
        value: bytes | None,
        *,
        row: dict[str, Any] | None = None,
        record_time: int | None = None,
        origin: Origin | None = None,
    ) -> list[tuple[Event, bytes]]:
        """The events of a record (or of a `row` that was decoded already), each with its canonical JSON, id and all.

        A record that is canonical and has its id stays as it is, to the byte.
        """
        if self._mapping is not None:
            made = (
                self._map(self._mapping, value, origin, record_time)
                if row is None
                else self._mapping.apply(row, origin, record_time)
            )
            return [self._with_id(each, self._made(each, 0, record_time)) for each in made]
        if row is not None:
            (event,) = self.read_row(row, offset=0, record_time=record_time)
            return [self._with_id(row, event)]
        (event,) = self.read_all(value, offset=0, record_time=record_time)
        sent = _decode_row(value or b"")
        return [(event, value or b"") if sent.get("id") == event.id else self._with_id(sent, event)]

    def _with_id(self, row: dict[str, Any], event: Event) -> tuple[Event, bytes]:
        """The event's canonical JSON, which must be as readable as what it was made of."""
        try:
            written = msgspec.json.encode(row if event.id is None else {**row, "id": event.id})
        except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError) as error:
            raise RecordError("bad_json", f"$: cannot be written as JSON: {error}") from None
        return event, self._readable(written)

    def read_row(
        self, row: Any, *, offset: int, record_time: int | None = None, origin: Origin | None = None
    ) -> list[Event]:
        """The events of a row that was decoded already: the columns of a CSV or Parquet file, or an object."""
        if self._mapping is not None:
            made = self._mapping.apply(row, origin, record_time)
            return [self._made(each, offset, record_time) for each in made]
        event = self._convert(row)
        _complete(event, offset, record_time)
        if not event.id and event.type != CLOCK_ADVANCED:
            event.id = _derive_id(event, row)
        return [event]

    def _made(self, row: dict[str, Any], offset: int, record_time: int | None) -> Event:
        """The event of what the mapping made: fields of the envelope and nothing else."""
        event = self._event_type(**row)
        try:
            _complete(event, offset, record_time)
        except RecordError as error:
            raise RecordError(error.reason, f"$: the mapping made {error.message[2:]}") from None
        if not event.id and event.type != CLOCK_ADVANCED:
            event.id = _derive_id(event, row)
        return event

    def _convert(self, row: dict[str, Any]) -> Event:
        try:
            return msgspec.convert(row, self._event_type)
        except msgspec.ValidationError as error:
            raise _not_an_event(error) from None

    def read_batch(
        self, records: Iterable[tuple[bytes | None, int, int | None]], origins: Sequence[Origin] | None = None
    ) -> tuple[list[Event], list[tuple[int, RecordError]]]:
        """The events of a batch of (value, offset, record time), and (index in the batch, error) of what failed.

        `origins`: the same records with key and headers, for mappings that read those.
        """
        events: list[Event] = []
        errors: list[tuple[int, RecordError]] = []
        if self._mapping is None:
            self._plain.read_rows(records, events, self._judge(events, errors))
        else:
            self._read_mapped(records, origins, events, errors)
        return events, errors

    def read_records(
        self, records: Sequence[Record]
    ) -> tuple[list[Event], list[tuple[int, RecordError]], bool]:
        """The same of records of a topic.

        And whether the key of each is surely the user of its event, for it was compared on the way. False means that
        somebody should look closer.
        """
        events: list[Event] = []
        errors: list[tuple[int, RecordError]] = []
        if self._mapping is None:
            placed = self._plain.read_records(records, events, self._judge(events, errors))
            return events, errors, placed
        self._read_mapped(map(_ROW, records), records, events, errors)
        return events, errors, False

    def _judge(self, events: list[Event], errors: list[tuple[int, RecordError]]) -> Judge:
        """What becomes of records that are not plain."""

        def judge(index: int, value: bytes | None, offset: int, record_time: int | None) -> None:
            self._read_one(index, (value, offset, record_time), events, errors)

        return judge

    @cached_property
    def _making(self) -> tuple[Callable[[bytes], msgspec.Struct], MakeEvents] | None:
        """How to make events of JSON records without their rows, where the mapping allows it."""
        body = None if self._mapping is None else self._mapping.body
        return None if body is None or self._cut is not None else compile_events(body, self._event_type)

    def _read_mapped(
        self,
        records: Iterable[tuple[bytes | None, int, int | None]],
        origins: Sequence[Origin] | None,
        events: list[Event],
        errors: list[tuple[int, RecordError]],
    ) -> None:
        """The same through a mapping: what is not plainly good events with ids of their own is left to read_all."""
        decode, make = self._making or (None, None)
        add, limit = events.append, self._max_event_bytes
        for index, record in enumerate(records):
            value, offset, record_time = record
            origin = None if origins is None else origins[index]
            if (
                decode is not None
                and make is not None
                and value
                and len(value) <= limit
                and value.isascii()
                and not may_be_deep(value)
            ):
                try:
                    made = make(decode(value), origin, record_time, offset)
                except (msgspec.MsgspecError, RecordError, ValueError):
                    made = None
                if made is not None:
                    if len(made) == 1:
                        add(made[0])
                        continue
                    if len({event.id for event in made}) == len(made):
                        events += made
                        continue
            self._read_one(index, record, events, errors, origin)

    def _read_one(
        self,
        index: int,
        record: tuple[bytes | None, int, int | None],
        events: list[Event],
        errors: list[tuple[int, RecordError]],
        origin: Origin | None = None,
    ) -> None:
        value, offset, record_time = record
        try:
            events += self.read_all(value, offset=offset, record_time=record_time, origin=origin)
        except RecordError as error:
            errors.append((index, error))


def _complete(event: Event, offset: int, record_time: int | None) -> None:
    """Check the envelope and fill in what ingest adds: time in milliseconds, key, record time, offset."""
    sent = event.time
    if type(sent) is int and SMALLEST_EPOCH_MS <= sent <= LARGEST_PLAIN:
        time = sent
    else:
        try:
            time = read_instant(sent)
        except ValueError as error:
            raise RecordError("bad_time", f"$.time: {error}") from None
    event.time = time
    type_ = event.type
    if type(type_) is not str or not type_:
        raise RecordError("bad_type", f"$.type: expected text that is not empty, not {_kind(type_)}")
    user = event.user_id
    if type(user) is str and user:
        event.user = user
    elif type_ == CLOCK_ADVANCED:
        event.user = ""
    elif user is None or user == "":
        user = event.anonymous_id
        if type(user) is not str or not user:
            path = "$.user_id" if user is None or user == "" else "$.anonymous_id"
            raise RecordError(
                "bad_user", f"{path}: expected user_id or anonymous_id as text that is not empty"
            )
        event.user = user
    else:
        raise RecordError("bad_user", f"$.user_id: expected text, not {_kind(user)}")
    id_ = event.id
    if type(id_) is not str and id_ is not None:
        raise RecordError("bad_id", f"$.id: expected text, not {_kind(id_)}")
    event.record_time = received_or(event.received_at, time) if record_time is None else record_time
    event.offset = offset
    event.clamped = False


def _derive_id(event: Event, sent: dict[str, Any]) -> str:
    strays = sent.keys() - _KNOWN
    if strays:
        props = {name: sent[name] for name in strays}
        if isinstance(sent.get("props"), dict):
            props |= sent["props"]
        sent = {name: value for name, value in sent.items() if name in _KNOWN} | {"props": props}
    try:
        return derive_event_id(event.user, event.time, event.type, sent)
    except OverflowError:
        raise RecordError("bad_json", "$: a number is out of range, so no id can be derived") from None


def _check_depth(value: bytes) -> None:
    depth = 0
    for token in _BRACKETS.findall(value):
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise RecordError("bad_json", f"$: nested deeper than {MAX_DEPTH} levels")
        elif token in b"]}":
            depth -= 1


def _not_an_event(error: msgspec.ValidationError) -> RecordError:
    # All fields are of any type, so what fails is the object itself, or a number that no double holds.
    message = str(error)
    if message.startswith("Expected `object`"):
        return RecordError(
            "not_an_object", f"$: expected an object, not {message.rpartition('got ')[2].strip('`')}"
        )
    return RecordError("bad_json", f"$: {message}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return "empty text" if not value else "text"
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
