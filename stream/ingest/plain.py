"""Records as nearly everybody writes them, read in one pass. This loop is the worker's, and it is compiled.

A record is *plain* if it is JSON with text for type, id and user, and a time in UTC or in epoch milliseconds. What is
plain is read here, and what is read here is what `Ingest.read_all` says of it; the rest is left to that to judge.

Times are read by their digits: compiled, that costs a quarter of looking their parts up, and logs stay in an hour for
long. Other ways of writing them, with an offset from UTC, are looked up (`instants`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from mypy_extensions import i64

from stream.ingest.instants import HOURS, LARGEST_PLAIN, quick_instant, received_or
from stream.ingest.origin import Record
from stream.instants import SMALLEST_EPOCH_MS

MAX_DEPTH: Final = 300
"""Levels of nesting, far from what Python's stack allows anywhere, so that every reader agrees."""
_TOO_SHORT_TO_BE_DEEP: Final = 2 * MAX_DEPTH  # a level takes two brackets
_POINT: Final = 46
_ZERO: Final = 48
_COLON: Final = 58
_Z: Final = 90

Judge = Callable[[int, bytes | None, int, int | None], object]
"""Is handed what is not plain: its index in the batch, value, offset and record time."""


class PlainReader:
    """Reads what is plain; `decode` makes the event's struct of JSON, at most `limit` bytes of it.

    `by_digits`: how to read times. Both ways say the same; by digits is quicker where this is compiled, by look-ups
    where it is not.
    """

    def __init__(self, decode: Callable[[bytes], Any], limit: int, *, by_digits: bool) -> None:
        self._decode = decode
        self._limit: i64 = limit
        self._by_digits = by_digits
        self._hour = "1970-01-01T00:"
        """The hour of the last time, as it was written, and the instant at which it begins."""
        self._begin: i64 = 0

    def read_rows(
        self, rows: Iterable[tuple[bytes | None, int, int | None]], events: list[Any], judge: Judge
    ) -> None:
        """Adds the events of (value, offset, record time), in order with what `judge` adds."""
        for index, (value, offset, record_time) in enumerate(rows):
            event = self._read(value, offset, record_time)
            if event is None:
                judge(index, value, offset, record_time)
            else:
                events.append(event)

    def read_records(self, records: Sequence[Record], events: list[Any], judge: Judge) -> bool:
        """The same for records of a topic. Whether all were plain, and each had its event's user as its key."""
        placed = True
        for index, record in enumerate(records):
            value = record.value
            event = self._read(value, record.offset, record.timestamp)
            if event is None:
                judge(index, value, record.offset, record.timestamp)
                placed = False
            else:
                user: str = event.user
                if placed and user.encode() != record.key:
                    placed = False
                events.append(event)
        return placed

    def _read(self, value: bytes | None, offset: int, record_time: int | None) -> Any:
        """The event, or None for what is not plain."""
        if value is None:
            return None
        size: i64 = len(value)
        if (
            not 0 < size <= self._limit
            or not (value.isascii() or _is_text(value))
            or (size > _TOO_SHORT_TO_BE_DEEP and may_be_deep(value))
        ):
            return None
        try:
            event = self._decode(value)
        except msgspec.MsgspecError:
            return None
        type_, id_, user, sent = event.type, event.id, event.user_id, event.time
        if user is None:
            user = event.anonymous_id
        if not (isinstance(type_, str) and isinstance(id_, str) and isinstance(user, str)):
            return None
        if not (type_ and id_ and user):
            return None
        time: int
        if isinstance(sent, str):
            try:
                time = self._instant(sent) if self._by_digits else quick_instant(sent)
            except KeyError:
                return None
        elif type(sent) is int and SMALLEST_EPOCH_MS <= sent <= LARGEST_PLAIN:
            time = sent
        else:
            return None
        event.time = time
        event.user = user
        event.record_time = self._received(event.received_at, time) if record_time is None else record_time
        event.offset = offset
        event.clamped = False
        return event

    def _received(self, received: object, time: int) -> int:
        """The record time of a record that carries none."""
        if isinstance(received, str):
            try:
                return self._instant(received) if self._by_digits else quick_instant(received)
            except KeyError:
                pass  # another way of writing it, or no time at all
        return received_or(received, time)

    def _instant(self, text: str) -> i64:
        """The instant of RFC 3339 text; KeyError if parse_instant has to judge."""
        size: i64 = len(text)
        if size < 20 or ord(text[size - 1]) != _Z or ord(text[16]) != _COLON:
            return quick_instant(text)
        milliseconds: i64 = 0
        if size > 20:
            if size < 24 or ord(text[19]) != _POINT:
                return quick_instant(text)
            high, low = _two_digits(text, 20), _two_digits(text, 21)
            if high < 0 or low < 0:
                return quick_instant(text)
            milliseconds = 10 * high + low % 10
            if size > 24:
                finer = text[23 : size - 1]  # it is cut
                if not (finer.isascii() and finer.isdigit()):
                    return quick_instant(text)
        minute, second = _two_digits(text, 14), _two_digits(text, 17)
        if not (0 <= minute < 60 and 0 <= second < 60):
            return quick_instant(text)
        if not text.startswith(self._hour):
            hour = text[:14]
            self._begin = HOURS[hour]
            self._hour = hour
        return self._begin + 60_000 * minute + 1000 * second + milliseconds


def _two_digits(text: str, at: i64) -> i64:
    """The number of two digits; negative if they are none."""
    high: i64 = ord(text[at]) - _ZERO
    low: i64 = ord(text[at + 1]) - _ZERO
    return 10 * high + low if 0 <= high <= 9 and 0 <= low <= 9 else -1


def may_be_deep(value: bytes) -> bool:
    """Whether there are brackets enough. A list takes two bytes a level, an object five: most need one look or none."""
    size = len(value)
    if size <= _TOO_SHORT_TO_BE_DEEP:
        return False
    lists = value.count(b"[")
    return lists + (size - 2 * lists) // 5 > MAX_DEPTH and lists + value.count(b"{") > MAX_DEPTH


def _is_text(value: bytes) -> bool:
    """Fields that nobody reads are skipped undecoded: they must be UTF-8 all the same."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
