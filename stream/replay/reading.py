"""Logs as one stream of events: each log read through ingest, and all of them merged by record time.

Merging takes, again and again, the log whose next event has the smallest record time; of equal ones, the log that was
named first. Within a log the order of its lines is kept, whatever their times: it is the order in which they arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat

from stream.errors import RecordError
from stream.events import Event
from stream.ingest import DeadLetter, Ingest
from stream.replay.logs import Lines, Log, LogRecord

NO_PARTITION = -1
"""In the `offset` of an event of a plain log: nobody says yet where it belongs."""

OnDeadLetter = Callable[[DeadLetter], object]


class EventReader:
    """The events of one log in its order. The `offset` of each says from which partition it was recorded."""

    def __init__(self, log: Log, ingest: Ingest, batch_size: int, on_dead_letter: OnDeadLetter) -> None:
        self.log = log
        self.records = 0
        """Read so far, those that could not be read included."""
        self._ingest = ingest
        self._batch_size = batch_size
        self._on_dead_letter = on_dead_letter

    def batches(self) -> Iterator[list[Event]]:
        """Events of up to a batch of records; a batch may be empty."""
        for batch in self.log.batches(self._batch_size):
            if isinstance(batch, Lines):
                yield self._read_lines(batch)
            else:
                self.records += len(batch)
                yield self._read_records(batch)

    def _read_lines(self, lines: Lines) -> list[Event]:
        rows = zip(lines.values, repeat(NO_PARTITION), repeat(None))
        events, errors = self._ingest.read_batch(rows)
        self.records += len(lines.values)
        for index, error in errors:
            raw = lines.values[index]
            if not raw or raw.isspace():
                self.records -= 1  # a blank line is no record
            else:
                self._refuse(LogRecord(raw, lines.first + index), error)
        return events

    def _read_records(self, batch: list[LogRecord]) -> list[Event]:
        if all(record.row is None and record.error is None for record in batch):
            rows = [(record.raw, _partition(record), record.record_time) for record in batch]
            events, errors = self._ingest.read_batch(rows, batch)
            for index, error in errors:
                self._refuse(batch[index], error)
            return events
        events = []
        for record in batch:
            try:
                events += self._read_one(record)
            except RecordError as refused:
                self._refuse(record, refused)
        return events

    def _read_one(self, record: LogRecord) -> list[Event]:
        if record.error is not None:
            raise record.error
        partition = _partition(record)
        if record.row is None:
            return self._ingest.read_all(
                record.raw, offset=partition, record_time=record.record_time, origin=record
            )
        return self._ingest.read_row(
            record.row, offset=partition, record_time=record.record_time, origin=record
        )

    def _refuse(self, record: LogRecord, error: RecordError) -> None:
        letter = record.dead_letter(error, self.log.path)
        self._on_dead_letter(letter)


def _partition(record: LogRecord) -> int:
    return NO_PARTITION if record.partition is None else record.partition


def merged(readers: Sequence[EventReader]) -> Iterator[list[Event]]:
    """The events of all logs by record time, in pieces of whatever size comes to hand."""
    if len(readers) == 1:
        yield from readers[0].batches()
        return
    heads = [head for head in map(_Head, range(len(readers)), readers) if head.fill()]
    while len(heads) > 1:
        heads.sort(key=_Head.rank)
        first, second = heads[:2]
        piece = first.take_below(second.rank())
        if not first.fill():
            del heads[0]
        yield piece
    for head in heads:
        yield head.rest()
        yield from head.batches


class _Head:
    """A log and what was read of it but not taken yet."""

    def __init__(self, place: int, reader: EventReader) -> None:
        self.batches = reader.batches()
        self._place = place
        self._events: list[Event] = []
        self._at = 0

    def fill(self) -> bool:
        """Sees to it that there is a next event; False at the end of the log."""
        while self._at == len(self._events):
            batch = next(self.batches, None)
            if batch is None:
                return False
            self._events, self._at = batch, 0
        return True

    def rank(self) -> tuple[int, int]:
        """Who comes first."""
        return self._events[self._at].record_time, self._place

    def take_below(self, rank: tuple[int, int]) -> list[Event]:
        """The next events that come before another log's, of those at hand."""
        time, place = rank
        latest = time if self._place < place else time - 1
        events, start = self._events, self._at
        end = start + 1  # the first one does, or we would not be asked
        while end < len(events) and events[end].record_time <= latest:
            end += 1
        self._at = end
        return events[start:end]

    def rest(self) -> list[Event]:
        """What is at hand."""
        return self._events[self._at :]
