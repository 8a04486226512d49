"""The dead-letter topic: read, and sent back to where its records came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from kafka import KafkaProducer
from kafka.errors import KafkaError

from stream.config import Settings
from stream.errors import OperatorError, RecordError
from stream.ingest import DeadLetter, Ingest, load_mapping
from stream.runtime.kafka.connection import kafka_python_options
from stream.runtime.kafka.logs import read_topic

_PATIENCE_SECONDS = 60.0


def read_letters(
    settings: Settings, start: int | None = None, stop: int | None = None
) -> Iterator[DeadLetter]:
    """All dead letters of the topic as it is now, in order of time. `start` and `stop` are instants."""
    for each in read_topic(settings, settings.topics.dead_letters, start, stop):
        yield DeadLetter.from_record(each.value, each.key, each.headers)


class Resubmission:
    """Sends records back to their topics, those that can be read by now: the rest would only come back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sent = 0

    def send(self, letters: Iterable[DeadLetter]) -> Iterator[tuple[DeadLetter, RecordError]]:
        """Yields what still cannot be read, and why. OperatorError if Kafka does not take the rest."""
        failed: list[BaseException] = []
        try:
            with KafkaProducer(
                **kafka_python_options(self._settings), linger_ms=10, allow_auto_create_topics=False
            ) as producer:
                for letter in letters:
                    try:
                        topic = self.check(letter)
                    except RecordError as error:
                        yield letter, error
                        continue
                    timestamp = letter.coordinates.get("timestamp")
                    sent = producer.send(
                        topic, letter.raw, letter.key, list(letter.headers), timestamp_ms=timestamp
                    )
                    sent.add_errback(failed.append)
                    self.sent += 1
                producer.flush(timeout=_PATIENCE_SECONDS)
        except KafkaError as error:
            raise OperatorError(f"dead letters could not be sent back: {error}") from error
        if failed:
            raise OperatorError(f"dead letters could not be sent back: {failed[0]}")

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
