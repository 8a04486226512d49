"""A fetch as bytes: the request, and an answer that has nothing to tell but records.

aiokafka encodes a request and decodes an answer field by field, through a description of each field. For a live fetch,
which brings a few records of each partition, that and what surrounds it costs more than the records do. Here a request
is one `pack`, and an answer two `unpack` per partition: Fetch version 11, which brokers speak since 2.3.

An answer is *plain* if every partition was read without an error, without transactions that were given up and without
another replica to be asked. Who fetches takes only plain answers (`QuickRequest`); all others are aiokafka's business.
"""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError

VERSION = 11
_API_KEY = 1
_HEADER = struct.Struct(">hhih")
_SETTINGS = struct.Struct(">iiiibiii")
_TOPIC = struct.Struct(">h")
_COUNT = struct.Struct(">i")
_ASKED = struct.Struct(">iiqqi")
_END = struct.Struct(">ih")
_ANSWER = struct.Struct(">ihii")
_PART = struct.Struct(">ihqqqi")
_RECORDS = struct.Struct(">ii")
_CORRELATION_BYTES = 4

Topics = Sequence[tuple[str, Sequence[tuple[int, int, int]]]]
"""Of each topic its partitions: number, the offset to read from, and how many bytes at most."""


class Part(NamedTuple):
    """What an answer brings of one partition."""

    topic: str
    partition: int
    highwater: int
    last_stable: int
    records: bytes


class _Correlation(NamedTuple):
    """The header of an answer."""

    correlation_id: int


class QuickRequest:
    """A fetch, its own description for aiokafka's connection; the answer is a list of `Part`, or None: not plain."""

    def __init__(
        self, max_wait_ms: int, min_bytes: int, max_bytes: int, isolation_level: int, topics: Topics
    ) -> None:
        # No replica; no session: each request names all its partitions.
        settings = (-1, max_wait_ms, min_bytes, max_bytes, isolation_level, 0, -1, len(topics))
        parts = [_SETTINGS.pack(*settings)]
        for topic, partitions in topics:
            name = topic.encode()
            parts += (_TOPIC.pack(len(name)), name, _COUNT.pack(len(partitions)))
            parts += [_ASKED.pack(number, -1, offset, -1, most) for number, offset, most in partitions]
        parts.append(_END.pack(0, 0))
        self.body = b"".join(parts)
        self.RESPONSE_TYPE = self

    def header(self, correlation_id: int, client_id: str) -> bytes:
        """What comes before the body."""
        name = client_id.encode()
        return _HEADER.pack(_API_KEY, VERSION, correlation_id, len(name)) + name

    # what aiokafka's connection asks of a request when its answer comes, and of the type of the answer

    def parse_response_header(self, answer: io.BytesIO) -> _Correlation:
        return _Correlation(*_COUNT.unpack(answer.read(_CORRELATION_BYTES)))

    def decode(self, answer: io.BytesIO) -> list[Part] | None:
        return parse_plain(answer.getvalue(), _CORRELATION_BYTES)


def can_be_asked(connection: Any) -> bool:
    """Whether it is up, and the broker at its other end speaks the version of `QuickRequest`."""
    least, most = connection._versions.get(_API_KEY, (0, -1))
    return bool(connection.connected() and least <= VERSION <= most)


async def send_quickly(connection: Any, request: QuickRequest) -> list[Part] | None:
    """What aiokafka's `AIOKafkaConnection.send` does, less the clock that it sets for each request.

    KafkaError if the connection is lost or closed; to close it when no answer comes is left to the caller.
    """
    writer = connection._writer
    if writer is None:
        raise KafkaConnectionError(f"no connection to the broker at {connection.host}:{connection.port}")
    correlation_id = connection._next_correlation_id()
    message = request.header(correlation_id, connection._client_id) + request.body
    try:
        writer.write(_COUNT.pack(len(message)) + message)
    except OSError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"broken: {error}") from error
    answered: asyncio.Future[list[Part] | None] = asyncio.get_running_loop().create_future()
    connection._requests.append((correlation_id, request, answered))
    return await answered


def parse_plain(answer: bytes, at: int = 0) -> list[Part] | None:
    """The partitions of an answer that begins at byte `at`; None if it is not plain."""
    _throttled, error, _session, topics = _ANSWER.unpack_from(answer, at)
    if error:
        return None
    at += _ANSWER.size
    parts = []
    for _ in range(topics):
        (length,) = _TOPIC.unpack_from(answer, at)
        at += _TOPIC.size
        topic = answer[at : at + length].decode()
        at += length
        (count,) = _COUNT.unpack_from(answer, at)
        at += _COUNT.size
        for _ in range(count):
            partition, error, highwater, stable, _begin, aborted = _PART.unpack_from(answer, at)
            if error or aborted > 0:
                return None
            at += _PART.size
            replica, size = _RECORDS.unpack_from(answer, at)
            if replica >= 0:
                return None
            at += _RECORDS.size
            end = at + max(size, 0)  # -1: nothing at all
            parts.append(Part(topic, partition, highwater, stable, answer[at:end]))
            at = end
    return parts
