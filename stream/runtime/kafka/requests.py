"""Produce requests, copied fewer times.

aiokafka encodes a request field by field, and each level of it joins what is below: what a producer sends is copied six
times before the connection adds its header. Megabytes of profiles and changes go that way each second. Here the pieces
of a request are collected first and joined once.

Like `raw`, this reaches into aiokafka's private parts; tests/kafka/test_requests.py holds each version of the request
against aiokafka's own encoding, so that a release with another one fails there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Int16, Int32, String

from stream.runtime.kafka.batches import Encoded

_TEXT = String("utf-8")
_FIRST = 3
"""The version from which on requests look as they are joined here, and hold batches like ours."""


class JoinedProduceRequest(ProduceRequest):
    """aiokafka's request, whose bytes are put together at once."""

    def build(self, request_struct_class: Any) -> Any:
        struct: Any = super().build(request_struct_class)
        if request_struct_class.API_VERSION >= _FIRST:
            struct.encode = partial(
                _join, self._transactional_id, self._required_acks, self._timeout, self._topics
            )
        return struct


def join_requests(producer: AIOKafkaProducer) -> None:
    """Makes a producer send its batches, which must be `RecordBatch`, by such requests."""
    client: Any = producer.client
    send = client.send

    async def send_joined(node: int, request: Any, **options: Any) -> Any:
        if type(request) is ProduceRequest:
            request = JoinedProduceRequest(
                request._transactional_id, request._required_acks, request._timeout, request._topics
            )
        return await send(node, request, **options)

    client.send = send_joined


def _join(
    transactional_id: str | None,
    required_acks: int,
    timeout: int,
    topics: list[tuple[str, list[tuple[int, Encoded]]]],
) -> bytes:
    number = Int32.encode
    pieces = [_TEXT.encode(transactional_id), Int16.encode(required_acks), number(timeout)]
    pieces.append(number(len(topics)))
    for topic, partitions in topics:
        pieces += _TEXT.encode(topic), number(len(partitions))
        for partition, (front, rest) in partitions:
            pieces += number(partition), number(len(front) + len(rest)), front, rest
    return b"".join(pieces)
