"""A joined request is, byte for byte, what aiokafka makes of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from stream.runtime.kafka.requests import JoinedProduceRequest, join_requests

Topics = list[tuple[str, list[tuple[int, Any]]]]
TOPICS: list[Topics] = [
    [],
    [("changes", [(0, (b"o", b"ne"))])],
    [
        ("état", [(3, (b"a", b" batch")), (1, (b"", b""))]),
        ("members", []),
        ("log", [(70_000, (bytes(17), bytes(300_000)))]),
    ],
]


def whole(topics: Topics) -> Topics:
    """With each batch in one piece, as aiokafka has it."""
    return [(topic, [(number, front + rest) for number, (front, rest) in parts]) for topic, parts in topics]


VERSIONS = [(version, None) for version in range(3, 8)] + [(version, "a") for version in range(3, 8)]


@pytest.mark.parametrize(("version", "transaction"), VERSIONS)
@pytest.mark.parametrize("topics", TOPICS)
def test_bytes(version: int, topics: Topics, transaction: str | None) -> None:
    versions = {ProduceRequest.API_KEY: (version, version)}
    plain = ProduceRequest(transaction, -1, 40_000, whole(topics)).prepare(versions)
    joined = JoinedProduceRequest(transaction, -1, 40_000, topics).prepare(versions)
    assert joined.encode() == plain.encode()
    assert (joined.API_VERSION, joined.RESPONSE_TYPE) == (plain.API_VERSION, plain.RESPONSE_TYPE)
    assert joined.build_request_header(7, "us").encode() == plain.build_request_header(7, "us").encode()


def test_every_version_is_compared() -> None:
    """If this fails, a version has come: is it encoded in the same way?"""
    assert [kind.API_VERSION for kind in ProduceRequest._CLASSES] == list(range(8))


def test_only_produce_requests_are_replaced() -> None:
    sent: list[tuple[int, Any, dict[str, Any]]] = []

    async def send(node: int, request: Any, **options: Any) -> str:
        sent.append((node, request, options))
        return "answer"

    client = SimpleNamespace(send=send)
    join_requests(cast(AIOKafkaProducer, SimpleNamespace(client=client)))
    produce, other = ProduceRequest(None, -1, 1_000, TOPICS[1]), MetadataRequest([])
    assert asyncio.run(client.send(1, produce)) == "answer"
    assert asyncio.run(client.send(2, other, group=1)) == "answer"
    (_, first, _), (_, second, options) = sent
    assert type(first) is JoinedProduceRequest
    assert first.required_acks == -1
    assert second is other
    assert options == {"group": 1}
