"""A fetch as bytes: what aiokafka's own encoding says, and what is not plain."""

from __future__ import annotations

import asyncio
import io
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from stream.runtime.kafka.wire import Part, QuickRequest, can_be_asked, parse_plain, send_quickly

_INT32 = st.integers(0, 2**31 - 1)
_INT64 = st.integers(0, 2**63 - 1)
_NAMES = st.text(max_size=20)
_ASKED = st.lists(st.tuples(_NAMES, st.lists(st.tuples(_INT32, _INT64, _INT32), max_size=4)), max_size=3)
_PART = st.tuples(
    _INT32, _INT64, _INT64, _INT64, st.sampled_from([None, []]), st.none() | st.binary(max_size=40)
)
_ANSWERED = st.lists(st.tuples(_NAMES, st.lists(_PART, max_size=4)), max_size=3)


@given(_INT32, _INT32, _INT32, _ASKED, _INT32, _NAMES)
def test_a_request_is_what_aiokafka_would_send(
    wait: int, least: int, most: int, topics: list[Any], correlation_id: int, client: str
) -> None:
    quick = QuickRequest(wait, least, most, 1, topics)
    usual = FetchRequest(wait, least, most, 1, topics).build(FetchRequest_v11)
    header = usual.build_request_header(correlation_id, client)
    assert quick.header(correlation_id, client) + quick.body == header.encode() + usual.encode()


@given(_ANSWERED, _INT32)
def test_a_plain_answer_is_what_aiokafka_reads(topics: list[Any], correlation_id: int) -> None:
    body = [
        (name, [(number, 0, *rest[:-1], -1, rest[-1]) for number, *rest in parts]) for name, parts in topics
    ]
    answer = io.BytesIO(correlation_id.to_bytes(4, "big") + FetchResponse_v11(7, 0, 0, body).encode())
    request = QuickRequest(0, 0, 0, 1, [])
    assert request.parse_response_header(answer).correlation_id == correlation_id
    assert request.RESPONSE_TYPE.decode(answer) == [
        Part(name, number, highwater, stable, records or b"")
        for name, parts in topics
        for number, highwater, stable, _, _, records in parts
    ]


@pytest.mark.parametrize(
    ("code", "error", "aborted", "replica"),
    [(1, 0, None, -1), (0, 1, None, -1), (0, 0, [(5, 6)], -1), (0, 0, None, 2)],
    ids=["the answer is an error", "a partition has one", "aborted transactions", "another replica"],
)
def test_other_answers_are_not_plain(code: int, error: int, aborted: Any, replica: int) -> None:
    def answer(code: int, error: int, aborted: Any, replica: int) -> bytes:
        fine, other = (3, 0, 9, 9, 0, None, -1, b"abc"), (4, error, 9, 9, 0, aborted, replica, b"def")
        return cast(bytes, FetchResponse_v11(0, code, 0, [("t", [fine, other])]).encode())

    assert parse_plain(answer(code, error, aborted, replica)) is None
    assert parse_plain(answer(0, 0, None, -1)) == [Part("t", 3, 9, 9, b"abc"), Part("t", 4, 9, 9, b"def")]


class _Connection:
    """Of aiokafka's as much as sending takes."""

    host, port, _client_id = "there", 9092, "me"

    def __init__(
        self, versions: dict[int, tuple[int, int]], *, broken: bool = False, up: bool = True
    ) -> None:
        self._versions, self._broken, self._up = versions, broken, up
        self._writer = self if up else None
        self._requests: list[tuple[int, QuickRequest, asyncio.Future[Any]]] = []
        self.written = b""
        self.reason: object = None

    def connected(self) -> bool:
        return self._up

    def _next_correlation_id(self) -> int:
        return 77

    def write(self, data: bytes) -> None:
        if self._broken:
            raise OSError("gone")
        self.written += data

    def close(self, reason: object) -> None:
        self.reason = reason


def test_who_can_be_asked() -> None:
    assert can_be_asked(_Connection({1: (4, 17)}))
    assert not can_be_asked(_Connection({1: (4, 17)}, up=False))
    assert not can_be_asked(_Connection({1: (0, 10)}))
    assert not can_be_asked(_Connection({1: (12, 17)}))
    assert not can_be_asked(_Connection({2: (0, 20)}))


def test_sending() -> None:
    async def run() -> None:
        request = QuickRequest(1, 2, 3, 1, [("t", [(0, 5, 9)])])
        connection = _Connection({})
        sending = asyncio.create_task(send_quickly(connection, request))
        await asyncio.sleep(0)
        ((correlation_id, sent, answered),) = connection._requests
        assert (correlation_id, sent) == (77, request)
        message = request.header(77, "me") + request.body
        assert connection.written == len(message).to_bytes(4, "big") + message
        answered.set_result([])
        assert await sending == []
        with pytest.raises(KafkaConnectionError, match="there:9092"):
            await send_quickly(_Connection({}, up=False), request)
        broken = _Connection({}, broken=True)
        with pytest.raises(KafkaConnectionError, match="gone"):
            await send_quickly(broken, request)
        assert broken.reason is not None

    asyncio.run(run())
