"""The dead-letter topic: read, and sent back to where its records came from.

What was sent back gets a *receipt*: a record without a value behind the letters, with the coordinates of the record
and the header `resubmitted`. Letters with a receipt are passed over, so that a second run sends nothing twice, whoever
starts it and wherever. A receipt is written after Kafka took the record: a crash in between lets it be sent again, and
its events count once by their ids. Retention takes a letter before its receipt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError, RecordError
from stream.ingest import DeadLetter, Ingest, load_mapping
from stream.runtime.kafka.connection import kafka_python_options
from stream.runtime.kafka.logs import read_topic

_PATIENCE_SECONDS = 60.0
_ROUND = 500
"""Letters that are sent before their receipts are."""
_RECEIPT = "resubmitted"
_Place = tuple[Any, ...]


class Letters:
    """The letters of the topic as it is now, in order of time, but for those that were sent back already.

    `start` and `stop` are instants; with `again` those that were sent back are there, too. To be iterated once.
    """

    def __init__(
        self, settings: Settings, start: int | None = None, stop: int | None = None, *, again: bool = False
    ) -> None:
        self.passed = 0
        """How many were passed over so far."""
        self._settings = settings
        self._times = start, stop
        self._again = again

    def __iter__(self) -> Iterator[DeadLetter]:
        topic = self._settings.topics.dead_letters
        start, stop = self._times
        done: set[_Place] = set()
        if not self._again:  # receipts come after their letters, also after `stop`
            for each in read_topic(self._settings, topic, start):
                if _is_receipt(each):
                    done.add(_place(DeadLetter.from_record(None, None, each.headers)))
        for each in read_topic(self._settings, topic, start, stop):
            if _is_receipt(each):
                continue
            letter = DeadLetter.from_record(each.value, each.key, each.headers)
            if _place(letter) in done:
                self.passed += 1
            else:
                yield letter


def _is_receipt(record: Any) -> bool:
    return record.value is None and any(name == _RECEIPT for name, _ in record.headers)


def _place(letter: DeadLetter) -> _Place:
    """What tells a record from all others; with its timestamp, for a topic may have been made anew."""
    return tuple(letter.coordinates.get(name) for name in ("topic", "partition", "offset", "timestamp"))


class Resubmission:
    """Sends records back to their topics, those that can be read by now: the rest would only come back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sent = 0

    def send(self, letters: Iterable[DeadLetter]) -> Iterator[tuple[DeadLetter, RecordError]]:
        """Yields what still cannot be read, and why. OperatorError if Kafka does not take the rest."""
        waiting = iter(letters)
        seen: set[_Place] = set()
        try:
            with KafkaProducer(
                **kafka_python_options(self._settings), linger_ms=10, allow_auto_create_topics=False
            ) as producer:
                while taken := list(islice(waiting, _ROUND)):
                    readable = []
                    for letter in taken:
                        if _place(letter) in seen:  # a worker that was killed may have written it twice
                            continue
                        seen.add(_place(letter))
                        try:
                            readable.append((self.check(letter), letter))
                        except RecordError as error:
                            yield letter, error
                    self._deliver(
                        producer,
                        (
                            (to, each.raw, each.key, list(each.headers), each.coordinates.get("timestamp"))
                            for to, each in readable
                        ),
                    )
                    self.sent += len(readable)
                    topic = self._settings.topics.dead_letters
                    receipts = ((topic, None, each.key, _receipt(each), None) for _, each in readable)
                    self._deliver(producer, receipts)
        except KafkaError as error:
            raise OperatorError(f"dead letters could not be sent back: {error}") from error

    @staticmethod
    def _deliver(producer: KafkaProducer, records: Iterable[tuple[Any, ...]]) -> None:
        sent = [
            producer.send(topic, value, key, headers, timestamp_ms=timestamp)
            for topic, value, key, headers, timestamp in records
        ]
        producer.flush(timeout=_PATIENCE_SECONDS)
        for each in sent:
            each.get(timeout=_PATIENCE_SECONDS)

    def check(self, letter: DeadLetter) -> str:
        """The topic that a letter goes back to; RecordError if it cannot be read there."""
        topic = str(letter.coordinates.get("topic"))
        if letter.cut_from is not None:
            raise RecordError("too_large", f"$: only the beginning of {letter.cut_from} bytes is kept")
        if topic == self._settings.topics.events:
            mapping = self._settings.mapping
        elif topic in self._settings.sources:
            mapping = self._settings.sources[topic]
        else:
            raise RecordError(letter.reason, f"$: the settings know of no source `{topic}`")
        self._ingest(mapping).canonical(
            letter.raw, record_time=letter.coordinates.get("timestamp"), origin=letter
        )
        return topic

    @cache  # noqa: B019  # lives as long as one command
    def _ingest(self, mapping: str) -> Ingest:
        return Ingest(load_mapping(mapping), max_event_bytes=self._settings.max_event_bytes)


def _receipt(letter: DeadLetter) -> list[tuple[str, bytes]]:
    place = DeadLetter(letter.reason, letter.message, b"", None, letter.coordinates)
    return [(_RECEIPT, b"1"), *place.to_headers()]
