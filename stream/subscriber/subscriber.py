"""Reads the changes topic as a member of a consumer group and hands out every change once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from types import TracebackType
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata

from stream.errors import OperatorError, SegstreamError
from stream.subscriber.changes import SegmentChange, UnreadableChangeError, read_change
from stream.subscriber.seen import Seen, SeenInMemory

log = logging.getLogger(__name__)

_POLL_MS = 500
_LONGEST_PAUSE_SECONDS = 60.0


class TryAgainError(SegstreamError):
    """Raised by a handler that cannot work now, whatever the change: it is given the same one again, later."""


class Subscriber:
    """Changes of some segments, or of all, in the order of each user.

    `group`: the consumer group; more processes with the same one share the work. `seen` remembers what was handled.
    `dead_letters`: the topic for what the handler of `run` cannot take, `attempts` times in a row, and for records
    that cannot be read; without one such a record ends the subscriber. `client`: how to reach Kafka, in kafka-python's
    words (`security_protocol`, …); `consumer`: more for the consumer alone (`session_timeout_ms`, …). A new group
    begins with the oldest change there is.
    """

    def __init__(
        self,
        brokers: str,
        group: str,
        *,
        topic: str = "segment-changes",
        segments: Collection[str] | None = None,
        seen: Seen | None = None,
        dead_letters: str | None = None,
        attempts: int = 3,
        client: Mapping[str, Any] | None = None,
        consumer: Mapping[str, Any] | None = None,
    ) -> None:
        self._segments = None if segments is None else frozenset(segments)
        self._seen = SeenInMemory() if seen is None else seen
        self._dead_letters = dead_letters
        self._attempts = attempts
        self._stopped = threading.Event()
        self._handled: dict[TopicPartition, int] = {}
        """Where each partition goes on, of what is not committed."""
        self._producer: KafkaProducer | None = None
        self.repeats = 0
        """Changes that were dropped because they had been handled."""
        options = {"bootstrap_servers": brokers.split(","), **(client or {})}
        try:
            self._consumer = KafkaConsumer(
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                **options,
                **(consumer or {}),
            )
            if dead_letters is not None:
                self._producer = KafkaProducer(acks="all", **options)
        except KafkaError as error:
            raise OperatorError(f"Kafka at {brokers} cannot be reached: {error}") from error
        self._consumer.subscribe([topic], listener=_Committing(self))

    def __iter__(self) -> Iterator[SegmentChange]:
        """Changes, until `stop`. One counts as handled when the next is asked for."""
        for change in self._changes():
            yield change
            self._keep(change)

    def run(self, handler: Callable[[SegmentChange], object]) -> None:
        """Calls `handler` with each change, until `stop`.

        What it raises is tried again, then the change goes to the dead letters; TryAgainError is tried for ever.
        """
        for change in self._changes():
            self._handle(handler, change)
            self._keep(change)

    def stop(self) -> None:
        """Ends `run` or the iteration after the change at hand. May be called by a signal handler."""
        self._stopped.set()

    def close(self) -> None:
        """Commits what was handled and leaves the group."""
        self._commit()
        self._consumer.close()
        if self._producer is not None:
            self._producer.close()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _changes(self) -> Iterator[SegmentChange]:
        while not self._stopped.is_set():
            for tp, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                for record in records:
                    if self._stopped.is_set() or tp not in self._consumer.assignment():
                        break  # taken away while a handler was waited for
                    self._record = record
                    change = self._read(record)
                    if change is not None:
                        yield change
                    self._handled[tp] = record.offset + 1
            self._commit()

    def _read(self, record: Any) -> SegmentChange | None:
        """None for what is nothing to us, or was handled."""
        try:
            change = read_change(record.value, record.headers)
        except UnreadableChangeError as error:
            self._bury(error)
            return None
        if self._segments is not None and change.segment not in self._segments:
            return None
        if change.seq <= self._seen.last(change.place):
            self.repeats += 1
            return None
        return change

    def _keep(self, change: SegmentChange) -> None:
        self._seen.keep(change.place, change.seq)

    def _handle(self, handler: Callable[[SegmentChange], object], change: SegmentChange) -> None:
        tries = 0
        while True:
            try:
                handler(change)
                return
            except TryAgainError as error:
                tries += 1
                log.warning("the handler of %s asks to try again: %s", change.event_id, error)
            except Exception as error:  # noqa: BLE001  # whatever it is, others must not wait for it
                tries += 1
                if tries >= self._attempts:
                    self._bury(error)
                    return
                log.warning("the handler failed with %s, attempt %d: %r", change.event_id, tries, error)
            self._pause(min(0.1 * 2**tries, _LONGEST_PAUSE_SECONDS))

    def _pause(self, seconds: float) -> None:
        """Waits, and stays a member of the group meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._consumer.pause(*self._consumer.assignment())
            self._consumer.poll(timeout_ms=int(min(left, 1.0) * 1000))
        self._consumer.resume(*self._consumer.paused())

    def _bury(self, error: Exception) -> None:
        """The record at hand goes to the dead letters, or ends the subscriber."""
        record = self._record
        if self._producer is None:
            raise error
        log.error(
            "%s-%d, offset %d, goes to %s: %r",
            *(record.topic, record.partition, record.offset, self._dead_letters, error),
        )
        headers = [
            *record.headers,
            ("reason", type(error).__name__.encode()),
            ("message", str(error).encode()),
            ("source_topic", record.topic.encode()),
            ("source_partition", b"%d" % record.partition),
            ("source_offset", b"%d" % record.offset),
        ]
        try:
            self._producer.send(self._dead_letters, record.value, record.key, headers=headers).get(60)
        except KafkaError as failed:
            raise OperatorError(f"{self._dead_letters} does not take dead letters: {failed!r}") from failed

    def _commit(self) -> None:
        handled, self._handled = self._handled, {}
        if not handled:
            return
        try:
            self._consumer.commit({tp: OffsetAndMetadata(at, "", -1) for tp, at in handled.items()})
        except (
            CommitFailedError
        ) as error:  # others have the partitions: what we kept is dropped when it repeats
            log.warning("the group has gone on without this subscriber: %s", error)


class _Committing(ConsumerRebalanceListener):  # type: ignore[misc]  # Any to the checker
    """Commits what was handled before partitions go to another member."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._subscriber._commit()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """The committed offsets tell where to go on."""
